"""Processes that are killed in the middle: every job ends once, and a run comes to the same end."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from nats.js.client import KV_STREAM_TEMPLATE
from tests.chaos.stream import read_stream
from tests.nats_server import NatsServer
from tests.runtime import samples
from tests.runtime.workshop import Workshop, until

from forge_runtime import subject
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.bus.provision import provision
from forge_runtime.dispatcher import Exit
from forge_runtime.job import JobState, JobType, decode_record
from forge_runtime.process import kill_stale_groups

LEASE_S = 1.5
"""Instead of 30 s, here and as the queue's ack wait: a dead worker's job comes back after it."""

GRACE_S = 20.0
POD_GRACE_S = 30.0
"""From a pod's SIGTERM to its SIGKILL; the dispatcher rides out twice as much as long as nobody wants it to go."""

TASKS = subject.queue_of(JobType.CI)
ROOT = Path(__file__).parents[2]


class Site:
    """A NATS server, a run, and processes that work on it."""

    def __init__(self, server: NatsServer, bus: JetStreamBus, shop: Workshop) -> None:
        self.server = server
        self.bus = bus
        self.shop = shop
        self.processes: list[asyncio.subprocess.Process] = []

    async def worker(self, name: str, grace_s: float = 0.0) -> asyncio.subprocess.Process:
        return await self._start("-m", "tests.runtime.worker_process", str(self.shop.folder), name, str(grace_s))

    async def dispatcher(self) -> asyncio.subprocess.Process:
        run = f"forge-{self.shop.run.run_id}"
        unit = ("--plan", self.shop.digest, "--unit", samples.UNIT)
        return await self._start("-m", "forge_runtime.dispatcher", "run", "--run", run, *unit)

    async def terminal_writes(self, name: str) -> int:
        """How often a terminal record was written for a job, by the bucket's history."""
        job = self.shop.jobs()[name]
        stored = await read_stream(self.bus.connection, KV_STREAM_TEMPLATE.format(bucket=subject.JOBS_BUCKET))
        key = f".{subject.job_key(job.run_id, job.job_id)}"
        return sum(decode_record(each.data).state.terminal for each in stored if each.subject.endswith(key))

    async def _start(self, *arguments: str) -> asyncio.subprocess.Process:
        environment = {
            **os.environ,
            "NATS_URL": self.server.url,
            "NATS_CREDENTIALS": str(self.server.token_file),
            "PYTHONPATH": str(ROOT),
        }
        log = (self.shop.folder / "processes.log").open("ab")
        with log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, env=environment, stdout=log, stderr=log
            )
        self.processes.append(process)
        return process


@asynccontextmanager
async def opened(server: NatsServer, folder: Path, projects: Mapping[str, list[dict[str, str]]]) -> AsyncIterator[Site]:
    bus = await connect(server.settings("worker-test"))
    await provision(bus)
    await samples.set_ack_wait(bus, TASKS, LEASE_S)
    await asyncio.to_thread(folder.mkdir)
    shop = Workshop(bus, folder)
    await shop.prepare(projects)
    for name in shop.jobs():
        await shop.submit(name, lease_s=LEASE_S)
    site = Site(server, bus, shop)
    try:
        yield site
    finally:
        for process in site.processes:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        kill_stale_groups(folder / "groups")
        await bus.close()


async def test_job_of_a_killed_worker_is_done_by_another_and_ends_once(nats_server: NatsServer, tmp_path: Path) -> None:
    script = "echo began >> $OUT/began; [ $ATTEMPT -gt 1 ] || sleep 60; echo ended >> $OUT/ended"
    async with opened(nats_server, tmp_path / "site", {"web": [{"unit": script}]}) as site:
        first = await site.worker("worker-1")
        await until(lambda: _lines(site, "began", 1))
        first.kill()
        await first.wait()
        await site.worker("worker-2")
        dispatcher = await site.dispatcher()

        assert await dispatcher.wait() == Exit.SUCCEEDED
        record = await site.shop.record("web/unit")
        assert record is not None
        assert (record.worker, record.starts) == ("worker-2", 2)
        assert await site.terminal_writes("web/unit") == 1
        assert site.shop.lines("ended") == ["ended"]


