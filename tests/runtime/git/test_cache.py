"""The git cache, on real repositories."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import pytest
from tests.git_repository import commit_all, git, new_repository

from forge_runtime.git import fetch
from forge_runtime.git.cache import GitCache
from forge_runtime.git.clone_url import CloneUrl, protocols
from forge_runtime.git.error import CommitNotFound, GitError, ObjectRefused, UrlRefused
from forge_runtime.git.shelf import Entry, Shelf

pytestmark = pytest.mark.usefixtures("real_git")

T = TypeVar("T")


def run(work: Awaitable[T]) -> T:
    async def limited() -> T:
        return await asyncio.wait_for(work, 60)

    return asyncio.run(limited())


def commit(root: Path, text: str) -> str:
    (root / "src").mkdir(exist_ok=True)
    (root / "src" / "file").write_text(text)
    return commit_all(root)


async def found(cache: GitCache, url: str, sha: str) -> Path:
    async with cache.lease(url, sha) as repository:
        return repository


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = new_repository(tmp_path / "origin")
    commit(root, "first\n")
    return root


@pytest.fixture
def cache(tmp_path: Path) -> GitCache:
    return GitCache(tmp_path / "cache", allow_file=True)


def test_checkout_holds_the_files_of_the_commit_and_goes_away(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    old = git(origin, "rev-parse", "HEAD")
    commit(origin, "second\n")
    into = tmp_path / "work"

    async def work() -> tuple[str, str]:
        async with cache.checkout(f"file://{origin}", old, into) as root:
            return (root / "src" / "file").read_text(), git(root, "rev-parse", "HEAD")

    text, head = run(work())

    assert text == "first\n"
    assert head == old
    assert not into.exists()
    assert git(run(found(cache, f"file://{origin}", old)), "worktree", "list").count("\n") == 0


def test_checkout_in_a_folder_that_another_worker_cannot_see_stays_one(
    cache: GitCache, origin: Path, tmp_path: Path
) -> None:
    sha = git(origin, "rev-parse", "HEAD")
    other = GitCache(tmp_path / "cache", allow_file=True)

    async def work() -> str:
        async with cache.checkout(f"file://{origin}", sha, tmp_path / "work") as root:
            root.rename(tmp_path / "elsewhere")
            async with other.checkout(f"file://{origin}", sha, tmp_path / "other"):
                pass
            (tmp_path / "elsewhere").rename(root)
            return git(root, "rev-parse", "HEAD")

    assert run(work()) == sha
    assert not list((tmp_path / "cache").glob("repositories/*/worktrees/*"))


def test_commit_of_another_branch_is_found(cache: GitCache, origin: Path) -> None:
    git(origin, "checkout", "-q", "-b", "topic")
    sha = commit(origin, "second\n")
    git(origin, "checkout", "-q", "main")

    repository = run(found(cache, f"file://{origin}", sha))

    assert git(repository, "cat-file", "-t", sha) == "commit"


def test_commit_stays_when_its_branch_is_gone_and_garbage_is_collected(cache: GitCache, origin: Path) -> None:
    git(origin, "checkout", "-q", "-b", "topic")
    sha = commit(origin, "second\n")
    repository = run(found(cache, f"file://{origin}", sha))
    git(origin, "checkout", "-q", "main")
    git(origin, "branch", "-q", "-D", "topic")

    git(repository, "gc", "-q", "--prune=now")

    assert run(found(cache, f"file://{origin}", sha)) == repository
    assert git(repository, "cat-file", "-t", sha) == "commit"


def test_commit_that_is_there_is_not_fetched_again(cache: GitCache, origin: Path) -> None:
    sha = git(origin, "rev-parse", "HEAD")
    repository = run(found(cache, f"file://{origin}", sha))
    origin.rename(origin.with_name("gone"))

    assert run(found(cache, f"file://{origin}", sha)) == repository


def test_unknown_commit_is_no_fault_of_the_network(cache: GitCache, origin: Path) -> None:
    with pytest.raises(CommitNotFound) as caught:
        run(found(cache, f"file://{origin}", "f" * 40))

    assert not caught.value.retryable
    assert "f" * 40 in str(caught.value)


def test_object_that_is_no_commit_is_not_found(cache: GitCache, origin: Path) -> None:
    git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")

    with pytest.raises(CommitNotFound):
        run(found(cache, f"file://{origin}", git(origin, "rev-parse", "HEAD^{tree}")))


def test_harmful_object_is_refused_with_its_fault_and_not_tried_again(cache: GitCache, origin: Path) -> None:
    (origin / ".gitmodules").write_text(
        '[submodule "x"]\n\tpath = x\n\turl = https://localhost/x\n\tupdate = !touch pwned\n'
    )
    sha = commit_all(origin)

    with pytest.raises(ObjectRefused, match="gitmodulesUpdate") as caught:
        run(found(cache, f"file://{origin}", sha))

    assert (caught.value.error_class, caught.value.retryable) == ("config", False)


def test_missing_repository_may_be_tried_again(cache: GitCache, tmp_path: Path) -> None:
    with pytest.raises(GitError) as caught:
        run(found(cache, f"file://{tmp_path}/absent", "f" * 40))

    assert caught.value.retryable
    assert caught.value.code == "GIT_FETCH_FAILED"


def test_half_made_repository_is_left_aside(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    building = tmp_path / "cache" / "building"
    (building / "left-by-a-killed-worker").mkdir(parents=True)
    with pytest.raises(CommitNotFound):
        run(found(cache, f"file://{origin}", "f" * 40))

    sha = git(origin, "rev-parse", "HEAD")

    assert run(found(cache, f"file://{origin}", sha)).is_dir()
    assert [path.name for path in building.iterdir()] == ["left-by-a-killed-worker"]


def test_failing_job_leaves_no_worktree(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    sha = git(origin, "rev-parse", "HEAD")

    async def work() -> None:
        async with cache.checkout(f"file://{origin}", sha, tmp_path / "work"):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run(work())

    assert not (tmp_path / "work").exists()
    assert not list((run(found(cache, f"file://{origin}", sha)) / "worktrees").glob("*"))


def test_many_fetches_get_one_index_over_their_packs(
    cache: GitCache, origin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "PACKS_PER_INDEX", 4)
    for number in range(4):
        repository = run(found(cache, f"file://{origin}", commit(origin, f"{number}\n")))

    assert len(list((repository / "objects" / "pack").glob("*.pack"))) == 4
    assert (repository / "objects" / "pack" / "multi-pack-index").exists()
    git(repository, "fsck")


def test_spellings_of_one_repository_share_an_entry(cache: GitCache, origin: Path) -> None:
    sha = git(origin, "rev-parse", "HEAD")

    assert run(found(cache, f"file://{origin}/", sha)) == run(found(cache, f"file://{origin}", sha))


def test_480_checkouts_of_24_jobs_in_three_processes_all_succeed(origin: Path, tmp_path: Path) -> None:
    commits = [commit(origin, f"version {number}\n") for number in range(5)]
    script = Path(__file__).with_name("worktrees.py")
    command = [sys.executable, str(script), str(tmp_path / "cache"), f"file://{origin}"]
    workers = [
        subprocess.Popen(
            [*command, str(tmp_path / str(n)), "8", "20", *commits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"

    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=100) for worker in workers]

    assert outputs == [("0 160\n", "")] * 3
    repositories = list((tmp_path / "cache" / "repositories").iterdir())
    assert len(repositories) == 1
    assert not list((repositories[0] / "worktrees").glob("*"))


def test_cancelled_checkout_leaves_nothing(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    sha = git(origin, "rev-parse", "HEAD")

    async def work() -> None:
        started = asyncio.Event()

        async def job() -> None:
            async with cache.checkout(f"file://{origin}", sha, tmp_path / "work"):
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(job())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work())

    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("inside", [True, False], ids=["inside", "on its way there"])
def test_cancelled_checkout_ends_while_others_hold_the_lock(
    cache: GitCache, origin: Path, tmp_path: Path, inside: bool
) -> None:
    sha = git(origin, "rev-parse", "HEAD")
    others = Shelf(tmp_path / "cache", patience_s=60)
    entry = others.entry(CloneUrl(f"file://{origin}", protocols=protocols(files=True)))

    async def work() -> set[asyncio.Task[None]]:
        started = asyncio.Event()

        async def job() -> None:
            async with cache.checkout(f"file://{origin}", sha, tmp_path / "work"):
                started.set()
                await asyncio.Event().wait()

        async with cache.lease(f"file://{origin}", sha):  # so that it is there
            pass
        if inside:
            task = asyncio.create_task(job())
            await started.wait()
        async with others.exclusive(entry.lock):
            if not inside:
                task = asyncio.create_task(job())
                while not is_waited_for(cache, entry):  # noqa: ASYNC110 - locks set no events
                    await asyncio.sleep(0.01)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=10)
        return done

    done = run(work())

    assert [task.cancelled() for task in done] == [True]
    assert not (tmp_path / "work").exists()


def is_waited_for(cache: GitCache, entry: Entry) -> bool:
    turn = cache._shelf._turns.get(entry.lock)
    return turn is not None and turn.locked()


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/x",
        "http://example.org/a",
        "git://example.org/a",
        "https://user:token@example.org/a",
        "https://token@example.org/a",
        "https://user:to token@example.org/a",
        "https://user:p@to/token@example.org/a",
        "https://user:to?token@example.org/a",
        "https://user:to://token@example.org/a",
        "https://example.org/a?key=token",
        "https://example.org/a?key=to@token",
        "https://example.org/a#token",
        "user:token@example.org:a",
        "ssh://-oProxyCommand=x/a",
        "ssh://git@-host/a",
        "https://example.org/a b",
        "https:///a",
        "https://example.org:port/a",
        "file://host/a",
        "--upload-pack=x",
        "/etc",
        "",
        "https://example.org/a\n",
    ],
)
def test_unsafe_clone_url_never_reaches_git(cache: GitCache, url: str) -> None:
    with pytest.raises(UrlRefused) as caught:
        run(found(cache, url, "f" * 40))

    assert "token" not in str(caught.value)


def test_refused_clone_url_is_told_by_its_place(cache: GitCache) -> None:
    with pytest.raises(UrlRefused, match=r'"https://\*\*\*@example\.org/a"'):
        run(found(cache, "https://user:p@ss/word@example.org/a?x=y", "f" * 40))


def test_file_urls_are_for_local_use_only(origin: Path, tmp_path: Path) -> None:
    with pytest.raises(UrlRefused):
        run(found(GitCache(tmp_path / "cache"), f"file://{origin}", "f" * 40))


def test_hooks_and_filters_of_a_repository_do_not_run(cache: GitCache, origin: Path, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    (origin / ".gitattributes").write_text("* filter=lfs\n")
    (origin / ".gitmodules").write_text(f'[submodule "x"]\n\tpath = x\n\turl = file://{tmp_path}/x\n')
    sha = commit(origin, "second\n")
    repository = run(found(cache, f"file://{origin}", sha))
    hook = repository / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {witness}\n")
    hook.chmod(0o755)

    async def work() -> str:
        async with cache.checkout(f"file://{origin}", sha, tmp_path / "work") as root:
            return (root / "src" / "file").read_text()

    assert run(work()) == "second\n"
    assert not witness.exists()
