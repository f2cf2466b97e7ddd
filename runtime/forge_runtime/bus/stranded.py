"""Messages that their queue hands out no more, found by what the server says of them.

A work queue keeps a message that reached its last delivery, invisible to everybody, and says so once, in an advisory.
The stream of advisories keeps those for one reader; each names its message by stream and sequence.
"""

import logging
from contextlib import suppress
from typing import Final

import msgspec
import nats.js.errors
from nats.js.api import RawStreamMsg

from forge_runtime.bus.connection import Connection
from forge_runtime.bus.dead_letters import delete_message
from forge_runtime.bus.puller import PulledMessage
from forge_runtime.subject import queue_of_stream

_log = logging.getLogger(__name__)


class _Advisory(msgspec.Struct, frozen=True):
    stream: str
    stream_seq: int
    deliveries: int


class StrandedMessage:
    """A Delivery of what its own queue delivers no more; `notice` is the advisory that told of it."""

    def __init__(
        self, connection: Connection, message: RawStreamMsg, advisory: _Advisory, notice: PulledMessage
    ) -> None:
        self._connection = connection
        self._message = message
        self._advisory = advisory
        self._notice = notice

    @property
    def subject(self) -> str:
        return str(self._message.subject)

    @property
    def data(self) -> bytes:
        return bytes(self._message.data or b"")

    @property
    def deliveries(self) -> int:
        return self._advisory.deliveries

    @property
    def queued(self) -> None:
        return None

    @property
    def preferred(self) -> None:
        return None

    async def progress(self) -> None:
        await self._notice.progress()

    async def ack(self) -> None:
        """The message first: a notice without a message is acked by whoever reads it."""
        async with self._connection.limit(f"delete stranded {self.subject}"):
            await delete_message(self._connection, self._advisory.stream, self._advisory.stream_seq)
        await self._notice.ack()

    async def retry(self, delay_s: float) -> None:
        await self._notice.retry(delay_s)


async def read_stranded(connection: Connection, notice: PulledMessage) -> StrandedMessage | None:
    """The message that an advisory speaks of; None if it is no job, or gone since; then the notice is acked."""
    try:
        advisory = _ADVISORY.decode(notice.data)
    except msgspec.DecodeError as error:
        _log.warning("advisory that cannot be read", extra={"subject": notice.subject, "why": str(error)})
        await notice.ack()
        return None
    message = None
    if queue_of_stream(advisory.stream) is not None:
        async with connection.limit(f"get stranded message {advisory.stream}/{advisory.stream_seq}"):
            with suppress(nats.js.errors.NotFoundError):
                message = await connection.jetstream.get_msg(advisory.stream, seq=advisory.stream_seq)
    if message is None:
        await notice.ack()
        return None
    return StrandedMessage(connection, message, advisory, notice)


_ADVISORY: Final = msgspec.json.Decoder(_Advisory)
