"""A whole stream, read message by message: no consumer that could start somewhere else or leave something out."""

import asyncio
from dataclasses import dataclass
from typing import Final

import nats.js.errors

from forge_runtime.bus.connection import Connection

READ_LIMIT_S: Final = 120.0
_READS_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    sequence: int
    subject: str
    data: bytes


async def read_stream(connection: Connection, stream: str) -> list[Stored]:
    """Every message that the stream holds, in order."""
    jetstream = connection.jetstream
    gate = asyncio.Semaphore(_READS_AT_ONCE)

    async def read(sequence: int) -> Stored | None:
        async with gate:
            try:
                message = await jetstream.get_msg(stream, seq=sequence)
            except nats.js.errors.NotFoundError:  # replaced by a newer one, or acknowledged
                return None
        return Stored(sequence=sequence, subject=str(message.subject), data=message.data or b"")

    async with connection.limit(f"read {stream}", READ_LIMIT_S):
        state = (await jetstream.stream_info(stream)).state
        found = await asyncio.gather(*map(read, range(max(1, state.first_seq), state.last_seq + 1)))
    stored = [message for message in found if message is not None]
    assert len(stored) == state.messages, f"{stream} holds {state.messages} messages, {len(stored)} can be read"
    return stored
