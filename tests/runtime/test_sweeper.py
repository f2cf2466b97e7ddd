"""What the sweeper does for jobs and runs that everybody else forgot."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.runtime import samples
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.workshop import Workshop, until

from forge_runtime import subject
from forge_runtime.job import JobState, JobType
from forge_runtime.run import CancelReason
from forge_runtime.sweeper import QUIET_S, Expire, Republish, Sweeper, decide

PASS = "true"
QUEUE_LIMIT_S = samples.queued_record().job.limits.schedule_to_start_s


@pytest.mark.parametrize(
    ("now", "needs"),
    [(0.0, None), (QUIET_S - 1, None), (QUIET_S, Republish()), (QUEUE_LIMIT_S + 1, Expire())],
)
def test_queued_job_is_published_again_and_expires_at_last(now: float, needs: Expire | Republish | None) -> None:
    assert decide(samples.queued_record(now=0.0), now) == needs


@pytest.mark.parametrize(("now", "needs"), [(0.0, None), (30.0 + QUIET_S - 1, None), (30.0 + QUIET_S, Republish())])
def test_job_of_a_dead_worker_is_published_again(now: float, needs: Republish | None) -> None:
    record = replace(samples.queued_record(), state=JobState.LEASED, lease_until=30.0)

    assert decide(record, now) == needs


@pytest.mark.parametrize("state", [state for state in JobState if state.terminal])
def test_job_that_ended_needs_nothing(state: JobState) -> None:
    assert decide(replace(samples.queued_record(), state=state), 1e9) is None


async def test_job_that_nobody_began_expires_and_ends_its_run(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = await shop.submit("web/unit", schedule_to_start_s=0.0)

        await _sweeper(shop).sweep(shop.run.run_id)

        assert (await shop.states())["web/unit"] is JobState.EXPIRED
        flag = await shop.flag()
        assert flag is not None
        assert (flag.reason, flag.job_id) == (CancelReason.FAILED, job.job_id)
        event = (await shop.events("failed"))[-1]
        assert event.error is not None
        assert event.error.code == "JOB_EXPIRED"


async def test_job_whose_message_is_gone_runs_all_the_same(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit", schedule_to_start_s=1e6)
        queue = subject.queue_of(JobType.CI)
        await shop.bus.purge(queue, subject.run_subjects(queue, shop.run.run_id))
        later = _later(shop, QUIET_S)

        await later.sweep(shop.run.run_id)

        async with shop.worker():
            await shop.reach("web/unit", JobState.SUCCEEDED)


async def test_run_beyond_its_deadline_gets_its_flag(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await samples.store_run(shop.bus, samples.run_record(shop.run.run_id, deadline_at=1.0))

        await _sweeper(shop).sweep(shop.run.run_id)

        flag = await shop.flag()
        assert flag is not None
        assert flag.reason is CancelReason.DEADLINE


async def test_loop_sweeps_every_active_run(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit", schedule_to_start_s=0.0)
        loop = asyncio.create_task(_sweeper(shop).run(period_s=0.01))

        assert await until(shop.flag) is not None
        loop.cancel()


def _sweeper(shop: Workshop) -> Sweeper:
    async def active() -> list[str]:
        return [samples.new_run_id(), shop.run.run_id]

    return Sweeper(shop.ledger, active)


def _later(shop: Workshop, ahead_s: float) -> Sweeper:
    """A sweeper that lives so much later."""
    clock = shop.ledger.clock
    shop.ledger = type(shop.ledger)(shop.bus, shop.ledger.patience_s, lambda: clock() + ahead_s)
    return _sweeper(shop)
