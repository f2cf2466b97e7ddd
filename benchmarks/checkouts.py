"""One contender of the git cache's tables, as a process: so many jobs at once, each with the files of one commit.

python -m benchmarks.checkouts MODE STATE URL COMMIT_FILE JOBS

    cache      this project's cache
    clone      `git clone` and `git checkout` for each job
    mirror     one `git clone --mirror`, and under its lock for each job a fetch, if the commit is not there, and a
               whole `git worktree add`
    discover-lease, discover-checkout, discover-clone     discovery from the cache's objects, from a checkout of the
               cache, from a clone of depth 1
"""

import asyncio
import fcntl
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from forge_runtime.git.cache import GitCache
from forgec import pipeline
from forgec.adapter.directory import DirectoryTree
from forgec.adapter.git import GitTree
from forgec.discovery.tree import Tree
from forgec.discovery.trigger import Trigger


@asynccontextmanager
async def clone(state: Path, url: str, commit: str, into: Path) -> AsyncIterator[Path]:
    await run(state, "clone", "--quiet", "--no-checkout", url, str(into))
    await run(into, "checkout", "--quiet", "--detach", commit)
    yield into
    await asyncio.to_thread(shutil.rmtree, into)


@asynccontextmanager
async def mirror(state: Path, url: str, commit: str, into: Path) -> AsyncIterator[Path]:
    repository = state / "mirror.git"
    with (state / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        if not repository.exists():
            await run(state, "clone", "--quiet", "--mirror", url, str(repository))
        elif await failing(repository, "cat-file", "-e", f"{commit}^{{commit}}"):
            await run(repository, "fetch", "--quiet", "origin")
        await run(repository, "worktree", "add", "--quiet", "--detach", str(into), commit)
    yield into
    with (state / "lock").open("w") as lock:
        await asyncio.to_thread(fcntl.flock, lock, fcntl.LOCK_EX)
        await run(repository, "worktree", "remove", "--force", str(into))


async def failing(folder: Path, *arguments: str) -> bool:
    devnull = asyncio.subprocess.DEVNULL
    return await (await asyncio.create_subprocess_exec("git", *arguments, cwd=folder, stderr=devnull)).wait() != 0


async def run(folder: Path, *arguments: str) -> None:
    if await failing(folder, *arguments):
        raise RuntimeError(f"git {' '.join(arguments)} failed")


async def main(mode: str, state: Path, url: str, commit: str, jobs: int) -> None:
    cache = GitCache(state / "cache")
    if mode.startswith("discover"):
        await discover(mode, cache, state, url, commit)
        return

    async def job(number: int) -> None:
        into = state / f"job-{number}"
        if mode == "cache":
            opened = cache.checkout(url, commit, into)
        else:
            opened = clone(state, url, commit, into) if mode == "clone" else mirror(state, url, commit, into)
        async with opened as root:
            if not (root / ".forge" / "repo.cue").exists():
                raise RuntimeError(f"{mode}: the commit is not in {root}")

    await asyncio.gather(*map(job, range(jobs)))


async def discover(mode: str, cache: GitCache, state: Path, url: str, commit: str) -> None:
    trigger = Trigger(commit_sha=commit, trigger_type="manual")
    tree: Tree
    if mode == "discover-lease":
        async with cache.lease(url, commit) as repository:
            tree = GitTree(repository, commit)
            pipeline.discover(tree, trigger)
            tree.close()
    elif mode == "discover-checkout":
        async with cache.checkout(url, commit, state / "job") as root:
            pipeline.discover(DirectoryTree(root), trigger)
    else:
        await run(state, "clone", "--quiet", "--depth=1", url, str(state / "job"))
        pipeline.discover(DirectoryTree(state / "job"), trigger)
        shutil.rmtree(state / "job")


if __name__ == "__main__":
    name, folder, address, file, count = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(name, Path(folder), address, Path(file).read_text().strip(), int(count)))
