"""A commit as a tree, read straight from git's object store: no checkout, no index, no hooks.

Listing a tree of 7,500 files takes about 20 ms the first time and reading a file less than one, against half a second
for a checkout. Everything here only reads, and never the network.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from forgec.adapter.directory import DirectoryTree
from forgec.adapter.git_listing import Unlistable, list_files
from forgec.adapter.git_objects import GitObject, Objects, TooLarge
from forgec.diagnostic import Code, ForgeError, fail
from forgec.discovery.tree import FILE_BYTES_MAX, Tree, TreeEntry, too_large
from forgec.memo import Memo

OBJECT_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of a commit, and of a directory, which then has 400,000 files."""

COMMIT_ID_LENGTH: Final = 40
"""Of SHA-1, which is what a discovery document has room for."""

_INHERITED: Final = (
    *("PATH", "HOME", "TMPDIR", "TZ", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY"),
)


def git_environment(
    *directories: Path, protocols: Sequence[str] = (), config: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment of a git command on a repository that strangers wrote to.

    No configuration but the repository's own and ours, no prompt, no hook, no filter of large files, English messages.
    `protocols` are the transports git may use: none to read. `directories` are exempt from the check that their owner
    is us: the caller named them, and what git could run from their configuration is switched off. Variables of this
    process pass by name only, so a worker's secrets do not reach what git starts.
    """
    settings = {
        "core.hooksPath": os.devnull,
        "core.fsmonitor": "false",
        "core.sshCommand": "ssh -oBatchMode=yes",
        "init.templateDir": "",
        "submodule.recurse": "false",
        "gc.auto": "0",
        "maintenance.auto": "false",
        "transfer.fsckObjects": "true",
        "advice.detachedHead": "false",
        **(config or {}),
    }
    pairs = [*settings.items(), *(("safe.directory", str(directory)) for directory in directories)]
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(protocols),
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_CONFIG_COUNT": str(len(pairs)),
    }
    for index, (key, value) in enumerate(pairs):
        environment[f"GIT_CONFIG_KEY_{index}"] = key
        environment[f"GIT_CONFIG_VALUE_{index}"] = value
    return environment


def open_tree(path: Path, rev: str | None = None) -> tuple[Tree, str | None]:
    """A directory as it is now, or, with `rev`, as it was at that commit; and the commit's id.

    Working files have no commit: they may differ from every one. A directory inside a repository is a root like any
    other. Raises ForgeError: UNREADABLE, NOT_A_REPOSITORY, COMMIT_NOT_FOUND, GIT_FAILED.
    """
    try:
        os.scandir(path).close()
    except OSError as error:
        raise fail(Code.UNREADABLE, f"cannot read {path}: {error.strerror}") from None
    if rev is None:
        return DirectoryTree(path), None
    root = _repository_of(path)
    prefix = path.resolve().relative_to(root).as_posix()
    tree = GitTree(root, rev, "" if prefix == "." else prefix)
    return tree, tree.resolve()


class GitTree:
    """The tree of a commit, or of the directory `prefix` in it.

    One git child answers all questions; the first one starts it, `close` or the end of the object ends it. `rev` may be
    any name of the commit: a branch, a tag, an id, or an expression like `HEAD~1`.
    """

    def __init__(self, repository: Path, rev: str, prefix: str = "") -> None:
        self._repository = repository
        self._commit = rev
        self._prefix = prefix
        self._ids: dict[str, str] = {}
        self._objects: Objects | None = None

    @property
    def name(self) -> str:
        return f"{self._repository} at {self._commit[:12]}"

    def resolve(self) -> str:
        """The commit's id, by which the tree is known from now on: what a branch names may change."""
        (commit,) = self._read([f"{self._commit}^{{commit}}"], f"find {self._commit} in {self._repository}")
        if commit is None:
            raise fail(
                Code.COMMIT_NOT_FOUND,
                f'no commit is called "{self._commit}" in {self._repository}{_shallow(self._repository)}',
                help="give a branch, a tag or a commit id that this repository holds",
            )
        if len(commit.id) != COMMIT_ID_LENGTH:
            message = f"{self._repository} names its objects by SHA-256, and documents tell a commit by its SHA-1"
            raise fail(Code.GIT_FAILED, message, help="leave out the revision to read the files as they are")
        self._commit = commit.id
        return commit.id

    def close(self) -> None:
        objects, self._objects = self._objects, None
        if objects is not None:
            objects.close()

    def __del__(self) -> None:
        self.close()

    def list(self) -> Sequence[TreeEntry]:
        doing = f"list the tree of {self.name}"
        (root,) = self._read([f"{self._commit}:{self._prefix}"], doing)
        if root is None or root.kind != "tree":
            raise _failed(doing, f"it has no directory {self._prefix}" if self._prefix else "no such commit is here")
        try:
            entries = list_files(str(self._repository), root.id, lambda ids: self._read(ids, doing))
        except Unlistable as error:
            raise _failed(doing, str(error)) from None
        self._ids = {entry.path: entry.object_id for entry in entries if entry.object_id is not None}
        return entries

    def read(self, path: str) -> bytes:
        if not self._ids:
            self.list()
        object_id = self._ids[path]
        return _CONTENTS.get((str(self._repository), object_id), lambda: self._content(path, object_id), len)

    def _content(self, path: str, object_id: str) -> bytes:
        doing = f"read {path} of {self.name}"
        try:
            (found,) = self._ask([object_id], doing, FILE_BYTES_MAX)
        except TooLarge:
            raise too_large(path) from None
        if found is None or found.kind != "blob":
            raise _failed(doing, "the object is missing or no file")
        return found.content

    def _read(self, names: Sequence[str], doing: str) -> Sequence[GitObject | None]:
        """Commits and directories."""
        try:
            return self._ask(names, doing, OBJECT_BYTES_MAX)
        except TooLarge:
            raise _failed(doing, f"an object is larger than {OBJECT_BYTES_MAX} bytes") from None

    def _ask(self, names: Sequence[str], doing: str, size_max: int) -> Sequence[GitObject | None]:
        """The child is of no use after an error; the next question starts another."""
        if self._objects is None:
            try:
                self._objects = Objects(self._repository, git_environment(self._repository))
            except OSError as error:
                advice = "install git and put it on the PATH"
                raise fail(Code.GIT_FAILED, f"git cannot be started: {error.strerror}", help=advice) from None
        try:
            return self._objects.read(names, size_max)
        except TooLarge:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise _failed(doing, str(error)) from None


_CONTENTS: Final[Memo[bytes]] = Memo()
"""By repository and object, whose id is its content's digest. Asking git for 200 files takes as long as the rest."""


def _repository_of(path: Path) -> Path:
    """The working tree or bare repository that a directory belongs to."""
    try:
        resolved = path.resolve()
    except OSError as error:  # a working directory that is gone
        raise fail(Code.UNREADABLE, f"cannot read {path}: {error.strerror}") from None
    for candidate in (resolved, *resolved.parents):
        if (candidate / ".git").exists():
            return candidate
    if (resolved / "HEAD").is_file() and (resolved / "objects").is_dir():
        return resolved
    raise fail(
        Code.NOT_A_REPOSITORY,
        f"{path} is not in a git repository",
        help="leave out the revision to read the files as they are",
    )


def _shallow(repository: Path) -> str:
    """What pipelines meet: they clone the newest commit alone."""
    marks = (repository / ".git" / "shallow", repository / "shallow")
    told = "; it is a shallow clone, which may have to fetch it first"
    return told if any(mark.is_file() for mark in marks) else ""


def _failed(doing: str, reason: str) -> ForgeError:
    return fail(Code.GIT_FAILED, f"cannot {doing}: {reason}")
