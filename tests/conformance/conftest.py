"""The same tests for each adapter of a port: the shipped double and the real thing."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from tests.nats_server import NatsServer

from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.memory import MemoryBus, MemoryServer
from forge_runtime.bus.port import Bus
from forge_runtime.bus.provision import provision

Connections = Callable[[], AbstractAsyncContextManager[tuple[Bus, Bus]]]


@pytest.fixture(params=["memory", "jetstream"])
def connections(request: pytest.FixtureRequest) -> Connections:
    """Opens two connections to one provisioned bus."""
    if request.param == "memory":
        return _memory
    server: NatsServer = request.getfixturevalue("nats_server")

    @asynccontextmanager
    async def jetstream() -> AsyncIterator[tuple[Bus, Bus]]:
        one = await connect(server.settings("dispatcher-1"))
        other = await connect(server.settings("worker-1"))
        await provision(one)
        try:
            yield one, other
        finally:
            await one.close()
            await other.close()

    return jetstream


@asynccontextmanager
async def _memory() -> AsyncIterator[tuple[Bus, Bus]]:
    server = MemoryServer()
    one, other = MemoryBus(server), MemoryBus(server)
    try:
        yield one, other
    finally:
        await one.close()
        await other.close()
