"""What is deleted from the cache when, and that nobody's work is."""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.git_repository import commit_all, git, new_repository

from forge_runtime.git.cache import CacheLimits, GitCache
from forge_runtime.git.clone_url import CloneUrl, protocols
from forge_runtime.git.shelf import Entry, Shelf
from forge_runtime.git.upkeep import Upkeep, UpkeepLimits, disk_bytes

pytestmark = pytest.mark.usefixtures("real_git")

NOTHING_STAYS = UpkeepLimits(spare_bytes=1 << 62, high_bytes=0, low_bytes=0, keep_s=0, tend_s=0, idle_s=0)
LIMIT_S = 60.0


def make_origin(root: Path, commits: int = 1) -> list[str]:
    new_repository(root)
    made = []
    for number in range(commits):
        (root / "file").write_text(f"{root.name} {number}\n")
        made.append(commit_all(root))
    return made


def open_cache(tmp_path: Path, upkeep: UpkeepLimits | None = None) -> GitCache:
    return GitCache(tmp_path / "cache", allow_file=True, limits=CacheLimits(upkeep=upkeep or UpkeepLimits()))


def upkeep_of(tmp_path: Path, limits: UpkeepLimits) -> Upkeep:
    """As another process of the same cache has it."""
    return Upkeep(Shelf(tmp_path / "cache", patience_s=LIMIT_S), limits)


def entry_of(tmp_path: Path, origin: Path) -> Entry:
    shelf = Shelf(tmp_path / "cache", patience_s=LIMIT_S)
    return shelf.entry(CloneUrl(f"file://{origin}", protocols=protocols(files=True)))


async def ask(cache: GitCache, origin: Path, commit: str) -> Path:
    async with asyncio.timeout(LIMIT_S), cache.lease(f"file://{origin}", commit) as repository:
        return repository


@asynccontextmanager
async def maintained(cache: GitCache, prewarm: Sequence[str] = ()) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(cache.maintain(stop, prewarm))
    try:
        yield
    finally:
        stop.set()
        async with asyncio.timeout(LIMIT_S):
            await task


async def until(condition: Any) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - files set no events
            await asyncio.sleep(0.01)


