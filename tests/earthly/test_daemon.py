"""Probes see the same in the real daemon as in the one that stands in for it."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.earthly.daemon import HOST, Authority, fake_daemon
from tests.earthly.real import real_daemon
from tests.judge import Judged

from forge_runtime.runner.breaker import Probe
from forge_runtime.runner.endpoint import Endpoint
from forge_runtime.runner.probe import DaemonProbe

Opened = Callable[..., AbstractContextManager[Any]]


@pytest.fixture(params=["fake", "real"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, judged: Judged) -> Opened:
    """Starts a daemon; see `fake_daemon` and `real_daemon`."""

    @contextmanager
    def start(**tls: Any) -> Iterator[Any]:
        if request.param == "fake":
            with fake_daemon(**tls) as daemon:
                yield daemon
        else:
            with socket.create_server((HOST, 0)) as free:
                port = free.getsockname()[1]
            with real_daemon(judged, tmp_path / "daemon", port, **tls) as daemon:
                yield daemon

    return start


def look(endpoint: Endpoint) -> Probe:
    async def looked() -> Probe:
        probe = DaemonProbe(endpoint)
        try:
            return (await probe.look()).probe
        finally:
            await probe.close()

    return asyncio.run(looked())


def test_a_daemon_is_healthy_while_it_runs(opened: Opened) -> None:
    async def seen(daemon: Any) -> list[Probe]:
        probe = DaemonProbe(daemon.endpoint, list_every_s=0)
        found = [(await probe.look()).probe]
        await asyncio.to_thread(daemon.stop)
        found.append((await probe.look()).probe)
        await asyncio.to_thread(daemon.start)
        found.append((await probe.look()).probe)
        await probe.close()
        return found

    with opened() as daemon:
        assert asyncio.run(seen(daemon)) == [Probe.HEALTHY, Probe.FAILED, Probe.HEALTHY]


def test_tls_is_verified_both_ways(opened: Opened, tmp_path: Path) -> None:
    ours, other = Authority(tmp_path / "ours"), Authority(tmp_path / "other")

    with opened(tls=ours, client=True) as daemon:
        address = daemon.endpoint.address
        seen = [
            look(daemon.endpoint),
            look(Endpoint(address=address, tls=ours.files(identity=other))),
            look(Endpoint(address=address, tls=other.files(identity=ours))),
            look(Endpoint(address=address)),
        ]

    assert seen == [Probe.HEALTHY, Probe.FAILED, Probe.FAILED, Probe.FAILED]
