"""The git cache: one bare repository for each clone URL, one worktree for each job.

    root/repositories/<key>.git    bare; refs/forge/keep/<sha> holds every commit that was asked for
    root/locks/<key>.lock          flock: held around every change of a bare repository or of its list of worktrees
    root/building/<key>-…          a repository until its first commit is in; then it is renamed into place

Commits are fetched by id, so one that a branch has left since is still found. What is there is not fetched again: a
check costs about 3 ms, and no lock. Whoever needs a commit that is missing waits for the lock and looks again, so many
jobs of one commit fetch it once.

Worktrees are added under the lock but filled outside it: adding them side by side fails in 8 % of cases ("failed to
read worktrees/…/commondir"), while the lock around the 10 ms of `worktree add --no-checkout` costs nothing.

The lock belongs to the kernel, so it ends with its process; several worker processes may share one cache.
"""

import asyncio
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from forge_runtime.folder import remove_folder
from forge_runtime.git.command import CloneUrl, CommitNotFound, GitError, GitFailed, ObjectRefused, git, protocols
from forge_runtime.meter import CacheResult, Meter, Unmetered

FETCH_TIMEOUT_S: Final = 600.0
CHECKOUT_TIMEOUT_S: Final = 300.0
COMMAND_TIMEOUT_S: Final = 60.0
LOCK_TIMEOUT_S: Final = 2 * FETCH_TIMEOUT_S + COMMAND_TIMEOUT_S
"""Another process may be fetching a large repository, once by commit and once by branches."""

LOCK_POLL_S: Final = 0.01
"""One flock call each; a thread that blocks in flock could be neither cancelled nor limited."""

