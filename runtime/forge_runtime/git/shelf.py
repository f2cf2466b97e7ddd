"""Where the cache keeps things, and who may touch what when.

    root/repositories/<key>.git        one bare repository for each clone URL; <key>-1.git follows one that is condemned
    root/locks/<key>.lock              held by whoever changes a repository or its list of worktrees, for milliseconds
    root/locks/<key>.fetch-0 … f       held while commits are fetched whose id begins so: many jobs of one fetch it once
    root/locks/<key>.use               shared by every lease; its time is that of the last one's begin or end
    root/building/<key>-…              repositories until they are whole, each locked by its builder
    root/trash/<key>-…                 repositories that are being deleted

Locks are flocks. They belong to the kernel and end with their process, so several worker processes may share a cache
and none has to be cleaned up after. Whoever holds `.use` alone knows that nobody has a lease; who waits for a lease
waits only for that moment. Order: `.use` (shared), `.fetch`, `.lock`, and `.use` (alone) only without waiting.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.folder import remove_folder
from forge_runtime.git.clone_url import CloneUrl
from forge_runtime.git.error import GitError

LOCK_POLL_S: Final = 0.01
"""One flock call each; a thread that blocks in flock could be neither cancelled nor limited."""

_CONDEMNED: Final = "forge-condemned"


@dataclass(frozen=True, slots=True)
class Entry:
    """One repository of the cache, whether it is there yet or not."""

    root: Path
    name: str

    @property
    def repository(self) -> Path:
        return self.root / "repositories" / f"{self.name}.git"

    @property
    def lock(self) -> Path:
        return self.root / "locks" / f"{self.name}.lock"

    @property
    def use(self) -> Path:
        return self.root / "locks" / f"{self.name}.use"

    @property
    def tended(self) -> Path:
        """Its time is that of the last maintenance."""
        return self.root / "locks" / f"{self.name}.tended"

    def fetch_lock(self, commit_sha: str) -> Path:
        return self.root / "locks" / f"{self.name}.fetch-{commit_sha[0]}"

    @property
    def is_there(self) -> bool:
        """A repository is renamed into place complete, so its name is enough."""
        return self.repository.exists()

    @property
    def is_condemned(self) -> bool:
        return (self.repository / _CONDEMNED).exists()

    @property
    def last_used(self) -> float:
        """Unix seconds; 0 if it never was."""
        return _time_of(self.use)

    def condemn(self) -> None:
        """Let those who use it go on; nobody gets it any more, and it goes when the last of them ends."""
        (self.repository / _CONDEMNED).touch()


class Locked(GitError):
    """Others held a lock for longer than we wait for it."""


class Lease:
    """While it is held, the repository is not evicted and nothing in it expires."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        with contextlib.suppress(OSError):
            os.utime(self._descriptor)
        os.close(self._descriptor)


class Shelf:
    """`patience_s`: how long anybody waits for a lock, which is as long as somebody else may fetch."""

    def __init__(self, root: Path, *, patience_s: float) -> None:
        self.root = root
        self._patience_s = patience_s
        self._turns: dict[Path, asyncio.Lock] = {}

    def entry(self, url: CloneUrl) -> Entry:
        """The URL's repository that is in use, else the place for a new one."""
        key = hashlib.sha256(url.canonical.encode()).hexdigest()[:32]
        there = {_number(path): path for path in (self.root / "repositories").glob(f"{key}*.git")}
        sound = [number for number, path in there.items() if not (path / _CONDEMNED).exists()]
        number = max(sound) if sound else max(there, default=-1) + 1
        return Entry(self.root, f"{key}-{number}" if number else key)

    def entries(self) -> list[Entry]:
        return [Entry(self.root, path.stem) for path in sorted((self.root / "repositories").glob("*.git"))]

    async def lease(self, entry: Entry) -> Lease:
        descriptor = _open(entry.use)
        try:
            await _flock(descriptor, fcntl.LOCK_SH, self._patience_s)
            os.utime(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        return Lease(descriptor)

    @asynccontextmanager
    async def exclusive(self, lock: Path, *, patience_s: float | None = None) -> AsyncIterator[int]:
        """One at a time, of the tasks of this process and then of all processes. Gives the lock's descriptor.

        Raises Locked where either takes longer than our patience, or `patience_s`.
        """
        patience_s = self._patience_s if patience_s is None else patience_s
        turn = self._turns.setdefault(lock, asyncio.Lock())
        try:
            async with asyncio.timeout(patience_s):
                await turn.acquire()
        except TimeoutError:
            raise _locked(patience_s) from None
        try:
            descriptor = _open(lock)
            try:
                await _flock(descriptor, fcntl.LOCK_EX, patience_s)
                yield descriptor
            finally:
                os.close(descriptor)
        finally:
            turn.release()

    @asynccontextmanager
    async def at_once(self, lock: Path) -> AsyncIterator[int | None]:
        """The same without waiting: None if somebody else holds it."""
        turn = self._turns.setdefault(lock, asyncio.Lock())
        if turn.locked():
            yield None
            return
        async with turn:
            descriptor = _open(lock)
            try:
                yield descriptor if _try(descriptor, fcntl.LOCK_EX) else None
            finally:
                os.close(descriptor)

    @contextmanager
    def alone(self, entry: Entry) -> Iterator[bool]:
        """Whether nobody has a lease; nobody gets one inside the block, which must be short."""
        descriptor = _open(entry.use)
        try:
            yield _try(descriptor, fcntl.LOCK_EX)
        finally:
            os.close(descriptor)

    @asynccontextmanager
    async def building(self, entry: Entry) -> AsyncIterator[Path]:
        """An empty folder that is removed at the end, unless it was renamed; `sweep` leaves it alone until then."""
        (self.root / "building").mkdir(parents=True, exist_ok=True)
        entry.repository.parent.mkdir(parents=True, exist_ok=True)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=f"{entry.name}-", dir=self.root / "building"))
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if _try(descriptor, fcntl.LOCK_EX) and os.fstat(descriptor).st_nlink:
                break
            os.close(descriptor)  # a sweeper was there between the two calls, and removes it
        try:
            yield folder
        finally:
            os.close(descriptor)
            await asyncio.to_thread(remove_folder, folder)

    def discard(self, entry: Entry) -> Path:
        """Out of the way at once, by a rename; whoever calls deletes the folder that it gives. The lock is theirs."""
        trash = self.root / "trash"
        trash.mkdir(parents=True, exist_ok=True)
        return entry.repository.rename(trash / f"{entry.name}-{time.time_ns()}")

    def sweep(self) -> int:
        """Remove what killed processes were building or deleting; how many folders that were."""
        left = [*(self.root / "building").glob("*"), *(self.root / "trash").glob("*")]
        return sum(map(_swept, left))


async def _flock(descriptor: int, kind: int, patience_s: float) -> None:
    try:
        async with asyncio.timeout(patience_s):
            while not _try(descriptor, kind):  # noqa: ASYNC110 - other processes set no events
                await asyncio.sleep(LOCK_POLL_S)
    except TimeoutError:
        raise _locked(patience_s) from None


def _locked(patience_s: float) -> Locked:
    return Locked(f"the git cache was locked by others for more than {patience_s:.0f} s")


def _open(lock: Path) -> int:
    lock.parent.mkdir(parents=True, exist_ok=True)
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _swept(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if not _try(descriptor, fcntl.LOCK_EX):
            return False
        remove_folder(folder)
    finally:
        os.close(descriptor)
    return True


def _number(repository: Path) -> int:
    number = repository.stem.partition("-")[2]
    return int(number) if number.isdigit() else 0


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
