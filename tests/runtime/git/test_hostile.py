"""Repositories and servers that mean harm: an error that tells, nothing outside of the job's folder, nothing left."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.git_https import Behaviour, Fault, GitServer, serve_repositories
from tests.git_repository import commit_all, git, new_repository

from forge_runtime.git.cache import CacheLimits, GitCache
from forge_runtime.git.error import CommitNotFound, FileRefused, GitError, ObjectRefused, TooLarge, UrlRefused
from forge_runtime.git.fetch import FetchLimits
from forgec.adapter.git import GitTree, git_environment
from forgec.discovery.tree import EntryKind

pytestmark = pytest.mark.usefixtures("real_git")

LIMITS = FetchLimits(fetch_s=60, stall_s=1)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = new_repository(tmp_path / "served" / "shop")
    (root / "file").write_text("first\n")
    commit_all(root)
    return root


@pytest.fixture
def cache(tmp_path: Path) -> GitCache:
    return limited(tmp_path)


def limited(tmp_path: Path, limits: FetchLimits = LIMITS) -> GitCache:
    return GitCache(tmp_path / "cache", allow_file=True, limits=CacheLimits(fetch=limits))


def tree_with(root: Path, *entries: str) -> str:
    """A commit whose tree git's porcelain would not make: `<mode> <kind> <id>\\t<name>` each."""
    environment = git_environment(root) | {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "x"), ("EMAIL", "x@example.org"), ("DATE", "1700000000 +0000"))
    }

    def run(*arguments: str, stdin: str = "") -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, input=stdin, text=True, env=environment, capture_output=True, check=True)
        return done.stdout.strip()

    # Sorted as git wants it is not what these are about; one entry each needs no order.
    tree = run("mktree", "-z", "--missing", stdin="".join(f"{entry}\0" for entry in entries))
    commit = run("commit-tree", tree, "-m", "hostile")
    run("update-ref", "refs/heads/hostile", commit)
    return commit


def nothing_is_left(tmp_path: Path) -> bool:
    building = tmp_path / "cache" / "building"
    worktrees = list((tmp_path / "cache").glob("repositories/*/worktrees/*"))
    return not (building.exists() and list(building.iterdir())) and not worktrees and not (tmp_path / "work").exists()


async def check_out(cache: GitCache, url: str, sha: str, tmp_path: Path) -> None:
    async with cache.checkout(url, sha, tmp_path / "work"):
        pass


