"""What the sweeper does for jobs and runs that everybody else forgot."""

import asyncio
import dataclasses
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.nats_server import NatsServer
from tests.runtime import samples
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.workshop import Workshop, until

from forge_runtime import subject
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.bus.provision import provision
from forge_runtime.dead_letter import Reason
from forge_runtime.job import Job, JobState, JobType, encode, new_error
from forge_runtime.lease import Holder, cancel, claim, expire
from forge_runtime.run import CancelReason
from forge_runtime.sweeper import QUIET_LEASES, Expire, Republish, Sweeper, decide
from forge_runtime.tasks import end_tasks

PASS = "true"
QUIET_S = QUIET_LEASES * samples.queued_record().job.limits.heartbeat_s
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


def test_job_whose_record_is_of_a_clock_hours_ahead_is_published_again_now() -> None:
    queued = samples.queued_record(now=3600.0)
    leased = replace(queued, state=JobState.LEASED, lease_until=3600.0)

    assert [decide(record, 0.0) for record in (queued, leased)] == [Republish(), Republish()]


@pytest.mark.parametrize("state", [state for state in JobState if state.terminal and state is not JobState.EXPIRED])
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


async def test_expired_job_whose_end_nobody_told_ends_its_run(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = await shop.submit("web/unit", schedule_to_start_s=0.0)
        await shop.ledger.change(job.run_id, job.job_id, lambda record, now: expire(record, "sweeper", now))

        await _sweeper(shop).sweep(shop.run.run_id)

        flag = await shop.flag()
        assert flag is not None
        assert flag.job_id == job.job_id


async def test_job_whose_message_is_gone_runs_all_the_same(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit", schedule_to_start_s=1e6)
        queue = subject.queue_of(JobType.CI)
        await shop.bus.purge(queue, subject.run_subjects(queue, shop.run.run_id))
        later = _later(shop, QUIET_S)

        await later.sweep(shop.run.run_id)

        async with shop.worker():
            record = await shop.reach("web/unit", JobState.SUCCEEDED)

        assert record.starts == 1


async def test_a_full_queue_keeps_a_sweep_from_nothing_else(tmp_path: Path) -> None:
    shop = Workshop(MemoryBus(), tmp_path)
    lost = {f"lost-{number}": [{"unit": PASS}] for number in range(5)}
    await shop.prepare({**lost, "late": [{"unit": PASS}]})
    for name in lost:
        await shop.submit(f"{name}/unit", schedule_to_start_s=1e6)
    await shop.submit("late/unit", schedule_to_start_s=0.0)
    queue, others = subject.queue_of(JobType.CI), samples.new_run_id()
    await shop.bus.purge(queue, subject.run_subjects(queue, shop.run.run_id))
    for number in range(queue.messages_max):
        await shop.bus.publish_job(subject.job_subject(JobType.CI, others, str(number)), b"")

    await _later(shop, QUIET_S).sweep(shop.run.run_id)

    states = await shop.states()
    assert states.pop("late/unit") is JobState.EXPIRED
    assert set(states.values()) == {JobState.QUEUED}


async def test_job_whose_message_the_queue_takes_for_done_runs_all_the_same(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    bus = await connect(nats_server.settings("worker-test"))
    await provision(bus)
    shop = Workshop(bus, tmp_path)
    await shop.prepare({"web": [{"unit": PASS}]})
    await shop.submit("web/unit", schedule_to_start_s=1e6)
    queue = subject.queue_of(JobType.CI)
    await bus.connection.jetstream.reset_consumer(queue.stream, queue.consumer, seq=2)  # as after some server crashes
    assert await bus.pull(queue, 0.5) is None

    await _later(shop, QUIET_S).sweep(shop.run.run_id)

    async with shop.worker():
        await shop.reach("web/unit", JobState.SUCCEEDED)
    await bus.close()


async def test_run_beyond_its_deadline_gets_its_flag(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await samples.store_run(shop.bus, samples.run_record(shop.run.run_id, deadline_at=1.0))

        await _sweeper(shop).sweep(shop.run.run_id)

        flag = await shop.flag()
        assert flag is not None
        assert flag.reason is CancelReason.DEADLINE


async def test_sweeper_whose_clock_is_days_ahead_ends_nothing(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit")
        ahead = dataclasses.replace(shop.ledger, clock=lambda: time.time() + 3 * 24 * 3600)

        await dataclasses.replace(_sweeper(shop), ledger=ahead).sweep(shop.run.run_id)

        assert (await shop.states())["web/unit"] is JobState.QUEUED
        assert await shop.flag() is None


async def test_loop_sweeps_every_active_run(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit", schedule_to_start_s=0.0)
        loop = asyncio.create_task(_sweeper(shop).run(period_s=0.01))

        assert await until(shop.flag) is not None
        loop.cancel()


async def test_job_whose_message_nobody_gets_any_more_is_poison(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = await shop.submit("web/unit")
        await _wear_out(shop)

        await _sweeper(shop).sweep_stranded()

        record = await shop.record("web/unit")
        assert record is not None
        assert record.result is not None
        assert record.result.error is not None
        assert (record.state, record.result.error.code) == (JobState.FAILED, "JOB_POISON")
        assert "handed out 20 times" in record.result.error.message
        assert (await shop.events("failed"))[-1].job_id == job.job_id
        flag = await shop.flag()
        assert flag is not None
        assert (flag.reason, flag.by, flag.job_id) == (CancelReason.FAILED, "sweeper", job.job_id)
        (letter,) = await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2)
        assert (letter.job_id, letter.data, letter.cause.reason) == (job.job_id, encode(job), Reason.POISON)
        assert await shop.bus.publish_job(_address(job), encode(job)), "its message has left the queue"


async def test_stranded_job_is_left_to_whoever_still_works_on_it(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = await shop.submit("web/unit")
        holder = Holder(worker="worker-9", nonce="n", component="worker.tasks")
        await shop.ledger.change(job.run_id, job.job_id, lambda record, now: claim(record, holder, now))
        await _wear_out(shop)

        await _sweeper(shop).sweep_stranded()

        assert (await shop.states())["web/unit"] is JobState.LEASED
        assert not await shop.bus.publish_job(_address(job), encode(job)), "its message stays where it is"


async def test_ended_job_whose_message_is_stranded_keeps_its_end(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = await shop.submit("web/unit")
        await _wear_out(shop)
        await shop.cancel()
        why = new_error("CANCELLED", "cancelled", "by hand", component="test", now=1.0)
        await shop.ledger.change(job.run_id, job.job_id, lambda record, now: cancel(record, why, now))

        await _sweeper(shop).sweep_stranded()

        assert (await shop.states())["web/unit"] is JobState.CANCELLED
        assert await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2) == []
        assert await shop.bus.publish_job(_address(job), encode(job)), "its message has left the queue"


async def test_stranded_message_without_a_record_is_kept_as_an_orphan(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = shop.jobs()["web/unit"]
        await shop.bus.publish_job(_address(job), encode(job))
        await _wear_out(shop)

        await _sweeper(shop).sweep_stranded()

        (letter,) = await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2)
        assert (letter.job_id, letter.cause.reason) == (job.job_id, Reason.ORPHAN)


async def test_stranded_message_under_a_name_that_no_record_can_have_is_kept_as_an_orphan(
    open_workshop: OpenWorkshop,
) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.bus.publish_job("pipeline.tasks.run.job$1", b"anything")
        await _wear_out(shop)

        await _sweeper(shop).sweep_stranded()

        (letter,) = await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2)
        assert (letter.job_id, letter.cause.reason) == ("job$1", Reason.ORPHAN)


async def test_record_that_cannot_be_read_keeps_the_sweep_from_no_other_job(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}], "api": [{"unit": PASS}]}) as shop:
        damaged = shop.jobs()["api/unit"]
        await shop.bus.jobs.put(subject.job_key(damaged.run_id, damaged.job_id), b"{")
        await shop.submit("web/unit", schedule_to_start_s=0.0)

        await _sweeper(shop).sweep(shop.run.run_id)

        record = await shop.record("web/unit")
        assert record is not None
        assert record.state is JobState.EXPIRED


async def test_loop_finds_stranded_jobs(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit")
        await _wear_out(shop)

        loop = asyncio.create_task(_sweeper(shop).run(period_s=0.01))
        try:
            record = await shop.reach("web/unit", JobState.FAILED)
        finally:
            await end_tasks(loop)

        assert record.result is not None
        assert record.result.error is not None


async def _wear_out(shop: Workshop) -> None:
    """Hand the one queued message back as often as it comes, as many draining workers would."""
    queue = subject.queue_of(JobType.CI)
    for _ in range(subject.MAX_DELIVER):
        delivery = await shop.bus.pull(queue, 10)
        assert delivery is not None
        await delivery.retry(0)
    assert await shop.bus.pull(queue, 0.2) is None


def _address(job: Job) -> str:
    return subject.job_subject(job.type, job.run_id, job.job_id)


def _sweeper(shop: Workshop) -> Sweeper:
    async def active() -> list[str]:
        return [samples.new_run_id(), shop.run.run_id]

    return Sweeper(shop.ledger, active)


def _later(shop: Workshop, ahead_s: float) -> Sweeper:
    """A sweeper that lives so much later."""
    clock = shop.ledger.clock
    shop.ledger = type(shop.ledger)(shop.bus, shop.ledger.patience_s, lambda: clock() + ahead_s)
    return _sweeper(shop)
