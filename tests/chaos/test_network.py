"""Lines that pass on, keep silent and refuse: if a cut were none, a trial would be green for nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tests.chaos.network import Line, Network, State

ANSWER_S = 5.0
SILENCE_S = 0.2


@dataclass(frozen=True, slots=True)
class Wire:
    """A line to somebody who sends back what he hears."""

    network: Network
    line: Line

    async def call(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.line.port)

    def enter(self, state: State) -> None:
        self.network.set([self.line], state)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.readline():
            writer.write(said)
        writer.close()

    far_end = await asyncio.start_server(echo, "127.0.0.1", 0)
    network = Network()
    yield Wire(network, network.connect(far_end.sockets[0].getsockname()[1]))
    network.close()
    far_end.close()


async def test_a_silent_line_holds_back_what_is_said_until_it_is_open_again(wire: Wire) -> None:
    reader, writer = await wire.call()
    writer.write(b"one\n")
    heard = await asyncio.wait_for(reader.readline(), ANSWER_S)
    wire.enter(State.SILENT)
    writer.write(b"two\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readline(), SILENCE_S)
    wire.enter(State.OPEN)
    heard += await asyncio.wait_for(reader.readline(), ANSWER_S)

    writer.close()
    assert heard == b"one\ntwo\n"


async def test_a_line_that_refuses_ends_connections_and_takes_none_until_it_is_open_again(wire: Wire) -> None:
    reader, writer = await wire.call()
    writer.write(b"one\n")
    await asyncio.wait_for(reader.readline(), ANSWER_S)
    wire.enter(State.REFUSED)
    rest = await asyncio.wait_for(reader.read(), ANSWER_S)
    with pytest.raises(ConnectionRefusedError):
        await wire.call()
    wire.enter(State.OPEN)
    reader, writer = await wire.call()
    writer.write(b"two\n")

    assert rest == b""
    assert await asyncio.wait_for(reader.readline(), ANSWER_S) == b"two\n"
    writer.close()


async def test_a_call_to_a_server_that_is_down_is_ended(wire: Wire) -> None:
    unused = wire.network.connect(1)
    reader, _ = await asyncio.open_connection("127.0.0.1", unused.port)

    assert await asyncio.wait_for(reader.read(), ANSWER_S) == b""
