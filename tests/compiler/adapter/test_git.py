"""Trees of commits and of working directories, on real repositories."""

import os
import tracemalloc
from pathlib import Path

import pytest
from tests.git_repository import commit_all, git, new_repository

from forgec.adapter.git import GitTree, git_environment, open_tree
from forgec.diagnostic import Code, ForgeError
from forgec.discovery.tree import FILE_BYTES_MAX, EntryKind, blob_id

pytestmark = pytest.mark.usefixtures("real_git")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = new_repository(tmp_path / "repository")
    (root / "web" / ".forge").mkdir(parents=True)
    (root / "web" / ".forge" / "project.cue").write_bytes(b"package project\n")
    (root / "web" / "naïve name\n.txt").write_bytes(b"\0binary\r\n")
    (root / "link").symlink_to("web")
    git(root, "add", ".")
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor")
    git(root, "commit", "-q", "-m", "first")
    return root


def test_commit_and_working_directory_list_the_same_files(repository: Path) -> None:
    tree, commit = open_tree(repository, "HEAD")
    working, no_commit = open_tree(repository)

    listed = {entry.path: entry.kind for entry in tree.list()}

    assert listed == {
        "link": EntryKind.SYMLINK,
        "vendor": EntryKind.SUBMODULE,
        "web/.forge/project.cue": EntryKind.FILE,
        "web/naïve name\n.txt": EntryKind.FILE,
    }
    assert {entry.path: entry.kind for entry in working.list()} == {k: v for k, v in listed.items() if k != "vendor"}
    assert commit == git(repository, "rev-parse", "HEAD")
    assert no_commit is None


def test_listing_takes_little_more_than_the_names_themselves(repository: Path) -> None:
    deep = repository.joinpath(*("d" * 200 for _ in range(5)))
    deep.mkdir(parents=True)
    for number in range(2000):
        (deep / f"{number}{'f' * 200}").touch()
    (repository / "\U0001f525").touch()  # four bytes for each character of a text that holds one
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "long names")
    tree, _ = open_tree(repository, "HEAD")

    tracemalloc.start()
    names_bytes = sum(len(os.fsencode(entry.path)) for entry in tree.list())
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak_bytes < 3 * names_bytes


def test_files_are_read_byte_for_byte(repository: Path) -> None:
    tree, _ = open_tree(repository, "main")
    entries = {entry.path: entry for entry in tree.list()}

    for _ in range(3):
        data = tree.read("web/naïve name\n.txt")
        assert data == b"\0binary\r\n"
    assert tree.read("web/.forge/project.cue") == b"package project\n"

    entry = entries["web/naïve name\n.txt"]
    assert entry.object_id == blob_id(data)


@pytest.mark.parametrize("rev", ["HEAD", None])
def test_a_file_above_the_limit_is_refused_and_the_next_one_read(repository: Path, rev: str | None) -> None:
    (repository / "big").write_bytes(b"x" * (FILE_BYTES_MAX + 1))
    (repository / "full").write_bytes(b"y" * FILE_BYTES_MAX)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "large")
    tree, _ = open_tree(repository, rev)

    with pytest.raises(ForgeError) as refusal:
        tree.read("big")

    (diagnostic,) = refusal.value.diagnostics
    assert (diagnostic.code, str(diagnostic.span)) == (Code.TOO_DEEP, "big:1:1")
    assert len(tree.read("full")) == FILE_BYTES_MAX
    assert tree.read("web/.forge/project.cue") == b"package project\n"


def test_directory_of_a_repository_is_a_root_like_any_other(repository: Path) -> None:
    tree, _ = open_tree(repository / "web", "HEAD")

    assert next(entry.path for entry in tree.list()) == ".forge/project.cue"
    assert tree.read(".forge/project.cue") == b"package project\n"


def test_bare_repository_is_read_at_a_revision(repository: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(repository, "clone", "-q", "--bare", f"file://{repository}", str(bare))

    tree, commit = open_tree(bare, "HEAD")

    assert commit is not None
    assert len(tree.list()) == 4


@pytest.mark.parametrize(
    "rev",
    [
        "no-such-branch",
        "f" * 40,
        "--output=/tmp/x",
        "",
        "HEAD:web",
        "HEAD\nHEAD",
        "HEAD\0",
        "^HEAD",
        "a b",
        "HEAD..HEAD",
    ],
)
def test_unknown_revision_is_an_error(repository: Path, rev: str) -> None:
    with pytest.raises(ForgeError) as caught:
        open_tree(repository, rev)

    assert [d.code for d in caught.value.diagnostics] == [Code.COMMIT_NOT_FOUND]


def test_directory_without_repository_has_no_revisions(tmp_path: Path) -> None:
    with pytest.raises(ForgeError) as caught:
        open_tree(tmp_path, "HEAD")

    assert [d.code for d in caught.value.diagnostics] == [Code.NOT_A_REPOSITORY]


def test_a_git_that_cannot_be_started_is_an_error(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))

    with pytest.raises(ForgeError) as caught:
        open_tree(repository, "HEAD")

    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.help) == (Code.GIT_FAILED, "install git and put it on the PATH")


