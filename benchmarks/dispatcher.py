"""What a dispatcher costs until its first job is published, in each way of packing it.

A pod starts a dispatcher once and lets it wait, so what counts is the CPU time until it has published and the memory it
then has. Each round is a run of its own, against a real server: the dispatcher connects, reads the run and its plan,
writes the job's record and publishes the job. The benchmark listens to the queue, and when the job is there it reads
from /proc what the process, with its threads and children, has used so far; then it kills it.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.nats_server import NatsServer
from tests.runtime import samples

from benchmarks.measure import ROUNDS, Contender, Result, Usage, compare
from benchmarks.table import Table
from benchmarks.tool import PYTHON
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.provision import provision

ROOT: Final = Path(__file__).resolve().parents[1]
BUILD_LIMIT_S: Final = 120
PUBLISH_LIMIT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    name: str
    argv: Sequence[str]


def dispatcher(folder: Path) -> Iterator[Table]:
    packed = folder / "forge-dispatcher"
    subprocess.run((PYTHON, str(ROOT / "packaging/pack.py"), str(packed)), check=True, timeout=BUILD_LIMIT_S)
    bare = ("-X", f"pycache_prefix={folder / 'empty'}")
    module = ("-m", "forge_runtime.dispatcher")
    packings = (
        Packing(name="forge-dispatcher", argv=(PYTHON, "-IBS", str(packed))),
        Packing(name="forge-dispatcher, no bytecode in the image", argv=(PYTHON, "-IBS", *bare, str(packed))),
        Packing(name="python -m", argv=(PYTHON, "-B", *module)),
        Packing(name="python -m, no bytecode in the image", argv=(PYTHON, "-B", *bare, *module)),
        Packing(name="PyInstaller, one file", argv=(str(_pyinstaller(folder)),)),
    )
    floor = (
        Contender(name='python -c "import nats" (whole process)', argv=(PYTHON, "-c", "import nats")),
        Contender(name="python -c pass (whole process)", argv=(PYTHON, "-c", "pass")),
    )
    yield Table(
        title="Dispatcher, to its first job", results=[*publish(packings, folder), *compare(floor)], notes=_NOTES
    )


def publish(packings: Sequence[Packing], folder: Path) -> list[Result]:
    """One result a packing: they take turns, and one round before the first is not counted."""
    server = NatsServer(folder / "nats")
    server.start()
    try:
        return asyncio.run(_publish(packings, server))
    finally:
        server.stop()


async def _publish(packings: Sequence[Packing], server: NatsServer) -> list[Result]:
    bus = await connect(server.settings("benchmark"))
    await provision(bus)
    plan = await samples.store_plan(bus, samples.plan_of({"web": [{"unit": "true"}]}))
    measured: dict[str, list[Usage]] = {packing.name: [] for packing in packings}
    for turn in range(ROUNDS + 1):
        for packing in packings:
            usage = await _first_publish(bus, server, packing, plan)
            if turn:
                measured[packing.name].append(usage)
    await bus.close()
    return [Result(name, tuple(rounds)) for name, rounds in measured.items()]


async def _first_publish(bus: JetStreamBus, server: NatsServer, packing: Packing, plan: str) -> Usage:
    run = samples.run_record(samples.new_run_id())
    await samples.store_run(bus, run)
    published = asyncio.Event()

    async def note(_message: object) -> None:
        published.set()

    subscription = await bus.connection.subscribe(f"pipeline.*.{run.run_id}.>", note)
    line = (*packing.argv, "run", "--run", f"forge-{run.run_id}", "--plan", plan, "--unit", samples.UNIT)
    environment = {**os.environ, "NATS_URL": server.url, "NATS_CREDENTIALS": str(server.token_file)}
    started = time.monotonic()
    process = subprocess.Popen(  # noqa: ASYNC220 - takes 1 ms, and its own wait is for the event below
        line, env=environment, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(PUBLISH_LIMIT_S):
            await published.wait()
        wall_s = time.monotonic() - started
        family = list(_family(process.pid))
        return Usage(wall_s, sum(map(_cpu_s, family)), sum(map(_peak_mib, family)))
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        raise RuntimeError(f"{packing.name} published nothing: {process.communicate()[1][-2000:]!r}") from None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        await subscription.unsubscribe()


def _family(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _family(int(child))


def _cpu_s(pid: int) -> float:
    """Of all its threads, in nanoseconds at the source."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _peak_mib(pid: int) -> float:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _pyinstaller(folder: Path) -> Path:
    script = folder / "entry.py"
    script.write_text("import sys\nfrom forge_runtime.dispatcher import main\nsys.exit(main())\n")
    where = ("--distpath", str(folder / "one"), "--workpath", str(folder / "work"), "--specpath", str(folder))
    paths = ("--paths", str(ROOT / "runtime"), "--paths", str(ROOT / "compiler"))
    command = (PYTHON, "-m", "PyInstaller", "--onefile", *where, *paths, str(script))
    subprocess.run(command, check=True, timeout=BUILD_LIMIT_S, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / "one" / "entry"


_NOTES: Final = (
    "A unit's dispatcher until its first job is in the queue: start, connection, run, plan, record, message. CPU time"
    " and peak memory are those of the process with its children at that moment. Official slim images of Python come"
    " without bytecode of the standard library; a pod that cannot write it compiles it at each start. PyInstaller"
    " brings an interpreter of its own, and unpacks it each time. Of the whole processes, the peak is that of the"
    " benchmark which started them, if theirs is lower."
)
