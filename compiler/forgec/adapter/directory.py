"""A working directory as a tree: what people see in their editor, committed or not."""

import os
from collections.abc import Sequence
from pathlib import Path

from forgec.diagnostic import Code, ForgeError, fail
from forgec.discovery.ignore import IgnoreRules
from forgec.discovery.tree import FILE_BYTES_MAX, EntryKind, TreeEntry, too_large
from forgec.source import whole_file


class DirectoryTree:
    """The files below a directory, without `.git` and without directories that a `.gitignore` excludes.

    Those are left out here already, since build output and dependencies are often larger than all the rest.
    A directory with a `.git` of its own is another repository: a submodule, as git sees it. Names are bytes here and
    UTF-8 outside, as in a commit, whatever the locale says.
    """

    def __init__(self, root: Path) -> None:
        self._name = str(root)
        self._root = os.fsencode(root)

    @property
    def name(self) -> str:
        return self._name

    def list(self) -> Sequence[TreeEntry]:
        rules = IgnoreRules()
        entries: list[TreeEntry] = []
        waiting = [""]
        while waiting:
            directory = waiting.pop()
            leaves, directories = _scan(self._root, directory)
            entries += leaves
            ignore_file = _join(directory, ".gitignore")
            if any(leaf.path == ignore_file and leaf.kind is EntryKind.FILE for leaf in leaves):
                rules.add(directory, self.read(ignore_file))
            waiting += [path for path in directories if not rules.ignores(path, is_directory=True)]
        return sorted(entries, key=lambda entry: entry.path)

    def read(self, path: str) -> bytes:
        try:
            # O_NOFOLLOW: what was listed as a file may have become a link out of the tree.
            descriptor = os.open(_at(self._root, path), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise _unreadable(path, error) from None
        if len(data) > FILE_BYTES_MAX:
            raise too_large(path)
        return data


def _scan(root: bytes, directory: str) -> tuple[list[TreeEntry], list[str]]:
    """The leaves of a directory, and the paths of the directories in it."""
    leaves: list[TreeEntry] = []
    directories: list[str] = []
    at = directory or "."
    try:
        with os.scandir(_at(root, directory)) as children:
            for child in children:
                at = _join(directory, child.name.decode(errors="surrogateescape"))
                if child.name == b".git":
                    continue
                if child.is_symlink():
                    leaves.append(TreeEntry(path=at, kind=EntryKind.SYMLINK))
                elif child.is_file():
                    leaves.append(TreeEntry(path=at, kind=EntryKind.FILE))
                elif child.is_dir():
                    # os.path: a directory that cannot be entered is told when it is its own turn.
                    if os.path.exists(_at(root, f"{at}/.git")):  # noqa: PTH110
                        leaves.append(TreeEntry(path=at, kind=EntryKind.SUBMODULE))
                    else:
                        directories.append(at)
    except OSError as error:
        raise _unreadable(at, error) from None
    return leaves, directories


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _at(root: bytes, path: str) -> bytes:
    return os.path.join(root, path.encode(errors="surrogateescape"))  # noqa: PTH118


def _unreadable(path: str, error: OSError) -> ForgeError:
    return fail(Code.UNREADABLE, f"cannot read {path}: {error.strerror}", whole_file(path))
