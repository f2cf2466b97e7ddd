"""Listing a commit's files: the same as git lists, and what has not changed is not read again."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.git_repository import commit_all, git, new_repository

from forgec.adapter.git import OBJECT_BYTES_MAX, GitTree, git_environment
from forgec.adapter.git_listing import Unlistable, list_files
from forgec.adapter.git_objects import GitObject, Objects
from forgec.diagnostic import Code, ForgeError
from forgec.discovery.tree import EntryKind

pytestmark = pytest.mark.usefixtures("real_git")

KINDS = {"120000": EntryKind.SYMLINK, "160000": EntryKind.SUBMODULE}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "repository")


class Counted:
    """Git's objects, and which were asked for."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.asked: list[str] = []

    def read(self, ids: Sequence[str]) -> Sequence[GitObject | None]:
        self.asked += ids
        return self._objects.read(ids, OBJECT_BYTES_MAX)


@pytest.fixture
def objects(repository: Path) -> Iterator[Counted]:
    with closing(Objects(repository, git_environment(repository))) as opened:
        yield Counted(opened)


def as_git_lists(repository: Path, rev: str) -> list[tuple[str, EntryKind, str]]:
    argv = ["git", "-C", str(repository), "ls-tree", "-r", "-z", "--full-tree", rev]
    done = subprocess.run(argv, env=git_environment(repository), capture_output=True, check=True, timeout=30)
    listed = []
    for line in filter(None, done.stdout.decode(errors="surrogateescape").split("\0")):
        head, _, path = line.partition("\t")
        mode, _, object_id = head.split(" ")
        listed.append((path, KINDS.get(mode, EntryKind.FILE), object_id))
    return sorted(listed)


def tree_object(repository: Path, content: bytes) -> str:
    """Written as it is, whether or not git finds it good."""
    argv = ["git", "-C", str(repository), "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
    environment = git_environment(repository)
    done = subprocess.run(argv, env=environment, input=content, capture_output=True, check=True, timeout=30)
    return done.stdout.decode().strip()


def commit_of(repository: Path, tree: str) -> str:
    return git(repository, "commit-tree", tree, "-m", "made by hand")


@pytest.mark.parametrize("format_", ["sha1", "sha256"])
def test_files_are_those_that_git_lists_sorted_by_path(tmp_path: Path, format_: str) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    git(root, "init", "-q", "-b", "main", f"--object-format={format_}")
    names = ["a", "a.b/x", "a0", "b/c/d/e", "b/c.d", "b/c0", "b-c/x", "line\nbreak/tab\t", "ü/\U0001f525", "\ue000"]
    for name in (*map(os.fsencode, names), b"\xff\xfe/bytes", b"\xff"[:1] + b"z"):
        path = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name)
    (root / "b" / "run").write_text("#!/bin/sh\n")
    (root / "b" / "run").chmod(0o755)
    (root / "b" / "link").symlink_to("run")
    git(root, "add", ".")
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * (40 if format_ == 'sha1' else 64)},b/vendor")
    git(root, "commit", "-q", "-m", "names")

    with closing(GitTree(root, "main")) as tree:
        listed = [(entry.path, entry.kind, entry.object_id) for entry in tree.list()]

    assert listed == as_git_lists(root, "main")


def test_a_change_costs_as_many_reads_as_its_path_has_directories(repository: Path, objects: Counted) -> None:
    for name in range(50):
        for path in (repository / f"services/{name}/src/deep/file", repository / f"services/{name}/docs/file"):
            path.parent.mkdir(parents=True)
            path.write_text(str(path))
    commit_all(repository)
    list_files(str(repository), git(repository, "rev-parse", "main^{tree}"), objects.read)
    assert len(objects.asked) == 2 + 50 * 4
    objects.asked.clear()
    (repository / "services/7/src/deep/file").write_text("changed")
    (repository / "services/8/docs/file").unlink()
    (repository / "services/9/added").write_text("new")
    commit_all(repository)

    entries = list_files(str(repository), git(repository, "rev-parse", "main^{tree}"), objects.read)

    assert len(objects.asked) == 2 + 3 + 1 + 1  # services/8/docs is gone
    assert [(entry.path, entry.kind, entry.object_id) for entry in entries] == as_git_lists(repository, "main")


