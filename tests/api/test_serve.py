"""`python -m forge_api` as a process, over a real NATS server and the local engine; its work in the background."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.api import harness
from tests.api.harness import TOKEN
from tests.nats_server import NatsServer, free_port

from forge_api.app import create_app
from forge_runtime import subject
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.bus.provision import provision
from forge_runtime.engine.memory import MemoryEngine
from forge_runtime.job import JobType, decode_job, encode
from forge_runtime.run import RunRecord, decode_run

LIMIT_S = 30.0


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """What the condition gives once it gives something; there is no signal from another process to wait for."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := await condition()):
        assert time.monotonic() < deadline, "nothing happened in time"
        await asyncio.sleep(0.05)
    return found


class Served:
    """The process, its port and its log."""

    def __init__(self, folder: Path, nats: NatsServer) -> None:
        harness.settings(folder)
        self.port = free_port()
        self.log = folder / "api.log"
        self._environment = {
            **os.environ,
            "FORGE_DATA_DIR": str(folder),
            "FORGE_API_PORT": str(self.port),
            "FORGE_ALLOW_FILE_CLONE": "1",
            "NATS_URL": nats.url,
            "NATS_CREDENTIALS": str(nats.token_file),
        }
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "forge_api"], env=self._environment, stdout=log, stderr=log
            )
        return self.process

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False
        )

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


@pytest.fixture
def served(tmp_path: Path, nats_server: NatsServer) -> Iterator[Served]:
    asyncio.run(_provision(nats_server))
    api = Served(tmp_path, nats_server)
    yield api
    if api.process.poll() is None:
        api.process.kill()
        api.process.wait(LIMIT_S)


async def _provision(server: NatsServer) -> None:
    bus = await connect(server.settings())
    await provision(bus)
    await bus.close()


async def status_of(client: httpx2.AsyncClient, path: str) -> int:
    try:
        return (await client.get(path)).status_code
    except httpx2.TransportError:
        return 0


async def test_a_run_goes_from_request_to_queue_through_dispatcher_and_survives_a_kill(
    served: Served, nats_server: NatsServer
) -> None:
    async with served.client() as client:

        async def ready() -> bool:
            return await status_of(client, "/readyz") == 200

        await until(ready)
        await client.put("/v1/repositories/local/shop", json={"clone_url": "file:///srv/shop"})
        created = await client.post("/v1/runs", json={"repository": "local/shop", "commit_sha": "a" * 40})
        run_id = created.json()["id"]
        bus = await connect(nats_server.settings())
        delivery = await bus.pull(subject.queue_of(JobType.DISCOVERY), LIMIT_S)
        served.process.kill()
        served.process.wait(LIMIT_S)
        served.start()
        await until(ready)
        run = (await client.get(f"/v1/runs/{run_id}")).json()
        cancelled = await client.delete(f"/v1/runs/{run_id}")

        async def ended() -> bool:
            jobs = (await client.get(f"/v1/runs/{run_id}/jobs")).json()["jobs"]
            return [job["status"] for job in jobs] == ["cancelled"]

        await until(ended)
        await bus.close()
        code = served.stop()

    assert delivery is not None
    job = decode_job(delivery.data)
    assert (job.run_id, job.clone_url) == (run_id, "file:///srv/shop")
    assert (run["status"], cancelled.status_code, code) == ("pending", 204, -signal.SIGTERM)
    log = served.log.read_text()
    assert "Traceback" not in log
    assert TOKEN not in log
    assert nats_server.token not in log


async def test_without_nats_it_lives_but_is_not_ready(served: Served, nats_server: NatsServer) -> None:
    nats_server.kill()
    async with served.client() as client:

        async def alive() -> bool:
            return await status_of(client, "/healthz") == 200

        async def unready() -> bool:
            return await status_of(client, "/readyz") == 503

        async def ready() -> bool:
            return await status_of(client, "/readyz") == 200

        await until(alive)
        await until(unready)
        registered = await client.put("/v1/repositories/local/shop", json={"clone_url": "file:///srv/shop"})
        nats_server.start()
        await until(ready)

    assert registered.status_code == 201


def test_wrong_environment_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    environment = {**os.environ, "FORGE_DATA_DIR": str(tmp_path), "FORGE_API_HOST": "0.0.0.0"}

    done = subprocess.run(
        [sys.executable, "-m", "forge_api"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "FORGE_API_HOST" in done.stderr


async def test_what_cannot_be_read_stops_neither_events_nor_submissions(tmp_path: Path) -> None:
    bus, engine = MemoryBus(), MemoryEngine()
    ports = harness.ports(bus, engine, DirectoryBlob(tmp_path / "objects"), harness.Clock())
    app = create_app(harness.settings(tmp_path), ports)
    for data in (b"\xff not an event", b'{"kind": "step", "run_id": "x", "status": "running", "at": "yesterday"}'):
        await bus.publish_event(subject.event_subject("x", "step"), data)
    async with app.router.lifespan_context(app), harness.client_of(app) as client:
        await client.put("/v1/repositories/acme/shop", json={"clone_url": "https://h/acme/shop"})
        created = await client.post("/v1/runs", json={"repository": "acme/shop", "commit_sha": "a" * 40})
        run_id = created.json()["id"]

        async def submitted() -> RunRecord | None:
            entry = await bus.runs.get(subject.run_key(run_id))
            return decode_run(entry.value) if entry is not None and engine.manifests else None

        story = harness.Story(await until(submitted), harness.sample_plan())
        story.discover()
        await story.store(bus)
        for event in story.events:
            await bus.publish_event(subject.event_subject(run_id, event.kind), encode(event))

        async def running() -> bool:
            return bool((await client.get(f"/v1/runs/{run_id}")).json()["status"] == "running")

        assert await until(running)


async def test_background_work_begins_with_the_first_connection(tmp_path: Path) -> None:
    bus, engine, clock = MemoryBus(), MemoryEngine(), harness.Clock()
    refusals = [BusUnavailable("not yet")]

    async def connect_second_time() -> MemoryBus:
        if refusals:
            raise refusals.pop()
        return bus

    ports = harness.ports(bus, engine, DirectoryBlob(tmp_path / "objects"), clock)
    app = create_app(harness.settings(tmp_path), replace(ports, connect=connect_second_time))
    async with app.router.lifespan_context(app), harness.client_of(app) as client:
        early = await client.get("/readyz")
        await client.put("/v1/repositories/acme/shop", json={"clone_url": "https://h/acme/shop"})
        created = await client.post("/v1/runs", json={"repository": "acme/shop", "commit_sha": "a" * 40})
        jobs = await client.get(f"/v1/runs/{created.json()['id']}/jobs")

        async def submitted() -> bool:
            return bool(engine.manifests)

        await until(submitted)
        late = await client.get("/readyz")

    assert (early.status_code, early.json()["parts"]["nats"]) == (503, "not connected yet")
    assert jobs.status_code == 503
    assert late.status_code == 200
