"""The git cache: one bare repository for each clone URL, one worktree for each job.

    lease(url, sha) ─▶ there? ─yes──────────────────────────────▶ a bare repository that holds the commit
                         └ no ─▶ fetched aside, once for all who ask, and moved in (fetch.py)
    checkout(url, sha) ─▶ lease ─▶ lock, `worktree add --no-checkout`, unlock ─▶ `reset --hard` ─▶ links.py

What is there is not fetched again: a check costs about 3 ms, and no lock. Worktrees are added under the lock but filled
outside it: adding them side by side fails in 8 % of cases ("failed to read worktrees/…/commondir"), while the lock
around the 10 ms of `worktree add --no-checkout` costs nothing.

A repository that turns out damaged is repaired, or replaced, before anybody is told (repair.py). Which locks and
folders there are is in shelf.py; what is deleted when, in upkeep.py.
"""

import asyncio
import errno
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from forge_runtime.folder import ROOM_BYTES, remove_folder
from forge_runtime.git.clone_url import CloneUrl, protocols
from forge_runtime.git.command import Connection, GitFailed, git
from forge_runtime.git.credentials import Credentials, connect
from forge_runtime.git.error import CommitNotFound, FileRefused, GitError
from forge_runtime.git.fetch import COMMAND_TIMEOUT_S, Fetcher, FetchLimits, beyond_memory, holds
from forge_runtime.git.links import close_links
from forge_runtime.git.repair import repair
from forge_runtime.git.shelf import Entry, Lease, Locked, Shelf
from forge_runtime.git.upkeep import Upkeep, UpkeepLimits
from forge_runtime.git.worktrees import forget_worktree, prune_worktrees
from forge_runtime.meter import CacheResult, Meter, Unmetered
from forge_runtime.thread import in_thread

CHECKOUT_TIMEOUT_S: Final = 300.0

TIDY_PATIENCE_S: Final = 20.0
"""When a checkout ends and its folder is gone: others check out for seconds, but a repair may take 300."""

STOPPED_PATIENCE_S: Final = 1.0
"""The same of work that is stopped: a cancelled run has to be over within 2 s."""

TRIES: Final = 3
"""As it is, repaired, cloned anew."""

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLimits:
    fetch: FetchLimits = field(default_factory=FetchLimits)
    upkeep: UpkeepLimits = field(default_factory=UpkeepLimits)


