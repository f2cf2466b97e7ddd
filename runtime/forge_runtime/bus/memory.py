"""The bus within one process: for tests, and for anything that runs its workers in its own event loop.

It passes the same contract tests as JetStream and copies its character: acks are not fenced, a message whose ack wait
has passed is handed out again, hints carry no promise. `MemoryServer` is what connections share; each `MemoryBus` is
one connection. Ack waits follow the server's clock; whoever injects one that stands still calls `tick` after moving it.
"""

import asyncio
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from forge_runtime.bus.hints import KeyHints
from forge_runtime.bus.memory_neighbours import MemoryNeighbours
from forge_runtime.bus.memory_queue import HeldMessage, MemoryQueue, StrandedMessage, fits
from forge_runtime.bus.port import (
    LINE_BYTES_MAX,
    OBJECT_FRESH_S,
    BusUnavailable,
    Conflict,
    Delivery,
    Entry,
    EventDelivery,
    Queued,
    QueueDepth,
    QueueFull,
    Take,
    TooLarge,
    check_digest,
)
from forge_runtime.dead_letter import Cause, DeadLetter, decode_cause, encode_cause
from forge_runtime.lane import Lane
from forge_runtime.subject import (
    EVENTS_FILTER,
    EVENTS_STREAM,
    JOBS_BUCKET,
    LOG_STREAMS,
    MAX_DELIVER,
    QUEUES,
    RUNS_BUCKET,
    WorkQueue,
    job_key,
)

_MESSAGE_BYTES_MAX: Final = 1023 * 1024
"""What fits into a message of a NATS server as it comes: 1 MiB with headers, less the headroom that we keep."""

_FOREVER_S: Final = 3600.0

_log = logging.getLogger(__name__)