async def test_killed_dispatcher_started_twice_at_once_comes_to_the_same_end(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    script = "echo ran >> $OUT/runs; until [ -e $OUT/go ]; do sleep 0.05; done"
    async with opened(nats_server, tmp_path / "site", {"web": [{"unit": script}, {"last": script}]}) as site:
        await site.worker("worker-1")
        killed = await site.dispatcher()
        await until(lambda: _lines(site, "runs", 1))
        killed.kill()
        await killed.wait()
        dispatchers = [await site.dispatcher(), await site.dispatcher()]
        (site.shop.folder / "go").touch()

        assert [await dispatcher.wait() for dispatcher in dispatchers] == [Exit.SUCCEEDED, Exit.SUCCEEDED]
        assert len(site.shop.lines("runs")) == 2


async def test_work_lives_through_a_restart_of_the_bus(nats_server: NatsServer, tmp_path: Path) -> None:
    script = "echo ran >> $OUT/runs; until [ -e $OUT/go ]; do sleep 0.05; done"
    async with opened(nats_server, tmp_path / "site", {"web": [{"unit": script}]}) as site:
        await site.worker("worker-1")
        dispatcher = await site.dispatcher()
        await until(lambda: _lines(site, "runs", 1))
        nats_server.kill()
        nats_server.start()
        (site.shop.folder / "go").touch()

        assert await dispatcher.wait() == Exit.SUCCEEDED
        assert site.shop.lines("runs") == ["ran"]


async def test_dispatcher_told_to_go_while_the_bus_is_away_does_not_wait_for_it(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    async with opened(nats_server, tmp_path / "site", {"web": [{"unit": "true"}]}) as site:
        dispatcher = await site.dispatcher()
        await until(lambda: _attached(site))
        nats_server.kill()
        dispatcher.terminate()

        async with asyncio.timeout(POD_GRACE_S):
            assert await dispatcher.wait() == Exit.INFRASTRUCTURE
        nats_server.start()


async def test_worker_cut_off_from_the_bus_stops_when_its_lease_ends(nats_server: NatsServer, tmp_path: Path) -> None:
    script = "trap 'echo stopped >> $OUT/stopped; exit 1' TERM; echo ran >> $OUT/runs; sleep 60 & wait"
    async with opened(nats_server, tmp_path / "site", {"web": [{"unit": script}]}) as site:
        await site.worker("worker-1")
        await until(lambda: _lines(site, "runs", 1))
        nats_server.kill()

        await until(lambda: _lines(site, "stopped", 1))
        nats_server.start()
        states = [await site.shop.states()]

        assert states[0]["web/unit"] is JobState.LEASED


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_job_ends_once_under_kills(nats_server: NatsServer, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    projects = {
        f"p{number:02d}": [{"unit": f"echo {number} >> $OUT/runs; sleep {chance.uniform(0.05, 0.4):.2f}"}]
        for number in range(40)
    }
    async with opened(nats_server, tmp_path / "site", projects) as site:
        workers = [await site.worker(f"worker-{number}") for number in range(2)]
        dispatcher = await site.dispatcher()
        for generation in range(2, 5):
            await until(lambda: _ended_at_least(site, 8 * (generation - 1)))  # noqa: B023 - awaited within the turn
            victim = chance.randrange(2)
            workers[victim].kill()
            dispatcher.kill()
            site.server.kill()
            site.server.start()
            workers[victim] = await site.worker(f"worker-{generation}")
            dispatcher = await site.dispatcher()

        assert await dispatcher.wait() == Exit.SUCCEEDED
        writes = {name: await site.terminal_writes(name) for name in site.shop.jobs()}
        assert set((await site.shop.states()).values()) == {JobState.SUCCEEDED}
        assert set(writes.values()) == {1}


async def test_a_rolling_restart_of_all_workers_under_load_loses_and_repeats_nothing(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    projects = {f"p{number:02d}": [{"unit": f"echo {number} >> $OUT/runs; sleep 0.3"}] for number in range(90)}
    async with opened(nats_server, tmp_path / "site", projects) as site:
        workers = [await site.worker(f"old-{number}", GRACE_S) for number in range(3)]
        dispatcher = await site.dispatcher()
        await until(lambda: _ended_at_least(site, 6))
        for number, old in enumerate(workers):
            workers[number] = await site.worker(f"new-{number}", GRACE_S)
            old.terminate()
            assert await old.wait() == 0
        left = 90 - await _ended(site)

        assert await dispatcher.wait() == Exit.SUCCEEDED
        records = [await site.shop.record(name) for name in site.shop.jobs()]
        assert left > 0, "the last worker went when there was nothing to do any more"
        assert sorted(site.shop.lines("runs"), key=int) == [str(number) for number in range(90)]
        assert {(record.state, record.starts) for record in records if record} == {(JobState.SUCCEEDED, 1)}
        assert {await site.terminal_writes(name) for name in site.shop.jobs()} == {1}


async def test_what_outlasts_the_grace_time_is_handed_back_and_done_by_another(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    script = "echo $ATTEMPT >> $OUT/runs; until [ -e $OUT/go ]; do sleep 0.05; done"
    async with opened(nats_server, tmp_path / "site", {"web": [{"unit": script}]}) as site:
        old = await site.worker("old", grace_s=0.2)
        await until(lambda: _lines(site, "runs", 1))
        old.terminate()
        assert await old.wait() == 0
        (site.shop.folder / "go").touch()
        await site.worker("new")
        dispatcher = await site.dispatcher()

        assert await dispatcher.wait() == Exit.SUCCEEDED
        record = await site.shop.record("web/unit")
        assert record is not None
        assert (record.worker, record.starts) == ("new", 1), "a hand-back costs no start"
        assert await site.terminal_writes("web/unit") == 1


async def _attached(site: Site) -> bool | None:
    return "job was queued before" in (site.shop.folder / "processes.log").read_text() or None


async def _lines(site: Site, name: str, number: int) -> bool | None:
    return len(site.shop.lines(name)) >= number or None


async def _ended_at_least(site: Site, number: int) -> bool | None:
    try:
        return await _ended(site) >= number or None
    except BusUnavailable:  # it is being killed as well
        return None


async def _ended(site: Site) -> int:
    return sum(state is JobState.SUCCEEDED for state in (await site.shop.states()).values())
