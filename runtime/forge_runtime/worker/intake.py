"""Where a worker's free slots get their jobs from: the lanes of its pools, by turns.

    slot is free   looks into one lane after another, without waiting, in the order of its turn; takes the first job
    all are empty  waits; one pull a lane stays open at the server for all slots that wait together
    job arrives    goes to the slot that waits longest; when nobody waits any more, the open pulls are withdrawn
    job offered    by another worker (preference.py): goes to such a slot, or to one that will look in a moment

So a job is never held by a worker that is busy, and a worker that is idle costs the server a pull a lane, however many
slots it has. What two lanes hand out at once to the last free slot is handed back.
"""

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, NamedTuple

from forge_runtime.bus.port import Bus, BusUnavailable, Delivery
from forge_runtime.lane import TURNS, Lane
from forge_runtime.retry import backoff_s
from forge_runtime.subject import WorkQueue
from forge_runtime.tasks import end_tasks
from forge_runtime.worker.source import Source, Sources

PULL_S: Final = 30.0

EMPTY_S: Final = 0.02
"""A lane found empty is passed over for so long: a look into it costs a round trip, and jobs last longer than this."""

CLAIM_TURNS: Final = 3
"""Of the loop, until a slot that was given a job has sent its claim: the next pull goes out behind it, together."""

FAILED_S: Final = 5.0
"""The longest pause between two pulls from a queue that refuses them; a slot that looks passes it over for so long."""

OFFER_HELD_S: Final = 0.1
"""How long an offer waits for a slot that is about to be free: its job is over, and there are two writes to be done."""


class Taken(NamedTuple):
    """`shared`: two workers may hold this message, one offered it to the other; who claims its record has it."""

    queue: WorkQueue
    delivery: Delivery
    shared: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Offer:
    taken: Taken
    accepted: asyncio.Future[bool]


