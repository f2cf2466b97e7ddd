"""Waiting for records: woken by hints, sure by reading.

A hint says that somebody wrote a key. It may be lost, it may come before the new value can be read, and the write may
yet lose its race; so what it says only wakes. Every wait reads again after each hint, a few times more after that,
every 5 s without any, and when a lost connection is there again.

Of a job's end one is told that it stands. Who waits for it may know that nothing can change it any more, and is spared
the reading.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from forge_runtime import subject
from forge_runtime.bus.port import Bus, BusUnavailable, Gap, Hints
from forge_runtime.tasks import end_tasks

SAFETY_READ_S: Final = 5.0
HINT_WAIT_S: Final = 5.0
AFTER_HINT_S: Final = (0.002, 0.01, 0.05, 0.5)
"""A hint's value is readable within a millisecond or two on one server, later on a cluster."""

T = TypeVar("T")

Source = Callable[[], AbstractAsyncContextManager[Hints]]
"""Hints of the keys that may be waited for, as long as it is open."""

_log = logging.getLogger(__name__)


class Hearing(Generic[T]):
    """Hears the hints of one key, from its making on; `final` says of a value what it is if nothing can change it."""

    def __init__(self, final: Callable[[bytes], T | None]) -> None:
        self._final = final
        self._found: T | None = None
        self._heard = asyncio.Event()

    def hear(self, value: bytes) -> None:
        self._found = self._final(value)
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
            found = self._found if self._found is not None else await read()
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

    def __init__(self, *sources: Source) -> None:
        self._sources = sources
        self._hearings: defaultdict[str, set[Hearing[Any]]] = defaultdict(set)
        self._pumps: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._pumps = [asyncio.create_task(self._pump(source)) for source in self._sources]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await end_tasks(*self._pumps)

    @contextmanager
    def hearing(self, key: str, final: Callable[[bytes], T | None]) -> Iterator[Hearing[T]]:
        """For who acts first and waits then: no hint in between is missed. `final`: see Hearing."""
        hearing = Hearing(final)
        self._hearings[key].add(hearing)
        try:
            yield hearing
        finally:
            self._hearings[key].discard(hearing)
            if not self._hearings[key]:
                del self._hearings[key]

    async def until(self, key: str, read: Callable[[], Awaitable[T | None]], limit_s: float) -> T | None:
        """What `read` finds once it finds something; asked now, and whenever `key` changes. None after `limit_s`."""
        final: Callable[[bytes], T | None] = _nothing
        with self.hearing(key, final) as hearing:
            hearing.wake()
            return await hearing.until(read, limit_s)

    async def _pump(self, source: Source) -> None:
        while True:
            try:
                async with source() as hints:
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
    """Ends of a run's jobs, and its cancel flag."""
    return Watch(lambda: bus.ends(run_id), lambda: bus.runs.changes(subject.CANCEL_KEYS))


def watch_flags(bus: Bus) -> Watch:
    """The cancel flags of all runs."""
    return Watch(lambda: bus.runs.changes(subject.CANCEL_KEYS))


def _nothing(_value: bytes) -> None:
    return None
