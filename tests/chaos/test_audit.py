"""The audit finds what it is there to find: each broken promise, made by hand, is told."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from tests.chaos.audit import audit
from tests.chaos.leased import plan_of
from tests.chaos.schedule import SMALL
from tests.nats_server import NatsServer
from tests.runtime import samples

from forge_runtime import lease, subject
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.provision import provision
from forge_runtime.dead_letter import Cause, Reason
from forge_runtime.envelope import ended_event
from forge_runtime.event import Event, EventKind
from forge_runtime.job import Job, JobRecord, JobResult, JobState, ResultReference, encode, utc_text
from forge_runtime.lease import Holder
from forge_runtime.ledger import Decision, Ledger
from forge_runtime.run import CancelFlag, CancelReason

HOLDER = Holder(worker="worker-1", nonce="n", component="worker.tasks")


class Run:
    """One run of four jobs, ended as promised; what a test then breaks is the only thing that is wrong."""

    def __init__(self, bus: JetStreamBus, blob: DirectoryBlob) -> None:
        self.bus = bus
        self.blob = blob
        self.ledger = Ledger(bus, patience_s=10.0)
        self.jobs: list[Job] = []

    async def carry_out(self) -> None:
        plan = plan_of(replace(SMALL, units=1, tasks=1))
        digest = await samples.store_plan(self.bus, plan)
        run = samples.run_record(samples.new_run_id())
        await samples.store_run(self.bus, run)
        self.jobs = samples.jobs_of(run, plan, digest)
        for job in self.jobs:
            await self.ledger.open(job)
            await self.write(job, lambda record, now: lease.claim(record, HOLDER, now))
            await self.write(job, lambda record, _: lease.complete(record, HOLDER, _succeeded(record.job)))
            record = await self.record(job)
            await self.ledger.publish(ended_event(record, time.time()))
        at = utc_text(time.time())
        await self.ledger.publish(Event(kind=EventKind.FINISH, run_id=run.run_id, status="succeeded", at=at))

    async def write(self, job: Job, decide: Decision) -> None:
        """Whatever is decided, past all rules."""
        written = decide(await self.record(job), time.time())
        assert isinstance(written, JobRecord)
        await self.bus.jobs.put(subject.job_key(job.run_id, job.job_id), encode(written))

    async def record(self, job: Job) -> JobRecord:
        record = await self.ledger.read(job.run_id, job.job_id)
        assert record is not None
        return record


@pytest.fixture
async def run(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[Run]:
    bus = await connect(nats_server.settings("audit"))
    await provision(bus)
    run = Run(bus, DirectoryBlob(tmp_path / "objects"))
    await run.carry_out()
    yield run
    await bus.close()


async def test_a_run_that_kept_its_promises_is_green(run: Run) -> None:
    found = await audit(run.bus, run.blob)

    assert found.findings == []
    assert (found.jobs, found.records, found.terminal, found.executions) == (4, 4, 4, 4)


async def complete_again(run: Run) -> None:
    await run.write(run.jobs[0], lambda record, _: record)


async def complete_as_a_stranger(run: Run) -> None:
    await run.write(run.jobs[0], lambda record, _: msgspec.structs.replace(record, state=JobState.LEASED, result=None))
    await run.write(run.jobs[0], lambda record, _: msgspec.structs.replace(_ended(record), attempt_nonce="other"))


async def leave_leased(run: Run) -> None:
    await run.write(run.jobs[0], lambda record, _: msgspec.structs.replace(record, state=JobState.LEASED, result=None))


async def leave_a_message(run: Run) -> None:
    job = run.jobs[0]
    await run.bus.publish_job(subject.job_subject(job.type, job.run_id, job.job_id), encode(job))


async def tell_another_end(run: Run) -> None:
    record = await run.record(run.jobs[0])
    await run.ledger.publish(ended_event(msgspec.structs.replace(record, state=JobState.FAILED), time.time()))


async def damage_a_result(run: Run) -> None:
    await run.blob.put("results/large.json", b"damaged", cls="result")
    reference = ResultReference(key="results/large.json", sha256="sha256:" + "0" * 64, size=7)
    await leave_leased(run)
    await run.write(run.jobs[0], lambda record, _: _ended(record, reference))


async def bury_a_job(run: Run) -> None:
    job = run.jobs[0]
    cause = Cause(reason=Reason.POISON, message="three workers lost it", starts=3)
    await run.ledger.bury("tasks", job.run_id, job.job_id, encode(job), cause)


@pytest.mark.parametrize(
    ("break_promise", "told"),
    [
        (complete_again, "completed more than once"),
        (complete_as_a_stranger, "completed by somebody who did not hold it"),
        (leave_leased, "is lost: leased"),
        (leave_a_message, "still holds 1 messages"),
        (tell_another_end, "events say ['failed', 'succeeded']"),
        (damage_a_result, "missing or damaged"),
        (bury_a_job, "1 jobs among the dead letters"),
    ],
)
async def test_a_broken_promise_is_told(run: Run, break_promise: Callable[[Run], Awaitable[None]], told: str) -> None:
    await break_promise(run)

    assert any(told in finding for finding in (await audit(run.bus, run.blob)).findings)


async def test_a_job_without_a_record_is_lost_unless_its_run_was_stopped(run: Run) -> None:
    first = run.jobs[0]
    key = f"$KV.{subject.JOBS_BUCKET}.{subject.job_key(first.run_id, first.job_id)}"
    await run.bus.connection.jetstream.purge_stream(f"KV_{subject.JOBS_BUCKET}", subject=key)
    lost = await audit(run.bus, run.blob)

    await run.ledger.raise_flag(first.run_id, CancelFlag(reason=CancelReason.CANCELLED, by="api", at=time.time()))
    stopped = await audit(run.bus, run.blob)

    assert (lost.lost, lost.not_submitted) == (1, 0)
    assert (stopped.lost, stopped.not_submitted, stopped.findings) == (0, 1, [])


def _succeeded(job: Job) -> JobResult:
    return JobResult(job_id=job.job_id, status=JobState.SUCCEEDED, worker=HOLDER.worker)


def _ended(record: JobRecord, reference: ResultReference | None = None) -> JobRecord:
    result = msgspec.structs.replace(_succeeded(record.job), result_ref=reference)
    return msgspec.structs.replace(record, state=JobState.SUCCEEDED, result=result)