_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class GitCache:
    """`file` URLs are only for repositories of this machine, and only where `allow_file` says so."""

    def __init__(self, root: Path, *, allow_file: bool = False, meter: Meter | None = None) -> None:
        self._root = root
        self._meter = meter or Unmetered()
        self._protocols = protocols(files=allow_file)
        self._locks: dict[str, asyncio.Lock] = {}

    async def repository(self, clone_url: str, commit_sha: str) -> Path:
        """A bare repository that holds the commit. Raises CommitNotFound, UrlRefused, GitError."""
        url = CloneUrl(clone_url, protocols=self._protocols)
        if not _SHA.fullmatch(commit_sha):
            raise CommitNotFound(f'"{commit_sha[:80]}" is not a commit id (40 hexadecimal digits)')
        repository = self._path(url)
        result = CacheResult.HIT
        if not await _holds(repository, commit_sha):
            async with self._locked(repository):
                if not await _holds(repository, commit_sha):
                    result = CacheResult.FETCH if _is_there(repository) else CacheResult.CLONE
                    await self._bring(url, commit_sha, repository)
        self._meter.cache_asked(result)
        return repository

    @asynccontextmanager
    async def checkout(self, clone_url: str, commit_sha: str, into: Path) -> AsyncIterator[Path]:
        """The commit's files in `into`, which must not exist or be empty, and is removed at the end.

        Raises CommitNotFound, UrlRefused, GitError.
        """
        repository = await self.repository(clone_url, commit_sha)
        into = await asyncio.to_thread(into.resolve)
        try:
            async with self._locked(repository):
                arguments = ("worktree", "add", "--detach", "--no-checkout", "--", str(into), commit_sha)
                await git(repository, *arguments, timeout_s=COMMAND_TIMEOUT_S)
            await git(into, "reset", "--hard", "--quiet", timeout_s=CHECKOUT_TIMEOUT_S, known=(repository,))
            yield into
        finally:
            await asyncio.to_thread(remove_folder, into)
            async with self._locked(repository):
                await git(repository, "worktree", "prune", timeout_s=COMMAND_TIMEOUT_S)

    def _path(self, url: CloneUrl) -> Path:
        key = hashlib.sha256(url.canonical.encode()).hexdigest()[:32]
        return self._root / "repositories" / f"{key}.git"

    async def _bring(self, url: CloneUrl, commit_sha: str, repository: Path) -> None:
        """Fetch the commit; the lock is ours."""
        if _is_there(repository):
            await _fetch(url, commit_sha, repository)
            return
        building = self._root / "building"
        building.mkdir(parents=True, exist_ok=True)
        repository.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{repository.stem}-", dir=building))
        try:
            await git(fresh, "init", "--quiet", "--bare", timeout_s=COMMAND_TIMEOUT_S)
            await _fetch(url, commit_sha, fresh)
            await asyncio.to_thread(fresh.rename, repository)
        finally:
            await asyncio.to_thread(remove_folder, fresh)

    @asynccontextmanager
    async def _locked(self, repository: Path) -> AsyncIterator[None]:
        """Exclusive among the tasks of this process, then among processes."""
        locks = self._root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        async with self._locks.setdefault(repository.stem, asyncio.Lock()):
            descriptor = os.open(locks / f"{repository.stem}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                await _lock(descriptor)
                yield
            finally:
                os.close(descriptor)


async def _lock(descriptor: int) -> None:
    try:
        async with asyncio.timeout(LOCK_TIMEOUT_S):
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    await asyncio.sleep(LOCK_POLL_S)
                else:
                    return
    except TimeoutError:
        message = f"the git cache was locked by another process for more than {LOCK_TIMEOUT_S:.0f} s"
        raise GitError(message) from None


def _is_there(repository: Path) -> bool:
    """A bare repository is renamed into place complete, so its name is enough."""
    return repository.exists()


def _keep(commit_sha: str) -> str:
    return f"refs/forge/keep/{commit_sha}"


async def _holds(repository: Path, commit_sha: str) -> bool:
    """Whether the commit is there, and kept: one without a reference may be collected."""
    if not _is_there(repository):
        return False
    try:
        await git(repository, "cat-file", "-e", f"{_keep(commit_sha)}^{{commit}}", timeout_s=COMMAND_TIMEOUT_S)
    except GitFailed:
        return False
    return True


async def _fetch(url: CloneUrl, commit_sha: str, repository: Path) -> None:
    try:
        await _fetch_refs(url, repository, f"+{commit_sha}:{_keep(commit_sha)}")
    except GitFailed as failed:
        if not failed.commit_is_unknown:
            raise _fetch_failed(url, failed) from failed
        await _fetch_through_branches(url, commit_sha, repository)
    if not await _holds(repository, commit_sha):
        raise CommitNotFound(f"{commit_sha} in {url} is not a commit")


async def _fetch_through_branches(url: CloneUrl, commit_sha: str, repository: Path) -> None:
    """For servers that give out nothing by its id."""
    try:
        await _fetch_refs(url, repository, "+refs/heads/*:refs/forge/heads/*", "+refs/tags/*:refs/forge/tags/*")
    except GitFailed as failed:
        raise _fetch_failed(url, failed) from failed
    try:
        await git(repository, "update-ref", _keep(commit_sha), commit_sha, timeout_s=COMMAND_TIMEOUT_S)
    except GitFailed:
        raise CommitNotFound(f"{url} holds no commit {commit_sha}") from None


def _fetch_failed(url: CloneUrl, failed: GitFailed) -> GitError:
    if failed.refused_object is None:
        return GitError(f"cannot fetch {url}: {failed}")
    return ObjectRefused(f"{url} holds what git refuses as unsafe: {failed.refused_object}; take it out of the history")


async def _fetch_refs(url: CloneUrl, repository: Path, *refspecs: str) -> None:
    flags = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")
    source = Path(url.path)
    known = (source, source / ".git") if url.protocol == "file" else ()
    await git(repository, "fetch", *flags, "--", url.text, *refspecs, timeout_s=FETCH_TIMEOUT_S, url=url, known=known)