def test_a_directory_that_is_moved_is_listed_by_its_new_name(repository: Path, objects: Counted) -> None:
    (repository / "old").mkdir()
    (repository / "old" / "file").write_text("same")
    commit_all(repository)
    list_files(str(repository), git(repository, "rev-parse", "main^{tree}"), objects.read)
    git(repository, "mv", "old", "new")
    commit_all(repository)

    entries = list_files(str(repository), git(repository, "rev-parse", "main^{tree}"), objects.read)

    assert [entry.path for entry in entries] == ["new/file"]


def test_a_level_of_many_directories_is_read_without_waiting_for_each_other(repository: Path) -> None:
    """More names than a pipe holds, and more answers: neither side may wait for the other to read first."""
    lines = b"".join(b"100644 %0200d\0" % number + bytes(20) for number in range(10))
    subtree = tree_object(repository, lines)
    with closing(Objects(repository, git_environment(repository))) as opened:
        answers = opened.read([subtree] * 5000, OBJECT_BYTES_MAX)

    assert {answer.content for answer in answers if answer is not None} == {lines}
    assert len(answers) == 5000


@pytest.mark.parametrize(
    "content",
    [b"100644 file\0" + b"x" * 19, b"100644 file", b"garbage", b"100644 \0" + b"x" * 20, b"9 file\0" + b"x" * 20],
    ids=["cut id", "no id", "no entry", "no name", "no mode"],
)
def test_a_tree_object_that_is_malformed_is_an_error(repository: Path, content: bytes) -> None:
    commit = commit_of(repository, tree_object(repository, content))

    with closing(GitTree(repository, commit)) as tree, pytest.raises(ForgeError) as caught:
        tree.list()

    (problem,) = caught.value.diagnostics
    assert problem.code is Code.GIT_FAILED
    assert problem.message.endswith("is malformed")


def test_a_tree_object_that_is_not_there_is_an_error(repository: Path) -> None:
    commit = commit_of(repository, tree_object(repository, b"40000 gone\0" + b"\x12" * 20))

    with closing(GitTree(repository, commit)) as tree, pytest.raises(ForgeError) as caught:
        tree.list()

    assert caught.value.diagnostics[0].message.endswith(f"the tree object {'12' * 20} is missing")


def test_a_few_objects_that_unfold_to_more_files_than_anybody_has_are_refused(
    repository: Path, objects: Counted
) -> None:
    tree = tree_object(repository, b"".join(b"100644 %02d\0" % number + bytes(20) for number in range(50)))
    for _ in range(8):
        lines = (b"40000 %02d\0" % number + bytes.fromhex(tree) for number in range(50))
        tree = tree_object(repository, b"".join(lines))

    with pytest.raises(Unlistable, match=r"^it has more than 10000 files and directories$"):
        list_files(str(repository), tree, objects.read, entries_max=10_000)


def test_a_directory_that_no_memory_holds_is_refused_unread(repository: Path) -> None:
    names = b"".join(b"100644 %07d\0" % number + bytes(20) for number in range(OBJECT_BYTES_MAX // 35 + 1))
    commit = commit_of(repository, tree_object(repository, names))

    with closing(GitTree(repository, commit)) as opened, pytest.raises(ForgeError) as caught:
        opened.list()

    (problem,) = caught.value.diagnostics
    assert problem.code is Code.GIT_FAILED
    assert problem.message.endswith(f"an object is larger than {OBJECT_BYTES_MAX} bytes")


def test_damage_is_told_in_the_words_of_git(repository: Path) -> None:
    (repository / "file").write_text("content")
    commit = commit_all(repository)
    tree = git(repository, "rev-parse", f"{commit}^{{tree}}")
    damaged = repository / ".git" / "objects" / tree[:2] / tree[2:]
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-4])

    with closing(GitTree(repository, commit)) as opened, pytest.raises(ForgeError) as caught:
        opened.list()

    (problem,) = caught.value.diagnostics
    assert problem.code is Code.GIT_FAILED
    assert tree in problem.message
