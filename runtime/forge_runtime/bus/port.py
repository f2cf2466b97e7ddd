"""The bus port: work queues, records with compare-and-set, objects by digest, events, hints.

Two adapters: `jetstream` (NATS) and `memory` (the double that ships and passes the same contract tests).
Everything that waits takes a limit in seconds. Faults of the connection are `BusUnavailable`; they say nothing about
whether a write arrived, and every write here may be repeated.
"""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from msgspec import Struct

from forge_runtime.dead_letter import Cause, DeadLetter
from forge_runtime.lane import Lane
from forge_runtime.subject import WorkQueue


class BusUnavailable(Exception):
    """The bus did not answer in time, or the connection is gone; retry later, or end with exit code 75."""


class NotAllowed(BusUnavailable):
    """The server refuses us, or its permissions forbid it; that may be mended, but not by asking again soon."""


class Conflict(Exception):
    """A compare-and-set lost: the key exists already, or its revision is another one."""


class QueueFull(Exception):
    """The queue holds as many messages as it may; back off and publish again."""


class TooLarge(Exception):
    """The message does not fit; nothing was sent. The server closes the connection of whoever sends one."""


class BadObject(Exception):
    """An object's bytes do not have the digest it is stored under."""


LINE_BYTES_MAX: Final = 64 * 1024
"""Of one live log line."""

OFFER_S: Final = 0.25
"""For the answer to an offer: a worker that is there takes a millisecond, one that is about to be free 0.1 s more."""

OBJECT_FRESH_S: Final = 24 * 3600
"""A stored object younger than this is not stored again."""


def check_digest(digest: str, data: bytes) -> None:
    """BadObject unless `data` hashes to `sha256:<hex>`."""
    actual = f"sha256:{hashlib.sha256(data).hexdigest()}"
    if actual != digest:
        raise BadObject(f"the object {digest} has the digest {actual} ({len(data)} bytes)")


class Entry(Struct, frozen=True):
    """A record as read: its bytes and the revision that the next compare-and-set must name."""

    key: str
    value: bytes
    revision: int


class QueueDepth(Struct, frozen=True, kw_only=True):
    """Messages of a work queue: those that wait for a worker, those that one has, and how many there may be in all."""

    pending: int
    in_flight: int
    limit: int


class Queued(Struct, frozen=True):
    """The record of a job as it was when its message was published: queued, of no start so far, under this revision."""

    revision: int
    submitted_at: float


