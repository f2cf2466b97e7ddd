"""A network whose lines can be cut: each is a TCP relay of ours between two ports of this machine.

    whoever connects -> line.port [relay] line.target -> server

    open     what comes is passed on, both ways
    silent   connections stay and new ones are taken, but nothing gets through until the line is mended: packets lost
    refused  connections are ended, new ones are refused: a host that says that there is nobody

The relays run in a thread of their own, because servers talk to each other before there is a loop and while it is busy.
"""

import asyncio
import enum
import threading
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tests.nats_server import free_port

CALL_LIMIT_S: Final = 10.0
_READ_BYTES: Final = 64 * 1024
_HOST: Final = "127.0.0.1"


class State(enum.Enum):
    OPEN = "open"
    SILENT = "silent"
    REFUSED = "refused"


@dataclass(slots=True, eq=False)
class Line:
    """From `port` to `target`. Everything else is the network's."""

    target: int
    port: int = field(default_factory=free_port)
    _listener: asyncio.Server | None = None
    _flows: asyncio.Event = field(default_factory=asyncio.Event)
    _ends: set[asyncio.StreamWriter] = field(default_factory=set)

    async def enter(self, state: State) -> None:
        if state is State.REFUSED:
            self._refuse()
        elif self._listener is None:
            self._listener = await asyncio.start_server(self._relay, _HOST, self.port)
        if state is State.OPEN:
            self._flows.set()
        else:
            self._flows.clear()

    def _refuse(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for end in self._ends:
            end.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(_HOST, self.target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._ends |= ends
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._ends -= ends
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_READ_BYTES):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()


class Network:
    """Lines, and the thread in which they are served. Blocks its caller for moments only."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def connect(self, target: int) -> Line:
        """A new line, open."""
        line = Line(target)
        self.set([line], State.OPEN)
        return line

    def set(self, lines: Iterable[Line], state: State) -> None:
        for line in lines:
            self._call(line.enter(state))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_LIMIT_S)

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_LIMIT_S)
