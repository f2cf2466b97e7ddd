"""The bus over NATS JetStream."""

import asyncio
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Final

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.client import KV_STREAM_TEMPLATE

from forge_runtime import trace
from forge_runtime.bus.batches import EventBatches, split
from forge_runtime.bus.connection import OPERATION_LIMIT_S, Connection, StoreRefused, public_url
from forge_runtime.bus.dead_letters import StreamDeadLetters
from forge_runtime.bus.hints import KeyHints
from forge_runtime.bus.neighbours import known_neighbours
from forge_runtime.bus.objects import Objects
from forge_runtime.bus.port import (
    LINE_BYTES_MAX,
    BusUnavailable,
    Delivery,
    EventDelivery,
    Neighbours,
    Queued,
    QueueDepth,
    QueueFull,
    Take,
    TooLarge,
)
from forge_runtime.bus.puller import EXPIRES_S, PREFERRED_HEADER, QUEUED_HEADER, Puller
from forge_runtime.bus.records import KeyValueRecords, heard
from forge_runtime.bus.server_time import read_time
from forge_runtime.bus.stranded import read_stranded
from forge_runtime.lane import Lane
from forge_runtime.settings import BusSettings
from forge_runtime.subject import (
    ACK_WAIT_S,
    ADVISORIES_STREAM,
    EVENTS_FILTER,
    EVENTS_STREAM,
    JOBS_BUCKET,
    PLANS_BUCKET,
    RUNS_BUCKET,
    SWEEPER,
    WorkQueue,
    ended_subject,
    ended_subjects,
    job_key,
    read_job_subject,
)

_EVENTS_PAUSE_S: Final = 1.0
"""Between two tries to read events while the bus does not answer; pulls that fail add a growing pause of their own."""

_STORE_FAILED: Final = 10077
"""The server's code for a message that does not fit; its description says which limit it met."""

_FULL: Final = re.compile("maximum (messages|bytes) exceeded")
"""An operator may limit a queue's bytes as well."""

_log = logging.getLogger(__name__)


async def connect(settings: BusSettings, *, on_closed: Callable[[str], None] | None = None) -> "JetStreamBus":
    """BusUnavailable if there is no connection within 10 s, NotAllowed if the server refuses the credentials.

    Once connected, the client reconnects for ever. `on_closed` is called with the reason if it is closed for good all
    the same (a protocol error, for example): nothing works from then on, and the process had better end.
    """
    connection = Connection(public_url(settings.url), on_closed)
    await connection.open(settings)
    return JetStreamBus(connection)


