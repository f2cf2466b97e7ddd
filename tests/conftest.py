"""Fixtures for every test: a real NATS server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.nats_server import NatsServer


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server of this test's own; nothing is provisioned."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    yield server
    server.stop()
