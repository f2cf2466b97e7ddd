"""Handing a job over: a worker that was given one which another had better do asks that one whether it takes it.

    holder   HPUB forge.offers.<pool>.<other>           the message as it came, and where its acks go
    other    PUB  forge.answers.<pool>.<holder>.<offer> yes: it is mine now, as if I had pulled it; or no
    server   503                                        at once, where nobody is that worker
    silence  0.25 s long: then both may hold the message, and the compare-and-set of its record decides

Acks are not fenced: whoever knows where a message's go can keep it and end it. So nothing goes back into the queue, no
delivery is spent, and nothing is stored. Offers are heard where they are read. Who takes one acks and answers by rights
of his own: it is none unless its acks are of the pool's queue, and its answer goes to somebody of the pool.
"""

import asyncio
import itertools
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Final

import nats.errors
from nats.aio.subscription import Subscription

from forge_runtime.bus.ack_subject import AckSubject
from forge_runtime.bus.connection import Connection
from forge_runtime.bus.parser import Arrival
from forge_runtime.bus.port import OFFER_S, BusUnavailable, Delivery, Neighbours, Take
from forge_runtime.bus.puller import PulledMessage
from forge_runtime.subject import WorkQueue, answer_subject, offer_subject, worker_token
from forge_runtime.tasks import end_tasks

_SUBJECT_HEADER: Final = "Forge-Subject"
_ACKS_HEADER: Final = "Forge-Acks"
"""Where the message lies, and where its acks go."""

_PROCESS_BYTES: Final = 4
"""So that several of one token do not take each other's answers; few are there at once."""

_FIRST_LINE: Final = b"NATS/1.0\r\n"
_YES: Final = b"yes"
_NO: Final = b"no"


@asynccontextmanager
async def known_neighbours(
    connection: Connection, worker: str, queues: Sequence[WorkQueue], take: Take
) -> AsyncIterator[Neighbours]:
    """Raises NotAllowed on a server with permissions of a version that has no offers."""
    token = worker_token(worker)
    neighbours = _Neighbours(connection, token, take)
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(neighbours.close)
        for queue in queues:
            pool = queue.pool
            for subject, hear in (
                (answer_subject(pool, token, "*"), neighbours.hear_answer),
                (offer_subject(pool, token), partial(neighbours.hear_offer, queue)),
            ):
                subscription = await connection.listen(subject, hear)
                cleanup.push_async_callback(_forget, connection, subscription)
        yield neighbours


class _Neighbours:
    """A Neighbours, with what it hears."""

    def __init__(self, connection: Connection, token: str, take: Take) -> None:
        self._connection = connection
        self._token = token
        self._take = take
        self._process = secrets.token_hex(_PROCESS_BYTES)
        self._numbers = itertools.count(1)
        self._asked: dict[str, asyncio.Future[bool]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def offer(self, worker: str, queue: WorkQueue, delivery: Delivery) -> bool:
        assert isinstance(delivery, PulledMessage)
        connection, message = self._connection, delivery.message
        head = _head(message)
        if not connection.connected or len(head) + len(message.data) > connection.client.max_payload:
            return False
        reply = answer_subject(queue.pool, self._token, f"{self._process}-{next(self._numbers)}")
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._asked[reply] = answer
        try:
            async with connection.limit(f"offer {message.subject} to {worker}", OFFER_S):
                connection.client.send(offer_subject(queue.pool, worker_token(worker)), message.data, reply, head)
                return await answer
        except BusUnavailable:
            return False
        finally:
            del self._asked[reply]

    def hear_answer(self, answer: Arrival) -> None:
        """A status is the server's: there is no such worker."""
        asked = self._asked.get(answer.subject)
        if asked is not None and not asked.done():
            asked.set_result(answer.status is None and answer.data == _YES)

    def hear_offer(self, queue: WorkQueue, offer: Arrival) -> None:
        subject, acks = offer.header(_SUBJECT_HEADER) or "", offer.header(_ACKS_HEADER) or ""
        read = AckSubject.read(acks)
        ours = subject.startswith(queue.filter.removesuffix(">")) and read is not None and read.stream == queue.stream
        if ours and offer.reply.startswith(answer_subject(queue.pool, "", "").removesuffix(".")):
            message = PulledMessage(self._connection, Arrival(subject, acks, offer.data, offer.head))
            task = asyncio.create_task(self._answer(queue, message, offer.reply))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    async def close(self) -> None:
        await end_tasks(*self._answering)

    async def _answer(self, queue: WorkQueue, message: PulledMessage, reply: str) -> None:
        taken = await self._take(queue, message)
        with suppress(BusUnavailable):  # silence: who asks finds the job done, or does it
            self._connection.send(f"answer for {message.subject}", reply, _YES if taken else _NO)


def _head(message: Arrival) -> bytes:
    """The message's own headers, and what its envelope said."""
    added = f"{_SUBJECT_HEADER}: {message.subject}\r\n{_ACKS_HEADER}: {message.reply}\r\n".encode()
    own = _FIRST_LINE + b"\r\n" if message.head is None else message.head
    return own.replace(_FIRST_LINE, _FIRST_LINE + added, 1)


async def _forget(connection: Connection, subscription: Subscription) -> None:
    with suppress(nats.errors.Error):
        await connection.client.forget(subscription)
