"""The first connection, credentials, and what happens when the server is gone."""

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.nats_server import NatsServer, free_port
from tests.runtime.bus.conftest import OpenBus

from forge_runtime import subject
from forge_runtime.bus import client
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.job import JobType
from forge_runtime.outage import ride_out
from forge_runtime.settings import BusSettings


async def test_a_dead_address_is_given_up_after_ten_seconds_and_named_without_its_password() -> None:
    port = free_port()
    started = time.monotonic()

    with pytest.raises(BusUnavailable) as caught:
        await connect(BusSettings(url=f"nats://somebody:hunter2@127.0.0.1:{port}", name="worker-ci-0"))

    assert time.monotonic() - started < 11
    assert f"cannot connect to nats://127.0.0.1:{port} within 10 s" in str(caught.value)
    assert "Connect" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_wrong_token_is_refused_at_once_and_not_repeated(
    nats_server: NatsServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-token\n")

    async with asyncio.timeout(5):
        with pytest.raises(BusUnavailable) as caught:
            await connect(BusSettings(url=nats_server.url, credentials=wrong, name="worker-ci-0"))

    assert str(caught.value) == f"cannot connect to {nats_server.url}: Authorization Violation"
    assert "not-the-token" not in caplog.text


@pytest.mark.parametrize(("content", "complaint"), [(None, "FileNotFoundError"), ("\n", "empty")])
async def test_unusable_credentials_are_named_by_their_file(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)

    with pytest.raises(BusUnavailable, match=complaint) as caught:
        await connect(BusSettings(url="nats://127.0.0.1:4222", credentials=path, name="worker-ci-0"))

    assert str(path) in str(caught.value)


async def test_an_operation_without_a_server_fails_within_its_limit_and_works_again_later(
    nats_server: NatsServer, open_bus: OpenBus, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_bus() as bus:
        await bus.jobs.put("state.run-1.job-1", b"before")
        nats_server.kill()
        started = time.monotonic()
        with pytest.raises(BusUnavailable, match=r"get state\.run-1\.job-1 from forge-jobs: not connected") as caught:
            await bus.jobs.get("state.run-1.job-1")
        took_s = time.monotonic() - started
        nats_server.start()
        assert await bus.connection.wait_connected(10)
        entry = await bus.jobs.get("state.run-1.job-1")

    assert took_s < 6
    assert entry is not None
    assert entry.value == b"before"
    assert nats_server.token not in str(caught.value) + caplog.text


async def test_a_silent_server_is_a_fault_and_not_a_wait(nats_server: NatsServer, open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        nats_server.pause()
        started = time.monotonic()
        with pytest.raises(BusUnavailable, match="no answer"):
            await bus.jobs.put("state.run-1.job-1", b"")
        took_s = time.monotonic() - started
        nats_server.resume()

    assert took_s < 6


async def test_a_connection_that_is_closed_for_good_is_reported_with_the_reason(nats_server: NatsServer) -> None:
    closed: asyncio.Queue[str] = asyncio.Queue()
    bus = await connect(nats_server.settings(), on_closed=closed.put_nowait)

    await bus.connection.client.publish("anything", bytes(1024 * 1024), headers={"one": "byte too many"})
    reason = await asyncio.wait_for(closed.get(), 10)

    assert reason == "maximum payload violation"
    with pytest.raises(BusUnavailable, match="closed: maximum payload violation"):
        await bus.jobs.get("state.run-1.job-1")


async def test_our_own_close_is_not_reported(nats_server: NatsServer) -> None:
    closed: list[str] = []
    bus = await connect(nats_server.settings(), on_closed=closed.append)

    await bus.close()

    assert closed == []


async def test_an_operation_on_a_server_without_streams_says_what_to_do(nats_server: NatsServer) -> None:
    bus = await connect(nats_server.settings())

    with pytest.raises(BusUnavailable, match="provisioned"):
        await bus.publish_job("pipeline.tasks.run-1.job-1", b"")
    with pytest.raises(BusUnavailable, match="provisioned"):
        await bus.jobs.get("state.run-1.job-1")

    await bus.close()


@pytest.mark.parametrize("turns", range(1, 25))
async def test_a_wait_that_is_cancelled_ends_and_leaves_the_connection_able_to_hear(
    nats_server: NatsServer, turns: int
) -> None:
    """However far the wait for the server has come when it is cancelled."""
    connection = (await connect(nats_server.settings("worker-ci-0"))).connection

    async def wait() -> None:
        async with connection.limit("wait"):
            await connection.barrier()

    waiting = asyncio.create_task(wait())
    for _ in range(turns):
        await asyncio.sleep(0)
    unfinished = waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled() == unfinished
    await wait()
    assert await connection.client.rtt() > 0
    await connection.close()


async def test_a_cancellation_that_the_client_library_drops_is_not_lost(nats_server: NatsServer) -> None:
    """It is dropped when the answer comes in the same turn of the loop."""
    connection = (await connect(nats_server.settings("worker-ci-0"))).connection
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask() -> None:
        async with connection.limit("ask"):
            await asyncio.wait_for(answer, timeout=5)

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0)
    answer.set_result(None)
    asking.cancel()
    await asyncio.wait([asking])

    assert asking.cancelled()
    await connection.close()


async def test_a_server_that_answers_nothing_is_left_for_another(
    nats_server: NatsServer, open_bus: OpenBus, mute_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE_S", 0.3)
    async with open_bus() as bus:
        await bus.jobs.put("state.run-1.job-1", b"kept")
    both = BusSettings(url=f"{nats_server.url},{mute_server.url}", credentials=nats_server.token_file, name="worker")
    await asyncio.to_thread(nats_server.stop)

    bus = await connect(both)
    nats_server.start()
    entry = await ride_out(lambda: bus.jobs.get("state.run-1.job-1"), limit_s=10)

    await bus.close()
    assert entry is not None
    assert entry.value == b"kept"


async def test_a_worker_that_only_pulls_leaves_such_a_server_too(
    nats_server: NatsServer, open_bus: OpenBus, mute_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SILENCE_S", 0.3)
    async with open_bus() as bus:
        await bus.publish_job("pipeline.tasks.run-1.job-1", b"waits")
    both = BusSettings(url=f"{nats_server.url},{mute_server.url}", credentials=nats_server.token_file, name="worker")
    await asyncio.to_thread(nats_server.stop)

    bus = await connect(both)
    nats_server.start()
    delivery = await ride_out(lambda: bus.pull(subject.queue_of(JobType.CI), 5.0), limit_s=10)

    await bus.close()
    assert delivery is not None
    assert delivery.data == b"waits"


async def test_the_only_server_is_not_left(mute_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SILENCE_S", 0.0)
    bus = await connect(mute_server.settings())

    with pytest.raises(BusUnavailable):
        await bus.jobs.get("state.run-1.job-1")

    assert bus.connection.connected
    await bus.close()


@pytest.fixture
def mute_server(nats_server: NatsServer, tmp_path: Path) -> Iterator[NatsServer]:
    """Takes connections, and has no JetStream that would answer: like one that is parted from its cluster."""
    guard = f'authorization {{ token: "{nats_server.token}" }}'
    server = NatsServer(tmp_path / "mute", token=nats_server.token, guard=guard)
    server.start()
    yield server
    server.stop()
