"""Probes of a build daemon, over real gRPC connections."""

import asyncio
import os
import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.earthly.daemon import Authority, FakeDaemon, fake_daemon

from forge_runtime.runner.affinity import Load
from forge_runtime.runner.breaker import Probe
from forge_runtime.runner.endpoint import Endpoint
from forge_runtime.runner.probe import DaemonProbe, Seen
from forge_runtime.runner.relay import sweep_relays


def look(endpoint: Endpoint, *, times: int = 1, **settings: Any) -> list[Seen]:
    async def looked() -> list[Seen]:
        probe = DaemonProbe(endpoint, **settings)
        try:
            return [await probe.look() for _ in range(times)]
        finally:
            await probe.close()

    return asyncio.run(looked())


def test_a_healthy_daemon_tells_its_load() -> None:
    load = Load(running=3, running_max=20, waiting=1)

    with fake_daemon(load=load) as daemon:
        (seen,) = look(daemon.endpoint)

    assert seen == Seen(probe=Probe.HEALTHY, load=load)


def test_a_plain_daemon_tells_no_load() -> None:
    with fake_daemon() as daemon:
        (seen,) = look(daemon.endpoint)

    assert seen == Seen(probe=Probe.HEALTHY)


def test_workers_are_listed_now_and_then_and_health_is_asked_each_time() -> None:
    with fake_daemon() as daemon:
        look(daemon.endpoint, times=4, list_every_s=3600)

    assert daemon.asked == ["Check", "ListWorkers", "Check", "Check", "Check"]


def test_a_daemon_without_the_health_service_is_known_by_its_workers() -> None:
    with fake_daemon(health=None) as daemon:
        seen = look(daemon.endpoint, times=2)

    assert [each.probe for each in seen] == [Probe.HEALTHY, Probe.HEALTHY]
    assert daemon.asked == ["ListWorkers", "ListWorkers"]


def test_a_daemon_without_workers_is_of_no_use() -> None:
    with fake_daemon(workers=0) as daemon:
        (seen,) = look(daemon.endpoint)

    assert seen == Seen(probe=Probe.FAILED, why="it has no workers")


def test_a_daemon_that_shuts_down_is_draining() -> None:
    with fake_daemon(health="NOT_SERVING") as daemon:
        (seen,) = look(daemon.endpoint)

    assert seen == Seen(probe=Probe.DRAINING, why="NOT_SERVING")


def test_a_daemon_that_answers_too_late_has_failed() -> None:
    with fake_daemon(delay_s=5) as daemon:
        (seen,) = look(daemon.endpoint, limit_s=0.3)

    assert seen.probe is Probe.FAILED
    assert "DEADLINE_EXCEEDED" in seen.why


def test_a_port_where_nobody_listens_has_failed() -> None:
    with fake_daemon() as daemon:
        daemon.stop()
        (seen,) = look(daemon.endpoint)

    assert seen.probe is Probe.FAILED
    assert "UNAVAILABLE" in seen.why


def test_a_daemon_that_went_away_and_came_back_is_found_again() -> None:
    async def seen(daemon: FakeDaemon) -> list[Probe]:
        probe = DaemonProbe(daemon.endpoint)
        found = [(await probe.look()).probe]
        await asyncio.to_thread(daemon.stop)
        found.append((await probe.look()).probe)
        await asyncio.to_thread(daemon.start)
        found.append((await probe.look()).probe)
        await probe.close()
        return found

    with fake_daemon() as daemon:
        assert asyncio.run(seen(daemon)) == [Probe.HEALTHY, Probe.FAILED, Probe.HEALTHY]


def test_tls_is_verified_against_the_given_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "a")
    other = Authority(tmp_path / "b")

    with fake_daemon(tls=authority) as daemon:
        address = daemon.endpoint.address
        (known,) = look(daemon.endpoint)
        (unknown,) = look(Endpoint(address=address, tls=other.files()))
        (plain,) = look(Endpoint(address=address))

    assert [known.probe, unknown.probe, plain.probe] == [Probe.HEALTHY, Probe.FAILED, Probe.FAILED]


def test_a_daemon_that_asks_who_we_are_is_shown_our_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)

    with fake_daemon(tls=authority, client=True) as daemon:
        (known,) = look(daemon.endpoint)
        stranger = authority.files(identity=Authority(tmp_path / "other"))
        (unknown,) = look(Endpoint(address=daemon.endpoint.address, tls=stranger))

    assert [known.probe, unknown.probe] == [Probe.HEALTHY, Probe.FAILED]


def test_a_missing_certificate_is_told_by_its_path(tmp_path: Path) -> None:
    files = replace(Authority(tmp_path).files(), ca=tmp_path / "gone.pem")
    endpoint = Endpoint(address="tcp://127.0.0.2:1", tls=files)

    (seen,) = look(endpoint)

    assert seen.probe is Probe.FAILED
    assert "gone.pem" in seen.why


@pytest.mark.parametrize("again", ["good", "bad"])
def test_renewed_certificates_are_read_after_a_failed_probe(tmp_path: Path, again: str) -> None:
    authority = Authority(tmp_path / "a")
    ca = tmp_path / "ca.pem"
    ca.write_bytes((tmp_path / "a" / "ca.pem").read_bytes() if again == "bad" else b"nothing")

    async def seen(endpoint: Endpoint) -> list[Probe]:
        probe = DaemonProbe(endpoint)
        found = [(await probe.look()).probe]
        ca.write_bytes((tmp_path / "a" / "ca.pem").read_bytes() if again == "good" else b"nothing")
        found.append((await probe.look()).probe)
        await probe.close()
        return found

    with fake_daemon(tls=authority) as daemon:
        endpoint = Endpoint(address=daemon.endpoint.address, tls=replace(authority.files(), ca=ca))
        found = asyncio.run(seen(endpoint))

    # A connection that stands is not given up because a file was written.
    assert found == ([Probe.FAILED, Probe.HEALTHY] if again == "good" else [Probe.HEALTHY, Probe.HEALTHY])


def test_a_long_path_of_temporary_files_does_not_keep_us_from_a_daemon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    with fake_daemon(tls=Authority(tmp_path)) as daemon:
        (seen,) = look(daemon.endpoint)

    assert seen.probe is Probe.HEALTHY


def test_where_no_socket_can_be_made_the_probe_says_so_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    endpoint = Endpoint(address="tcp://127.0.0.2:1", tls=Authority(tmp_path).files())

    (seen,) = look(endpoint)

    assert seen.probe is Probe.FAILED
    assert "no connection can be made: No such file or directory" in seen.why


def test_sockets_of_killed_workers_are_swept_and_those_of_living_ones_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(prefix="r") as place, socket.socket(socket.AF_UNIX) as living:
        monkeypatch.setattr(tempfile, "tempdir", place)
        for name in ("living", "dead", "young"):
            Path(place, f"forge-tls-{name}").mkdir()
        living.bind(f"{place}/forge-tls-living/s")
        living.listen()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(f"{place}/forge-tls-dead/s")
        for name in ("living", "dead"):
            os.utime(f"{place}/forge-tls-{name}", (0, 0))

        swept = sweep_relays()

        assert (swept, sorted(path.name for path in Path(place).iterdir())) == (
            1,
            ["forge-tls-living", "forge-tls-young"],
        )