class GitCache:
    """`file` URLs are only for repositories of this machine, and only where `allow_file` says so.

    `credentials` are for hosts that give nothing to strangers. Nothing is deleted but by `maintain`, and for a full
    disk.
    """

    def __init__(
        self,
        root: Path,
        *,
        allow_file: bool = False,
        meter: Meter | None = None,
        credentials: Credentials | None = None,
        limits: CacheLimits | None = None,
    ) -> None:
        limits = limits or CacheLimits()
        # Another process may be fetching a large repository, once by commit and once by branches.
        self._shelf = Shelf(root, patience_s=2 * limits.fetch.fetch_s + COMMAND_TIMEOUT_S)
        self._fetcher = Fetcher(shelf=self._shelf, credentials=credentials, limits=limits.fetch)
        self._upkeep = Upkeep(self._shelf, limits.upkeep)
        self._meter = meter or Unmetered()
        self._credentials = credentials
        self._limits = limits.fetch
        self._protocols = protocols(files=allow_file)

    @asynccontextmanager
    async def lease(self, clone_url: str, commit_sha: str) -> AsyncIterator[Path]:
        """A bare repository that holds the commit, and stays as it is inside the block; it is only to be read.

        Raises CommitNotFound, UrlRefused, GitError.
        """
        lease, repository = await self._opened(clone_url, commit_sha, _nothing_more)
        try:
            yield repository
        finally:
            lease.release()

    @asynccontextmanager
    async def checkout(self, clone_url: str, commit_sha: str, into: Path) -> AsyncIterator[Path]:
        """The commit's files in `into`, which must not exist or be empty, and is removed at the end.

        No symbolic link in it leads out of it. Raises CommitNotFound, UrlRefused, GitError.
        """
        into = await asyncio.to_thread(into.resolve)

        async def fill(entry: Entry) -> None:
            try:
                await self._fill(entry, commit_sha, into)
            except BaseException as error:
                # What git says of a file that it cannot write does not tell why.
                full = isinstance(error, GitFailed) and not error.damaged and _has_no_room(into)
                patience_s = TIDY_PATIENCE_S if isinstance(error, Exception) else STOPPED_PATIENCE_S
                with suppress(GitError, OSError):
                    await self._remove(entry, into, patience_s)
                if full:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(into)) from None
                raise

        lease, repository = await self._opened(clone_url, commit_sha, fill)
        try:
            patience_s = TIDY_PATIENCE_S
            try:
                yield into
            except asyncio.CancelledError:
                patience_s = STOPPED_PATIENCE_S
                raise
            finally:
                await self._remove(Entry(self._shelf.root, repository.stem), into, patience_s)
        finally:
            lease.release()

    async def maintain(self, stop: asyncio.Event, prewarm: Sequence[str] = ()) -> None:
        """Until `stop`: clear what killed workers left, fetch the repositories of `prewarm`, evict, maintain when idle.

        Failures are logged: nothing here is worth a job. Any number of processes may do it to one cache.
        """
        await self._upkeep.sweep()
        for url in prewarm:
            if not stop.is_set():
                await self._upkeep.attempt("pre-warming the git cache", stop, partial(self._warm, url))
        await self._upkeep.run(stop)

    async def _opened(
        self, clone_url: str, commit_sha: str, use: Callable[[Entry], Awaitable[None]]
    ) -> tuple[Lease, Path]:
        """A lease of the commit's repository once `use` is done with it; damage in either is seen to."""
        url = CloneUrl(clone_url, protocols=self._protocols)
        if not _SHA.fullmatch(commit_sha):
            raise CommitNotFound(f'"{commit_sha[:80]}" is not a commit id (40 hexadecimal digits)')
        try:
            for tried in range(TRIES):
                entry, lease = await self._leased(url)
                try:
                    result = await self._brought(entry, url, commit_sha)
                    await use(entry)
                except GitFailed as failed:
                    lease.release()
                    if not failed.damaged or tried + 1 == TRIES:
                        raise
                    await repair(self._shelf, entry, failed, again=tried > 0)
                except BaseException:
                    lease.release()
                    raise
                else:
                    self._meter.cache_asked(result)
                    return lease, entry.repository
        except GitFailed as failed:
            if failed.disk_is_full:
                raise await self._unwritten(str(failed), full=True) from failed
            if failed.lacks_memory:
                raise beyond_memory(url, failed) from failed
            if failed.file_is_refused:
                raise _unholdable(url, commit_sha, str(failed)) from failed
            doing = "fetch" if failed.command == "fetch" else "check out"
            raise GitError(f"cannot {doing} {url}: {failed}") from failed
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # of a path in the checkout, behind that of its folder
                raise _unholdable(url, commit_sha, str(error)) from None
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise await self._unwritten(str(error), full=full) from None
        raise AssertionError("every try ends above")

    async def _leased(self, url: CloneUrl) -> tuple[Entry, Lease]:
        while True:
            entry = self._shelf.entry(url)
            lease = await self._shelf.lease(entry)
            if not entry.is_condemned:
                return entry, lease
            lease.release()

    async def _brought(self, entry: Entry, url: CloneUrl, commit_sha: str) -> CacheResult:
        if await holds(entry.repository, commit_sha):
            return CacheResult.HIT
        async with self._shelf.exclusive(entry.fetch_lock(commit_sha)):
            if await holds(entry.repository, commit_sha):
                return CacheResult.HIT
            result = CacheResult.FETCH if entry.is_there else CacheResult.CLONE
            await self._fetched(entry, url, commit_sha)
        return result

    async def _fetched(self, entry: Entry, url: CloneUrl, commit_sha: str | None) -> None:
        limits = self._limits
        async with (
            self._shelf.building(entry) as scratch,
            connect(
                url, self._credentials, scratch=scratch, stall_s=limits.stall_s, bytes_max=limits.bytes_max
            ) as connection,
        ):
            try:
                await self._fetcher.bring(entry, connection, commit_sha)
            except GitError as error:
                raise self._told(connection, error) from error

    def _told(self, connection: Connection, error: GitError) -> GitError:
        """Damage and a full disk are not the server's doing, and seen to elsewhere."""
        if isinstance(error, GitFailed) and (error.damaged or error.disk_is_full):
            return error
        return self._fetcher.told(connection, error)

    async def _fill(self, entry: Entry, commit_sha: str, into: Path) -> None:
        repository = entry.repository
        async with self._shelf.exclusive(entry.lock) as held:
            # Forced, for a folder of the same name whose worker was killed.
            arguments = ("worktree", "add", "--force", "--detach", "--no-checkout", "--", str(into), commit_sha)
            await git(repository, *arguments, timeout_s=COMMAND_TIMEOUT_S, held=(held,))
        await git(into, "reset", "--hard", "--quiet", timeout_s=CHECKOUT_TIMEOUT_S, known=(repository,))
        await in_thread(lambda stop: close_links(into, stop))

    async def _remove(self, entry: Entry, into: Path, patience_s: float) -> None:
        await asyncio.to_thread(remove_folder, into)
        with suppress(Locked):  # then others prune it when it is old
            async with self._shelf.exclusive(entry.lock, patience_s=patience_s) as held:
                if entry.is_there:
                    await asyncio.to_thread(forget_worktree, entry.repository, into)
                    await prune_worktrees(entry.repository, held)

    async def _warm(self, clone_url: str) -> None:
        url = CloneUrl(clone_url, protocols=self._protocols)
        entry, lease = await self._leased(url)
        try:
            await self._fetched(entry, url, None)
        finally:
            lease.release()

    async def _unwritten(self, why: str, *, full: bool) -> GitError:
        """Where the cache's own disk is full, room is made for the next one who tries."""
        evicted = await self._upkeep.make_room() if full else 0
        made = f"; {evicted} repositories that nobody used were removed from the cache" if evicted else ""
        return GitError(f"the git cache in {self._shelf.root} or the job's folder cannot be written: {why}{made}")


def _unholdable(url: CloneUrl, commit_sha: str, why: str) -> FileRefused:
    return FileRefused(
        f"{commit_sha} in {url} cannot be checked out: the path of a file, or the target of a link, is none that the"
        f" file system takes ({why[:200]})"
    )


def _has_no_room(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < ROOM_BYTES
    except OSError:
        return False


async def _nothing_more(_entry: Entry) -> None:
    return None