async def test_longest_unused_repositories_go_until_the_low_mark(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    origins = [tmp_path / name for name in "abcd"]
    commits = [make_origin(origin)[0] for origin in origins]
    there = [await ask(cache, origin, commit) for origin, commit in zip(origins, commits, strict=True)]
    for age_s, name in enumerate("bdac"):  # the order in which they were used
        os.utime(entry_of(tmp_path, tmp_path / name).use, (1_700_000_000 + age_s,) * 2)
    each = disk_bytes(there[0])

    high = upkeep_of(tmp_path, UpkeepLimits(high_bytes=4 * each, low_bytes=0))
    assert await high.evict() == 0
    assert await upkeep_of(tmp_path, UpkeepLimits(high_bytes=3 * each, low_bytes=2 * each)).evict() == 2

    left = {name for name in "abcd" if entry_of(tmp_path, tmp_path / name).is_there}
    assert left == {"a", "c"}
    assert list((tmp_path / "cache" / "trash").iterdir()) == []


async def test_evicted_repository_is_cloned_again(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    [commit] = make_origin(tmp_path / "a")
    repository = await ask(cache, tmp_path / "a", commit)

    assert await upkeep_of(tmp_path, NOTHING_STAYS).evict() == 1
    assert not repository.exists()
    assert await ask(cache, tmp_path / "a", commit) == repository


async def test_leased_repository_is_not_evicted_until_its_lease_ends(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    [commit] = make_origin(tmp_path / "a")
    upkeep = upkeep_of(tmp_path, NOTHING_STAYS)

    async with cache.checkout(f"file://{tmp_path}/a", commit, tmp_path / "work") as root:
        during = await upkeep.evict(), await upkeep.make_room()
        text = (root / "file").read_text(), git(root, "status", "--porcelain")
    after = await upkeep.evict()

    assert during == (0, 0)
    assert text == ("a 0\n", "")
    assert after == 1


async def test_commits_that_nobody_asked_for_are_let_go_and_the_others_stay(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    commits = make_origin(tmp_path / "a", 3)
    for commit in commits:
        repository = await ask(cache, tmp_path / "a", commit)
    keep = repository / "refs" / "forge" / "keep"
    for commit in commits[:2]:
        os.utime(keep / commit, (1_700_000_000,) * 2)
    await ask(cache, tmp_path / "a", commits[1])  # which makes it young again

    limits = UpkeepLimits(tend_s=0, idle_s=0)
    assert await upkeep_of(tmp_path, limits).tend(entry_of(tmp_path, tmp_path / "a"))

    assert {path.name for path in keep.iterdir()} == set(commits[1:])
    assert (repository / "objects" / "info" / "commit-graph").exists()
    git(repository, "fsck", "--strict")


async def test_unreachable_objects_are_removed_once_they_are_old(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    [commit] = make_origin(tmp_path / "a")
    git(tmp_path / "a", "checkout", "-q", "--orphan", "other")
    (tmp_path / "a" / "file").write_text("other\n")
    other = commit_all(tmp_path / "a")
    await ask(cache, tmp_path / "a", commit)
    repository = await ask(cache, tmp_path / "a", other)
    old = time.time() - 30 * 86_400
    for path in [repository / "refs" / "forge" / "keep" / other, *(repository / "objects").rglob("*")]:
        os.utime(path, (old, old))

    for _ in range(2):  # it becomes unreachable, then it goes
        assert await upkeep_of(tmp_path, UpkeepLimits(tend_s=0, idle_s=0)).tend(entry_of(tmp_path, tmp_path / "a"))

    assert git(repository, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").count(other) == 0
    assert git(repository, "cat-file", "-t", commit) == "commit"


async def test_repository_is_maintained_only_when_due_and_idle(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    [commit] = make_origin(tmp_path / "a")
    await ask(cache, tmp_path / "a", commit)
    entry = entry_of(tmp_path, tmp_path / "a")

    assert not await upkeep_of(tmp_path, UpkeepLimits(idle_s=3600)).tend(entry)
    async with cache.lease(f"file://{tmp_path}/a", commit):
        assert not await upkeep_of(tmp_path, UpkeepLimits(idle_s=0)).tend(entry)
    assert await upkeep_of(tmp_path, UpkeepLimits(idle_s=0)).tend(entry)
    assert (entry.repository / "objects" / "info" / "commit-graphs").exists()
    assert (entry.repository / "objects" / "pack" / "multi-pack-index").exists()
    assert not await upkeep_of(tmp_path, UpkeepLimits(idle_s=0)).tend(entry)


async def two_repositories(tmp_path: Path) -> list[Entry]:
    """In the order in which they are served."""
    cache = open_cache(tmp_path)
    for name in "ab":
        [commit] = make_origin(tmp_path / name)
        await ask(cache, tmp_path / name, commit)
        os.utime(entry_of(tmp_path, tmp_path / name).use, (1_700_000_000,) * 2)
    return sorted((entry_of(tmp_path, tmp_path / name) for name in "ab"), key=lambda entry: entry.name)


async def test_repository_that_cannot_be_maintained_is_told_and_the_others_are_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = await two_repositories(tmp_path)
    (broken.repository / "HEAD").unlink()

    await upkeep_of(tmp_path, UpkeepLimits(tend_s=0, idle_s=0)).round()

    assert (broken.tended.exists(), sound.tended.exists()) == (False, True)
    [told] = [record for record in caplog.records if record.getMessage() == "maintaining a repository failed"]
    assert vars(told)["repository"] == broken.name


async def test_repository_that_cannot_be_evicted_is_told_and_the_others_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, other = await two_repositories(tmp_path)
    stuck.use.unlink()
    stuck.use.mkdir()
    os.utime(stuck.use, (1_600_000_000,) * 2)

    assert await upkeep_of(tmp_path, NOTHING_STAYS).evict() == 1

    assert (stuck.is_there, other.is_there) == (True, False)
    [told] = [record for record in caplog.records if record.getMessage() == "evicting a repository failed"]
    assert vars(told)["repository"] == stuck.name


async def test_maintenance_stops_for_whoever_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = open_cache(tmp_path)
    [commit] = make_origin(tmp_path / "a")
    await ask(cache, tmp_path / "a", commit)
    entry = entry_of(tmp_path, tmp_path / "a")
    begun = tmp_path / "begun"
    (tmp_path / "bin").mkdir()
    slow = tmp_path / "bin" / "git"  # its maintenance takes longer than anybody waits
    slow.write_text(
        f'#!/bin/sh\nPATH=/usr/bin:/bin\ncase "$1" in prune) touch {begun}; exec sleep 600;; esac\nexec git "$@"\n'
    )
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    tending = asyncio.create_task(upkeep_of(tmp_path, UpkeepLimits(idle_s=0)).tend(entry))
    await until(begun.exists)
    async with asyncio.timeout(LIMIT_S), cache.checkout(f"file://{tmp_path}/a", commit, tmp_path / "work") as root:
        text = (root / "file").read_text()

    assert text == "a 0\n"
    assert not await tending


async def test_maintenance_of_a_killed_worker_holds_nobody_up(tmp_path: Path) -> None:
    [commit] = make_origin(tmp_path / "origin")
    cache = open_cache(tmp_path)
    repository = await ask(cache, tmp_path / "origin", commit)
    lock = entry_of(tmp_path, tmp_path / "origin").lock
    maintaining = str(Path(__file__).with_name("maintaining.py"))
    worker = await asyncio.create_subprocess_exec(sys.executable, maintaining, str(lock), str(repository))
    await until((tmp_path / "cache" / "grandchild").exists)

    worker.kill()
    await worker.wait()

    async with asyncio.timeout(LIMIT_S), cache.checkout(f"file://{tmp_path / 'origin'}", commit, tmp_path / "work"):
        pass


async def test_folders_of_killed_workers_are_removed_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    [commit] = make_origin(tmp_path / "a")
    await ask(cache, tmp_path / "a", commit)
    left = [tmp_path / "cache" / "building" / "torn", tmp_path / "cache" / "trash" / "half"]
    for folder in left:
        (folder / "objects").mkdir(parents=True)
    shelf = Shelf(tmp_path / "cache", patience_s=LIMIT_S)

    async with shelf.building(entry_of(tmp_path, tmp_path / "a")) as alive, maintained(cache):
        await until(lambda: not any(folder.exists() for folder in left))
        there = alive.exists()

    assert there


async def test_repositories_of_the_list_are_there_before_anybody_asks(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    [first] = make_origin(tmp_path / "a")
    absent = f"file://{tmp_path}/absent"

    async with maintained(cache, [absent, "ext::sh -c x", f"file://{tmp_path}/a"]):
        entry = entry_of(tmp_path, tmp_path / "a")
        await until(lambda: entry.is_there)

    assert git(entry.repository, "rev-parse", "refs/forge/warm/HEAD") == first
    (tmp_path / "a" / "file").write_text("second\n")
    second = commit_all(tmp_path / "a")
    async with maintained(cache, [f"file://{tmp_path}/a"]):
        await until(lambda: (entry.repository / "refs/forge/warm/HEAD").read_text().strip() == second)
    assert await ask(cache, tmp_path / "a", second) == entry.repository


async def test_maintaining_ends_when_told_to(tmp_path: Path) -> None:
    async with maintained(open_cache(tmp_path)):
        pass


async def test_checkouts_beside_constant_eviction_all_succeed(tmp_path: Path) -> None:
    origins = [tmp_path / name for name in "ab"]
    commits = [make_origin(origin, 2) for origin in origins]
    caches = [open_cache(tmp_path) for _ in range(2)]
    upkeep = upkeep_of(tmp_path, NOTHING_STAYS)
    done = asyncio.Event()

    async def job(number: int) -> int:
        right = 0
        for turn in range(4):
            which = (number + turn) % 2
            url, commit = f"file://{origins[which]}", commits[which][turn % 2]
            async with caches[number % 2].checkout(url, commit, tmp_path / f"work-{number}") as root:
                right += (root / "file").read_text() == f"{origins[which].name} {turn % 2}\n"
                right += git(root, "rev-parse", "HEAD") == commit
        return right

    async def evict() -> int:
        evicted = 0
        while not done.is_set():
            evicted += await upkeep.evict()
            for entry in Shelf(tmp_path / "cache", patience_s=LIMIT_S).entries():
                await upkeep.tend(entry)
            await asyncio.sleep(0)  # an empty cache has nothing to wait for
        return evicted

    evicting = asyncio.create_task(evict())
    try:
        async with asyncio.timeout(100):
            right = await asyncio.gather(*map(job, range(6)))
    finally:
        done.set()
        evicted = await evicting

    assert right == [8] * 6
    assert evicted > 0


@dataclass(frozen=True)
class Step:
    """`what` on repository and commit number, by one of two caches that share a folder; a release takes any lease."""

    what: str
    repository: int
    commit: int
    cache: int


STEPS = st.builds(
    Step,
    what=st.sampled_from(["lease", "checkout", "release", "evict", "tend", "condemn", "room"]),
    repository=st.integers(0, 1),
    commit=st.integers(0, 2),
    cache=st.integers(0, 1),
)


@settings(max_examples=12, deadline=None, database=None)
@given(steps=st.lists(STEPS, min_size=4, max_size=14))
def test_no_order_of_leases_fetches_and_evictions_loses_what_is_leased(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_perform(Path(folder), steps))


async def _perform(tmp_path: Path, steps: list[Step]) -> None:
    origins = [tmp_path / name for name in "ab"]
    commits = [make_origin(origin, 3) for origin in origins]
    caches = [open_cache(tmp_path) for _ in range(2)]
    upkeep = upkeep_of(tmp_path, NOTHING_STAYS)
    leases: list[tuple[AsyncExitStack, Path, str]] = []
    async with AsyncExitStack() as cleanup:
        for number, step in enumerate(steps):
            url, commit = f"file://{origins[step.repository]}", commits[step.repository][step.commit]
            entry = entry_of(tmp_path, origins[step.repository])
            stack = AsyncExitStack()
            if step.what == "lease":
                path = await stack.enter_async_context(caches[step.cache].lease(url, commit))
                leases.append((stack, path, commit))
                cleanup.push_async_callback(stack.aclose)
            elif step.what == "checkout":
                into = tmp_path / f"work-{number}"
                path = await stack.enter_async_context(caches[step.cache].checkout(url, commit, into))
                leases.append((stack, path, commit))
                cleanup.push_async_callback(stack.aclose)
            elif step.what == "release" and leases:
                await leases.pop(step.commit % len(leases))[0].aclose()
            elif step.what == "evict":
                await upkeep.evict()
            elif step.what == "tend":
                await upkeep.tend(entry)
            elif step.what == "room":
                await upkeep.make_room()
            elif step.what == "condemn" and entry.is_there:
                entry.condemn()
            for _, path, wanted in leases:
                assert git(path, "rev-parse", f"{wanted}^{{commit}}") == wanted
                assert git(path, "ls-tree", "--name-only", wanted) == "file"
                if (path / "file").exists():
                    assert git(path, "status", "--porcelain") == ""
        while leases:
            await leases.pop()[0].aclose()
    await upkeep.evict()
    assert Shelf(tmp_path / "cache", patience_s=1).entries() == []
    assert not any((tmp_path / f"work-{number}").exists() for number in range(len(steps)))
