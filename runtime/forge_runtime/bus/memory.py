"""The bus within one process: for tests, and for anything that runs its workers in its own event loop.

It passes the same contract tests as JetStream and copies its character: acks are not fenced, a message whose ack wait
has passed is handed out again, hints carry no promise. `MemoryServer` is what connections share; each `MemoryBus` is
one connection. Ack waits follow the server's clock; whoever injects one that stands still calls `tick` after moving it.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from forge_runtime.bus.hints import KeyHints
from forge_runtime.bus.port import (
    LINE_BYTES_MAX,
    OBJECT_FRESH_S,
    BusUnavailable,
    Conflict,
    Delivery,
    Entry,
    EventDelivery,
    QueueFull,
    TooLarge,
    check_digest,
)
from forge_runtime.subject import (
    ACK_WAIT_S,
    EVENTS_FILTER,
    EVENTS_STREAM,
    JOBS_BUCKET,
    LOG_STREAMS,
    MAX_DELIVER,
    QUEUES,
    RUNS_BUCKET,
    WorkQueue,
)

_MESSAGE_BYTES_MAX: Final = 1023 * 1024
"""What fits into a message of a NATS server as it comes: 1 MiB with headers, less the headroom that we keep."""

_FOREVER_S: Final = 3600.0

_log = logging.getLogger(__name__)


class MemoryServer:
    """What all connections see. `clock`: seconds, of any origin."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock: Final = clock
        self.queues: Final = {queue.stream: _Queue(clock, MAX_DELIVER) for queue in QUEUES}
        self.buckets: Final = {JOBS_BUCKET: _Bucket(), RUNS_BUCKET: _Bucket()}
        self.objects: Final[dict[str, tuple[bytes, float]]] = {}
        self.lines: Final[list[_LineReader]] = []
        self.dead_letters: Final[list[tuple[str, bytes]]] = []
        self._events: list[tuple[str, bytes]] = []
        self._consumers: dict[str, _Queue] = {}

    def tick(self) -> None:
        """Wake whoever waits for a message: the clock was moved."""
        for queue in (*self.queues.values(), *self._consumers.values()):
            queue.wake()

    def add_event(self, subject: str, data: bytes) -> None:
        self._events.append((subject, data))
        for queue in self._consumers.values():
            self._offer(queue, subject, data)

    def consumer(self, name: str) -> "_Queue":
        """Made on first use, with everything that was published before."""
        if name not in self._consumers:
            self._consumers[name] = queue = _Queue(self.clock, deliveries_max=None)
            for subject, data in self._events:
                self._offer(queue, subject, data)
        return self._consumers[name]

    def _offer(self, queue: "_Queue", subject: str, data: bytes) -> None:
        if fits(EVENTS_FILTER, subject):
            queue.add(subject, data)


