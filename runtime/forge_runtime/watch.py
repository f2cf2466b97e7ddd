"""Waiting for records: woken by hints, sure by reading.

A hint says that a key changed. It may be lost, and it may come before the new value can be read; so every wait reads
again after each hint, shortly after that once more, and every 5 s without any.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TypeVar

from forge_runtime import subject
from forge_runtime.bus.port import Bus, BusUnavailable, Records
from forge_runtime.tasks import end_tasks

SAFETY_READ_S: Final = 5.0
HINT_WAIT_S: Final = 5.0
AFTER_HINT_S: Final = (0.05, 0.5)
"""A hint's value is readable within a millisecond on one server, later on a cluster."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Watch:
    """Hints of one or more buckets, from `async with` on."""

    def __init__(self, *sources: tuple[Records, str]) -> None:
        """`sources`: buckets, and the pattern of the keys that may be waited for."""
        self._sources = sources
        self._hinted: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._pumps: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._pumps = [asyncio.create_task(self._pump(*source)) for source in self._sources]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await end_tasks(*self._pumps)

    async def until(self, key: str, read: Callable[[], Awaitable[T | None]], limit_s: float) -> T | None:
        """What `read` finds once it finds something; asked anew whenever `key` changes. None after `limit_s`."""
        end = time.monotonic() + limit_s
        hinted = asyncio.Event()
        self._hinted[key].add(hinted)
        try:
            pauses: tuple[float, ...] = ()
            while True:
                hinted.clear()
                found = await read()
                left_s = end - time.monotonic()
                if found is not None or left_s <= 0:
                    return found
                pause_s, *rest = pauses or (SAFETY_READ_S,)
                pauses = tuple(rest)
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(pause_s, left_s)):
                        await hinted.wait()
                    pauses = AFTER_HINT_S
        finally:
            self._hinted[key].discard(hinted)
            if not self._hinted[key]:
                del self._hinted[key]

    async def _pump(self, records: Records, pattern: str) -> None:
        while True:
            try:
                async with records.changes(pattern) as hints:
                    while True:
                        key = await hints.next(HINT_WAIT_S)
                        for hinted in self._hinted.get(key or "", ()):
                            hinted.set()
            except BusUnavailable as unavailable:
                _log.warning("no hints for now, reading every 5 s", extra={"why": str(unavailable)})
                await asyncio.sleep(SAFETY_READ_S)


def watch_run(bus: Bus, run_id: str) -> Watch:
    """Hints of a run's jobs and of its cancel flag."""
    return Watch((bus.jobs, subject.job_keys(run_id)), (bus.runs, subject.CANCEL_KEYS))
