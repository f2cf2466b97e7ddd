"""The same tests for each adapter of a port: the shipped double and the real thing."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from moto.server import ThreadedMotoServer
from tests.nats_server import NatsServer

from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.memory import MemoryBus, MemoryServer
from forge_runtime.bus.port import Bus
from forge_runtime.bus.provision import provision

Connections = Callable[[], AbstractAsyncContextManager[tuple[Bus, Bus]]]


@pytest.fixture(scope="module")
def aws_endpoint() -> Iterator[str]:
    """A server that speaks the protocols of S3 and Secrets Manager."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


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
