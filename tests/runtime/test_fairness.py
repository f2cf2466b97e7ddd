"""Runs beside each other in one pool: who is served when, by the starts that the records tell."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile

from msgspec.structs import replace
from tests.runtime import samples
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.workshop import Workshop, until

from forge_runtime.job import Job, JobRecord, JobState, JobType
from forge_runtime.lane import lane_of
from forge_runtime.submit import Submitter
from forge_runtime.watch import watch_run
from forge_runtime.worker.execution import Bench
from forge_runtime.worker.handler import JobContext, Outcome

SLOTS = 4
WINDOW = 16


class Pause:
    """A job that takes so long and does nothing."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        await asyncio.sleep(self._seconds)
        return Outcome(status=JobState.SUCCEEDED)


async def test_a_small_run_starts_within_two_job_lengths_of_a_large_one(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({}) as shop, shop.worker(_bench(shop, 0.2), slots=SLOTS):
        large = asyncio.create_task(_run(shop, "large", 64, window=64))
        await until(lambda: _has_started(shop, "large", 2 * SLOTS))
        small = await _run(shop, "small", 5)
        starts = _in_order(await large, small)

    submitted_at = min(record.submitted_at for record in small)
    since = [record for record in starts if _started_at(record) > submitted_at]
    before = list(takewhile(lambda record: record not in small, since))
    assert len(before) <= 2 * SLOTS


async def test_large_runs_share_equally_also_with_one_that_comes_later(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({}) as shop, shop.worker(_bench(shop, 0.01), slots=SLOTS):
        first = [asyncio.create_task(_run(shop, name, 150, window=WINDOW)) for name in ("one", "two")]
        await until(lambda: _has_started(shop, "one", 40))
        third = await _run(shop, "three", 120, window=WINDOW)
        one, two = await asyncio.gather(*first)

    starts = [record.job.repository for record in _in_order(one, two, third)]
    together = starts[starts.index("three") :]
    ends = min(len(together) - together[::-1].index(name) for name in ("one", "two", "three"))
    shares = Counter(together[:ends][-90:])
    assert min(shares[name] for name in ("one", "two", "three")) >= 18, shares


async def test_a_run_has_no_more_jobs_under_way_than_its_window(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({}) as shop:
        running = asyncio.create_task(_run(shop, "large", 40, window=WINDOW))
        await until(lambda: _has_records(shop, WINDOW))
        async with shop.worker(_bench(shop, 0.01), slots=SLOTS):
            records = await running

    ended = sorted(_ended_at(record) for record in records)
    submitted = sorted(record.submitted_at for record in records)
    for place, submitted_at in enumerate(submitted[WINDOW:]):
        assert submitted_at >= ended[place] - 0.001, "ends are told to the millisecond"


def _bench(shop: Workshop, seconds: float) -> Bench:
    return shop.bench(handlers={JobType.CI: Pause(seconds)})


async def _run(shop: Workshop, name: str, jobs: int, *, window: int = WINDOW) -> list[JobRecord]:
    """The records of a run, known by the name of its repository."""
    run_id = _run_id(shop, name)
    async with watch_run(shop.bus, run_id) as watch:
        submitter = Submitter(shop.ledger, watch, window)
        return await asyncio.gather(
            *(
                submitter.bring_to_end(
                    replace(samples.ci_job(run_id, step=f"step-{rank}"), lane=lane_of(rank), repository=name)
                )
                for rank in range(jobs)
            )
        )


def _run_id(shop: Workshop, name: str) -> str:
    return str(uuid.uuid5(uuid.UUID(shop.run.run_id), name))


async def _has_started(shop: Workshop, name: str, count: int) -> bool | None:
    records = await shop.ledger.records(_run_id(shop, name))
    return sum(record.started_at is not None for record in records) >= count or None


async def _has_records(shop: Workshop, count: int) -> bool | None:
    return len(await shop.ledger.records(_run_id(shop, "large"))) >= count or None


def _in_order(*runs: Sequence[JobRecord]) -> list[JobRecord]:
    return sorted((record for run in runs for record in run), key=_started_at)


def _started_at(record: JobRecord) -> float:
    assert record.started_at is not None
    return record.started_at


def _ended_at(record: JobRecord) -> float:
    assert record.result is not None
    assert record.result.completed_at is not None
    return datetime.fromisoformat(record.result.completed_at).timestamp()
