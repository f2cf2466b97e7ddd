"""The packed dispatcher, `dist/forge-dispatcher`: built, started as a pod starts it, and how it exits."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.nats_server import NatsServer, free_port
from tests.runtime import samples
from tests.runtime.repository import forge_files, make_repository

from forge_runtime import subject
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.provision import provision
from forge_runtime.job import encode
from forge_runtime.run import CancelFlag, CancelReason

ROOT = Path(__file__).resolve().parents[2]
EARTHFILE = "VERSION 0.8\nFROM alpine:3.20\nunit:\n    RUN {command}\n"
WORKER = ("-m", "forge_runtime.worker", "--pools", "discovery,tasks", "--slots", "2", "--name", "worker-ci-0")
RUN_FILE = "import runpy; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
BASE = {"forge_runtime", "forgec", "msgspec", "nats"}


@pytest.fixture(scope="session")
def dispatcher() -> Path:
    """The file, built unless it is there and newer than everything in it."""
    subprocess.run(("make", "-s", "-o", ".venv/.ready", "dispatcher"), cwd=ROOT, check=True, timeout=100)
    return ROOT / "dist/forge-dispatcher"


async def test_run_goes_from_discovery_to_its_end(dispatcher: Path, nats_server: NatsServer, tmp_path: Path) -> None:
    bus, name = await _run_of(nats_server, tmp_path, command="echo it works")
    environment = _environment(nats_server, tmp_path)
    worker = await _start(environment, sys.executable, *WORKER)

    discovered, _ = await _end(await _start(environment, dispatcher, "discover", "--run", name))
    plan, unit = _outputs(tmp_path)
    ran, _ = await _end(await _start(environment, dispatcher, "run", "--run", name, "--plan", plan, "--unit", unit))
    finished, _ = await _end(await _start(environment, dispatcher, "finish", "--run", name, "--status", "Succeeded"))
    worker.send_signal(signal.SIGTERM)
    await _end(worker)
    await bus.close()

    assert (discovered, ran, finished) == (0, 0, 0)


async def test_failed_job_exits_with_1(dispatcher: Path, nats_server: NatsServer, tmp_path: Path) -> None:
    bus, name = await _run_of(nats_server, tmp_path, command="exit 3")
    environment = _environment(nats_server, tmp_path)
    worker = await _start(environment, sys.executable, *WORKER)

    await _end(await _start(environment, dispatcher, "discover", "--run", name))
    plan, unit = _outputs(tmp_path)
    failed, _ = await _end(await _start(environment, dispatcher, "run", "--run", name, "--plan", plan, "--unit", unit))
    worker.send_signal(signal.SIGTERM)
    await _end(worker)
    await bus.close()

    assert failed == 1


async def test_cancelled_run_exits_with_76(dispatcher: Path, nats_server: NatsServer, tmp_path: Path) -> None:
    bus, name = await _run_of(nats_server, tmp_path, command="true")
    run_id = name.removeprefix("forge-")
    flag = CancelFlag(reason=CancelReason.CANCELLED, by="test", at=0.0)
    await bus.runs.put(subject.cancel_key(run_id), encode(flag))

    code, line = await _end(await _start(_environment(nats_server, tmp_path), dispatcher, "discover", "--run", name))
    await bus.close()

    assert code == 76
    assert line["reason"] == "cancelled"


async def test_bus_that_does_not_answer_for_its_patience_exits_with_75() -> None:
    environment = {**os.environ, "NATS_URL": f"nats://127.0.0.1:{free_port()}"}
    impatient = "import sys; from forge_runtime import dispatcher as d; d.PATIENCE_S = 0.0; sys.exit(d.main())"
    words = ("discover", "--run", f"forge-{samples.new_run_id()}")

    code, line = await _end(await _start(environment, sys.executable, "-c", impatient, *words))

    assert code == 75
    assert line["msg"] == "cannot reach the bus"


async def test_bus_that_is_away_at_the_start_is_waited_for(
    dispatcher: Path, nats_server: NatsServer, tmp_path: Path
) -> None:
    bus, name = await _run_of(nats_server, tmp_path, command="true")
    flag = CancelFlag(reason=CancelReason.CANCELLED, by="test", at=0.0)
    await bus.runs.put(subject.cancel_key(name.removeprefix("forge-")), encode(flag))
    await bus.close()
    nats_server.kill()
    process = await _start(_environment(nats_server, tmp_path), dispatcher, "discover", "--run", name)
    assert process.stderr is not None
    first = json.loads(await asyncio.wait_for(process.stderr.readline(), 60))
    nats_server.start()

    code, _ = await _end(process)

    assert first["msg"] == "bus unavailable, trying again"
    assert code == 76


async def test_dispatcher_that_waits_for_the_bus_goes_when_told_to(dispatcher: Path) -> None:
    environment = {**os.environ, "NATS_URL": f"nats://127.0.0.1:{free_port()}"}
    words = ("discover", "--run", f"forge-{samples.new_run_id()}")
    process = await _start(environment, dispatcher, *words)
    assert process.stderr is not None
    await asyncio.wait_for(process.stderr.readline(), 60)  # it says that it tries again
    process.send_signal(signal.SIGTERM)

    code, line = await _end(process)

    assert code == 75
    assert "told to end" in line["why"]


async def test_credentials_that_the_server_refuses_exit_with_78_at_once(
    dispatcher: Path, nats_server: NatsServer, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("another")
    environment = _environment(nats_server, tmp_path) | {"NATS_CREDENTIALS": str(tmp_path / "token")}

    code, line = await _end(await _start(environment, dispatcher, "discover", "--run", f"forge-{samples.new_run_id()}"))

    assert code == 78
    assert "Authorization" in line["why"]


async def test_plan_that_is_not_there_exits_with_78(dispatcher: Path, nats_server: NatsServer, tmp_path: Path) -> None:
    bus, name = await _run_of(nats_server, tmp_path, command="true")
    environment = _environment(nats_server, tmp_path)
    plan = f"sha256:{'0' * 64}"

    code, line = await _end(
        await _start(environment, dispatcher, "run", "--run", name, "--plan", plan, "--unit", samples.UNIT)
    )
    await bus.close()

    assert code == 78
    assert plan in line["why"]


async def test_command_line_that_is_not_understood_exits_with_78(dispatcher: Path) -> None:
    code, line = await _end(await _start(os.environ, dispatcher, "walk"))

    assert code == 78
    assert "walk" in line["why"]


async def test_nothing_is_loaded_but_base_dependencies_and_the_standard_library(dispatcher: Path) -> None:
    script = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); " + RUN_FILE
    process = await _start(os.environ, sys.executable, "-IBS", "-c", script, dispatcher, "walk")
    _, stderr = await asyncio.wait_for(process.communicate(), 60)

    loaded = stderr.decode().splitlines()[-1].split()
    assert "forge_runtime.dispatcher" in loaded
    assert {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names - {"__main__"} == BASE


async def test_modules_come_out_of_the_file_even_where_others_lie_about(dispatcher: Path, tmp_path: Path) -> None:
    """A checkout or a volume in the working directory, or PYTHONPATH, is not code to run."""
    for name in ("msgspec", "nats", "asyncio"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    code, _ = await _end(await _start(environment, dispatcher, "walk", cwd=tmp_path))

    assert code == 78


async def test_extension_loads_without_files_in_memory_and_leaves_nothing(dispatcher: Path, tmp_path: Path) -> None:
    script = "import os, sys; del os.memfd_create; " + RUN_FILE
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    both = [await _start(environment, sys.executable, "-IBS", "-c", script, dispatcher, "walk") for _ in range(2)]
    ends = [await _end(process) for process in both]

    assert [code for code, _ in ends] == [78, 78]
    assert all("walk" in line["why"] for _, line in ends)
    assert _files(tmp_path) == []


async def test_nothing_is_written_where_files_in_memory_can_be_had(dispatcher: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": "/nonexistent", "HOME": "/nonexistent"}

    code, line = await _end(await _start(environment, dispatcher, "walk", cwd=tmp_path))

    assert code == 78
    assert "walk" in line["why"]
    assert _files(tmp_path) == []


async def test_file_for_another_python_says_so_and_exits_with_78(dispatcher: Path, tmp_path: Path) -> None:
    """The index names what the file is for, at the same length."""
    other = tmp_path / "forge-dispatcher"
    shutil.copy(dispatcher, other)
    other.write_bytes(other.read_bytes().replace(b"cpython-3", b"cpython-2"))

    process = await _start(os.environ, other, "walk")
    _, stderr = await asyncio.wait_for(process.communicate(), 60)

    assert process.returncode == 78
    assert "make dispatcher" in stderr.decode()
    assert "Traceback" not in stderr.decode()


async def _run_of(server: NatsServer, folder: Path, *, command: str) -> tuple[JetStreamBus, str]:
    """A provisioned bus, and the workflow's name of a run of a repository whose only step is `command`."""
    url, sha = make_repository(folder / "origin", forge_files(EARTHFILE.format(command=command)))
    bus = await connect(server.settings("api-test"))
    await provision(bus)
    run = samples.run_record(samples.new_run_id(), clone_url=url, commit_sha=sha)
    await samples.store_run(bus, run)
    return bus, f"forge-{run.run_id}"


def _outputs(folder: Path) -> tuple[str, str]:
    """The plan and the only unit, as discovery wrote them."""
    outputs = folder / "outputs"
    (unit,) = json.loads((outputs / "group-01").read_text())
    return (outputs / "plan").read_text(), unit


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


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


async def _start(
    environment: Mapping[str, str], *command: str | Path, cwd: Path | None = None
) -> asyncio.subprocess.Process:
    """With the interpreter of these tests first on the path: it is the one that the file is for."""
    path = f"{Path(sys.base_prefix, 'bin')}{os.pathsep}{environment['PATH']}"
    return await asyncio.create_subprocess_exec(
        *command, env={**environment, "PATH": path}, cwd=cwd, stderr=asyncio.subprocess.PIPE
    )


async def _end(process: asyncio.subprocess.Process) -> tuple[int | None, dict[str, str]]:
    """Exit code, and the last line that the process logged."""
    _, stderr = await asyncio.wait_for(process.communicate(), 60)
    lines = stderr.decode().splitlines()
    return process.returncode, json.loads(lines[-1]) if lines else {}
