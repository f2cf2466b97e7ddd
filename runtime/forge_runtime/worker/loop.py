"""The worker's loop: N slots, each pulling one job at a time from the worker's pools, until told to stop.

A slot pulls only while it is free, so a job is never held by a worker that is busy, and only while there is room on the
disk: a worker that can do nothing would always be free, and take every job only to fail it. Stopping drains: no new
jobs; what runs may end within the grace time; what is left then is stopped and handed back, which costs it no start.
"""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from forge_runtime.bus.port import BusUnavailable, Delivery
from forge_runtime.folder import check_room
from forge_runtime.meter import SlotState
from forge_runtime.subject import WorkQueue
from forge_runtime.worker.attempt import Attempt
from forge_runtime.worker.execution import Bench

PULL_S: Final = 30.0
AFTER_ERROR_S: Final = 1.0
WITHOUT_ROOM_S: Final = 5.0
"""Until a worker whose disk is full looks again."""

HAND_BACK_S: Final = 20.0
"""For the last step of a drain: ending process groups, writing the records."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """`queues` in order of preference: where two have work, the first goes first."""

    bench: Bench
    queues: Sequence[WorkQueue]
    slots: int
    grace_s: float

    async def serve(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain."""
        async with self.bench.watch, self.bench.flags:
            slots = [asyncio.create_task(self._slot(stop)) for _ in range(self.slots)]
            try:
                await stop.wait()
                _log.info("draining", extra={"grace_s": self.grace_s})
                _, busy = await asyncio.wait(slots, timeout=self.grace_s)
                if busy:
                    self.bench.drain.set()
                    await asyncio.wait(slots, timeout=HAND_BACK_S)
            finally:
                for slot in slots:
                    slot.cancel()
                await asyncio.gather(*slots, return_exceptions=True)

    async def _slot(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                if not self._has_room():
                    with suppress(TimeoutError):
                        async with asyncio.timeout(WITHOUT_ROOM_S):
                            await stop.wait()
                    continue
                with self._free_slot():
                    pulled = await self._pull(stop)
                if pulled is not None:
                    queue, delivery = pulled
                    with self.bench.meter.slot(queue.pool, SlotState.BUSY):
                        await Attempt(self.bench, queue, delivery).run()
            except BusUnavailable as error:
                _log.warning("bus unavailable", extra={"why": str(error)})
                await asyncio.sleep(AFTER_ERROR_S)
            except Exception:
                # One job must not take a slot with it: its message comes back after the ack wait.
                _log.exception("attempt failed")
                await asyncio.sleep(AFTER_ERROR_S)

    @contextmanager
    def _free_slot(self) -> Iterator[None]:
        """Free for each of the pools, since it takes the first job of any."""
        with ExitStack() as counted:
            for queue in self.queues:
                counted.enter_context(self.bench.meter.slot(queue.pool, SlotState.FREE))
            yield

    def _has_room(self) -> bool:
        try:
            check_room(self.bench.scratch)
        except OSError as error:
            _log.error("no room for work, pulling no jobs", extra={"why": str(error)})
            return False
        return True

    async def _pull(self, stop: asyncio.Event) -> tuple[WorkQueue, Delivery] | None:
        """The first message of any pool; None when told to stop, or when there was none for a while."""
        pulls = [(queue, asyncio.create_task(self.bench.bus.pull(queue, PULL_S))) for queue in self.queues]
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({stopping, *(pull for _, pull in pulls)}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            for _, pull in pulls:
                pull.cancel()  # leaves one that is done as it is
            await asyncio.gather(stopping, *(pull for _, pull in pulls), return_exceptions=True)
        arrived = [
            (queue, delivery)
            for queue, pull in pulls
            if not pull.cancelled() and pull.exception() is None and (delivery := pull.result()) is not None
        ]
        for _, surplus in arrived[1:]:
            with suppress(BusUnavailable):  # it comes back after the ack wait as well
                await surplus.retry(0.0)
        if not arrived:
            for _, pull in pulls:
                if not pull.cancelled():
                    pull.result()  # raises what the pull raised
            return None
        return arrived[0]
