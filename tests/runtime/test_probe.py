"""What a worker tells those who look at it, also while it is too busy to be asked."""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.runtime.workshop import until

from forge_runtime.settings import Address, BadSettings, read_worker_settings
from forge_runtime.worker.probe import STUCK_S, Vitals, probes

ANY_PORT = Address("127.0.0.1", 0)


def look(url: str) -> tuple[int, str, bytes]:
    """Status, media type and body."""
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def parts(body: bytes) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads(body)["parts"]
    return found


def vitals_of_a_worker_that_is_well(folder: Path) -> Vitals:
    return Vitals(scratch=folder / "scratch", stop=asyncio.Event(), connected=lambda: True, queues=lambda: "ok")


async def test_metrics_are_served_as_they_are_exposed(tmp_path: Path) -> None:
    vitals = vitals_of_a_worker_that_is_well(tmp_path)
    async with probes(ANY_PORT, vitals, lambda: (b"some_metric 1\n", "text/plain; version=1.0.0")) as url:
        answer = await asyncio.to_thread(look, f"{url}/metrics")

    assert answer == (200, "text/plain; version=1.0.0", b"some_metric 1\n")


async def test_worker_that_is_well_is_alive_and_ready(tmp_path: Path) -> None:
    async with probes(ANY_PORT, vitals_of_a_worker_that_is_well(tmp_path), _nothing) as url:
        alive, _, _ = await asyncio.to_thread(look, f"{url}/livez")
        ready, _, body = await asyncio.to_thread(look, f"{url}/readyz")

    assert (alive, ready) == (200, 200)
    assert set(parts(body).values()) == {"ok"}


async def test_worker_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("a file, so that nothing can be made below it")
    vitals = Vitals(scratch=tmp_path / "full", stop=asyncio.Event())
    vitals.stop.set()
    async with probes(ANY_PORT, vitals, _nothing) as url:
        status, _, body = await asyncio.to_thread(look, f"{url}/readyz")

    assert status == 503
    assert parts(body) == {
        "bus": "not connected",
        "queues": "not verified yet",
        "disk": f"no room in {tmp_path / 'full'}: File exists",
        "process": "draining",
    }


async def test_loop_that_is_stuck_is_told_by_a_thread_that_is_not(tmp_path: Path) -> None:
    vitals = vitals_of_a_worker_that_is_well(tmp_path)
    async with probes(ANY_PORT, vitals, _nothing) as url:
        stuck = threading.Event()

        def look_while_stuck() -> tuple[int, str, bytes]:
            stuck.wait(5)
            return look(f"{url}/livez")

        asking = asyncio.create_task(asyncio.to_thread(look_while_stuck))
        await asyncio.sleep(0)  # the thread is under way
        vitals.turned = time.monotonic() - STUCK_S
        stuck.set()
        time.sleep(0.5)  # noqa: ASYNC251 - the loop is stuck
        status, _, body = await asking
        await until(lambda: _is_alive(url))

    assert (status, json.loads(body)) == (503, {"status": "the event loop is stuck"})


async def test_address_that_is_taken_is_named(tmp_path: Path) -> None:
    vitals = vitals_of_a_worker_that_is_well(tmp_path)
    async with probes(ANY_PORT, vitals, _nothing) as url:
        taken = Address("127.0.0.1", int(url.rpartition(":")[2]))
        with pytest.raises(BadSettings, match=f"FORGE_METRICS_ADDRESS is 127.0.0.1:{taken.port}: cannot listen"):
            async with probes(taken, vitals, _nothing):
                raise AssertionError("two servers at one address")


def test_nothing_is_served_unless_told() -> None:
    assert read_worker_settings({}).metrics is None
    assert read_worker_settings({"FORGE_METRICS_ADDRESS": "0.0.0.0:9400"}).metrics == Address("0.0.0.0", 9400)


@pytest.mark.parametrize("text", ["9400", "host:", ":9400", "host:http", "host:70000"])
def test_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadSettings, match="FORGE_METRICS_ADDRESS"):
        read_worker_settings({"FORGE_METRICS_ADDRESS": text})


async def _is_alive(url: str) -> bool | None:
    status, _, _ = await asyncio.to_thread(look, f"{url}/livez")
    return status == 200 or None


def _nothing() -> tuple[bytes, str]:
    return b"", "text/plain"
