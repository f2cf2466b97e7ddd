"""The worker's own process: its exit codes, and a run of a real repository through it."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.nats_server import NatsServer
from tests.runtime import samples
from tests.runtime.repository import forge_files, make_repository

from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.provision import provision
from forge_runtime.ledger import Ledger

EARTHFILE = "VERSION 0.8\nFROM alpine:3.20\nunit:\n    RUN echo it works\n"
WORKER = ("-m", "forge_runtime.worker", "--pools", "discovery,tasks", "--slots", "2", "--name", "worker-ci-0")
DISPATCHER = ("-m", "forge_runtime.dispatcher")


async def test_repository_goes_from_discovery_to_its_end(nats_server: NatsServer, tmp_path: Path) -> None:
    url, sha = make_repository(tmp_path / "origin", forge_files(EARTHFILE))
    bus = await connect(nats_server.settings("api-test"))
    await provision(bus)
    run = samples.run_record(samples.new_run_id(), clone_url=url, commit_sha=sha)
    await samples.store_run(bus, run)
    name = f"forge-{run.run_id}"
    environment = _environment(nats_server, tmp_path)
    worker = await _start(environment, *WORKER)

    discovered, _ = await _end(await _start(environment, *DISPATCHER, "discover", "--run", name))
    outputs = {path.name: path.read_text() for path in (tmp_path / "outputs").iterdir()}
    (unit,) = json.loads(outputs["group-01"])
    plan = outputs["plan"]
    ran, _ = await _end(await _start(environment, *DISPATCHER, "run", "--run", name, "--plan", plan, "--unit", unit))
    finished, _ = await _end(await _start(environment, *DISPATCHER, "finish", "--run", name, "--status", "Succeeded"))
    worker.send_signal(signal.SIGTERM)
    drained, _ = await _end(worker)
    records = await Ledger(bus, 5.0).records(run.run_id)
    await bus.close()

    assert (discovered, ran, finished, drained) == (0, 0, 0, 0)
    assert [record.state.value for record in records] == ["succeeded", "succeeded"]
    logs = [record.result.log_key for record in records if record.result is not None]
    texts = [(tmp_path / "data" / "objects" / key).read_text() for key in logs if key is not None]
    assert any("it works" in text for text in texts)


async def test_worker_on_a_bus_that_is_not_provisioned_says_so(nats_server: NatsServer, tmp_path: Path) -> None:
    code, line = await _end(await _start(_environment(nats_server, tmp_path), *WORKER))

    assert code == 78
    assert "provision" in line["why"]


async def test_worker_whose_queue_differs_names_the_field_and_both_values(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    bus = await connect(nats_server.settings("operator"))
    await provision(bus)
    queue = (await bus.connection.jetstream.stream_info("pipeline-tasks")).config
    await bus.connection.jetstream.update_stream(queue, max_age=3600.0)
    await bus.close()

    code, line = await _end(await _start(_environment(nats_server, tmp_path), *WORKER))

    assert code == 78
    assert line["why"] == "stream pipeline-tasks: max_age is 3600.0, not 0.0; provision the bus again"


async def test_process_that_the_bus_refuses_exits_with_78(nats_server: NatsServer, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("another token")
    environment = {**_environment(nats_server, tmp_path), "NATS_CREDENTIALS": str(wrong)}

    run = f"forge-{samples.new_run_id()}"
    for arguments in (WORKER, (*DISPATCHER, "discover", "--run", run)):
        code, line = await _end(await _start(environment, *arguments))

        assert code == 78
        assert "Authorization" in line["why"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("NATS_URL", ""), ("FORGE_RUNNER", "docker"), ("FORGE_GRACE_S", "soon"), ("FORGE_GRACE_S", "-1")],
        *[("FORGE_ENGINE", "Argo"), ("FORGE_ENGINE", "kubernetes")],
    ],
)
async def test_setting_that_cannot_be_used_is_named(
    nats_server: NatsServer, tmp_path: Path, name: str, value: str
) -> None:
    code, line = await _end(await _start({**_environment(nats_server, tmp_path), name: value}, *WORKER))

    assert code == 78
    assert name in line["why"]


async def test_address_for_metrics_that_another_has_is_named(nats_server: NatsServer, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        environment = {**_environment(nats_server, tmp_path), "FORGE_METRICS_ADDRESS": address}

        code, line = await _end(await _start(environment, *WORKER))

    assert code == 78
    assert line["why"].startswith(f"FORGE_METRICS_ADDRESS is {address}: cannot listen there")


async def test_host_runner_is_refused_on_a_cluster(nats_server: NatsServer, tmp_path: Path) -> None:
    environment = {**_environment(nats_server, tmp_path), "FORGE_ENGINE": "argo"}

    code, line = await _end(await _start(environment, *WORKER))

    assert code == 78
    assert "host" in line["why"]


def _environment(server: NatsServer, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "NATS_URL": server.url,
        "NATS_CREDENTIALS": str(server.token_file),
        "FORGE_DATA_DIR": str(folder / "data"),
        "FORGE_OUTPUT_DIR": str(folder / "outputs"),
        "FORGE_RUNNER": "host",
        "FORGE_ALLOW_FILE_CLONE": "1",
    }


async def _start(environment: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=dict(environment), stderr=asyncio.subprocess.PIPE
    )


async def _end(process: asyncio.subprocess.Process) -> tuple[int | None, dict[str, str]]:
    """Exit code, and the last line that the process logged."""
    _, stderr = await asyncio.wait_for(process.communicate(), 60)
    lines = stderr.decode().splitlines()
    return process.returncode, json.loads(lines[-1]) if lines else {}
