"""The worker process: `python -m forge_runtime.worker --pools discovery,tasks --slots 4 --name worker-ci-0`.

Exit codes: 0 drained after SIGTERM, 2 usage, 75 the bus is not reachable or its connection closed for good, 78 a
setting or the bus's configuration is wrong.
"""

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from forge_runtime import subject
from forge_runtime.blob import BadObjectStore, open_blob
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.port import BusUnavailable, NotAllowed
from forge_runtime.bus.provision import Misprovisioned, verify
from forge_runtime.folder import remove_folder
from forge_runtime.git.cache import CacheLimits, GitCache
from forge_runtime.git.error import GitError
from forge_runtime.git.upkeep import UpkeepLimits
from forge_runtime.git.version import GitTooOld, check_git
from forge_runtime.ledger import Ledger
from forge_runtime.metrics import WorkerMetrics, exposition, new_registry
from forge_runtime.otlp import exporting
from forge_runtime.outage import ride_out
from forge_runtime.process import kill_stale_groups
from forge_runtime.runner.choose import RunnerRefused, RunnerSurroundings, choose_runner
from forge_runtime.runner.port import StepRunner
from forge_runtime.settings import (
    BadSettings,
    BusSettings,
    WorkerSettings,
    read_bus_settings,
    read_worker_settings,
)
from forge_runtime.span import JobSpans, Tracer
from forge_runtime.tasks import end_tasks
from forge_runtime.telemetry import configure_logging
from forge_runtime.watch import watch_flags
from forge_runtime.worker.execution import Bench
from forge_runtime.worker.loop import Worker
from forge_runtime.worker.place import only_one
from forge_runtime.worker.probe import Vitals, probes
from forge_runtime.worker.source import Sources
from forge_runtime.worker.trade import POOLS, Tools, git_credentials, handlers_of

PATIENCE_S: Final = 600.0
"""A result is worth waiting for the bus: another worker would do the same work again."""

VERIFY_S: Final = 30.0

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""It names a directory, whose content is removed when the worker starts."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    pools: tuple[str, ...]
    slots: int
    name: str


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    arguments = parse_arguments(argv)
    configure_logging("worker")
    try:
        bus = replace(read_bus_settings(environ, subject.worker_user(arguments.pools)), name=arguments.name)
        settings = read_worker_settings(environ)
        with exporting("forge-worker", arguments.name, environ) as tracer, only_one(_own(settings, arguments)):
            return asyncio.run(serve(arguments, bus, settings, tracer))
    except (BadSettings, BadObjectStore, GitError, RunnerRefused, Misprovisioned, NotAllowed) as error:
        _log.error("cannot start", extra={"why": str(error)})
        return 78
    except BusUnavailable as error:
        _log.error("cannot reach the bus", extra={"why": str(error)})
        return 75


def parse_arguments(argv: Sequence[str]) -> Arguments:
    parser = argparse.ArgumentParser(prog="forge-worker", description="Pull jobs and do them, until SIGTERM.")
    parser.add_argument("--pools", required=True, help=f"comma-separated, of: {', '.join(POOLS)}")
    parser.add_argument("--slots", type=int, default=1, help="jobs at once (default 1)")
    parser.add_argument("--name", required=True, help='unique among workers, "worker-<pool>-<number>" by custom')
    line = parser.parse_args(argv)
    pools = tuple(line.pools.split(","))
    if unknown := [pool for pool in pools if pool not in POOLS]:
        parser.error(f"there is no pool {unknown[0]!r}; pools of this version: {', '.join(POOLS)}")
    if line.slots < 1:
        parser.error("--slots must be at least 1")
    if not _NAME.fullmatch(line.name):
        parser.error(f"--name {line.name!r}: letters, digits, '.', '_' and '-', from a letter or digit, 128 at most")
    return Arguments(pools=pools, slots=line.slots, name=line.name)


