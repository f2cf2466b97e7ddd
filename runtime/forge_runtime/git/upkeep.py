"""What keeps a cache small and quick while nobody waits for it.

    at start       folders of killed workers removed
    every round    more than `high_bytes`? the longest unused repositories go, until there are no more than `low_bytes`
    once a day     for each repository without a lease: commits that nobody asked for in `keep_s` are let go, packs
                   consolidated, the commit graph written, unreachable objects removed; stopped when somebody comes

A repository is evicted only without a lease and under its lock: it is renamed away, which takes a moment, and deleted
afterwards. Several processes may do all this to one cache; what one is at, the others leave alone.
"""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

from forge_runtime.folder import remove_folder
from forge_runtime.git.command import git
from forge_runtime.git.error import GitError
from forge_runtime.git.fetch import COMMAND_TIMEOUT_S
from forge_runtime.git.repair import remove_stale_locks
from forge_runtime.git.shelf import Entry, Shelf
from forge_runtime.git.worktrees import prune_worktrees
from forge_runtime.tasks import end_tasks

MAINTENANCE_TIMEOUT_S: Final = 1800.0
YIELD_POLL_S: Final = 0.1
"""How soon maintenance notices that somebody wants the repository."""

_DAY_S: Final = 86_400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepLimits:
    """`high_bytes` and `low_bytes` are of all repositories together, as they lie on the disk.

    `idle_s`: how long a repository must be unused before it is maintained; `tend_s`: how often. `round_s` is between
    two looks at the sizes. `spare_bytes`: a disk with more than this free is not full, whatever a command met.
    """

    spare_bytes: int = 1024**3
    high_bytes: int = 20 * 1024**3
    low_bytes: int = 15 * 1024**3
    keep_s: float = 14 * _DAY_S
    tend_s: float = _DAY_S
    idle_s: float = 60.0
    round_s: float = 300.0


class Upkeep:
    def __init__(self, shelf: Shelf, limits: UpkeepLimits) -> None:
        self._shelf = shelf
        self._limits = limits

    async def sweep(self) -> None:
        removed = await asyncio.to_thread(self._shelf.sweep)
        if removed:
            _log.info("left behind in the git cache, removed", extra={"folders": removed})

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.attempt("upkeep of the git cache", stop, self.round)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.round_s):
                    await stop.wait()

    async def attempt(self, what: str, stop: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
        """Do it unless told to stop; what goes wrong is logged."""
        task = asyncio.ensure_future(work())
        stopped = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        except (GitError, OSError) as error:
            _log.warning("%s failed", what, extra={"why": str(error)})
        finally:
            await end_tasks(task, stopped)

    async def round(self) -> None:
        """A repository with which something is wrong does not keep the others from their turn."""
        await self.evict()
        for entry in self._shelf.entries():
            with _told("maintaining a repository", entry):
                await self.tend(entry)

    async def evict(self) -> int:
        """Condemned repositories, and down to the low mark when the high one is passed; how many were evicted."""
        entries = self._shelf.entries()
        evicted = 0
        for entry in [each for each in entries if each.is_condemned]:
            evicted += await self._evict(entry)
        sizes = {entry: await asyncio.to_thread(disk_bytes, entry.repository) for entry in self._shelf.entries()}
        total = sum(sizes.values())
        if total <= self._limits.high_bytes:
            return evicted
        for entry in sorted(sizes, key=attrgetter("last_used")):
            if total <= self._limits.low_bytes:
                break
            if await self._evict(entry):
                total -= sizes[entry]
                evicted += 1
        return evicted

    async def make_room(self) -> int:
        """The disk was full: the longest unused repository goes, whatever the marks; how many went.

        Unless it was another disk, which has nothing to do with how full this one is.
        """
        try:
            if shutil.disk_usage(self._shelf.root).free > self._limits.spare_bytes:
                return 0
        except OSError:
            return 0
        evicted = await self.evict()
        for entry in sorted(self._shelf.entries(), key=attrgetter("last_used")):
            if evicted:
                break
            evicted += await self._evict(entry)
        return evicted

    async def tend(self, entry: Entry) -> bool:
        """Maintain a repository that is due and idle; whether that was done to the end."""
        now = time.time()
        if now - _time_of(entry.tended) < self._limits.tend_s or now - entry.last_used < self._limits.idle_s:
            return False
        async with self._shelf.at_once(entry.lock) as held:
            if held is None or not entry.is_there or entry.is_condemned:
                return False
            with self._shelf.alone(entry) as alone:
                if not alone:
                    return False
                expired = self._expired(entry.repository, now)
                for name in expired:
                    await git(entry.repository, "update-ref", "-d", name, timeout_s=COMMAND_TIMEOUT_S, held=(held,))
            done = await self._until_wanted(entry, _maintain(entry.repository, held, collect=bool(expired)))
        if done:
            entry.tended.touch()
            _log.info("repository of the git cache maintained", extra={"repository": entry.name})
        return done

    async def _evict(self, entry: Entry) -> bool:
        with _told("evicting a repository", entry):
            return await self._evicted(entry)
        return False

    async def _evicted(self, entry: Entry) -> bool:
        async with self._shelf.at_once(entry.lock) as held:
            if held is None or not entry.is_there:
                return False
            with self._shelf.alone(entry) as alone:
                if not alone:
                    return False
                trash = self._shelf.discard(entry)
        _log.info("repository evicted from the git cache", extra={"repository": entry.name})
        await asyncio.to_thread(remove_folder, trash)
        return True

    def _expired(self, repository: Path, now: float) -> list[str]:
        kept = (repository / "refs" / "forge" / "keep").glob("*")
        old = [path for path in kept if path.suffix != ".lock" and now - _time_of(path) > self._limits.keep_s]
        return [f"refs/forge/keep/{path.name}" for path in old]

    async def _until_wanted(self, entry: Entry, work: Awaitable[None]) -> bool:
        """Whether it came to its end before somebody took a lease."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=YIELD_POLL_S)
                with self._shelf.alone(entry) as alone:
                    if not alone and not task.done():
                        return False
            task.result()
            return True
        finally:
            await end_tasks(task)


@contextmanager
def _told(doing: str, entry: Entry) -> Iterator[None]:
    """What fails is logged."""
    try:
        yield
    except (GitError, OSError) as error:
        _log.warning("%s failed", doing, extra={"repository": entry.name, "why": str(error)})


async def _maintain(repository: Path, held: int, *, collect: bool) -> None:
    """git's own maintenance, without what would run behind our back."""

    async def run(*arguments: str) -> None:
        await git(repository, *arguments, timeout_s=MAINTENANCE_TIMEOUT_S, held=(held,))

    remove_stale_locks(repository)
    await prune_worktrees(repository, held)
    if collect:
        # Packs are written anew without what is unreachable, which goes when it is two weeks old; the graph as well.
        await run("gc", "--quiet", "--prune=2.weeks.ago")
    else:
        await run("prune", "--expire=2.weeks.ago")
        tasks = ("--task=loose-objects", "--task=incremental-repack")
        await run("maintenance", "run", "--quiet", *tasks)
        await run("commit-graph", "write", "--reachable", "--split", "--no-progress")


def disk_bytes(folder: Path) -> int:
    """What the files take on the disk; those that vanish meanwhile take nothing."""
    total = 0
    pending = [os.fspath(folder)]
    while pending:
        with suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                else:
                    with suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