class JetStreamBus:
    """A Bus. Streams, consumers and buckets must be there: see `provision`."""

    def __init__(self, connection: Connection) -> None:
        self.connection: Final = connection
        self.jobs: Final = KeyValueRecords(connection, JOBS_BUCKET)
        self.runs: Final = KeyValueRecords(connection, RUNS_BUCKET)
        self.dead_letters: Final = StreamDeadLetters(connection)
        self._plans = Objects(connection, PLANS_BUCKET)
        self._events = EventBatches(self._store_events)
        self._pullers: dict[tuple[str, str], Puller] = {}

    async def publish_job(
        self,
        subject: str,
        data: bytes,
        traceparent: str | None = None,
        queued: Queued | None = None,
        preferred: str | None = None,
    ) -> bool:
        operation = f"publish job {subject}"
        headers = {trace.HEADER: traceparent} if traceparent else {}
        if queued is not None:
            headers[QUEUED_HEADER] = f"{queued.revision} {queued.submitted_at!r}"
        if preferred is not None:
            headers[PREFERRED_HEADER] = preferred
        try:
            await self.connection.store(operation, subject, data, headers)
        except StoreRefused as refused:
            if refused.code == _STORE_FAILED and "per subject" in refused.description:
                return False
            if refused.code == _STORE_FAILED and _FULL.search(refused.description):
                raise QueueFull(f"{operation}: {refused.description}") from refused
            raise
        return True

    async def queue_depth(self, queue: WorkQueue) -> QueueDepth:
        async with self.connection.limit(f"look how deep {queue.stream} is"):
            lanes = [await self.connection.jetstream.consumer_info(queue.stream, name) for name in queue.consumers]
        return QueueDepth(
            pending=sum(lane.num_pending or 0 for lane in lanes),
            in_flight=sum(lane.num_ack_pending or 0 for lane in lanes),
            limit=queue.messages_max,
        )

    async def pull(self, queue: WorkQueue, timeout_s: float, lane: Lane = Lane.MAIN) -> Delivery | None:
        return await self._puller(queue.stream, queue.lane_consumer(lane)).pull(timeout_s)

    def neighbours(
        self, worker: str, queues: Sequence[WorkQueue], take: Take
    ) -> AbstractAsyncContextManager[Neighbours]:
        return known_neighbours(self.connection, worker, queues, take)

    async def pull_stranded(self, timeout_s: float) -> Delivery | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while (left_s := deadline - loop.time()) > 0:
            notice = await self._puller(ADVISORIES_STREAM, SWEEPER).pull(left_s)
            if notice is not None and (stranded := await read_stranded(self.connection, notice)) is not None:
                return stranded
        return None

    async def purge(self, queue: WorkQueue, subjects: str) -> int:
        """By hand, because the client library keeps the count to itself."""
        async with self.connection.limit(f"purge {subjects}"):
            answer = await self.connection.client.request(
                f"$JS.API.STREAM.PURGE.{queue.stream}",
                json.dumps({"filter": subjects}).encode(),
                timeout=OPERATION_LIMIT_S,
            )
            outcome = json.loads(answer.data)
            if "error" in outcome:
                nats.js.errors.APIError.from_error(outcome["error"])  # raises
        return int(outcome["purged"])

    async def passed_over(self, queue: WorkQueue, subject: str) -> bool:
        jetstream = self.connection.jetstream
        async with self.connection.limit(f"look for {subject} in {queue.stream}"):
            try:
                message = await jetstream.get_last_msg(queue.stream, subject)
            except nats.js.errors.NotFoundError:
                return False
            lane = read_job_subject(subject).lane
            consumer = await jetstream.consumer_info(queue.stream, queue.lane_consumer(lane))
        floor = consumer.ack_floor.stream_seq if consumer.ack_floor is not None else 0
        return int(message.seq or 0) <= floor

    async def put_object(self, digest: str, data: bytes) -> None:
        await self._plans.put(digest, data, time.time())

    async def get_object(self, digest: str, timeout_s: float) -> bytes | None:
        return await self._plans.get(digest, timeout_s)

    async def publish_event(self, subject: str, *events: bytes) -> None:
        await self._events.publish(subject, events)

    async def events(self, consumer: str) -> AsyncIterator[EventDelivery]:
        """Through restarts and lost connections; ends with BusUnavailable only when the connection is closed for good.

        The consumer is made if it is missing, now or later.
        """
        puller = self._puller(EVENTS_STREAM, consumer)
        bound = False
        while True:
            try:
                if not bound:
                    await self._bind_events(consumer)
                    bound = True
                delivery = await puller.pull(EXPIRES_S)
            except BusUnavailable as error:
                if self.connection.client.is_closed:
                    raise
                _log.warning("reading events as %s: %s", consumer, error)
                bound = False
                await asyncio.sleep(_EVENTS_PAUSE_S)
                continue
            if delivery is not None:
                for event in split(EventDelivery(subject=delivery.subject, data=delivery.data, ack=delivery.ack)):
                    yield event

    async def tell_end(self, run_id: str, job_id: str, record: bytes) -> None:
        if self.connection.connected:
            with suppress(nats.errors.Error):
                self.connection.client.send(ended_subject(run_id, job_id), record)

    @asynccontextmanager
    async def ends(self, run_id: str) -> AsyncIterator[KeyHints]:
        def key_of(subject: str) -> str:
            return job_key(run_id, subject.rpartition(".")[2])

        async with heard(self.connection, ended_subjects(run_id), key_of) as hints:
            yield hints

    async def publish_line(self, subject: str, data: bytes, offset: int) -> None:
        """Dropped while there is no connection: the line is in the log's chunks as well, and nobody waits for it."""
        if len(data) > LINE_BYTES_MAX:
            raise TooLarge(f"publish line {subject}: {len(data)} bytes, {LINE_BYTES_MAX} are allowed")
        if not self.connection.connected:
            return
        async with self.connection.limit(f"publish line {subject}"):
            await self.connection.client.publish(subject, data, headers={_OFFSET: str(offset)})

    async def subscribe_lines(
        self, subject: str, handle: Callable[[int, bytes], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        async def receive(message: Msg) -> None:
            offset = (message.headers or {}).get(_OFFSET, "")
            if offset.isdecimal():
                await handle(int(offset), message.data)

        subscription = await self.connection.subscribe(subject, receive)

        async def end() -> None:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

        return end

    async def time(self) -> float:
        return await read_time(self.connection, KV_STREAM_TEMPLATE.format(bucket=JOBS_BUCKET))

    async def reconnected(self, limit_s: float) -> bool:
        return await self.connection.reconnected(limit_s)

    async def close(self) -> None:
        for puller in self._pullers.values():
            await puller.close()
        await self.connection.close()

    async def _store_events(self, subject: str, data: bytes) -> None:
        await self.connection.store(f"publish event {subject}", subject, data, {"Nats-Expected-Stream": EVENTS_STREAM})

    def _puller(self, stream: str, consumer: str) -> Puller:
        if (stream, consumer) not in self._pullers:
            self._pullers[stream, consumer] = Puller(self.connection, stream, consumer)
        return self._pullers[stream, consumer]

    async def _bind_events(self, consumer: str) -> None:
        async with self.connection.limit(f"bind consumer {consumer} to {EVENTS_STREAM}"):
            await self.connection.jetstream.add_consumer(
                EVENTS_STREAM,
                ConsumerConfig(
                    durable_name=consumer,
                    filter_subject=EVENTS_FILTER,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=ACK_WAIT_S,
                ),
            )


_OFFSET: Final = "offset"
