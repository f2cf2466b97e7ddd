"""Results of pure functions of a text, kept for the next commit that has the same text.

A worker evaluates one repository again and again, and between two commits nearly every file is the same. Kept in the
process alone: a cache on disk would have to be trusted, and starting a process costs more than it could save.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from forgec.source import Source

CHARS_MAX: Final = 4 * 1024 * 1024
"""Of all texts that a memo keeps results of; a tree takes about twenty times its text. 100 projects have 0.3 MB."""

T = TypeVar("T")


class Memo(Generic[T]):
    """Keeps what was used last; the function may be called by several threads at once. What raises is not kept."""

    def __init__(self, chars_max: int = CHARS_MAX) -> None:
        self._chars_max = chars_max
        self._chars = 0
        self._kept: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, source: Source, make: Callable[[], T], *by: Hashable) -> T:
        """`make`'s result for this source (its name is in every place that the result tells) and for `by`."""
        key = (source.name, source.text, *by)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found[0]
        made = make()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made, len(source.text)
                self._chars += len(source.text)
            while self._chars > self._chars_max:
                _, (_, chars) = self._kept.popitem(last=False)
                self._chars -= chars
        return made
