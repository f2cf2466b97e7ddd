"""Fixtures for every test: a real NATS server, and the verdicts of real tools."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.judge import Judged, Record, table, version_of
from tests.nats_server import NatsServer


@pytest.fixture
def judged(record_property: Record) -> Judged:
    """Takes the verdicts of real tools."""
    return Judged(record_property)


@pytest.fixture
def real_git(judged: Judged) -> None:
    """For `usefixtures`: the test runs git itself."""
    judged("git", version_of("git", "--version"), "tests on real repositories", 1)


@pytest.fixture
def nats_server(tmp_path: Path, judged: Judged) -> Iterator[NatsServer]:
    """A running server of this test's own; nothing is provisioned."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    judged("nats-server", version_of(str(server.binary), "--version"), "tests against a running server", 1)
    yield server
    server.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines = list(table(terminalreporter.stats))
    if lines:
        terminalreporter.section("real tools", sep="-")
        for line in lines:
            terminalreporter.write_line(line)