def test_missing_directory_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ForgeError) as caught:
        open_tree(tmp_path / "absent")

    assert [d.code for d in caught.value.diagnostics] == [Code.UNREADABLE]


def test_directory_tree_leaves_out_ignored_directories_and_other_repositories(tmp_path: Path) -> None:
    for path in ("kept/file", "built/file", "other/.git/HEAD", "other/file", "a/b/built/file"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / ".gitignore").write_bytes(b"built/\n")

    tree, _ = open_tree(tmp_path)

    assert [(entry.path, entry.kind.value) for entry in tree.list()] == [
        (".gitignore", "file"),
        ("kept/file", "file"),
        ("other", "submodule"),
    ]


def test_directory_that_cannot_be_opened_is_the_one_that_is_named(tmp_path: Path) -> None:
    name = "d" * 250
    above = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # deeper than a path may be long
        os.mkdir(name, dir_fd=above)
        inside = os.open(name, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = inside
    os.close(above)
    tree, _ = open_tree(tmp_path)

    with pytest.raises(ForgeError) as caught:
        tree.list()

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span is not None
    named = diagnostic.span.source.name
    assert diagnostic.message == f"cannot read {named}: File name too long"
    with pytest.raises(OSError, match="File name too long"):
        os.scandir(tmp_path / named)
    os.scandir(tmp_path / Path(named).parent).close()


def test_link_that_replaced_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    tree, _ = open_tree(tmp_path)
    tree.list()
    (tmp_path / "file").unlink()
    (tmp_path / "file").symlink_to("/etc/passwd")

    with pytest.raises(ForgeError):
        tree.read("file")


def test_repository_configuration_starts_nothing(repository: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    for key in ("core.fsmonitor", "core.pager", "core.sshCommand"):
        git(repository, "config", key, f"touch {witness}")
    hook = repository / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {witness}\n")
    hook.chmod(0o755)

    tree, _ = open_tree(repository, "HEAD")
    tree.list()
    tree.read("web/.forge/project.cue")

    assert not witness.exists()


def test_environment_of_git_holds_none_of_our_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")

    environment = git_environment(tmp_path)

    assert "AWS_SECRET_ACCESS_KEY" not in environment
    assert "GIT_DIR" not in environment
    assert environment["PATH"] == os.environ["PATH"]


def test_closed_tree_can_be_read_again(repository: Path) -> None:
    tree, _commit = open_tree(repository, "HEAD")
    assert isinstance(tree, GitTree)
    tree.read("web/.forge/project.cue")

    tree.close()

    assert tree.read("web/.forge/project.cue") == b"package project\n"


def test_a_tree_stays_at_the_commit_that_its_branch_named(repository: Path) -> None:
    tree, commit = open_tree(repository, "main")
    (repository / "later").touch()
    later = commit_all(repository)

    assert "later" not in {entry.path for entry in tree.list()}
    assert commit != later
    assert "later" in {entry.path for entry in open_tree(repository, "main")[0].list()}


def test_a_commit_that_a_shallow_clone_lacks_may_have_to_be_fetched(repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), "shallow")

    with pytest.raises(ForgeError, match="shallow; it is a shallow clone, which may have to fetch it first"):
        open_tree(tmp_path / "shallow", "HEAD~1")
    with pytest.raises(ForgeError) as raised:
        open_tree(repository, "missing")

    assert "shallow clone" not in raised.value.diagnostics[0].message


def test_a_repository_of_other_ids_than_documents_have_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256", "new")
    commit_all(tmp_path / "new")

    with pytest.raises(ForgeError, match="names its objects by SHA-256"):
        open_tree(tmp_path / "new", "HEAD")


def test_a_working_directory_that_is_gone_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    with pytest.raises(ForgeError) as raised:
        open_tree(Path(), "HEAD")

    assert raised.value.diagnostics[0].code is Code.UNREADABLE


def test_a_directory_that_the_commit_does_not_have_is_told(repository: Path) -> None:
    (repository / "new").mkdir()
    tree, _ = open_tree(repository / "new", "HEAD")

    with pytest.raises(ForgeError) as caught:
        tree.list()

    (problem,) = caught.value.diagnostics
    assert (problem.code, problem.message.rpartition(": ")[2]) == (Code.GIT_FAILED, "it has no directory new")


def test_a_repository_that_git_refuses_is_told_in_the_words_of_git(repository: Path) -> None:
    (repository / ".git" / "config").write_text("[core]\n\trepositoryformatversion = 99\n")

    with pytest.raises(ForgeError) as caught:
        open_tree(repository, "HEAD")

    (problem,) = caught.value.diagnostics
    assert problem.code is Code.GIT_FAILED
    assert "Expected git repo version <= 1, found 99" in problem.message
