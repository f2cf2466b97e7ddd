"""Bringing commits into the cache, aside: the network never holds a lock that a checkout needs.

    server ──fetch──▶ building/<key>-…   an empty repository that borrows the objects of the real one (alternates)
                          │  the pack is whole, its objects are checked, the commit is there, its files are not too many
                          ▼  lock
                      repositories/<key>.git   the pack is renamed over, refs/forge/keep/<sha> is set
                          unlock

A server that lies, hangs, drips or dies leaves nothing but a folder that is removed. The first fetch of a repository
has nothing to borrow from: it becomes the repository by being renamed.

Commits are fetched by id, so one that a branch has left since is still found; servers that give out nothing by its id
are asked for their branches and tags. `refs/forge/keep/<sha>` holds every commit that was asked for; its file's time is
that of the last asking.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.folder import remove_folder
from forge_runtime.git.clone_url import CloneUrl
from forge_runtime.git.command import ADDRESS_SPACE_BYTES, Connection, GitFailed, git, git_lines, server_arguments
from forge_runtime.git.credentials import STALL_S, Credentials, access_refused
from forge_runtime.git.error import CommitNotFound, GitError, ObjectRefused, TimeLimit, TooLarge
from forge_runtime.git.shelf import Entry, Shelf

COMMAND_TIMEOUT_S: Final = 60.0

WARM_REF: Final = "refs/forge/warm/HEAD"
"""What a repository was pre-warmed with: the server's default branch at that time."""

PACKS_PER_INDEX: Final = 50
"""Every fetch leaves a pack, and a repository that is never idle is never maintained: one index over all serves."""

_FLAGS: Final = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--no-recurse-submodules")


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """What a repository may cost. `stall_s`: how long its server may send less than 1 kB/s.

    `bytes_max` of one transfer; `files_max` and `files_bytes_max` of a commit's files, `names_bytes_max` of their paths
    as git prints them: a few kilobytes of pack can stand for more files than any disk holds, and for more names than
    any memory.
    """

    fetch_s: float = 600.0
    stall_s: float = STALL_S
    bytes_max: int = 8 * 1024**3
    files_max: int = 1_000_000
    files_bytes_max: int = 32 * 1024**3
    names_bytes_max: int = 128 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    shelf: Shelf
    credentials: Credentials | None
    limits: FetchLimits

    async def bring(self, entry: Entry, connection: Connection, commit_sha: str | None) -> None:
        """Fetch the commit, or the default branch for None. The entry is leased; the commit's fetch lock is ours."""
        if not entry.is_there:
            async with self.shelf.exclusive(entry.lock):
                if not entry.is_there:
                    await self._clone(entry, connection, commit_sha)
                    return
        if commit_sha is None or not await holds(entry.repository, commit_sha):
            await self._fetch_aside(entry, connection, commit_sha)

    def told(self, connection: Connection, error: GitError) -> GitError:
        """The error of a fetch, as its user meets it."""
        url = connection.url
        if isinstance(error, TimeLimit):
            return TimeLimit(f"cannot fetch {url}: {error}")
        if not isinstance(error, GitFailed):
            return error
        if error.refused_object is not None:
            refused = f"{url} holds what git refuses as unsafe: {error.refused_object}; take it out of the history"
            return ObjectRefused(refused)
        if error.is_too_large and connection.bytes_max is not None:
            return TooLarge(
                f"what {url} sends for the commit is more than the {connection.bytes_max} bytes that one fetch may"
                " bring: take large files out of the history, or raise the worker's limit"
            )
        if error.lacks_memory:
            return beyond_memory(url, error)
        if error.access_is_refused or error.repository_is_unknown:
            return access_refused(url, self.credentials, str(error))
        return GitError(f"cannot fetch {url}: {error}")

    async def _clone(self, entry: Entry, connection: Connection, commit_sha: str | None) -> None:
        async with self.shelf.building(entry) as fresh:
            await git(fresh, "init", "--quiet", "--bare", timeout_s=COMMAND_TIMEOUT_S)
            # References stay files of their own, whose times tell when each was asked for.
            await git(fresh, "config", "gc.packRefs", "false", timeout_s=COMMAND_TIMEOUT_S)
            await self._fetch(fresh, connection, commit_sha)
            await asyncio.to_thread(fresh.rename, entry.repository)

    async def _fetch_aside(self, entry: Entry, connection: Connection, commit_sha: str | None) -> None:
        repository = entry.repository
        async with self.shelf.building(entry) as fresh:
            await git(fresh, "init", "--quiet", "--bare", timeout_s=COMMAND_TIMEOUT_S)
            objects = await asyncio.to_thread((repository / "objects").resolve)
            (fresh / "objects" / "info" / "alternates").write_bytes(os.fsencode(objects) + b"\n")
            await self._fetch(fresh, connection, commit_sha)
            name = WARM_REF if commit_sha is None else keep_ref(commit_sha)
            tip = (fresh / name).read_text("ascii").strip()
            async with self.shelf.exclusive(entry.lock) as held:
                try:
                    packs = await asyncio.to_thread(_move_packs, fresh, repository)
                except FileNotFoundError as error:
                    raise GitFailed("fetch", 1, (str(error),), damaged=True) from None
                await git(repository, "update-ref", name, tip, timeout_s=COMMAND_TIMEOUT_S, held=(held,))
                if packs and packs % PACKS_PER_INDEX == 0:
                    write = ("multi-pack-index", "write", "--no-progress")
                    await git(repository, *write, timeout_s=COMMAND_TIMEOUT_S, held=(held,))

    async def _fetch(self, fresh: Path, connection: Connection, commit_sha: str | None) -> None:
        if commit_sha is None:
            await self._fetch_refs(fresh, connection, f"+HEAD:{WARM_REF}")
            return
        try:
            await self._fetch_refs(fresh, connection, f"+{commit_sha}:{keep_ref(commit_sha)}")
        except GitFailed as failed:
            if not failed.commit_is_unknown:
                raise
            await self._fetch_through_branches(fresh, connection, commit_sha)
        if not await holds(fresh, commit_sha):
            raise CommitNotFound(f"{commit_sha} in {connection.url} is not a commit")
        await self._measure(fresh, connection, commit_sha)

    async def _fetch_through_branches(self, fresh: Path, connection: Connection, commit_sha: str) -> None:
        refs = ("+refs/heads/*:refs/forge/found/heads/*", "+refs/tags/*:refs/forge/found/tags/*")
        await self._fetch_refs(fresh, connection, *refs)
        try:
            await git(fresh, "update-ref", keep_ref(commit_sha), commit_sha, timeout_s=COMMAND_TIMEOUT_S)
        except GitFailed:
            raise CommitNotFound(f"{connection.url} holds no commit {commit_sha}") from None
        # They would keep what they point to for ever.
        await asyncio.to_thread(remove_folder, fresh / "refs" / "forge" / "found")

    async def _fetch_refs(self, fresh: Path, connection: Connection, *refspecs: str) -> None:
        arguments = ("fetch", *_FLAGS, *server_arguments(connection.url), "--", connection.url.text, *refspecs)
        await git(fresh, *arguments, timeout_s=self.limits.fetch_s, connection=connection)

    async def _measure(self, fresh: Path, connection: Connection, commit_sha: str) -> None:
        """Raises TooLarge for a commit with more files than a checkout may have; before one can fill a disk."""
        limits = self.limits
        files = files_bytes = names_bytes = 0

        def count(line: str) -> None:
            nonlocal files, files_bytes, names_bytes
            size, _, name = line.partition(" ")
            files += 1
            files_bytes += int(size) if size.isdigit() else 0  # "-" for a submodule
            names_bytes += len(name)
            if files > limits.files_max or files_bytes > limits.files_bytes_max or names_bytes > limits.names_bytes_max:
                raise TooLarge(
                    f"the files of {commit_sha} in {connection.url} are more than a checkout may have"
                    f" ({limits.files_max} files, {limits.files_bytes_max} bytes,"
                    f" {limits.names_bytes_max} bytes of names)"
                )

        listing = ("ls-tree", "-r", "--format=%(objectsize) %(path)", "--end-of-options", commit_sha)
        await git_lines(fresh, *listing, timeout_s=limits.fetch_s, line=count)