class MemoryBus:
    """A Bus: one connection to a MemoryServer (to one of its own, unless told)."""

    def __init__(self, server: MemoryServer | None = None) -> None:
        self.server: Final = server or MemoryServer()
        self.jobs: Final = MemoryRecords(self.server.buckets[JOBS_BUCKET], self._require_open)
        self.runs: Final = MemoryRecords(self.server.buckets[RUNS_BUCKET], self._require_open)
        self._readers: list[_LineReader] = []
        self._closed = False

    async def publish_job(self, subject: str, data: bytes) -> bool:
        self._require_open()
        _check_size(f"publish job {subject}", data)
        queue = next((queue for queue in QUEUES if fits(queue.filter, subject)), None)
        if queue is None:
            raise BusUnavailable(f"publish job {subject}: no stream has this subject")
        stored = self.server.queues[queue.stream]
        if stored.holds(subject):
            return False
        if len(stored) >= queue.messages_max:
            raise QueueFull(f"publish job {subject}: {queue.stream} holds {queue.messages_max} messages")
        stored.add(subject, data)
        return True

    async def pull(self, queue: WorkQueue, timeout_s: float) -> Delivery | None:
        self._require_open()
        return await self.server.queues[queue.stream].pull(timeout_s)

    async def purge(self, queue: WorkQueue, subjects: str) -> int:
        self._require_open()
        return self.server.queues[queue.stream].purge(subjects)

    async def put_object(self, digest: str, data: bytes) -> None:
        self._require_open()
        check_digest(digest, data)
        stored = self.server.objects.get(digest)
        if stored is None or self.server.clock() - stored[1] >= OBJECT_FRESH_S:
            self.server.objects[digest] = (data, self.server.clock())

    async def get_object(self, digest: str, timeout_s: float) -> bytes | None:  # noqa: ARG002  # never waits
        self._require_open()
        stored = self.server.objects.get(digest)
        return stored[0] if stored else None

    async def publish_event(self, subject: str, data: bytes) -> None:
        self._require_open()
        _check_size(f"publish event {subject}", data)
        if not any(fits(pattern, subject) for pattern in _EVENT_SUBJECTS):
            raise BusUnavailable(f"publish event {subject}: {EVENTS_STREAM} does not have this subject")
        self.server.add_event(subject, data)

    async def bury(self, subject: str, data: bytes) -> None:
        self._require_open()
        self.server.dead_letters.append((subject, data))

    async def events(self, consumer: str) -> AsyncIterator[EventDelivery]:
        while True:
            self._require_open()
            held = await self.server.consumer(consumer).pull(_FOREVER_S)
            if held is not None:
                yield EventDelivery(subject=held.subject, data=held.data, ack=held.ack)

    async def publish_line(self, subject: str, data: bytes, offset: int) -> None:
        self._require_open()
        if len(data) > LINE_BYTES_MAX:
            raise TooLarge(f"publish line {subject}: {len(data)} bytes, {LINE_BYTES_MAX} are allowed")
        for reader in self.server.lines:
            if fits(reader.pattern, subject):
                reader.arrived.put_nowait((offset, data))

    async def subscribe_lines(
        self, subject: str, handle: Callable[[int, bytes], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        self._require_open()
        reader = _LineReader(subject, handle)
        self._readers.append(reader)
        self.server.lines.append(reader)

        async def end() -> None:
            if reader in self._readers:
                self._readers.remove(reader)
                self.server.lines.remove(reader)
                await reader.end()

        return end

    async def close(self) -> None:
        self._closed = True
        for reader in self._readers:
            self.server.lines.remove(reader)
            await reader.end()
        self._readers.clear()

    def _require_open(self) -> None:
        if self._closed:
            raise BusUnavailable("this connection to the in-memory bus is closed")


class MemoryRecords:
    """A Records, as one connection sees it."""

    def __init__(self, bucket: "_Bucket", require_open: Callable[[], None]) -> None:
        self._bucket = bucket
        self._require_open = require_open

    async def get(self, key: str) -> Entry | None:
        self._require_open()
        return self._bucket.entries.get(key)

    async def create(self, key: str, value: bytes) -> int:
        self._require_open()
        if key in self._bucket.entries:
            raise Conflict(f"{key} exists already")
        return self._bucket.write(key, value)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        self._require_open()
        entry = self._bucket.entries.get(key)
        if (entry.revision if entry else 0) != revision:
            raise Conflict(f"{key} is no longer at revision {revision}")
        return self._bucket.write(key, value)

    async def put(self, key: str, value: bytes) -> int:
        self._require_open()
        return self._bucket.write(key, value)

    async def list(self, pattern: str) -> list[Entry]:
        self._require_open()
        return [entry for key, entry in self._bucket.entries.items() if fits(pattern, key)]

    @asynccontextmanager
    async def changes(self, pattern: str) -> AsyncIterator[KeyHints]:
        self._require_open()
        with self._bucket.watched(pattern) as hints:
            yield hints


class HeldMessage:
    """A Delivery. As with JetStream, a holder whose ack wait has passed can still ack, and ends the message."""

    def __init__(self, queue: "_Queue", number: int, message: "_Message") -> None:
        self._queue = queue
        self._number = number
        self.subject: Final = message.subject
        self.data: Final = message.data
        self.deliveries: Final = message.deliveries

    async def progress(self) -> None:
        self._queue.defer(self._number, ACK_WAIT_S)

    async def ack(self) -> None:
        self._queue.remove(self._number)

    async def retry(self, delay_s: float) -> None:
        self._queue.defer(self._number, delay_s)


def fits(pattern: str, subject: str) -> bool:
    """NATS wildcards: `*` is one token, a final `>` is one or more."""
    wanted, actual = pattern.split("."), subject.split(".")
    for index, part in enumerate(wanted):
        if part == ">":
            return len(actual) > index
        if index >= len(actual) or part not in ("*", actual[index]):
            return False
    return len(wanted) == len(actual)


@dataclass(slots=True)
class _Message:
    subject: str
    data: bytes
    due: float
    """When it may be handed out (again)."""
    deliveries: int = 0


class _Queue:
    """Messages in order of arrival; one that was handed out is due again after its ack wait."""

    def __init__(self, clock: Callable[[], float], deliveries_max: int | None) -> None:
        self._clock = clock
        self._deliveries_max = deliveries_max
        self._messages: dict[int, _Message] = {}
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._messages)

    def holds(self, subject: str) -> bool:
        return any(message.subject == subject for message in self._messages.values())

    def add(self, subject: str, data: bytes) -> None:
        self._messages[next(self._numbers)] = _Message(subject, data, due=self._clock())
        self.wake()

    def defer(self, number: int, delay_s: float) -> None:
        if number in self._messages:
            self._messages[number].due = self._clock() + delay_s
            self.wake()

    def remove(self, number: int) -> None:
        self._messages.pop(number, None)

    def purge(self, pattern: str) -> int:
        gone = [number for number, message in self._messages.items() if fits(pattern, message.subject)]
        for number in gone:
            del self._messages[number]
        return len(gone)

    def wake(self) -> None:
        self._changed.set()

    async def pull(self, timeout_s: float) -> HeldMessage | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (held := self._take()) is None:
            left = deadline - loop.time()
            if left <= 0:
                return None
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(left, self._next_due_s())):
                    await self._changed.wait()
        return held

    def _take(self) -> HeldMessage | None:
        now = self._clock()
        for number, message in self._messages.items():
            if message.due <= now and self._may_deliver(message):
                message.deliveries += 1
                message.due = now + ACK_WAIT_S
                return HeldMessage(self, number, message)
        return None

    def _next_due_s(self) -> float:
        due = [message.due for message in self._messages.values() if self._may_deliver(message)]
        return max(0.001, min(due) - self._clock()) if due else _FOREVER_S

    def _may_deliver(self, message: _Message) -> bool:
        return self._deliveries_max is None or message.deliveries < self._deliveries_max


