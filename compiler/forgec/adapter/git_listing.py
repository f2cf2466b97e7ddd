"""All files below a tree object. What a directory holds is read once: its id is the digest of that.

root ─▶ docs (held)                       level by level, all directories of a level in one go;
    └─▶ services (read) ─▶ a (held)       a commit that changes one file costs as many reads
                      └──▶ b (read)       as its path has directories
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from forgec.adapter.git_objects import GitObject
from forgec.discovery.tree import EntryKind, TreeEntry
from forgec.memo import Memo

ENTRIES_MAX: Final = 1_000_000
"""Files and directories, of 0.3 kB each here: a few small objects can unfold to more than any machine holds."""

LIST_TIMEOUT_S: Final = 60.0

Read = Callable[[Sequence[str]], Sequence[GitObject | None]]


class Unlistable(Exception):
    """Why a tree cannot be listed, in words."""


class Directory(Struct, frozen=True):
    """`path` ends with a slash, but for the root's, which is empty."""

    path: str
    id: str


Parts = tuple[Directory | tuple[TreeEntry, ...], ...]
"""What a directory holds, sorted: directories, and the files between two of them."""


def list_files(repository: str, root: str, read: Read, *, entries_max: int = ENTRIES_MAX) -> list[TreeEntry]:
    """Every file, sorted by path. Raises Unlistable, and what `read` raises."""
    parts: Sequence[Directory | tuple[TreeEntry, ...]] = (Directory("", root),)
    end = time.monotonic() + LIST_TIMEOUT_S
    count = 0
    while directories := [part for part in parts if isinstance(part, Directory)]:
        held = _hold(repository, directories, read)
        below: list[Directory | tuple[TreeEntry, ...]] = []
        for part in parts:
            if isinstance(part, tuple):
                below.append(part)
                continue
            inside = next(held)
            below += inside
            count += sum(len(each) if isinstance(each, tuple) else 1 for each in inside)
            if count > entries_max:
                raise Unlistable(f"it has more than {entries_max} files and directories")
        if time.monotonic() > end:
            raise Unlistable(f"it took more than {LIST_TIMEOUT_S:.0f} s")
        parts = below
    return [entry for part in parts if isinstance(part, tuple) for entry in part]


_HELD: Final[Memo[Parts]] = Memo(size_max=32 * 1024 * 1024)
"""By repository, path and tree object: about 100,000 files. The sizes are what they take of memory."""

_ENTRY_BYTES: Final = 250
"""Of an entry besides its path: the record, two texts and their places in the tuple."""

_PORTION: Final = 256
"""Objects that are read in one go, so that never a whole large tree is here beside its entries."""


def _hold(repository: str, directories: Sequence[Directory], read: Read) -> Iterator[Parts]:
    """What each directory holds."""
    for start in range(0, len(directories), _PORTION):
        portion = directories[start : start + _PORTION]
        found = [_HELD.find((repository, each.path, each.id)) for each in portion]
        unread = list(dict.fromkeys(each.id for each, parts in zip(portion, found, strict=True) if parts is None))
        trees = dict(zip(unread, read(unread), strict=True)) if unread else {}
        for directory, parts in zip(portion, found, strict=True):
            if parts is None:
                made, size = _parse(directory, trees[directory.id])
                _HELD.keep((repository, directory.path, directory.id), made, size)
            yield made if parts is None else parts


_LINE: Final = {
    20: re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL),
    32: re.compile(rb"([0-7]+) ([^\0]+)\0(.{32})", re.DOTALL),
}
"""`MODE NAME\0ID`, by the length of an id (SHA-1, SHA-256)."""

_TYPE_MASK: Final = 0o170000
_DIRECTORY: Final = 0o040000
_KINDS: Final = {0o100000: EntryKind.FILE, 0o120000: EntryKind.SYMLINK}
"""Anything else is a submodule to git."""


def _parse(directory: Directory, tree: GitObject | None) -> tuple[Parts, int]:
    """What a tree object holds, and its size in memory."""
    if tree is None or tree.kind != "tree":
        raise Unlistable(f"the tree object {directory.id} is missing")
    id_bytes = len(directory.id) // 2
    lines = _LINE[id_bytes].findall(tree.content)
    if sum(len(mode) + len(name) for mode, name, _ in lines) + len(lines) * (id_bytes + 2) != len(tree.content):
        raise Unlistable(f"the tree object {directory.id} is malformed")
    children = sorted(_children(directory.path, lines), key=_path)
    parts: list[Directory | tuple[TreeEntry, ...]] = []
    files: list[TreeEntry] = []
    for child in children:
        if isinstance(child, TreeEntry):
            files.append(child)
            continue
        if files:
            parts.append(tuple(files))
            files = []
        parts.append(child)
    if files:
        parts.append(tuple(files))
    return tuple(parts), sum(len(child.path) + _ENTRY_BYTES for child in children)


def _children(path: str, lines: Sequence[tuple[bytes, bytes, bytes]]) -> Iterator[Directory | TreeEntry]:
    for mode, name, id_ in lines:
        child = path + name.decode(errors="surrogateescape")
        type_ = int(mode, 8) & _TYPE_MASK
        if type_ == _DIRECTORY:
            yield Directory(f"{child}/", id_.hex())
        else:
            yield TreeEntry(path=child, kind=_KINDS.get(type_, EntryKind.SUBMODULE), object_id=id_.hex())


def _path(child: Directory | TreeEntry) -> str:
    return child.path
