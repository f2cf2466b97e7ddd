"""A run on one bus, with real workers and dispatchers, whose steps are shell scripts."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from msgspec.json import decode
from msgspec.structs import replace
from tests.runtime import samples

from forge_runtime import subject
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.port import Bus
from forge_runtime.dispatcher import Command, Dispatcher, Exit
from forge_runtime.event import Event, decode_event
from forge_runtime.job import (
    CiPayload,
    DiscoveryData,
    ErrorRecord,
    Job,
    JobRecord,
    JobState,
    JobType,
    Limits,
    decode_record,
    encode,
)
from forge_runtime.ledger import Ledger
from forge_runtime.process import Program, run_process
from forge_runtime.run import CancelFlag, CancelReason, RunRecord, decode_cancel
from forge_runtime.watch import watch_flags
from forge_runtime.worker.execution import Bench
from forge_runtime.worker.handler import Handler, JobContext, Outcome
from forge_runtime.worker.loop import Worker
from forgec.plan.model import Plan

WAIT_LIMIT_S = 20.0
T = TypeVar("T")


class ScriptHandler:
    """Runs a step's first argument with `sh`, in its scratch directory; the environment names the files' folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        step = decode(job.payload, type=CiPayload).step

        async def ignore(_line: str) -> None:
            return None

        program = Program(
            argv=("sh", "-c", step.args[0]),
            cwd=context.scratch,
            environment={"PATH": "/usr/bin:/bin", "OUT": str(self.folder), "ATTEMPT": str(context.attempt)},
        )
        groups = self.folder / "groups"
        end = await run_process(program, timeout_s=job.limits.start_to_close_s, output=ignore, groups=groups)
        if end.exit_code == 0:
            return Outcome(status=JobState.SUCCEEDED, exit_code=0)
        infrastructure = end.exit_code == 75
        error = ErrorRecord(
            code="RUNNER_UNAVAILABLE" if infrastructure else "STEP_FAILED",
            message=f"exit code {end.exit_code}",
            component=context.component,
            error_class="infra" if infrastructure else "user",
        )
        return Outcome(status=JobState.FAILED, exit_code=end.exit_code, error=error)


class PlannedDiscovery:
    """Finds the same plan in every repository."""

    def __init__(self, plan: Plan, digest: str) -> None:
        self._data = DiscoveryData(
            discovery_digest=digest,
            plan_digest=digest,
            groups=tuple(group.unit_ids for group in plan.working_groups),
            release=plan.release_ids,
            projects=1,
        )

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        return Outcome(status=JobState.SUCCEEDED, data=self._data)


class Workshop:
    """One run; everything that a test looks at. `folder` is where scripts leave files ($OUT)."""

    def __init__(self, bus: Bus, folder: Path) -> None:
        self.bus = bus
        self.folder = folder
        self.ledger = Ledger(bus, patience_s=10.0)
        self.run: RunRecord = samples.run_record(samples.new_run_id())
        self.digest = ""

    async def prepare(self, projects: Mapping[str, list[dict[str, str]]]) -> None:
        await samples.store_run(self.bus, self.run)
        await self.plans(samples.plan_of(projects))

    async def plans(self, plan: Plan) -> None:
        """The run's plan, from now on."""
        self.plan = plan
        self.digest = await samples.store_plan(self.bus, plan)

    def bench(self, name: str = "worker-1", handlers: Mapping[JobType, Handler] | None = None) -> Bench:
        return Bench(
            worker=name,
            bus=self.bus,
            ledger=self.ledger,
            watch=watch_flags(self.bus),
            blob=DirectoryBlob(self.folder / "blob"),
            handlers=handlers or {JobType.CI: ScriptHandler(self.folder)},
            scratch=self.folder / "scratch",
        )

    @asynccontextmanager
    async def worker(self, bench: Bench | None = None, *, slots: int = 4, grace_s: float = 0.0) -> AsyncIterator[None]:
        bench = bench or self.bench()
        queues = list(dict.fromkeys(subject.queue_of(job_type) for job_type in bench.handlers))
        stop = asyncio.Event()
        serving = asyncio.create_task(Worker(bench=bench, queues=queues, slots=slots, grace_s=grace_s).serve(stop))
        try:
            yield
        finally:
            stop.set()
            await serving

    async def dispatch(self, leaf: str = "run", *, status: str = "succeeded", unit: str = samples.UNIT) -> Exit:
        return await self.dispatcher().perform(self.command(leaf, status=status, unit=unit))

    def command(self, leaf: str = "run", *, status: str = "succeeded", unit: str = samples.UNIT) -> Command:
        return Command(leaf=leaf, run_id=self.run.run_id, plan=self.digest, unit=unit, status=status)

    def dispatcher(self) -> Dispatcher:
        return Dispatcher(bus=self.bus, run_id=self.run.run_id, output_dir=self.folder / "outputs")

    async def cancel(self, reason: CancelReason = CancelReason.CANCELLED) -> None:
        flag = CancelFlag(reason=reason, by="api", at=time.time())
        await self.ledger.raise_flag(self.run.run_id, flag)

    async def flag(self) -> CancelFlag | None:
        entry = await self.bus.runs.get(subject.cancel_key(self.run.run_id))
        return None if entry is None else decode_cancel(entry.value)

    def jobs(self) -> dict[str, Job]:
        """By `project/step`."""
        found = {}
        for job in samples.jobs_of(self.run, self.plan, self.digest):
            payload = decode(job.payload, type=CiPayload)
            found[f"{payload.project}/{payload.step.name}"] = job
        return found

    def unit_ids(self) -> list[str]:
        return [unit_id for group in self.plan.groups for unit_id in group.unit_ids]

    async def submit(self, name: str, *, lease_s: float = 30.0, schedule_to_start_s: float = 100.0) -> Job:
        """Queue a job as a dispatcher does; one that comes later attaches to it."""
        limits = Limits(schedule_to_start_s=schedule_to_start_s, start_to_close_s=60.0, heartbeat_s=lease_s)
        job = replace(self.jobs()[name], limits=limits)
        await self.ledger.open(job)
        await self.bus.publish_job(subject.job_subject(job.type, job.run_id, job.job_id), encode(job))
        return job

    async def record(self, name: str) -> JobRecord | None:
        job = self.jobs()[name]
        entry = await self.bus.jobs.get(subject.job_key(job.run_id, job.job_id))
        return None if entry is None else decode_record(entry.value)

    async def states(self) -> dict[str, JobState | None]:
        records = {name: await self.record(name) for name in self.jobs()}
        return {name: record.state if record else None for name, record in records.items()}

    async def reach(self, name: str, state: JobState) -> JobRecord:
        """Wait until a job is in this state."""

        async def there() -> JobRecord | None:
            record = await self.record(name)
            return record if record is not None and record.state is state else None

        return await until(there)

    async def events(self, status: str) -> list[Event]:
        """The events of jobs so far, in order, until one with this status."""
        found: list[Event] = []
        async for delivery in self.bus.events("test"):
            await delivery.ack()
            found.append(decode_event(delivery.data))
            if found[-1].status == status:
                return found
        raise AssertionError("events ended")

    def lines(self, name: str) -> list[str]:
        """What scripts appended to $OUT/<name>."""
        path = self.folder / name
        return path.read_text().split() if path.exists() else []


async def until(look: Callable[[], Awaitable[T | None]], limit_s: float = WAIT_LIMIT_S) -> T:
    """What `look` finds, once it finds something."""
    end = time.monotonic() + limit_s
    while True:
        found = await look()
        if found is not None:
            return found
        assert time.monotonic() < end, "it did not happen in time"
        await asyncio.sleep(0.02)
