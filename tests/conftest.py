"""For every test: coroutine functions run as tests, and a real NATS server."""

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.nats_server import NatsServer


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server of this test's own; nothing is provisioned."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()