async def serve(arguments: Arguments, bus_settings: BusSettings, settings: WorkerSettings, tracer: Tracer) -> int:
    """0 when told to stop, 75 when the bus closed the connection for good."""
    own = _own(settings, arguments)
    groups = own / "groups"
    killed = kill_stale_groups(groups)
    await asyncio.to_thread(remove_folder, own / "scratch")
    registry = new_registry()
    metrics = WorkerMetrics(registry)
    await _check_git(settings)
    cache = _git_cache(settings, metrics)
    runner = _step_runner(settings, groups, metrics)
    blob = open_blob(settings.objects)
    stop = asyncio.Event()
    closed: list[str] = []

    def on_closed(reason: str) -> None:
        closed.append(reason)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    vitals = Vitals(scratch=own / "scratch", stop=stop)
    async with AsyncExitStack() as cleanup:
        if settings.metrics is not None:
            url = await cleanup.enter_async_context(probes(settings.metrics, vitals, partial(exposition, registry)))
            _log.info("metrics and health", extra={"url": url, "worker": arguments.name})
        await cleanup.enter_async_context(runner.serving())
        tools = Tools(cache=cache, runner=runner, blob=blob, own=own, meter=metrics)
        handlers = await cleanup.enter_async_context(handlers_of(arguments.pools, tools, settings, os.environ))
        maintaining = asyncio.create_task(cache.maintain(stop, settings.prewarm))
        cleanup.push_async_callback(end_tasks, maintaining)
        bus = await connect(bus_settings, on_closed=on_closed)
        cleanup.push_async_callback(bus.close)
        vitals.connected = lambda: bus.connection.connected
        queues = subject.queues_of(arguments.pools)
        for queue in queues:
            await ride_out(partial(verify, bus, queue), limit_s=VERIFY_S)
        sources = Sources()
        vitals.queues = sources.state
        bench = Bench(
            worker=arguments.name,
            bus=bus,
            ledger=Ledger(bus, PATIENCE_S, observers=(metrics, JobSpans(tracer))),
            watch=watch_flags(bus),
            blob=blob,
            handlers=handlers,
            scratch=own / "scratch",
            meter=metrics,
            tracer=tracer,
        )
        worker = Worker(bench=bench, queues=queues, slots=arguments.slots, grace_s=settings.grace_s, sources=sources)
        facts = {"pools": ",".join(arguments.pools), "slots": arguments.slots, "runner": runner.name}
        _log.info("worker ready", extra={**facts, "worker": arguments.name, "stale_groups": killed or None})
        await worker.serve(stop)
    _log.info("worker ended", extra={"why": closed[0] if closed else "told to stop"})
    return 75 if closed else 0


def _own(settings: WorkerSettings, arguments: Arguments) -> Path:
    return settings.data_dir / "workers" / arguments.name


def _git_cache(settings: WorkerSettings, metrics: WorkerMetrics) -> GitCache:
    high_bytes = settings.git_cache_bytes
    return GitCache(
        settings.data_dir / "git",
        allow_file=settings.allow_file_clone,
        meter=metrics,
        credentials=git_credentials(settings),
        limits=CacheLimits(upkeep=UpkeepLimits(high_bytes=high_bytes, low_bytes=high_bytes * 3 // 4)),
    )


def _step_runner(settings: WorkerSettings, groups: Path, metrics: WorkerMetrics) -> StepRunner:
    surroundings = RunnerSurroundings(
        engine=settings.engine,
        buildkit_hosts=settings.buildkit_hosts,
        buildkit_tls=settings.buildkit_tls,
        buildkit_leases=settings.buildkit_leases,
        docker_config=settings.docker_config,
        groups=groups,
        gauge=metrics,
    )
    return choose_runner(settings.runner, surroundings)


async def _check_git(settings: WorkerSettings) -> None:
    """On one machine repositories are one's own: there an old git is worth a warning, and no more."""
    try:
        await check_git(backported=settings.git_backported)
    except GitTooOld as error:
        if settings.engine != "local":
            raise
        _log.warning("git is not safe for repositories of strangers", extra={"why": str(error)})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
