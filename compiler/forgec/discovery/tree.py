"""What discovery reads from: a tree of files, wherever it lies.

Discovery is pure; a git commit and a working directory are both a `Tree` to it (forgec.adapter), and so is a table of
files (`MemoryTree`).
"""

import enum
import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from forgec.diagnostic import Code, ForgeError, fail
from forgec.source import whole_file

FILE_BYTES_MAX: Final = 1024 * 1024
"""Of a file that is read: configuration and Earthfiles are written by hand."""


class EntryKind(enum.Enum):
    FILE = "file"
    SYMLINK = "symlink"
    SUBMODULE = "submodule"


class TreeEntry(Struct, frozen=True, kw_only=True):
    """A leaf of the tree. `path` is relative to the root, with `/`; bytes that are no UTF-8 are surrogate escapes.

    `object_id` is git's id of the content, None where it would have to be computed.
    """

    path: str
    kind: EntryKind
    object_id: str | None = None


class Tree(Protocol):
    """Both calls raise ForgeError (UNREADABLE, GIT_FAILED) when the outside fails."""

    @property
    def name(self) -> str:
        """What to call the tree in messages."""
        ...

    def list(self) -> Sequence[TreeEntry]:
        """Every leaf at any depth, sorted by path. Directories appear only through what they hold."""
        ...

    def read(self, path: str) -> bytes:
        """The content of a listed file; TOO_DEEP above FILE_BYTES_MAX."""
        ...


class MemoryTree:
    """A tree made of a table from path to content."""

    def __init__(self, files: Mapping[str, bytes], name: str = "memory") -> None:
        self._files = dict(sorted(files.items()))
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    def list(self) -> Sequence[TreeEntry]:
        return [
            TreeEntry(path=path, kind=EntryKind.FILE, object_id=blob_id(data)) for path, data in self._files.items()
        ]

    def read(self, path: str) -> bytes:
        data = self._files[path]
        if len(data) > FILE_BYTES_MAX:
            raise too_large(path)
        return data


def too_large(path: str) -> ForgeError:
    message = f"the file is larger than {FILE_BYTES_MAX} bytes, the most that discovery reads"
    return fail(Code.TOO_DEEP, message, whole_file(path))


def blob_id(data: bytes) -> str:
    """The id under which git stores these bytes."""
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()
