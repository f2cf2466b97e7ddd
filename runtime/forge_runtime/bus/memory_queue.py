"""A work queue within one process, with the character of a JetStream consumer.

Acks are not fenced, a message whose ack wait has passed is handed out again, and one that was handed out as often as it
may be stays where it is, invisible, and is told once.
"""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from forge_runtime.bus.port import Queued
from forge_runtime.subject import ACK_WAIT_S

_FOREVER_S: Final = 3600.0


@dataclass(slots=True)
class QueuedMessage:
    subject: str
    data: bytes
    due: float
    """When it may be handed out (again)."""
    deliveries: int = 0
    stranded: bool = False
    queued: Queued | None = None
    preferred: str | None = None


class MemoryQueue:
    """Messages in order of arrival; one that was handed out is due again after its ack wait.

    One that was handed out `deliveries_max` times stays, and is told once, by number, to `note_stranded`.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        deliveries_max: int | None,
        note_stranded: Callable[[int], None] = lambda _number: None,
    ) -> None:
        self._clock = clock
        self._deliveries_max = deliveries_max
        self._note_stranded = note_stranded
        self._messages: dict[int, QueuedMessage] = {}
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def depth(self) -> tuple[int, int]:
        """How many wait to be handed out for the first time, and how many were; one that is stranded is neither."""
        open_ = [message for message in self._messages.values() if not message.stranded]
        pending = sum(message.deliveries == 0 for message in open_)
        return pending, len(open_) - pending

    def holds(self, subject: str) -> bool:
        return any(message.subject == subject for message in self._messages.values())

    def add(self, subject: str, data: bytes, queued: Queued | None = None, preferred: str | None = None) -> None:
        self._messages[next(self._numbers)] = QueuedMessage(
            subject, data, due=self._clock(), queued=queued, preferred=preferred
        )
        self.wake()

    def defer(self, number: int, delay_s: float) -> None:
        if number in self._messages:
            self._messages[number].due = self._clock() + delay_s
            self.wake()

    def find(self, number: int) -> QueuedMessage | None:
        return self._messages.get(number)

    def remove(self, number: int) -> None:
        self._messages.pop(number, None)

    def purge(self, pattern: str) -> int:
        gone = [number for number, message in self._messages.items() if fits(pattern, message.subject)]
        for number in gone:
            del self._messages[number]
        return len(gone)

    def wake(self) -> None:
        self._changed.set()

    async def pull(self, timeout_s: float, pattern: str = ">") -> "HeldMessage | None":
        """The first message whose subject fits and that may be handed out, or None after `timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (held := self._take(pattern)) is None:
            left = deadline - loop.time()
            if left <= 0:
                return None
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, self._next_due_s(pattern))):
                    await self._changed.wait()
        return held

    def _take(self, pattern: str) -> "HeldMessage | None":
        now = self._clock()
        for number, message in self._messages.items():
            if message.due > now or message.stranded or not fits(pattern, message.subject):
                continue
            if not self._may_deliver(message):
                message.stranded = True
                self._note_stranded(number)
                continue
            message.deliveries += 1
            message.due = now + ACK_WAIT_S
            return HeldMessage(self, number, message)
        return None

    def _next_due_s(self, pattern: str) -> float:
        due = [
            message.due
            for message in self._messages.values()
            if self._may_deliver(message) and fits(pattern, message.subject)
        ]
        return max(0.001, min(due) - self._clock()) if due else _FOREVER_S

    def _may_deliver(self, message: QueuedMessage) -> bool:
        return self._deliveries_max is None or message.deliveries < self._deliveries_max


class HeldMessage:
    """A Delivery. As with JetStream, a holder whose ack wait has passed can still ack, and ends the message."""

    def __init__(self, queue: MemoryQueue, number: int, message: QueuedMessage) -> None:
        self._queue = queue
        self._number = number
        self.subject: Final = message.subject
        self.data: Final = message.data
        self.deliveries: Final = message.deliveries
        self.queued: Final = message.queued
        self.preferred: Final = message.preferred

    async def progress(self) -> None:
        self._queue.defer(self._number, ACK_WAIT_S)

    async def ack(self) -> None:
        self._queue.remove(self._number)

    async def retry(self, delay_s: float) -> None:
        self._queue.defer(self._number, delay_s)


class StrandedMessage:
    """A Delivery of what its own queue delivers no more."""

    def __init__(self, message: HeldMessage, notice: HeldMessage) -> None:
        self.subject: Final = message.subject
        self.data: Final = message.data
        self.deliveries: Final = message.deliveries
        self.queued: Final = message.queued
        self.preferred: Final = message.preferred
        self._message = message
        self._notice = notice

    async def progress(self) -> None:
        await self._notice.progress()

    async def ack(self) -> None:
        await self._message.ack()
        await self._notice.ack()

    async def retry(self, delay_s: float) -> None:
        await self._notice.retry(delay_s)


def fits(pattern: str, subject: str) -> bool:
    """NATS wildcards: `*` is one token, a final `>` is one or more."""
    wanted, actual = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(actual) > index
        if index >= len(actual) or part not in ("*", actual[index]):
            return False
    return len(wanted) == len(actual)
