"""Our own puller over a consumer's MSG.NEXT subject: one pull per free slot, and no message is ever swallowed.

    pull      SUB inbox, then one request: batch 1, expires <= 5 s, heartbeat each second
    message   the pull is used up; nothing else can arrive, and the inbox serves the next pull
    status    the pull is used up too: expired (ask again), consumer gone (BusUnavailable)
    silence   2.5 heartbeats long, or the connection dropped: withdraw, ask again
    withdraw  UNSUB at the server, barrier, hand back what was under way, forget the inbox; where the server would not
              see it (`Connection.far`): listen until the request has expired, and hand back what comes

The client library's `fetch` leaves its request open when it is cancelled, so that the next message goes to an inbox
that nobody reads until its ack wait has passed; and it sits out its whole timeout after a server restart.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cached_property
from typing import Any, Final

import nats.errors
from msgspec.json import encode
from nats.aio.subscription import Subscription

from forge_runtime.bus.ack_subject import AckSubject
from forge_runtime.bus.connection import Connection
from forge_runtime.bus.parser import Arrival
from forge_runtime.bus.port import BusUnavailable, Queued

EXPIRES_S: Final = 5.0
"""How long one request waits at the server; the loop renews it."""

_EXPIRES_MIN_S: Final = 0.001
"""The server takes none at all for "for ever"."""

_HEARTBEAT_S: Final = 1.0
_SILENCE_S: Final = 2.5 * _HEARTBEAT_S

_ANSWER_S: Final = 1.0
"""How late the server's word that a request has expired may come."""

_BACKOFF_FIRST_S: Final = 0.1
_BACKOFF_MAX_S: Final = 5.0
_HASTY_RETURNS: Final = 3
"""A message that came back as often goes out again when all that was withdrawn has expired, or it would come to its
last delivery by that alone."""

_NANOSECONDS: Final = 1_000_000_000

QUEUED_HEADER: Final = "Forge-Queued"
"""Revision and time of the record that a job's message was published for."""

PREFERRED_HEADER: Final = "Forge-Preferred"
"""The worker that had better do the job."""

_HEARTBEAT: Final = "100"
_NOBODY: Final = "503"
_EXPIRED: Final = frozenset({"404", "408"})
_ACK_PREFIX: Final = "$JS.ACK."

_log = logging.getLogger(__name__)


class PulledMessage:
    """A Delivery."""

    def __init__(self, connection: Connection, message: Arrival) -> None:
        self._connection = connection
        self.message: Final = message

    @property
    def subject(self) -> str:
        return self.message.subject

    @property
    def data(self) -> bytes:
        return self.message.data

    @cached_property
    def deliveries(self) -> int:
        acks = AckSubject.read(self.message.reply)
        assert acks is not None, f"acks of {self.subject} go to {self.message.reply}, which is no server's"
        return acks.deliveries

    @property
    def queued(self) -> Queued | None:
        revision, _, submitted_at = (self.message.header(QUEUED_HEADER) or "").partition(" ")
        try:
            return Queued(int(revision), float(submitted_at))
        except ValueError:  # published without, or by a version that says it in another way
            return None

    @property
    def preferred(self) -> str | None:
        return self.message.header(PREFERRED_HEADER)

    async def progress(self) -> None:
        self._connection.send(f"progress on {self.subject}", self.message.reply, b"+WPI")

    async def ack(self) -> None:
        await self._connection.ask(f"ack {self.subject}", self.message.reply, b"+ACK")

    async def retry(self, delay_s: float) -> None:
        delay = f'-NAK {{"delay":{int(delay_s * _NANOSECONDS)}}}' if delay_s > 0 else "-NAK"
        self._connection.send(f"hand back {self.subject}", self.message.reply, delay.encode())