@dataclass(slots=True)
class _Bucket:
    entries: dict[str, Entry] = field(default_factory=dict)
    _revision: int = 0
    _watchers: list[tuple[str, KeyHints]] = field(default_factory=list)

    def write(self, key: str, value: bytes) -> int:
        _check_size(f"write {key}", value)
        self._revision += 1
        self.entries[key] = Entry(key=key, value=value, revision=self._revision)
        for pattern, hints in self._watchers:
            if fits(pattern, key):
                hints.note(key)
        return self._revision

    @contextmanager
    def watched(self, pattern: str) -> Iterator[KeyHints]:
        watcher = (pattern, KeyHints())
        self._watchers.append(watcher)
        try:
            yield watcher[1]
        finally:
            self._watchers.remove(watcher)


class _LineReader:
    """Calls a handler for each line, one after the other; what the handler raises is logged and ends nothing."""

    def __init__(self, pattern: str, handle: Callable[[int, bytes], Awaitable[None]]) -> None:
        self.pattern: Final = pattern
        self.arrived: Final[asyncio.Queue[tuple[int, bytes]]] = asyncio.Queue()
        self._handle = handle
        self._task = asyncio.create_task(self._read())

    async def end(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _read(self) -> None:
        while True:
            offset, data = await self.arrived.get()
            try:
                await self._handle(offset, data)
            except Exception:
                _log.exception("handling a line of %s", self.pattern)


def _check_size(operation: str, data: bytes) -> None:
    if len(data) > _MESSAGE_BYTES_MAX:
        raise TooLarge(f"{operation}: {len(data)} bytes do not fit into a message of {_MESSAGE_BYTES_MAX} bytes")


_EVENT_SUBJECTS: Final = next(stream.subjects for stream in LOG_STREAMS if stream.name == EVENTS_STREAM)
