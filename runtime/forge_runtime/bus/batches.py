"""Events that are told at the same time go out as one message: a message costs a synced write, whatever it holds.

    nothing is under way   a message is sent in this turn of the loop, with all that came in it
    one is under way       what comes waits, and goes together in the next

So nobody waits for company, and the busier a process is the more its messages hold. A message's events are its lines;
most have one. Those who read events do not see it: each event is handed out by itself, and the message is acked with
the last of them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final, NamedTuple

from forge_runtime.bus.port import EventDelivery

BATCH_EVENTS_MAX: Final = 200
BATCH_BYTES_MAX: Final = 256 * 1024
"""A single event may be larger: up to what a message may hold."""

_LINE_END: Final = b"\n"

Store = Callable[[str, bytes], Awaitable[object]]
"""Stores a message under a subject."""


class _Told(NamedTuple):
    events: Sequence[bytes]
    stored: "asyncio.Future[None]"


class EventBatches:
    """Of one connection; `store` raises what a publisher shall see."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: defaultdict[str, list[_Told]] = defaultdict(list)
        self._senders: dict[str, asyncio.Task[None]] = {}

    async def publish(self, subject: str, events: Sequence[bytes]) -> None:
        """Stored when this returns, in this order. ValueError for an event of several lines."""
        if any(_LINE_END in event for event in events):
            raise ValueError(f"publish event {subject}: an event is one line")
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[subject].append(_Told(events, stored))
        if subject not in self._senders:
            self._senders[subject] = asyncio.create_task(self._send(subject))
        await stored

    async def _send(self, subject: str) -> None:
        try:
            while waiting := self._waiting.pop(subject, None):
                for batch in _batches(waiting):
                    await self._send_one(subject, batch)
        finally:
            del self._senders[subject]

    async def _send_one(self, subject: str, batch: Sequence[_Told]) -> None:
        try:
            await self._store(subject, _LINE_END.join(event for told in batch for event in told.events))
        except Exception as error:
            for told in batch:
                if not told.stored.done():
                    told.stored.set_exception(error)
        else:
            for told in batch:
                if not told.stored.done():
                    told.stored.set_result(None)


def split(delivery: EventDelivery) -> Iterator[EventDelivery]:
    """The events of a message, each to be acked by itself."""
    parts = lines(delivery.data)
    if len(parts) == 1:
        yield delivery
        return
    left = set(range(len(parts)))

    def acked(number: int) -> Callable[[], Awaitable[None]]:
        async def ack() -> None:
            left.discard(number)
            if not left:
                await delivery.ack()

        return ack

    for number, part in enumerate(parts):
        yield EventDelivery(subject=delivery.subject, data=part, ack=acked(number))


def lines(data: bytes) -> list[bytes]:
    """The events of a message as it is stored."""
    return data.split(_LINE_END)


def _batches(waiting: Sequence[_Told]) -> Iterator[list[_Told]]:
    batch: list[_Told] = []
    events = size = 0
    for told in waiting:
        told_size = sum(map(len, told.events))
        if batch and (events + len(told.events) > BATCH_EVENTS_MAX or size + told_size > BATCH_BYTES_MAX):
            yield batch
            batch, events, size = [], 0, 0
        batch.append(told)
        events += len(told.events)
        size += told_size
    if batch:
        yield batch
