"""The worker's loop: N slots, each taking one job at a time from the worker's intake, until told to stop.

A slot takes a job only while it is free, so a job is never held by a worker that is busy, and only while there is room
on the disk: a worker that can do nothing would always be free, and take every job only to fail it. Stopping drains: no
new jobs; what runs may end within the grace time; what is left then is stopped and handed back, which costs no start.
"""

import asyncio
import logging
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_runtime.bus.port import BusUnavailable
from forge_runtime.folder import check_room
from forge_runtime.meter import SlotState
from forge_runtime.retry import backoff_s
from forge_runtime.subject import WorkQueue
from forge_runtime.worker.attempt import Attempt
from forge_runtime.worker.execution import Bench
from forge_runtime.worker.intake import Intake, Taken
from forge_runtime.worker.preference import Preference
from forge_runtime.worker.source import Sources

INTAKE_S: Final = 30.0
"""Until a slot that waits for a job looks again whether there is room for it."""

AFTER_ERROR_S: Final = 10.0
"""The longest pause of a slot whose attempts fail one after another."""

ROOM_CHECK_S: Final = 1.0
WITHOUT_ROOM_S: Final = 5.0
"""Until a worker whose disk is full looks again."""

HAND_BACK_S: Final = 20.0
"""For the last step of a drain: ending process groups, writing the records."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """`queues` take turns: a pool with much work does not keep a worker from its others."""

    bench: Bench
    queues: Sequence[WorkQueue]
    slots: int
    grace_s: float
    sources: Sources = field(default_factory=Sources)

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain."""
        bench, attempts = self.bench, set[Attempt]()
        intake = Intake(
            bench.bus,
            self.queues,
            coming=lambda: sum(attempt.ending for attempt in attempts),
            sources=self.sources,
        )
        shift = _Shift(
            intake=intake,
            preference=Preference(bench.worker, bench.bus, intake, bench.meter),
            attempts=attempts,
            room=_Room(bench.scratch),
            stop=stop,
        )
        async with bench.watch, bench.flags, shift.preference:
            slots = [asyncio.create_task(self._slot(shift)) for _ in range(self.slots)]
            try:
                await stop.wait()
                _log.info("draining", extra={"grace_s": self.grace_s})
                await intake.close()
                _, busy = await asyncio.wait(slots, timeout=self.grace_s)
                if busy:
                    self.bench.drain.set()
                    await asyncio.wait(slots, timeout=HAND_BACK_S)
            finally:
                for slot in slots:
                    slot.cancel()
                await asyncio.gather(*slots, return_exceptions=True)

    async def _slot(self, shift: "_Shift") -> None:
        failures = 0
        while not shift.stop.is_set():
            try:
                if not shift.room.left():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(WITHOUT_ROOM_S):
                            await shift.stop.wait()
                    continue
                with self._free_slot():
                    taken = await shift.intake.next(INTAKE_S)
                    if taken is not None:
                        taken = await shift.preference.kept(taken)
                if taken is not None:
                    attempt = await self._attempt(taken, shift.attempts)
                    failures = 0
                    if attempt.infrastructure_failed:
                        shift.room.doubt()
                continue
            except BusUnavailable as error:
                _log.warning("bus unavailable", extra={"why": str(error)})
            except Exception:
                # One job must not take a slot with it: its message comes back after the ack wait.
                _log.exception("attempt failed")
            await asyncio.sleep(backoff_s(failures, random.random(), AFTER_ERROR_S))  # noqa: S311 - spreads load
            failures += 1

    async def _attempt(self, taken: Taken, attempts: set[Attempt]) -> Attempt:
        """Do the job."""
        attempt = Attempt(self.bench, taken.queue, taken.delivery, shared=taken.shared)
        attempts.add(attempt)
        try:
            with self.bench.meter.slot(taken.queue.pool, SlotState.BUSY):
                await attempt.run()
        finally:
            attempts.discard(attempt)
        return attempt

    @contextmanager
    def _free_slot(self) -> Iterator[None]:
        """Free for each of the pools, since it takes the first job of any."""
        with ExitStack() as counted:
            for queue in self.queues:
                counted.enter_context(self.bench.meter.slot(queue.pool, SlotState.FREE))
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shift:
    """What the slots share while a worker serves; `attempts` are under way."""

    intake: Intake
    preference: Preference
    attempts: set[Attempt]
    room: "_Room"
    stop: asyncio.Event


class _Room:
    """Whether work finds room on the disk; looked at once a second at most, since that means writing a megabyte.

    And after each failure: on a full disk jobs fail in no time, each at the price of one of its starts.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found_at = float("-inf")

    def left(self) -> bool:
        now = time.monotonic()
        if now < self._found_at + ROOM_CHECK_S:
            return True
        try:
            check_room(self._path)
        except OSError as error:
            _log.error("no room for work, pulling no jobs", extra={"why": str(error)})
            return False
        self._found_at = now
        return True

    def doubt(self) -> None:
        """Look again before the next job."""
        self._found_at = float("-inf")
