"""The files that discovery looks at: what a tree's ignore files leave of it, within limits."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final

from forgec.discovery.ignore import IgnoreRules
from forgec.discovery.tree import EntryKind, Tree, TreeEntry, blob_id
from forgec.memo import Memo
from forgec.source import Source
from forgec.syntax.document import read_text

FORGE_DIRECTORY: Final = ".forge"


class ForgeFiles:
    """A tree seen through its ignore files. Only those on the way to a `.forge` directory are read."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._entries = {entry.path: entry for entry in tree.list()}
        self._rules = IgnoreRules()
        self._visible: dict[str, TreeEntry | None] = {}
        root = f"{FORGE_DIRECTORY}/"
        near = [entry for entry in self._entries.values() if root in entry.path]  # most are not, and there are many
        self.forge = [entry for entry in near if f"/{root}" in entry.path or entry.path.startswith(root)]
        """What lies in `.forge` directories, ignored or not; `visible` tells."""
        self._forge_below: dict[str, list[TreeEntry]] = {}
        directories = {""}
        for entry in self.forge:
            for parent in _parents(entry.path):
                directories.add(parent)
                if parent == FORGE_DIRECTORY or parent.endswith(f"/{FORGE_DIRECTORY}"):
                    self._forge_below.setdefault(parent, []).append(entry)
        for directory in sorted(directories):
            ignore_file = self._entries.get(f"{directory}/.gitignore" if directory else ".gitignore")
            if ignore_file is not None and ignore_file.kind is EntryKind.FILE:
                self._rules.add(directory, tree.read(ignore_file.path))

    def visible(self, path: str) -> TreeEntry | None:
        if path not in self._visible:
            entry = self._entries.get(path)
            seen = entry is not None and entry.kind is EntryKind.FILE and not self._rules.ignores(path)
            self._visible[path] = entry if seen else None
        return self._visible[path]

    def forge_below(self, directory: str) -> Sequence[TreeEntry]:
        """What lies in one `.forge` directory, ignored or not."""
        return self._forge_below.get(directory, ())

    def read(self, path: str) -> Source:
        """Raises ForgeError where the file is no text or too large."""
        data = self._tree.read(path)
        return _TEXTS.get((path, data), lambda: read_text(shown(path), data), lambda _: len(data))

    def object_id(self, entry: TreeEntry) -> str:
        return entry.object_id or blob_id(self._tree.read(entry.path))

    def why_absent(self, path: str) -> str | None:
        """Why a path that people may see is not a file for us; None where there is nothing to see."""
        for part in (*_parents(path), path):
            entry = self._entries.get(part)
            if entry is not None and entry.kind is EntryKind.SYMLINK:
                return f"{shown(part)} is a symbolic link; discovery follows none"
            if entry is not None and entry.kind is EntryKind.SUBMODULE:
                return f"{shown(part)} is a submodule: its files belong to another repository"
            if entry is not None and part != path:
                return f"{shown(part)} is a file, not a directory"
            if self._rules.ignores(part, is_directory=part != path):
                return f"a .gitignore of the repository excludes {shown(part)}"
        return f"{shown(path)} is a directory, not a file" if path in self._directories else None

    def misspelt(self, path: str) -> str | None:
        """The path that differs from a missing one in upper and lower case only."""
        return next((known for known in self._by_folded_path.get(path.casefold(), ()) if known != path), None)

    def named(self, name: str) -> Sequence[str]:
        """The directories that hold a visible file of this name, sorted; "." is the root."""
        suffix = f"/{name}"
        return [
            entry.path.removesuffix(name).rstrip("/") or "."
            for entry in self._entries.values()
            if (entry.path == name or entry.path.endswith(suffix)) and self.visible(entry.path)
        ]

    def leaves(self, name: str) -> Iterator[TreeEntry]:
        """Every entry, of any kind, with this in its path in whatever case, that no ignore file excludes."""
        return (
            entry
            for entry in self._entries.values()
            if name in entry.path.casefold() and not self._rules.ignores(entry.path)
        )

    @cached_property
    def _directories(self) -> frozenset[str]:
        return frozenset(parent for path in self._entries for parent in _parents(path))

    @cached_property
    def _by_folded_path(self) -> dict[str, list[str]]:
        folded: dict[str, list[str]] = {}
        for path in self._entries:
            folded.setdefault(path.casefold(), []).append(path)
        return folded


_TEXTS: Final[Memo[Source]] = Memo()


def shown(path: str) -> str:
    """A path as it can be printed: bytes that are no UTF-8 are replaced."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def _parents(path: str) -> Iterator[str]:
    slash = path.find("/")
    while slash >= 0:
        yield path[:slash]
        slash = path.find("/", slash + 1)