class Intake:
    """Of one worker. Each slot calls `next` while it is free, and only then; `coming`: how many will in a moment."""

    def __init__(
        self,
        bus: Bus,
        queues: Sequence[WorkQueue],
        clock: Callable[[], float] = time.monotonic,
        coming: Callable[[], int] = lambda: 0,
        sources: Sources | None = None,
    ) -> None:
        self._bus = bus
        self.queues: Final = tuple(queues)
        self._queues = deque(queues)
        self._turns = {queue.pool: itertools.cycle([lane for lane in TURNS if lane in queue.lanes]) for queue in queues}
        self._clock = clock
        self._coming = coming
        self._sources = sources or Sources()
        self._looking = 0
        self._offers: deque[_Offer] = deque()
        self._empty_until: dict[Source, float] = {}
        self._waiting: deque[asyncio.Future[Taken | None]] = deque()
        self._pulls: dict[Source, asyncio.Task[None]] = {}
        self._closed = False

    async def next(self, limit_s: float) -> Taken | None:
        """The next job; None if there is none for `limit_s`, or no more are wanted."""
        self._looking += 1
        try:
            taken = await self._look()
        finally:
            self._looking -= 1
            self._decline(self._room())
        taken = taken or await self._wait(limit_s)
        if taken is not None and self._closed:
            await _hand_back(taken)
            return None
        return taken

    async def take(self, queue: WorkQueue, delivery: Delivery) -> bool:
        """Whether a slot takes what another worker offers. Busy slots do not keep anybody waiting."""
        taken = Taken(queue, delivery, shared=True)
        if self._closed:
            return False
        if self._waiting:
            self._waiting.popleft().set_result(taken)
            if not self._waiting:  # at once, as after a pull: nobody is there for what comes now
                await self._withdraw()
            return True
        if len(self._offers) >= self._room():
            return False
        offer = _Offer(taken, asyncio.get_running_loop().create_future())
        self._offers.append(offer)
        try:
            await asyncio.wait((offer.accepted,), timeout=OFFER_HELD_S)
        finally:
            if not offer.accepted.done():
                self._offers.remove(offer)
        return offer.accepted.done() and offer.accepted.result()

    async def close(self) -> None:
        """No more jobs: whoever waits gets None, and no pull is left open."""
        self._closed = True
        self._decline(0)
        while self._waiting:
            self._waiting.popleft().set_result(None)
        await self._withdraw()

    async def _look(self) -> Taken | None:
        """A job that is offered, or lies there now."""
        if (offered := self._offered()) is not None:
            return offered
        for source in self._order():
            if self._closed:
                break
            if self._empty_until.get(source, 0.0) > self._clock():
                continue
            try:
                delivery = await self._bus.pull(source.queue, 0, source.lane)
            except BusUnavailable as error:
                self._sources.failed(source, error)
                self._empty_until[source] = self._clock() + FAILED_S
            else:
                self._sources.answered(source)
                if delivery is not None:
                    return Taken(source.queue, delivery)
                self._empty_until[source] = self._clock() + EMPTY_S
            if (offered := self._offered()) is not None:
                return offered
        return None

    def _room(self) -> int:
        """How many offers will find a slot."""
        return self._looking + self._coming()

    def _offered(self) -> Taken | None:
        if not self._offers:
            return None
        offer = self._offers.popleft()
        offer.accepted.set_result(True)
        return offer.taken

    def _decline(self, room: int) -> None:
        """What will find none: the slot that it waited for has another job."""
        while len(self._offers) > room:
            self._offers.pop().accepted.set_result(False)

    def _order(self) -> Iterator[Source]:
        """Where a free slot looks: one pool after another goes first, and in each the lane whose turn it is."""
        self._queues.rotate(-1)
        for queue in tuple(self._queues):
            turn = next(self._turns[queue.pool])
            yield Source(queue, turn)
            yield from (Source(queue, lane) for lane in Lane if lane in queue.lanes and lane is not turn)

    async def _wait(self, limit_s: float) -> Taken | None:
        """A job that comes."""
        if self._closed:
            return None
        slot: asyncio.Future[Taken | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(slot)
        for source in (Source(queue, lane) for queue in self._queues for lane in queue.lanes):
            if source not in self._pulls:
                self._pulls[source] = asyncio.create_task(self._pull(source))
        try:
            await asyncio.wait((slot,), timeout=limit_s)
        except asyncio.CancelledError:
            if slot.done() and slot.exception() is None and (taken := slot.result()) is not None:
                await _hand_back(taken)
            raise
        finally:
            if not slot.done():
                self._waiting.remove(slot)
                if not self._waiting:
                    await self._withdraw()
        return slot.result() if slot.done() else None

    async def _pull(self, source: Source) -> None:
        """Jobs of one lane for slots that wait. Whoever serves the last one withdraws all pulls, without a pause."""
        failures = 0
        while self._waiting:
            try:
                # After a failure a look is enough to know that it is over.
                delivery = await self._bus.pull(source.queue, 0 if failures else PULL_S, source.lane)
            except BusUnavailable as error:
                self._sources.failed(source, error)
                await asyncio.sleep(backoff_s(failures, random.random(), FAILED_S))  # noqa: S311 - spreads load
                failures += 1
                continue
            except Exception as error:
                # Told to one slot, which comes again after a while.
                self._waiting.popleft().set_exception(error)
                continue
            failures = 0
            self._sources.answered(source)
            if delivery is not None:
                self._empty_until.pop(source, None)
                self._waiting.popleft().set_result(Taken(source.queue, delivery))
                for _ in range(CLAIM_TURNS if self._waiting else 0):
                    await asyncio.sleep(0)
        del self._pulls[source]
        await self._withdraw()

    async def _withdraw(self) -> None:
        pulls, self._pulls = list(self._pulls.values()), {}
        await end_tasks(*pulls)


async def _hand_back(taken: Taken) -> None:
    with suppress(BusUnavailable):  # it comes back after the ack wait as well
        await taken.delivery.retry(0.0)
