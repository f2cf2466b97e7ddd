"""Ending what has not ended by itself."""

import time
from collections.abc import Iterable

import pytest
from msgspec.structs import replace
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.workshop import Workshop

from forge_runtime import subject
from forge_runtime.dead_letter import Reason
from forge_runtime.job import JobRecord, JobState, JobType, encode
from forge_runtime.lease import cancel, poison
from forge_runtime.run import CancelFlag, CancelReason
from forge_runtime.settle import Settlement, cancelled_error
from forge_runtime.watch import watch_run

FLAG = CancelFlag(reason=CancelReason.FAILED, by="worker-1", at=0.0, job_id="j-1")
SILENT = {"state": JobState.LEASED, "worker": "silent", "attempt_nonce": "n", "starts": 1}


async def test_queued_job_is_cancelled_and_its_message_purged(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "true"}]}) as shop:
        job = await shop.submit("web/unit")

        (record,) = await _settle(shop, [job.job_id])

        assert record.state is JobState.CANCELLED
        assert record.result is not None
        assert record.result.error is not None
        assert "job j-1 failed" in record.result.error.message
        assert await shop.bus.pull(subject.queue_of(JobType.CI), 0.1) is None
        assert (await shop.events("cancelled"))[-1].job_id == job.job_id


async def test_job_that_was_never_submitted_stays_without_a_record(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "true"}]}) as shop:
        assert await _settle(shop, [shop.jobs()["web/unit"].job_id]) == []


@pytest.mark.parametrize(("force", "state"), [(False, JobState.LEASED), (True, JobState.CANCELLED)])
async def test_job_of_a_silent_worker_is_ended_only_by_force(
    open_workshop: OpenWorkshop, force: bool, state: JobState
) -> None:
    async with open_workshop({"web": [{"unit": "true"}]}) as shop:
        job = await shop.submit("web/unit")
        await _hold(shop, lease_until=time.time() + job.limits.heartbeat_s)

        (record,) = await _settle(shop, [job.job_id], force=force)

        assert record.state is state


async def test_job_whose_lease_ran_out_is_nobodys(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "true"}]}) as shop:
        job = await shop.submit("web/unit")
        await _hold(shop, lease_until=1.0)

        (record,) = await _settle(shop, [job.job_id])

        assert record.state is JobState.CANCELLED


async def test_end_that_nobody_told_is_told(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "true"}]}) as shop:
        job = await shop.submit("web/unit")
        error = cancelled_error(FLAG, "dispatcher", 0.0)
        await shop.ledger.change(job.run_id, job.job_id, lambda record, now: cancel(record, error, now))

        await _settle(shop, [job.job_id])

        assert (await shop.events("cancelled"))[-1].job_id == job.job_id


async def test_job_that_was_given_up_is_buried_even_if_whoever_gave_it_up_died_before(
    open_workshop: OpenWorkshop,
) -> None:
    async with open_workshop({"web": [{"unit": "true"}]}) as shop:
        job = await shop.submit("web/unit")
        await shop.ledger.change(
            job.run_id, job.job_id, lambda record, now: poison(record, "worker.tasks", "three workers lost it", now)
        )

        await _settle(shop, [job.job_id])

        (letter,) = await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2)
        assert letter.cause.reason is Reason.POISON


async def _settle(shop: Workshop, job_ids: Iterable[str], *, force: bool = False) -> list[JobRecord]:
    async with watch_run(shop.bus, shop.run.run_id) as watch:
        settlement = Settlement(shop.ledger, watch, shop.run.run_id, FLAG, "dispatcher", force=force, holder_wait_s=0.3)
        return await settlement.settle(job_ids, [JobType.CI])


async def _hold(shop: Workshop, *, lease_until: float) -> None:
    record = await shop.record("web/unit")
    assert record is not None
    held = replace(record, **SILENT, lease_until=lease_until)
    await shop.bus.jobs.put(subject.job_key(shop.run.run_id, record.job.job_id), encode(held))
