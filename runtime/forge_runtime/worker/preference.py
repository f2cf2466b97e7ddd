"""A project's later steps go to the worker that served its earlier ones, if that one has a slot free now.

    a job's message comes   first delivery, and its publisher names another worker: offer it to that one
    taken                   its acks are the other's; our slot looks for the next job
    busy, gone, silent      we do it ourselves, at once, at once, and after 0.25 s

What the other has is warm: the run's commit in its git cache. That is worth a moment and no more: nothing waits for a
worker that is busy, nothing returns to the queue, and a job that was handed out before goes to whoever has it.
"""

import logging
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Final, Self

from forge_runtime.bus.port import Bus, BusUnavailable, Neighbours
from forge_runtime.meter import Meter
from forge_runtime.outage import ride_out
from forge_runtime.subject import worker_token
from forge_runtime.worker.intake import Intake, Taken

BEGIN_S: Final = 10.0
"""For a bus that is away just when the worker begins, which takes no jobs and hears of no SIGTERM meanwhile; after that
there is no preference until it starts anew."""

_log = logging.getLogger(__name__)


class Preference:
    """Of the worker of this name; as a context it is known to the others, whose offers its intake takes."""

    def __init__(self, worker: str, bus: Bus, intake: Intake, meter: Meter) -> None:
        self._worker = worker
        self._token = worker_token(worker)
        self._bus = bus
        self._intake = intake
        self._meter = meter
        self._neighbours: Neighbours | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            self._neighbours = await ride_out(self._known, limit_s=BEGIN_S, bus=self._bus)
        except BusUnavailable as error:
            _log.warning(
                "jobs go to whoever has a slot, wherever their project's earlier steps ran", extra={"why": str(error)}
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def _known(self) -> Neighbours:
        known = self._bus.neighbours(self._worker, self._intake.queues, self._intake.take)
        return await self._open.enter_async_context(known)

    async def kept(self, taken: Taken) -> Taken | None:
        """What is ours to do; None if another worker has it now."""
        queue, delivery, shared = taken
        preferred = delivery.preferred
        if (
            preferred is None
            or self._neighbours is None
            or preferred == self._token
            or shared
            or delivery.deliveries > 1
        ):
            return taken
        handed_over = await self._neighbours.offer(preferred, queue, delivery)
        self._meter.offered(queue.pool, handed_over)
        if handed_over:
            _log.info("job handed over", extra={"subject": delivery.subject, "to": preferred})
            return None
        return taken._replace(shared=True)