class Puller:
    """Pulls from one durable consumer; any number of `pull` calls may wait at once."""

    def __init__(
        self, connection: Connection, stream: str, consumer: str, chance: Callable[[], float] = random.random
    ) -> None:
        self._connection = connection
        self._request = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._name = f"pull from {stream}/{consumer}"
        self._chance = chance
        self._failures = 0
        self._endings: set[asyncio.Task[None]] = set()
        self._idle: list[_Inbox] = []
        """Of pulls that were used up. A subscription is dear: two commands at the server and a task here."""

    async def pull(self, timeout_s: float) -> PulledMessage | None:
        """One message, or None after `timeout_s`; with 0, one that lies there now.

        BusUnavailable when the consumer does not answer, is gone or refuses; raised after a pause that grows up to
        5 s, so that a caller who simply pulls again does not spin. Being disconnected is no failure: it is waited out.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        try:
            if timeout_s == 0:
                return self._message(await self._ask(0)) if await self._connection.wait_connected(0) else None
            while (left := deadline - loop.time()) > 0:
                if not await self._connection.wait_connected(left):
                    continue
                message = self._message(await self._ask(min(max(deadline - loop.time(), _EXPIRES_MIN_S), EXPIRES_S)))
                if message is not None:
                    return message
        except BusUnavailable:
            await self._pause(deadline - loop.time())
            raise
        return None

    async def close(self) -> None:
        """Wait until every pull that ended early is withdrawn."""
        if self._endings:
            await asyncio.wait(self._endings, timeout=EXPIRES_S + _ANSWER_S)

    def _message(self, answer: Arrival | None) -> PulledMessage | None:
        """The answer, if it is a message; BusUnavailable if it is a refusal."""
        if answer is None:
            return None
        if answer.status is not None and answer.status not in _EXPIRED:
            raise BusUnavailable(f"{self._name}: {_refusal(answer)}")
        self._failures = 0
        return PulledMessage(self._connection, answer) if answer.reply.startswith(_ACK_PREFIX) else None

    async def _ask(self, expires_s: float) -> Arrival | None:
        """The answer to one request that ends it: a message or a status; None if there was silence.

        With 0 the server answers at once.
        """
        inbox = self._idle.pop() if self._idle else _Inbox()
        client = self._connection.client
        answer: Arrival | None = None
        request: dict[str, Any] = {"batch": 1}
        if expires_s > 0:
            request["expires"] = int(expires_s * _NANOSECONDS)
        else:
            request["no_wait"] = True
        silence_s = expires_s + _ANSWER_S
        if expires_s >= 2 * _HEARTBEAT_S:  # the server refuses a heartbeat above half of the expiry
            request["idle_heartbeat"] = int(_HEARTBEAT_S * _NANOSECONDS)
            silence_s = _SILENCE_S
        began = time.monotonic()
        self._connection.lost.add(inbox.interrupt)
        try:
            with client.during(inbox.interrupt) as sent:
                if inbox.subscription is None:
                    async with self._connection.limit(self._name):
                        inbox.subscription = await client.listen(client.new_inbox(), inbox.put)
                try:
                    client.send(self._request, encode(request), inbox.subscription.subject)
                except nats.errors.Error as error:
                    raise BusUnavailable(f"{self._name}: {self._connection.explain(error)}") from error
                answer = await inbox.answer(silence_s)
                if answer is None and sent.refused is not None:
                    raise self._connection.not_allowed(self._name, sent.refused)
            if answer is None or answer.status == _NOBODY:
                await client.note_silence(began)
            else:
                client.note_answer()
            # No pause between here and the caller: a cancellation can no longer part us from a message in hand.
            return answer
        finally:
            self._connection.lost.discard(inbox.interrupt)
            if answer is not None and inbox.reusable:
                self._idle.append(inbox)
            elif inbox.subscription is not None:
                until = began + expires_s + _ANSWER_S
                self._begin(self._end(inbox.subscription, inbox, None if answer is not None else until))

    def _begin(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(ending)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _end(self, subscription: Subscription, inbox: "_Inbox", until: float | None) -> None:
        """End a pull. If it is not used up, it has expired by `until`, and may be sent a message right now."""
        try:
            if until is not None and self._connection.far:
                await self._outlast(inbox, until)
            elif until is not None and self._connection.connected:
                async with self._connection.limit(self._name):
                    # First at the server alone: `unsubscribe` and `drain` forget the subscription while the last
                    # message may still be under way, and drop that one.
                    await self._connection.client._send_unsubscribe(subscription._id)
                    await self._connection.barrier()
                    for message in inbox.take_messages():
                        self._connection.client.send(message.reply, b"-NAK")
        except BusUnavailable as error:
            # The server ends the pulls of a connection that is gone; what it had sent comes back after the ack wait.
            _log.info("withdrawing a pull: %s", error)
        finally:
            with suppress(nats.errors.Error, OSError):
                await self._connection.client.forget(subscription)

    async def _outlast(self, inbox: "_Inbox", until: float) -> None:
        left_s = until - time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                answer = await inbox.answer(left_s)
                if answer is not None and answer.reply.startswith(_ACK_PREFIX):
                    message = PulledMessage(self._connection, answer)
                    await message.retry(0 if message.deliveries < _HASTY_RETURNS else EXPIRES_S)

    async def _pause(self, left_s: float) -> None:
        ceiling = min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2.0**self._failures)
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(max(0.0, min(left_s, ceiling * (0.5 + self._chance() / 2))))


class _Inbox:
    """What arrived for one pull. Messages stay here until somebody takes them, so no cancellation can lose one."""

    def __init__(self) -> None:
        self.subscription: Subscription | None = None
        self._arrived: deque[Arrival] = deque()
        self._changed = asyncio.Event()
        self._interrupted = False

    def put(self, message: Arrival) -> None:
        self._arrived.append(message)
        self._changed.set()

    @property
    def reusable(self) -> bool:
        """Nothing is left of the pull that was used up."""
        return not self._arrived and not self._interrupted

    def interrupt(self) -> None:
        self._interrupted = True
        self._changed.set()

    async def answer(self, silence_s: float) -> Arrival | None:
        """The first that is no heartbeat; None after `silence_s` without anything, or when interrupted."""
        while True:
            while self._arrived:
                message = self._arrived.popleft()
                if message.status != _HEARTBEAT:
                    return message
            if self._interrupted:
                return None
            self._changed.clear()
            try:
                async with asyncio.timeout(silence_s):
                    await self._changed.wait()
            except TimeoutError:
                if not self._arrived:
                    return None

    def take_messages(self) -> list[Arrival]:
        messages = [message for message in self._arrived if message.reply.startswith(_ACK_PREFIX)]
        self._arrived.clear()
        return messages


def _refusal(answer: Arrival) -> str:
    status = answer.status
    if status == _NOBODY:
        return "nobody answers; the stream or its consumer is missing"
    return f"refused with {status}: {answer.description or 'no description'}"
