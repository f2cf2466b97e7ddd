"""Records are told of as they are written, also where the bus lost the answer to a write."""

from collections.abc import Awaitable, Callable

import pytest
from tests.runtime import samples

from forge_runtime import lease, subject
from forge_runtime.bus.memory import MemoryBus, MemoryRecords, MemoryServer
from forge_runtime.bus.port import BusUnavailable, Hint
from forge_runtime.job import Job, JobRecord, JobResult, JobState, decode_record, encode
from forge_runtime.lease import Holder, Refusal, Refused
from forge_runtime.ledger import Decision, Ledger

Instead = Callable[[], Awaitable[object]]

HOLDER = Holder(worker="worker-1", nonce="nonce-1", component="worker.tasks")


class LosesAnAnswer(MemoryRecords):
    """A bucket that does not answer the first write of a record in this state; `instead` of it something may happen."""

    state: JobState
    instead: Instead | None = None
    lost = False

    async def update(self, key: str, value: bytes, revision: int) -> int:
        if self.lost or decode_record(value).state is not self.state:
            return await super().update(key, value, revision)
        self.lost = True
        if self.instead is None:
            await super().update(key, value, revision)
        else:
            await self.instead()
        raise BusUnavailable("the answer was lost")


class Told:
    """What observers heard of one ledger's changes."""

    def __init__(self) -> None:
        self.changes: list[tuple[JobState, JobState, float]] = []

    def changed(self, before: JobRecord, after: JobRecord, now: float) -> None:
        self.changes.append((before.state, after.state, now))

    def buried(self, _pool: str) -> None:
        raise AssertionError("nothing is buried here")


class Clock:
    """Later with each look."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


class Shop:
    """A job whose ledger's bus loses one answer."""

    def __init__(self, state: JobState) -> None:
        server = MemoryServer()
        self.bus = MemoryBus(server)
        self.records = LosesAnAnswer(server.buckets[subject.JOBS_BUCKET], lambda: None)
        self.records.state = state
        self.bus.jobs = self.records  # type: ignore[misc]  # a connection's own view of the bucket
        self.told = Told()
        self.ledger = Ledger(self.bus, patience_s=10.0, clock=Clock(), observers=(self.told,))
        self.job: Job = samples.ci_job(samples.new_run_id())

    async def decide(self, decide: Decision) -> JobRecord | Refused:
        return await self.ledger.change(self.job.run_id, self.job.job_id, decide)


async def nothing() -> None:
    return None


def claim(record: JobRecord, now: float) -> JobRecord | Refused:
    return lease.claim(record, HOLDER, now)


def complete(record: JobRecord, _now: float) -> JobRecord | Refused:
    return lease.complete(record, HOLDER, JobResult(job_id=record.job.job_id, status=JobState.SUCCEEDED))


def poison(record: JobRecord, now: float) -> JobRecord | Refused:
    return lease.poison(record, "sweeper", "nobody can read it", now, force=True)


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize(("end", "state"), [(complete, JobState.SUCCEEDED), (poison, JobState.FAILED)])
async def test_an_end_whose_answer_was_lost_is_counted_once_and_told_to_who_waits(
    end: Decision, state: JobState, taken: bool
) -> None:
    shop = Shop(state)
    shop.records.instead = None if taken else nothing
    await shop.ledger.open(shop.job)
    await shop.decide(claim)
    async with shop.bus.ends(shop.job.run_id) as ends:
        ended = await shop.decide(end)
        heard = await ends.next(0.0)

    assert shop.records.lost
    assert isinstance(ended, JobRecord)
    assert ended.state is state
    assert heard == Hint(subject.job_key(shop.job.run_id, shop.job.job_id), encode(ended))
    assert [(before, after) for before, after, _ in shop.told.changes] == [
        (JobState.QUEUED, JobState.LEASED),
        (JobState.LEASED, state),
    ]


async def test_an_end_is_known_again_by_who_amends_what_he_knew() -> None:
    shop = Shop(JobState.SUCCEEDED)
    standing = await shop.ledger.open(shop.job)
    for decision in (claim, complete):
        amended = await shop.ledger.amend(standing, decision)
        assert not isinstance(amended, Refused)
        standing = amended

    assert standing == await shop.ledger.standing(shop.job.run_id, shop.job.job_id)
    assert len(shop.told.changes) == 2


async def test_a_claim_whose_answer_was_lost_is_counted_at_the_time_of_its_write() -> None:
    shop = Shop(JobState.LEASED)
    await shop.ledger.open(shop.job)

    claimed = await shop.decide(claim)

    assert isinstance(claimed, JobRecord)
    assert shop.told.changes == [(JobState.QUEUED, JobState.LEASED, claimed.started_at)]


async def test_an_end_that_another_wrote_is_not_counted_as_ours() -> None:
    shop = Shop(JobState.SUCCEEDED)
    await shop.ledger.open(shop.job)
    await shop.decide(claim)
    other = Ledger(MemoryBus(shop.bus.server), patience_s=10.0)
    shop.records.instead = lambda: other.change(shop.job.run_id, shop.job.job_id, poison)
    ended = await shop.decide(complete)

    assert isinstance(ended, Refused)
    assert ended.reason is Refusal.ENDED
    assert len(shop.told.changes) == 1