async def test_links_out_of_the_checkout_become_files_and_others_stay(
    cache: GitCache, origin: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("s3cret")
    (origin / "deep" / "down").mkdir(parents=True)
    (origin / "deep" / "down" / "file").write_text("x")
    links = {
        "absolute": str(tmp_path / "secret"),
        "above": "../../secret",
        "folder": "/etc",
        "deep/up": "..",
        "deep/through": "up/../../secret",
        "inside": "deep/down/file",
        "within": "deep/down",
        "dangling": "not/there",
    }
    for name, target in links.items():
        (origin / name).symlink_to(target)
    sha = commit_all(origin)

    async with cache.checkout(f"file://{origin}", sha, tmp_path / "work") as root:
        plain = {name: (root / name).read_text() for name in links if not (root / name).is_symlink()}
        still = {name for name in links if (root / name).is_symlink()}
        outside = [name for name in links if not (root / name).resolve().is_relative_to(root.resolve())]

    assert plain == {name: links[name] for name in ("absolute", "above", "folder", "deep/through")}
    assert still == {"deep/up", "inside", "within", "dangling"}
    assert outside == []


@pytest.mark.parametrize(
    "what", ["a long name", "a path beyond the limit", "a path just below the limit", "a long link", "an empty link"]
)
async def test_commit_that_no_file_system_holds_is_the_repositorys_fault(
    cache: GitCache, origin: Path, tmp_path: Path, what: str
) -> None:
    blob = git(origin, "rev-parse", "HEAD:file")
    match what:
        case "a long name":
            entry = f"100644 blob {blob}\t{'n' * 300}"
        case "a path beyond the limit" | "a path just below the limit":
            entry = f"100644 blob {blob}\tfile"
            for _ in range(25 if what == "a path beyond the limit" else 20):
                tree = git(origin, "rev-parse", f"{tree_with(origin, entry)}^{{tree}}")
                entry = f"040000 tree {tree}\t{'d' * 203}"
        case "a long link" | "an empty link":
            (tmp_path / "target").write_text("t" * (5000 if what == "a long link" else 0))
            entry = f"120000 blob {git(origin, 'hash-object', '-w', str(tmp_path / 'target'))}\tlink"

    with pytest.raises(FileRefused) as caught:
        await check_out(cache, f"file://{origin}", tree_with(origin, entry), tmp_path)

    assert (caught.value.code, caught.value.error_class, caught.value.retryable) == ("CONFIG_INVALID", "config", False)
    assert nothing_is_left(tmp_path)


async def test_discovery_sees_links_as_links(cache: GitCache, origin: Path) -> None:
    (origin / "Earthfile").symlink_to("/etc/passwd")
    sha = commit_all(origin)

    async with cache.lease(f"file://{origin}", sha) as repository:
        kinds = {entry.path: entry.kind for entry in GitTree(repository, sha).list()}

    assert kinds["Earthfile"] is EntryKind.SYMLINK


@pytest.mark.parametrize(
    ("name", "fault"),
    [("..", "hasDotdot"), (".", "hasDot"), (".git", "hasDotgit"), (".GIT", "hasDotgit"), ("git~1", "hasDotgit")],
)
async def test_file_whose_name_leads_elsewhere_is_refused(
    cache: GitCache, origin: Path, tmp_path: Path, name: str, fault: str
) -> None:
    blob = git(origin, "rev-parse", "HEAD:file")
    sha = tree_with(origin, f"100644 blob {blob}\t{name}")

    with pytest.raises(ObjectRefused, match=fault):
        await check_out(cache, f"file://{origin}", sha, tmp_path)

    assert nothing_is_left(tmp_path)


async def test_links_that_a_file_would_be_written_through_are_not(
    cache: GitCache, origin: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    blob = git(origin, "rev-parse", "HEAD:file")
    inner = tree_with(origin, f"100644 blob {blob}\tx")
    (origin / "target").write_text(str(tmp_path / "out"))
    link = git(origin, "hash-object", "-w", "target")
    sha = tree_with(origin, f"120000 blob {link}\ta", f"040000 tree {git(origin, 'rev-parse', inner + '^{tree}')}\ta")

    with pytest.raises(ObjectRefused, match=r"duplicateEntries|treeNotSorted"):
        await check_out(cache, f"file://{origin}", sha, tmp_path)

    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("modules", "fault"),
    [
        ('[submodule "../../x"]\n\tpath = x\n\turl = https://localhost/x\n', "gitmodulesName"),
        ('[submodule "x"]\n\tpath = -x\n\turl = https://localhost/x\n', "gitmodulesPath"),
        ('[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch\n', "gitmodulesUrl"),
        ('[submodule "x"]\n\tpath = x\n\turl = https://localhost/x\n\tupdate = !touch x\n', "gitmodulesUpdate"),
    ],
)
async def test_submodule_that_would_run_something_is_refused(
    cache: GitCache, origin: Path, tmp_path: Path, modules: str, fault: str
) -> None:
    (origin / ".gitmodules").write_text(modules)

    with pytest.raises(ObjectRefused, match=fault):
        await check_out(cache, f"file://{origin}", commit_all(origin), tmp_path)

    assert nothing_is_left(tmp_path)


async def test_submodules_are_not_fetched(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    inner = new_repository(tmp_path / "inner")
    (inner / "file").write_text("inner\n")
    commit = commit_all(inner)
    (origin / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = file://{inner}\n')
    (origin / "x").mkdir()
    git(origin, "update-index", "--add", "--cacheinfo", f"160000,{commit},x")
    sha = commit_all(origin)

    async with cache.checkout(f"file://{origin}", sha, tmp_path / "work") as root:
        assert list((root / "x").iterdir()) == []


async def test_configuration_hooks_and_attributes_of_a_repository_run_nothing(
    cache: GitCache, origin: Path, tmp_path: Path
) -> None:
    witness = tmp_path / "witness"
    (origin / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (origin / ".gitconfig").write_text(f'[filter "evil"]\n\tsmudge = touch {witness}\n')
    (origin / ".lfsconfig").write_text("[lfs]\n\turl = https://localhost/\n")
    hooks = origin / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {witness}\n")
    (hooks / "post-checkout").chmod(0o755)
    sha = commit_all(origin)

    await check_out(cache, f"file://{origin}", sha, tmp_path)

    assert not witness.exists()


async def test_names_with_line_breaks_and_quotes_are_names(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    names = ["a\nb", 'q"uote', "tab\there", "-option", "ünï", " space "]
    for name in names:
        (origin / name).write_text(name)
    (origin / os.fsdecode(b"latin-\xe9")).write_text("x")
    sha = commit_all(origin)

    async with cache.checkout(f"file://{origin}", sha, tmp_path / "work") as root:
        assert all((root / name).read_text() == name for name in names)
        assert (root / os.fsdecode(b"latin-\xe9")).exists()


async def test_fetch_that_brings_more_than_allowed_is_ended(origin: Path, tmp_path: Path) -> None:
    cache = limited(tmp_path, replace(LIMITS, bytes_max=256 * 1024))
    (origin / "large").write_bytes(os.urandom(1024 * 1024))

    with pytest.raises(TooLarge, match="262144 bytes") as caught:
        await check_out(cache, f"file://{origin}", commit_all(origin), tmp_path)

    assert (caught.value.error_class, caught.value.retryable) == ("config", False)
    assert nothing_is_left(tmp_path)


async def test_later_fetch_that_brings_more_than_allowed_is_ended_too(origin: Path, tmp_path: Path) -> None:
    cache = limited(tmp_path, replace(LIMITS, bytes_max=256 * 1024))
    small = git(origin, "rev-parse", "HEAD")
    await check_out(cache, f"file://{origin}", small, tmp_path)
    (origin / "large").write_bytes(os.urandom(1024 * 1024))

    with pytest.raises(TooLarge):
        await check_out(cache, f"file://{origin}", commit_all(origin), tmp_path)

    assert nothing_is_left(tmp_path)
    assert not list((tmp_path / "cache").glob("repositories/*/objects/pack/tmp_*"))


async def test_object_that_needs_more_memory_than_git_may_have_is_refused(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "message").write_bytes(b"a" * 128 * 1024**2)
    tree = git(origin, "rev-parse", "HEAD^{tree}")
    sha = git(origin, "commit-tree", tree, "-F", str(tmp_path / "message"))
    git(origin, "update-ref", "refs/heads/hostile", sha)
    git(origin, "repack", "-adq")
    monkeypatch.setattr("forge_runtime.git.command.ADDRESS_SPACE_BYTES", 128 * 1024**2)

    with pytest.raises(TooLarge, match="out of the history") as caught:
        await check_out(limited(tmp_path), f"file://{origin}", sha, tmp_path)

    assert (caught.value.error_class, caught.value.retryable) == ("config", False)
    assert nothing_is_left(tmp_path)


async def test_repository_that_is_larger_than_the_memory_of_git_is_fetched_and_checked_out(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(origin, "config", "core.compression", "0")
    git(origin, "config", "core.bigFileThreshold", "64k")  # looks for no deltas, which takes long
    for number in range(64):
        (origin / str(number)).write_bytes(os.urandom(2 * 1024**2))
    sha = commit_all(origin)
    git(origin, "repack", "-adq")
    monkeypatch.setattr("forge_runtime.git.command.ADDRESS_SPACE_BYTES", 112 * 1024**2)
    settings = {"core.packedGitWindowSize": "1m", "core.packedGitLimit": "4m", "pack.threads": "1"}
    monkeypatch.setattr("forge_runtime.git.command._MEMORY_SETTINGS", settings)

    async with limited(tmp_path).checkout(f"file://{origin}", sha, tmp_path / "work") as root:
        assert sum(file.stat().st_size for file in root.glob("[0-9]*")) == 128 * 1024**2


async def test_commit_that_unpacks_to_more_than_allowed_is_not_checked_out(origin: Path, tmp_path: Path) -> None:
    cache = limited(tmp_path, replace(LIMITS, files_bytes_max=1024 * 1024))
    (origin / "zeros").write_bytes(bytes(8 * 1024 * 1024))

    with pytest.raises(TooLarge, match="1048576 bytes"):
        await check_out(cache, f"file://{origin}", commit_all(origin), tmp_path)

    assert nothing_is_left(tmp_path)


async def test_tree_that_holds_itself_many_times_over_is_not_checked_out(origin: Path, tmp_path: Path) -> None:
    cache = limited(tmp_path, replace(LIMITS, files_max=10_000))
    tree = git(origin, "rev-parse", "HEAD^{tree}")
    for _ in range(9):
        commit = tree_with(origin, *(f"040000 tree {tree}\td{n}" for n in range(10)))
        tree = git(origin, "rev-parse", f"{commit}^{{tree}}")

    with pytest.raises(TooLarge, match="10000 files"):
        await check_out(cache, f"file://{origin}", commit, tmp_path)

    assert nothing_is_left(tmp_path)


async def test_tree_whose_names_are_more_than_a_memory_holds_is_not_read(origin: Path, tmp_path: Path) -> None:
    cache = limited(tmp_path, replace(LIMITS, names_bytes_max=100_000))
    tree = git(origin, "rev-parse", "HEAD^{tree}")
    entries = tuple(f"040000 tree {tree}\td{n}" for n in range(64))
    for level in range(8):
        commit = tree_with(origin, *entries)
        tree = git(origin, "rev-parse", f"{commit}^{{tree}}")
        entries = (f"040000 tree {tree}\t{level}{'d' * 250}",)

    with pytest.raises(TooLarge, match="100000 bytes of names"):
        await check_out(cache, f"file://{origin}", commit, tmp_path)

    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("url", ["ext::sh -c touch% /tmp/x", "fd::3", "file:///../../etc", "ssh://-oProxyCommand=x/y"])
async def test_url_that_runs_or_names_what_it_should_not_is_an_error(cache: GitCache, tmp_path: Path, url: str) -> None:
    with pytest.raises(GitError) as caught:
        await check_out(cache, url, "f" * 40, tmp_path)

    assert isinstance(caught.value, UrlRefused) or "cannot fetch" in str(caught.value)


async def test_commit_that_does_not_exist_leaves_nothing(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    with pytest.raises(CommitNotFound):
        await check_out(cache, f"file://{origin}", "f" * 40, tmp_path)

    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("name", ["-shop", "group/-/shop", "-group/shop"])
async def test_names_that_begin_with_a_hyphen_are_cloned(cache: GitCache, tmp_path: Path, name: str) -> None:
    root = new_repository(tmp_path / "served" / name)
    (root / "file").write_text("x")

    await check_out(cache, f"file://{root}", commit_all(root), tmp_path)


@pytest.mark.parametrize("url", ["git@example.org:-oProxyCommand", "git@example.org:--upload-pack=x"])
async def test_path_that_is_an_option_is_refused(cache: GitCache, tmp_path: Path, url: str) -> None:
    with pytest.raises(UrlRefused):
        await check_out(cache, url, "f" * 40, tmp_path)


@pytest.fixture
def server(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    with serve_repositories(origin.parent, tmp_path / "server", behaviour=Behaviour()) as running:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(running.certificate))
        yield running


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("fault", list(Fault))
async def test_server_that_stops_in_the_middle_is_an_error_of_the_infrastructure_and_leaves_nothing(
    server: GitServer, origin: Path, tmp_path: Path, fault: Fault, warm: bool
) -> None:
    cache = limited(tmp_path)
    url = f"{server.url}/shop/.git"
    if warm:
        await check_out(cache, url, git(origin, "rev-parse", "HEAD"), tmp_path)
    (origin / "file").write_bytes(os.urandom(64 * 1024))
    sha = commit_all(origin)
    server.behaviour.fault = fault

    with pytest.raises(GitError, match="cannot fetch https://127") as caught:
        await check_out(cache, url, sha, tmp_path)
    server.behaviour.fault = None

    assert (caught.value.error_class, caught.value.retryable) == ("infra", True)
    assert nothing_is_left(tmp_path)
    await check_out(cache, url, sha, tmp_path)


async def test_server_that_drips_just_fast_enough_meets_the_limit_of_a_fetch(
    server: GitServer, origin: Path, tmp_path: Path
) -> None:
    cache = limited(tmp_path, FetchLimits(fetch_s=2, stall_s=60))
    server.behaviour.fault = Fault.DRIPS

    with pytest.raises(GitError, match="took more than 2 s") as caught:
        await check_out(cache, f"{server.url}/shop/.git", git(origin, "rev-parse", "HEAD"), tmp_path)

    assert caught.value.retryable
    assert nothing_is_left(tmp_path)


async def test_worker_that_is_killed_in_a_fetch_leaves_only_what_the_next_start_removes(
    server: GitServer, origin: Path, tmp_path: Path
) -> None:
    url, sha = f"{server.url}/shop/.git", git(origin, "rev-parse", "HEAD")
    server.behaviour.fault = Fault.HANGS
    script = str(Path(__file__).with_name("worktrees.py"))
    command = [sys.executable, script, str(tmp_path / "cache"), url, str(tmp_path / "work"), "1", "1", sha]
    pipe = asyncio.subprocess.PIPE
    worker = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=asyncio.subprocess.DEVNULL)
    stop = asyncio.Event()
    async with asyncio.timeout(60):
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
        await worker.stdin.drain()
        while not any("git-upload-pack" in request for request in server.requests):  # noqa: ASYNC110 - a thread's list
            await asyncio.sleep(0.01)
        worker.kill()
        await worker.wait()
        server.behaviour.fault = None
        left = len(list((tmp_path / "cache" / "building").iterdir()))
        cache = limited(tmp_path)
        maintaining = asyncio.create_task(cache.maintain(stop))
        while list((tmp_path / "cache" / "building").iterdir()):  # noqa: ASYNC110 - files set no events
            await asyncio.sleep(0.01)
        await check_out(cache, url, sha, tmp_path)
        stop.set()
        await maintaining

    assert left > 0
    assert nothing_is_left(tmp_path)
