"""What is counted, where and how often, by workers at work."""

import dataclasses
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec import Raw
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.repository import forge_files, make_repository
from tests.runtime.workshop import Workshop, until

from forge_runtime import subject
from forge_runtime.git.cache import GitCache
from forge_runtime.git.error import GitError
from forge_runtime.job import JobState, encode
from forge_runtime.ledger import Ledger
from forge_runtime.meter import CacheResult, SlotState
from forge_runtime.metrics import DURATION_BUCKETS_S, WAIT_BUCKETS_S, WorkerMetrics, exposition, new_registry

PASS = "true"
WAITS = "echo began >> $OUT/began; until [ -e $OUT/go ]; do sleep 0.05; done"


class Counted:
    """The metrics of one worker process, as its scraper reads them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = WorkerMetrics(self.registry)

    def value(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def counted() -> Counted:
    return Counted()


@asynccontextmanager
async def worker(shop: Workshop, counted: Counted, *, slots: int = 2, grace_s: float = 10.0) -> AsyncIterator[None]:
    ledger = dataclasses.replace(shop.ledger, observers=(counted.metrics,))
    bench = dataclasses.replace(shop.bench(), ledger=ledger, meter=counted.metrics)
    async with shop.worker(bench, slots=slots, grace_s=grace_s):
        yield


async def test_job_is_counted_once_by_type_status_and_class(open_workshop: OpenWorkshop, counted: Counted) -> None:
    async with open_workshop({"web": [{"unit": PASS}], "api": [{"unit": "exit 3"}]}) as shop:
        async with worker(shop, counted):
            await shop.submit("web/unit")
            await shop.reach("web/unit", JobState.SUCCEEDED)
            await shop.submit("api/unit")
            await shop.reach("api/unit", JobState.FAILED)

        job = {"type": "ci", "status": "succeeded"}
        assert counted.value("forge_jobs_total", **job, **{"class": "none"}) == 1
        assert counted.value("forge_jobs_total", type="ci", status="failed", **{"class": "user"}) == 1
        assert counted.value("forge_job_duration_seconds_count", **job) == 1
        assert counted.value("forge_job_queue_wait_seconds_count", type="ci") == 2
        assert counted.value("forge_job_redeliveries_total", pool="tasks") == 0


async def test_slots_are_free_or_busy_and_none_when_the_worker_is_gone(
    open_workshop: OpenWorkshop, counted: Counted
) -> None:
    def slots() -> tuple[float, float]:
        states = (SlotState.FREE, SlotState.BUSY)
        free, busy = (counted.value("forge_worker_slots", pool="tasks", state=state) for state in states)
        return free, busy

    async def are(free: int, busy: int) -> bool | None:
        return slots() == (free, busy) or None

    async with open_workshop({"web": [{"unit": WAITS}]}) as shop, worker(shop, counted, slots=3):
        await until(lambda: are(3, 0))
        await shop.submit("web/unit")
        await until(lambda: are(2, 1))
        (shop.folder / "go").touch()
        await until(lambda: are(3, 0))

    assert slots() == (0, 0)


async def test_job_that_is_tried_again_is_redelivered_and_ends_once(
    open_workshop: OpenWorkshop, counted: Counted
) -> None:
    async with open_workshop({"web": [{"unit": "[ $ATTEMPT -gt 1 ] || exit 75"}]}) as shop, worker(shop, counted):
        await shop.submit("web/unit")
        await shop.reach("web/unit", JobState.SUCCEEDED)

    assert counted.value("forge_job_redeliveries_total", pool="tasks") == 1
    assert counted.value("forge_job_queue_wait_seconds_count", type="ci") == 2
    assert counted.value("forge_job_duration_seconds_count", type="ci", status="succeeded") == 1


async def test_lease_that_another_took_is_counted_and_nothing_as_ended(
    open_workshop: OpenWorkshop, counted: Counted
) -> None:
    async def lost() -> bool | None:
        return counted.value("forge_lease_lost_total", pool="tasks") == 1 or None

    async with open_workshop({"web": [{"unit": "sleep 60"}]}) as shop, worker(shop, counted, grace_s=0.0):
        job = await shop.submit("web/unit", lease_s=0.6)
        record = await shop.reach("web/unit", JobState.LEASED)
        stolen = replace(record, worker="thief", attempt_nonce="t", lease_until=4e9)
        await shop.bus.jobs.put(subject.job_key(job.run_id, job.job_id), encode(stolen))

        await until(lost)

    assert counted.value("forge_jobs_total", type="ci", status="failed", **{"class": "infra"}) == 0


async def test_job_that_never_began_has_no_duration(open_workshop: OpenWorkshop, counted: Counted) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit", schedule_to_start_s=0.0)
        async with worker(shop, counted):
            await shop.reach("web/unit", JobState.EXPIRED)

    assert counted.value("forge_jobs_total", type="ci", status="expired", **{"class": "infra"}) == 1
    assert counted.value("forge_job_duration_seconds_count", type="ci", status="expired") == 0


async def test_dead_letter_is_counted(open_workshop: OpenWorkshop, counted: Counted) -> None:
    async with open_workshop({"web": [{"unreadable": PASS}]}) as shop:
        job = shop.jobs()["web/unreadable"]
        await shop.ledger.open(job)
        target = subject.job_subject(job.type, job.run_id, job.job_id)
        await shop.bus.publish_job(target, encode(replace(job, payload=Raw(b"{}"))))
        async with worker(shop, counted):
            await shop.reach("web/unreadable", JobState.FAILED)

    assert counted.value("forge_dead_letters_total", pool="tasks") == 1
    assert counted.value("forge_jobs_total", type="ci", status="failed", **{"class": "infra"}) == 1


async def test_ledger_tells_only_what_it_wrote_itself(open_workshop: OpenWorkshop, counted: Counted) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        onlooker = Ledger(shop.bus, 10.0, observers=(counted.metrics,))
        async with shop.worker():
            job = await shop.submit("web/unit")
            await shop.reach("web/unit", JobState.SUCCEEDED)

        await onlooker.change(job.run_id, job.job_id, lambda record, _now: record)

    assert list(_samples(counted)) == []


@pytest.mark.usefixtures("real_git")
async def test_cache_tells_what_each_commit_cost(tmp_path: Path, counted: Counted) -> None:
    url, first = make_repository(tmp_path / "origin", forge_files("VERSION 0.8\n"))
    cache = GitCache(tmp_path / "git", allow_file=True, meter=counted.metrics)

    for _ in range(2):
        async with cache.lease(url, first):
            pass
    with pytest.raises(GitError):
        async with cache.lease(url, "1" * 40):
            pass

    asked = {result: counted.value("forge_git_cache_requests_total", result=result) for result in CacheResult}
    assert asked == {CacheResult.CLONE: 1, CacheResult.HIT: 1, CacheResult.FETCH: 0}


def test_limits_of_jobs_are_bounds_of_buckets() -> None:
    assert {600, 900, 1800, 2700} <= set(DURATION_BUCKETS_S)
    assert {3600, 7200} <= set(WAIT_BUCKETS_S)


def test_process_tells_of_itself_and_each_registry_is_its_own() -> None:
    text, media_type = exposition(new_registry())
    other, _ = exposition(new_registry())

    assert b"process_cpu_seconds_total" in text
    assert b"process_cpu_seconds_total" in other
    assert media_type.startswith("text/plain")


def _samples(counted: Counted) -> Iterator[tuple[str, float]]:
    for family in counted.registry.collect():
        for sample in family.samples:
            yield sample.name, sample.value