def keep_ref(commit_sha: str) -> str:
    return f"refs/forge/keep/{commit_sha}"


def beyond_memory(url: CloneUrl, failed: GitFailed) -> TooLarge:
    return TooLarge(
        f"{url} holds an object for which git needs more than the {ADDRESS_SPACE_BYTES} bytes of memory that it may"
        f" have ({failed}): take it out of the history"
    )


async def holds(repository: Path, commit_sha: str) -> bool:
    """Whether the commit is there, and kept: one without a reference may be collected. Raises GitFailed, damaged."""
    if not os.path.exists(repository):  # noqa: ASYNC240, PTH110 - one call, on a disk of ours
        return False
    keep = repository / keep_ref(commit_sha)
    try:
        os.utime(keep)
        asked_before = True
    except FileNotFoundError:
        asked_before = False  # or packed, by somebody's own `git gc`
    try:
        await git(repository, "cat-file", "-e", f"{keep_ref(commit_sha)}^{{commit}}", timeout_s=COMMAND_TIMEOUT_S)
    except GitFailed as failed:
        if failed.lacks_memory:
            raise
        if asked_before and not await _is_of_another_kind(repository, commit_sha):
            raise GitFailed(failed.command, failed.exit_code, failed.output, damaged=True) from None
        return False
    return True


async def _is_of_another_kind(repository: Path, commit_sha: str) -> bool:
    kinds: list[str] = []
    try:
        await git_lines(repository, "cat-file", "-t", commit_sha, timeout_s=COMMAND_TIMEOUT_S, line=kinds.append)
    except GitFailed:
        return False
    return kinds in (["tree"], ["blob"])


def _move_packs(fresh: Path, repository: Path) -> int:
    """How many packs there are now, 0 if none came. A pack is there for git once its index is, so that comes last."""
    files = sorted((fresh / "objects" / "pack").glob("pack-*"), key=lambda path: (path.suffix == ".idx", path.name))
    for file in files:
        file.rename(repository / "objects" / "pack" / file.name)
    return len(list((repository / "objects" / "pack").glob("*.idx"))) if files else 0