class Delivery(Protocol):
    """A message of a work queue, held by us until its ack wait passes without `progress`."""

    @property
    def subject(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def deliveries(self) -> int:
        """How often this message was handed out, from 1."""
        ...

    @property
    def queued(self) -> Queued | None:
        """What whoever published the message knew of its job's record; it may have changed since."""
        ...

    @property
    def preferred(self) -> str | None:
        """The worker that had better have it, if whoever published the message knew of one."""
        ...

    async def progress(self) -> None:
        """Reset the ack wait."""
        ...

    async def ack(self) -> None:
        """Done: the message leaves the queue. Confirmed by the server.

        BusUnavailable also when the server was killed within about a second of handing the message out: it then
        does not know of it, ignores the ack, and hands it out again, as a first delivery.
        """
        ...

    async def retry(self, delay_s: float) -> None:
        """Hand back: deliver again after `delay_s`."""
        ...


Take = Callable[[WorkQueue, Delivery], Awaitable[bool]]
"""Whether we take a delivery that another worker offers us: from then on it is ours, as if we had pulled it."""


class Neighbours(Protocol):
    """The other workers of our pools."""

    async def offer(self, worker: str, queue: WorkQueue, delivery: Delivery) -> bool:
        """Whether that worker has taken a delivery of ours. Answered at once where there is no such worker.

        False also if no answer came within `OFFER_S`: then both may hold the message, and the job's record decides.
        """
        ...


class Records(Protocol):
    """A bucket of records. Keys are dotted; patterns end in `.>`."""

    async def get(self, key: str) -> Entry | None: ...
    async def create(self, key: str, value: bytes) -> int:
        """The new revision; Conflict if the key exists."""
        ...

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """The new revision; Conflict if the stored revision is not `revision`."""
        ...

    async def put(self, key: str, value: bytes) -> int: ...
    async def list(self, pattern: str) -> list[Entry]:
        """The current entries whose key fits, in no order."""
        ...

    def changes(self, pattern: str) -> AbstractAsyncContextManager["Hints"]:
        """Changes as they are made: hints without promise (one may be lost, or come before the write can be read)."""
        ...


class DeadLetters(Protocol):
    """Messages of jobs that were given up; the newest of each subject is kept, for 30 days."""

    async def bury(self, subject: str, data: bytes, cause: Cause) -> None:
        """Keep a copy of a message, of one that is too large its beginning; stored when this returns."""
        ...

    async def list(self, pattern: str, *, after: int = 0, limit: int) -> list[DeadLetter]:
        """The first letters with a sequence above `after` whose subject fits, oldest first, at most `limit`."""
        ...

    async def drop(self, sequence: int) -> bool:
        """Remove a letter; False if it is not there."""
        ...


class Hint(Struct, frozen=True):
    """A key that somebody wrote, and what: no proof that the write is done, or will be (it may lose its race)."""

    key: str
    value: bytes


class Gap(Struct, frozen=True):
    """The connection was lost and is there again: changes in between were not heard of."""


class Hints(Protocol):
    async def next(self, timeout_s: float) -> Hint | Gap | None:
        """A change, or None after `timeout_s` without one; of several to one key the last."""
        ...


class Bus(Protocol):
    """One connection. `jobs` and `runs` are the buckets of subject.py."""

    @property
    def jobs(self) -> Records: ...
    @property
    def runs(self) -> Records: ...
    @property
    def dead_letters(self) -> DeadLetters: ...

    async def publish_job(
        self,
        subject: str,
        data: bytes,
        traceparent: str | None = None,
        queued: Queued | None = None,
        preferred: str | None = None,
    ) -> bool:
        """True if queued now, False if its subject holds a message already; QueueFull when the queue is full.

        `queued` spares the worker a look at the record; `preferred` is the one that had better do it, by its token (see
        subject.py). `traceparent` goes with the message as a header, for whoever looks at the bus and does not know our
        documents.
        """
        ...

    async def queue_depth(self, queue: WorkQueue) -> "QueueDepth": ...

    async def pull(self, queue: WorkQueue, timeout_s: float, lane: Lane = Lane.MAIN) -> Delivery | None:
        """One message of a lane, or None after `timeout_s`; with 0, one that lies there now.

        Cancelling a pull never swallows a message.
        """
        ...

    def neighbours(
        self, worker: str, queues: Sequence[WorkQueue], take: Take
    ) -> AbstractAsyncContextManager[Neighbours]:
        """Be the worker of this name to the others of these pools, and know them, for as long as the block lasts."""
        ...

    async def pull_stranded(self, timeout_s: float) -> Delivery | None:
        """A message that its queue hands out no more: it was handed out as often as it may be, without an ack.

        None after `timeout_s`. The ack takes the message out of its queue. The server notices only when somebody asks
        the queue for work after the last ack wait, and each message once: what is not acked here comes again here.
        """
        ...

    async def purge(self, queue: WorkQueue, subjects: str) -> int:
        """Remove the messages whose subject fits; how many there were."""
        ...

    async def passed_over(self, queue: WorkQueue, subject: str) -> bool:
        """Whether the queue holds a message on this subject that it takes for done, and will give to nobody.

        A server that was killed may come back like that: it remembers having handed the message out, and not that it
        still waits for the ack. The message blocks its subject until it is purged.
        """
        ...

    async def put_object(self, digest: str, data: bytes) -> None:
        """Store under `sha256:<hex>`; a copy younger than a day is kept as it is."""
        ...

    async def get_object(self, digest: str, timeout_s: float) -> bytes | None:
        """The bytes, verified (BadObject), or None if there is no such object."""
        ...

    async def publish_event(self, subject: str, *events: bytes) -> None:
        """Stored when this returns, in this order; several may cost no more than one. An event is one line."""
        ...

    def events(self, consumer: str) -> AsyncIterator["EventDelivery"]:
        """Events from where this durable consumer left off, for ever; each must be acked or comes again."""
        ...

    async def tell_end(self, run_id: str, job_id: str, record: bytes) -> None:
        """A job's terminal record, to be called when it stands: sent, not stored, to whoever hears of the run's ends.

        Dropped while there is no connection.
        """
        ...

    def ends(self, run_id: str) -> AbstractAsyncContextManager["Hints"]:
        """What is told of ends of the run's jobs, by the keys of their records. Lossy; but what is told stood."""
        ...

    async def publish_line(self, subject: str, data: bytes, offset: int) -> None:
        """A live log line: sent, not stored."""
        ...

    async def subscribe_lines(
        self, subject: str, handle: Callable[[int, bytes], Awaitable[None]]
    ) -> Callable[[], Awaitable[None]]:
        """Call `handle(offset, data)` for each live line; the returned function ends it."""
        ...

    async def time(self) -> float:
        """The bus's clock, unix seconds: asked before something is done for good because of what ours says."""
        ...

    async def reconnected(self, limit_s: float) -> bool:
        """True as soon as a connection that is lost, or will be, is there again; False after `limit_s`."""
        ...

    async def close(self) -> None: ...


class EventDelivery(Struct, frozen=True):
    subject: str
    data: bytes
    ack: Callable[[], Awaitable[None]]
