"""A workshop on each bus: the in-memory double and a real NATS server; and what all loggers write."""

import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from tests.nats_server import NatsServer
from tests.runtime.workshop import Workshop

from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.bus.port import Bus
from forge_runtime.bus.provision import provision
from forge_runtime.telemetry import configure_logging

Projects = Mapping[str, list[dict[str, str]]]
OpenWorkshop = Callable[[Projects], AbstractAsyncContextManager[Workshop]]


@pytest.fixture(params=["memory", "jetstream"])
def open_workshop(request: pytest.FixtureRequest, tmp_path: Path) -> OpenWorkshop:
    """Opens a workshop whose run has a plan of these projects."""
    server: NatsServer | None = request.getfixturevalue("nats_server") if request.param == "jetstream" else None

    @asynccontextmanager
    async def open_(projects: Projects) -> AsyncIterator[Workshop]:
        bus = await _provisioned(server) if server else MemoryBus()
        shop = Workshop(bus, tmp_path / "shop")
        shop.folder.mkdir()
        try:
            await shop.prepare(projects)
            yield shop
        finally:
            await bus.close()

    return open_


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """What every logger writes while the test lasts."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    found = io.StringIO()
    configure_logging("worker", stream=found)
    yield found
    root.handlers[:], level = before
    root.setLevel(level)


async def _provisioned(server: NatsServer) -> Bus:
    bus = await connect(server.settings("worker-ci-0"))
    await provision(bus)
    return bus
