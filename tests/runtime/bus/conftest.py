"""A provisioned JetStream bus on a server that a test may kill."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from tests.nats_server import NatsServer

from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.provision import provision

OpenBus = Callable[[], AbstractAsyncContextManager[JetStreamBus]]


@pytest.fixture
def open_bus(nats_server: NatsServer) -> OpenBus:
    """Each call is a connection of its own; the server is provisioned."""

    @asynccontextmanager
    async def open_() -> AsyncIterator[JetStreamBus]:
        bus = await connect(nats_server.settings("worker-ci-0"))
        await provision(bus)
        try:
            yield bus
        finally:
            await bus.close()

    return open_


async def until(condition: Callable[[], bool]) -> None:
    """For what gives no signal; at most 10 s."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # nothing to wait on
            await asyncio.sleep(0.02)


async def restart(server: NatsServer, bus: JetStreamBus, *, gently: bool = False) -> None:
    """Kill (or stop) and start the server; return when `bus` has noticed both."""
    before = bus.connection.client.stats["reconnects"]
    server.stop() if gently else server.kill()
    server.start()
    await until(lambda: bus.connection.connected and bus.connection.client.stats["reconnects"] > before)
