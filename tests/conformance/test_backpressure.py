"""A queue that is full, on each bus: dispatchers wait, nothing is lost, and a wait can be ended."""

import asyncio
import logging

import pytest
from msgspec.structs import replace
from tests.conformance.conftest import Connections
from tests.runtime import samples
from tests.runtime.workshop import until

from forge_runtime.bus.port import Bus
from forge_runtime.job import Job, JobRecord, JobState, JobType
from forge_runtime.ledger import Ledger
from forge_runtime.subject import job_subject, queue_of, run_subjects
from forge_runtime.submit import Submitter
from forge_runtime.watch import watch_run

QUEUE = queue_of(JobType.RELEASE)
JOBS = 20


async def test_dispatchers_before_a_full_queue_go_on_when_it_drains_and_no_job_is_lost(
    connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    async with connections() as (one, other):
        others = samples.new_run_id()
        await _fill(one, others)
        runs = {samples.new_run_id(): bus for bus in (one, other)}
        with caplog.at_level(logging.INFO, logger="forge_runtime.submit"):
            submitting = [asyncio.create_task(_submit(bus, run_id)) for run_id, bus in runs.items()]
            for run_id in runs:
                await until(lambda run_id=run_id: _has_records(one, run_id, 16))
            full = await one.queue_depth(QUEUE)
            await one.purge(QUEUE, run_subjects(QUEUE, others))
            found = set()
            async with asyncio.timeout(60):
                while len(found) < 2 * JOBS:
                    delivery = await other.pull(QUEUE, 10)
                    assert delivery is not None
                    found.add(delivery.subject)
                    await delivery.ack()
        for task in submitting:
            task.cancel()
        await asyncio.gather(*submitting, return_exceptions=True)

    assert full.pending == full.limit
    said = [record.getMessage() for record in caplog.records]
    assert said.count("queue is full, jobs wait outside") == len(runs)
    assert said.count("queue takes jobs again, none waits outside") == len(runs)


async def test_who_waits_before_a_full_queue_can_be_stopped(connections: Connections) -> None:
    async with connections() as (one, _):
        await _fill(one, samples.new_run_id())
        run_id = samples.new_run_id()
        waiting = asyncio.create_task(_submit(one, run_id))
        await until(lambda: _has_records(one, run_id, 16))
        waiting.cancel()
        done, _ = await asyncio.wait({waiting}, timeout=5)

        assert done
        records = await Ledger(one, 10.0).records(run_id)
        assert {record.state for record in records} == {JobState.QUEUED}


async def _fill(bus: Bus, run_id: str) -> None:
    jobs = [job_subject(JobType.RELEASE, run_id, str(number)) for number in range(QUEUE.messages_max)]
    await asyncio.gather(*(bus.publish_job(job, b"") for job in jobs))


async def _submit(bus: Bus, run_id: str) -> list[JobRecord]:
    async with watch_run(bus, run_id) as watch:
        submitter = Submitter(Ledger(bus, 10.0), watch)
        return await asyncio.gather(*(submitter.bring_to_end(_job(run_id, number)) for number in range(JOBS)))


def _job(run_id: str, number: int) -> Job:
    return replace(samples.ci_job(run_id, step=f"step-{number}"), type=JobType.RELEASE)


async def _has_records(bus: Bus, run_id: str, count: int) -> bool | None:
    return len(await Ledger(bus, 10.0).records(run_id)) >= count or None
