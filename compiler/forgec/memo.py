"""Results of pure functions of a content, kept for the next commit that has the same content.

A worker evaluates one repository again and again, and between two commits nearly every file is the same. Kept in the
process alone: a cache on disk would have to be trusted, and starting a process costs more than it could save.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Final, Generic, TypeVar

SIZE_MAX: Final = 4 * 1024 * 1024
"""Of all contents that a memo keeps results of; a tree takes about twenty times its text. 100 projects have 0.3 MB."""

T = TypeVar("T")


@lru_cache(maxsize=4)
def digest_of_shared(text: str) -> bytes:
    """In place of a text that many keys have in common: its size would be counted for all of them, or for none."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


class Memo(Generic[T]):
    """Keeps what was used last; the function may be called by several threads at once. What raises is not kept."""

    def __init__(self, size_max: int = SIZE_MAX) -> None:
        self._size_max = size_max
        self._size = 0
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
        """`make`'s result. The key holds everything that it depends on, and `size` tells how large that is."""
        found = self.find(key)
        if found is None:
            found = make()
            self.keep(key, found, size(found))
        return found

    def find(self, key: Hashable) -> T | None:
        """What is kept under a key; where many may be missing, they can be made together."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            self._kept.move_to_end(key)
            return found[0]

    def keep(self, key: Hashable, made: T, size: int) -> None:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made, size
                self._size += size
            while self._size > self._size_max:
                _, (_, released) = self._kept.popitem(last=False)
                self._size -= released
