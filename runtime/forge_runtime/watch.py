"""Waiting for records: woken by hints, sure by reading.

A hint says that somebody wrote a key. It may be lost, it may come before the new value can be read, and the write may
yet lose its race; so what it says only wakes, or does not. Every wait reads again after each hint that is worth it, a
few times more after that, every 5 s without any, and when a lost connection is there again.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Final, Self, TypeVar

from forge_runtime import subject
from forge_runtime.bus.port import Bus, BusUnavailable, Gap, Records
from forge_runtime.tasks import end_tasks

SAFETY_READ_S: Final = 5.0
HINT_WAIT_S: Final = 5.0
AFTER_HINT_S: Final = (0.002, 0.01, 0.05, 0.5)
"""A hint's value is readable within a millisecond or two on one server, later on a cluster."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


def _always(_value: bytes) -> bool:
    return True


class Hearing:
    """Hears the hints of one key, from its making on; those whose value is not worth a read are passed over."""

    def __init__(self, worth: Callable[[bytes], bool]) -> None:
        self._worth = worth
        self._heard = asyncio.Event()

    def hear(self, value: bytes) -> None:
        if self._worth(value):
            self.wake()

    def wake(self) -> None:
        self._heard.set()

    async def until(self, read: Callable[[], Awaitable[T | None]], limit_s: float) -> T | None:
        """What `read` finds once it finds something, asked for the first time after a hint. None after `limit_s`."""
        end = time.monotonic() + limit_s
        pauses: tuple[float, ...] = ()
        while True:
            pause_s, *rest = pauses or (SAFETY_READ_S,)
            pauses = AFTER_HINT_S if await self._hint(min(pause_s, end - time.monotonic())) else tuple(rest)
            found = await read()
            if found is not None or time.monotonic() >= end:
                return found

    async def _hint(self, limit_s: float) -> bool:
        if not self._heard.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await self._heard.wait()
        heard = self._heard.is_set()
        self._heard.clear()
        return heard


class Watch:
    """Hints of one or more buckets, from `async with` on."""

    def __init__(self, *sources: tuple[Records, str]) -> None:
        """`sources`: buckets, and the pattern of the keys that may be waited for."""
        self._sources = sources
        self._hearings: defaultdict[str, set[Hearing]] = defaultdict(set)
        self._pumps: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._pumps = [asyncio.create_task(self._pump(*source)) for source in self._sources]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await end_tasks(*self._pumps)

    @contextmanager
    def hearing(self, key: str, worth: Callable[[bytes], bool] = _always) -> Iterator[Hearing]:
        """For who acts first and waits then: no hint in between is missed. `worth` judges what was written."""
        hearing = Hearing(worth)
        self._hearings[key].add(hearing)
        try:
            yield hearing
        finally:
            self._hearings[key].discard(hearing)
            if not self._hearings[key]:
                del self._hearings[key]

    async def until(self, key: str, read: Callable[[], Awaitable[T | None]], limit_s: float) -> T | None:
        """What `read` finds once it finds something; asked now, and whenever `key` changes. None after `limit_s`."""
        with self.hearing(key) as hearing:
            hearing.wake()
            return await hearing.until(read, limit_s)

    async def _pump(self, records: Records, pattern: str) -> None:
        while True:
            try:
                async with records.changes(pattern) as hints:
                    while True:
                        hint = await hints.next(HINT_WAIT_S)
                        if isinstance(hint, Gap):
                            for hearing in (each for heard in self._hearings.values() for each in heard):
                                hearing.wake()
                        elif hint is not None:
                            for hearing in self._hearings.get(hint.key, ()):
                                hearing.hear(hint.value)
            except BusUnavailable as unavailable:
                _log.warning("no hints for now, reading every 5 s", extra={"why": str(unavailable)})
                await asyncio.sleep(SAFETY_READ_S)


def watch_run(bus: Bus, run_id: str) -> Watch:
    """Hints of a run's jobs and of its cancel flag."""
    return Watch((bus.jobs, subject.job_keys(run_id)), (bus.runs, subject.CANCEL_KEYS))
