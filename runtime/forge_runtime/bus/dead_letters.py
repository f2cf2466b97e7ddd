"""Dead letters in their stream: the cause in a header, read one by one without a consumer."""

from typing import Final

import nats.js.errors
from nats.js.api import RawStreamMsg

from forge_runtime.bus.connection import Connection
from forge_runtime.dead_letter import Cause, DeadLetter, decode_cause, encode_cause
from forge_runtime.subject import DEAD_LETTERS_STREAM

CAUSE_HEADER: Final = "Forge-Cause"

LIST_LIMIT_S: Final = 30.0

_NO_MESSAGE: Final = 10037
"""The server's code where nothing fits any more; another one would say that the stream itself is missing."""


class StreamDeadLetters:
    """A DeadLetters."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def bury(self, subject: str, data: bytes, cause: Cause) -> None:
        """A message that none of ours is, larger than we send them, loses its end: with a header on top the server
        would close the connection, and every worker's in turn."""
        headers = {CAUSE_HEADER: encode_cause(cause)}
        kept = data[: self._connection.message_bytes_max]
        async with self._connection.limit(f"bury {subject}"):
            await self._connection.jetstream.publish(subject, kept, stream=DEAD_LETTERS_STREAM, headers=headers)

    async def list(self, pattern: str, *, after: int = 0, limit: int) -> list[DeadLetter]:
        """One request a letter: the stream finds the next one that fits by itself."""
        found: list[DeadLetter] = []
        async with self._connection.limit(f"list dead letters {pattern}", LIST_LIMIT_S):
            while len(found) < limit:
                try:
                    message = await self._connection.jetstream.get_msg(
                        DEAD_LETTERS_STREAM, seq=after + 1, subject=pattern, next=True
                    )
                except nats.js.errors.NotFoundError as error:
                    if error.err_code != _NO_MESSAGE:
                        raise
                    break
                found.append(_letter(message))
                after = found[-1].sequence
        return found

    async def drop(self, sequence: int) -> bool:
        async with self._connection.limit(f"drop dead letter {sequence}"):
            return await delete_message(self._connection, DEAD_LETTERS_STREAM, sequence)


async def delete_message(connection: Connection, stream: str, sequence: int) -> bool:
    """False if there is no such message; use it inside `limit`."""
    try:
        return bool(await connection.jetstream.delete_msg(stream, sequence))
    except nats.js.errors.APIError:
        # The server has several codes for a message that is not there, some of which mean other things too.
        try:
            await connection.jetstream.get_msg(stream, seq=sequence)
        except nats.js.errors.NotFoundError:
            return False
        raise


def _letter(message: RawStreamMsg) -> DeadLetter:
    assert message.time is not None
    return DeadLetter(
        sequence=int(message.seq or 0),
        subject=str(message.subject),
        data=bytes(message.data or b""),
        cause=decode_cause((message.headers or {}).get(CAUSE_HEADER, "")),
        buried_at=message.time.timestamp(),
    )