class MemoryServer:
    """What all connections see. `clock`: seconds, of any origin."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock: Final = clock
        self.stranded: Final = MemoryQueue(clock, deliveries_max=None)
        """One notice a message: its stream as subject, its number as data."""
        self.queues: Final = {
            queue.stream: MemoryQueue(clock, MAX_DELIVER, partial(self._strand, queue.stream)) for queue in QUEUES
        }
        self.buckets: Final = {JOBS_BUCKET: _Bucket(), RUNS_BUCKET: _Bucket()}
        self.objects: Final[dict[str, tuple[bytes, float]]] = {}
        self.lines: Final[list[_LineReader]] = []
        self.ends: Final[defaultdict[str, list[KeyHints]]] = defaultdict(list)
        self.neighbours: Final = MemoryNeighbours()
        self.dead_letters: Final[dict[str, DeadLetter]] = {}
        self.letter_numbers: Final = itertools.count(1)
        self._events: list[tuple[str, bytes]] = []
        self._consumers: dict[str, MemoryQueue] = {}

    def tick(self) -> None:
        """Wake whoever waits for a message: the clock was moved."""
        for queue in (*self.queues.values(), *self._consumers.values(), self.stranded):
            queue.wake()

    def add_event(self, subject: str, data: bytes) -> None:
        self._events.append((subject, data))
        for queue in self._consumers.values():
            self._offer(queue, subject, data)

    def consumer(self, name: str) -> MemoryQueue:
        """Made on first use, with everything that was published before."""
        if name not in self._consumers:
            self._consumers[name] = queue = MemoryQueue(self.clock, deliveries_max=None)
            for subject, data in self._events:
                self._offer(queue, subject, data)
        return self._consumers[name]

    def _strand(self, stream: str, number: int) -> None:
        self.stranded.add(stream, str(number).encode())

    def _offer(self, queue: MemoryQueue, subject: str, data: bytes) -> None:
        if fits(EVENTS_FILTER, subject):
            queue.add(subject, data)


class MemoryBus:
    """A Bus: one connection to a MemoryServer (to one of its own, unless told)."""

    def __init__(self, server: MemoryServer | None = None) -> None:
        self.server: Final = server or MemoryServer()
        self.jobs: Final = MemoryRecords(self.server.buckets[JOBS_BUCKET], self._require_open)
        self.runs: Final = MemoryRecords(self.server.buckets[RUNS_BUCKET], self._require_open)
        self.dead_letters: Final = MemoryDeadLetters(self.server, self._require_open)
        self._readers: list[_LineReader] = []
        self._closed = False

    async def publish_job(
        self,
        subject: str,
        data: bytes,
        traceparent: str | None = None,  # noqa: ARG002 - nobody can look at this bus from outside
        queued: Queued | None = None,
        preferred: str | None = None,
    ) -> bool:
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
        stored.add(subject, data, queued, preferred)
        return True

    async def queue_depth(self, queue: WorkQueue) -> QueueDepth:
        self._require_open()
        pending, in_flight = self.server.queues[queue.stream].depth()
        return QueueDepth(pending=pending, in_flight=in_flight, limit=queue.messages_max)

    async def pull(self, queue: WorkQueue, timeout_s: float, lane: Lane = Lane.MAIN) -> Delivery | None:
        self._require_open()
        return await self.server.queues[queue.stream].pull(timeout_s, queue.lane_filter(lane))

    def neighbours(
        self, worker: str, queues: Sequence[WorkQueue], take: Take
    ) -> AbstractAsyncContextManager[MemoryNeighbours]:
        self._require_open()
        return self.server.neighbours.joined(worker, queues, take)

    async def pull_stranded(self, timeout_s: float) -> Delivery | None:
        self._require_open()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (notice := await self.server.stranded.pull(deadline - loop.time())) is not None:
            queue, number = self.server.queues[notice.subject], int(notice.data)
            message = queue.find(number)
            if message is not None:
                return StrandedMessage(HeldMessage(queue, number, message), notice)
            await notice.ack()
        return None

    async def purge(self, queue: WorkQueue, subjects: str) -> int:
        self._require_open()
        return self.server.queues[queue.stream].purge(subjects)

    async def passed_over(self, queue: WorkQueue, subject: str) -> bool:  # noqa: ARG002
        """Its memory is lost as a whole or not at all."""
        self._require_open()
        return False

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

    async def publish_event(self, subject: str, *events: bytes) -> None:
        self._require_open()
        for data in events:
            _check_size(f"publish event {subject}", data)
            if b"\n" in data:
                raise ValueError(f"publish event {subject}: an event is one line")
        if not any(fits(pattern, subject) for pattern in _EVENT_SUBJECTS):
            raise BusUnavailable(f"publish event {subject}: {EVENTS_STREAM} does not have this subject")
        for data in events:
            self.server.add_event(subject, data)

    async def events(self, consumer: str) -> AsyncIterator[EventDelivery]:
        while True:
            self._require_open()
            held = await self.server.consumer(consumer).pull(_FOREVER_S)
            if held is not None:
                yield EventDelivery(subject=held.subject, data=held.data, ack=held.ack)

    async def tell_end(self, run_id: str, job_id: str, record: bytes) -> None:
        self._require_open()
        for hints in self.server.ends[run_id]:
            hints.note(job_key(run_id, job_id), record)

    @asynccontextmanager
    async def ends(self, run_id: str) -> AsyncIterator[KeyHints]:
        self._require_open()
        hints = KeyHints()
        self.server.ends[run_id].append(hints)
        try:
            yield hints
        finally:
            self.server.ends[run_id].remove(hints)

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

    async def time(self) -> float:
        self._require_open()
        return time.time()

    async def reconnected(self, limit_s: float) -> bool:
        """It is never lost, only closed."""
        await asyncio.sleep(limit_s)
        return False

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


class MemoryDeadLetters:
    """A DeadLetters, as one connection sees it. Letters stay in the order of their sequences."""

    def __init__(self, server: MemoryServer, require_open: Callable[[], None]) -> None:
        self._server = server
        self._require_open = require_open

    async def bury(self, subject: str, data: bytes, cause: Cause) -> None:
        self._require_open()
        self._server.dead_letters.pop(subject, None)
        self._server.dead_letters[subject] = DeadLetter(
            sequence=next(self._server.letter_numbers),
            subject=subject,
            data=data[:_MESSAGE_BYTES_MAX],
            cause=decode_cause(encode_cause(cause)),
            buried_at=time.time(),
        )

    async def list(self, pattern: str, *, after: int = 0, limit: int) -> list[DeadLetter]:
        self._require_open()
        letters = self._server.dead_letters.values()
        return [letter for letter in letters if letter.sequence > after and fits(pattern, letter.subject)][:limit]

    async def drop(self, sequence: int) -> bool:
        self._require_open()
        for subject, letter in self._server.dead_letters.items():
            if letter.sequence == sequence:
                del self._server.dead_letters[subject]
                return True
        return False


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
                hints.note(key, value)
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
