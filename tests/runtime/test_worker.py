"""The worker: one delivery from claim to ack, its lease, and what ends its work early."""

import asyncio
import dataclasses
import errno
import io
import logging
import os
import time
from pathlib import Path

import pytest
from msgspec import Raw, Struct
from msgspec.structs import replace
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.workshop import Workshop, until

from forge_runtime import lease, subject
from forge_runtime.blob import BlobClass, DirectoryBlob
from forge_runtime.bus.jetstream import JetStreamBus
from forge_runtime.bus.memory import MemoryBus, MemoryRecords, MemoryServer
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.dead_letter import Cause, DeadLetter, Reason
from forge_runtime.job import (
    RESULT_INLINE_BYTES_MAX,
    ErrorRecord,
    Job,
    JobRecord,
    JobState,
    JobType,
    decode_record,
    encode,
    new_error,
)
from forge_runtime.lane import Lane
from forge_runtime.lease import Holder
from forge_runtime.run import CancelReason
from forge_runtime.worker.handler import Handler, JobContext, Outcome
from forgec.plan.digest import digest_of

PASS = "true"
LONG = "echo began >> $OUT/began; sleep 60; echo ended >> $OUT/ended"
TASKS = subject.queue_of(JobType.CI)
THIEF = Holder(worker="thief", nonce="t", component="worker.tasks")


async def test_job_is_told_as_running_and_then_as_ended(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop, shop.worker():
        job = await shop.submit("web/unit")

        events = await shop.events("succeeded")

    assert [(event.status, event.job_id, event.attempt) for event in events] == [
        ("running", job.job_id, 1),
        ("succeeded", job.job_id, 1),
    ]
    assert events[-1].exit_code == 0
    assert events[-1].address is not None
    assert (events[-1].address.project, events[-1].worker) == ("web", "worker-1")


async def test_failed_job_raises_the_flag_of_its_run(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "exit 3"}]}) as shop, shop.worker():
        job = await shop.submit("web/unit")
        record = await shop.reach("web/unit", JobState.FAILED)
        flag = await until(shop.flag)

    assert record.result is not None
    assert (record.result.exit_code, record.result.worker) == (3, "worker-1")
    assert (flag.reason, flag.by, flag.job_id) == (CancelReason.FAILED, "worker-1", job.job_id)


async def test_message_of_an_ended_job_repeats_its_event_and_goes(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "echo ran >> $OUT/runs"}]}) as shop, shop.worker():
        job = await shop.submit("web/unit")
        await shop.events("succeeded")
        await until(lambda: _gone(shop))

        await shop.bus.publish_job(subject.job_subject(job.type, job.run_id, job.job_id), encode(job))

        assert [event.status for event in await shop.events("succeeded")] == ["succeeded"]
        await until(lambda: _gone(shop))
        assert shop.lines("runs") == ["ran"]


@pytest.mark.parametrize("unreadable", ["text", "payload", "type"])
@pytest.mark.parametrize("lane", list(Lane))
async def test_unreadable_message_fails_its_job_and_is_kept(
    open_workshop: OpenWorkshop, unreadable: str, lane: Lane
) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop, shop.worker():
        job = replace(shop.jobs()["web/unit"], lane=lane)
        message = {
            "text": b"{nonsense",
            "payload": encode(replace(job, payload=Raw(b"{}"))),
            "type": encode(replace(job, type=JobType.RELEASE)),
        }[unreadable]
        await shop.ledger.open(job)
        await shop.bus.publish_job(subject.subject_of(job), message)

        record = await shop.reach("web/unit", JobState.FAILED)
        await until(lambda: _gone(shop))

        (letter,) = await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2)

    assert _code(record) == "JOB_POISON"
    assert (letter.run_id, letter.job_id, letter.data) == (job.run_id, job.job_id, message)
    assert letter.cause.reason is Reason.POISON
    assert "cannot be read" in letter.cause.message


async def test_unreadable_message_under_a_name_that_no_record_can_have_is_kept(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop, shop.worker():
        await shop.bus.publish_job("pipeline.tasks.run.job$1", b"anything")

        (letter,) = await until(lambda: _letters(shop))

    assert (letter.job_id, letter.cause.reason) == ("job$1", Reason.UNREADABLE)


async def test_job_whose_record_cannot_be_read_goes_back_into_its_queue(
    open_workshop: OpenWorkshop, stream: io.StringIO
) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = shop.jobs()["web/unit"]
        key = subject.job_key(job.run_id, job.job_id)
        await shop.bus.jobs.put(key, b"{")
        await shop.bus.publish_job(subject.subject_of(job), encode(job))

        async with shop.worker():
            await until(lambda: _told(stream, "unreadable record"))

        assert not await shop.bus.publish_job(subject.subject_of(job), encode(job)), "its message is there"
    assert key in stream.getvalue()
    assert "Traceback" not in stream.getvalue()


async def test_job_that_three_workers_lost_is_not_started_again(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "echo ran >> $OUT/runs"}]}) as shop:
        job = await shop.submit("web/unit")
        await _write(shop, job, state=JobState.LEASED, starts=lease.STARTS_MAX, worker="gone", lease_until=1.0)
        async with shop.worker():
            record = await shop.reach("web/unit", JobState.FAILED)

    assert _code(record) == "JOB_POISON"
    assert shop.lines("runs") == []


async def test_job_that_waited_too_long_expires(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit", schedule_to_start_s=0.0)
        async with shop.worker():
            record = await shop.reach("web/unit", JobState.EXPIRED)

    assert _code(record) == "JOB_EXPIRED"


async def test_worker_whose_clock_is_hours_ahead_ends_no_job_for_having_waited(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        ahead = dataclasses.replace(shop.ledger, clock=lambda: time.time() + 3 * 3600)
        async with shop.worker(dataclasses.replace(shop.bench(), ledger=ahead)):
            await shop.submit("web/unit")
            record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert record.starts == 1


async def test_infrastructure_failure_is_tried_again(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "[ $ATTEMPT -gt 1 ] || exit 75"}]}) as shop, shop.worker():
        await shop.submit("web/unit")
        record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert record.starts == 2


async def test_infrastructure_that_fails_each_time_fails_the_job(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "exit 75"}]}) as shop:
        job = await shop.submit("web/unit")
        await _write(shop, job, starts=lease.STARTS_MAX - 1)
        async with shop.worker():
            record = await shop.reach("web/unit", JobState.FAILED)
            await until(lambda: _gone(shop))
        (letter,) = await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2)

    assert _code(record) == "RUNNER_UNAVAILABLE"
    assert (letter.job_id, letter.data) == (job.job_id, encode(job))
    assert letter.cause == Cause(
        reason=Reason.EXHAUSTED, message="exit code 75", starts=lease.STARTS_MAX, code="RUNNER_UNAVAILABLE"
    )


async def test_failed_step_is_no_dead_letter(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "exit 3"}]}) as shop:
        await shop.submit("web/unit")
        async with shop.worker():
            await until(lambda: _gone(shop))

        assert await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2) == []


async def test_slot_works_on_while_a_job_waits_for_its_next_try(open_workshop: OpenWorkshop) -> None:
    fails_once = "echo first-$ATTEMPT >> $OUT/order; [ $ATTEMPT -gt 1 ] || exit 75"
    async with open_workshop({"web": [{"unit": fails_once, "other": "echo other >> $OUT/order"}]}) as shop:
        await shop.submit("web/unit")
        await shop.submit("web/other")
        async with shop.worker(slots=1):
            await shop.reach("web/unit", JobState.SUCCEEDED)

    assert shop.lines("order") == ["first-1", "other", "first-2"]


async def test_worker_that_lost_its_lease_stops_and_records_nothing(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": LONG}]}) as shop, shop.worker():
        job = await shop.submit("web/unit", lease_s=0.6)
        await shop.reach("web/unit", JobState.LEASED)
        stolen = await _write(shop, job, state=JobState.LEASED, worker="thief", attempt_nonce="t", lease_until=4e9)

        await until(lambda: _idle(shop))

        assert await shop.record("web/unit") == stolen


async def test_job_that_another_holds_is_taken_when_its_lease_ends(
    open_workshop: OpenWorkshop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = await shop.submit("web/unit", lease_s=1.0)
        ends = time.time() + 1.0
        await _write(shop, job, state=JobState.LEASED, worker="gone", attempt_nonce="g", starts=1, lease_until=ends)
        async with shop.worker():
            record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert "held by another worker" in caplog.messages
    assert record.starts == 2
    assert record.started_at is not None
    assert ends <= record.started_at


async def test_dead_worker_whose_clock_was_an_hour_ahead_keeps_nobody_waiting(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = await shop.submit("web/unit")
        ends = time.time() + 3600
        await _write(shop, job, state=JobState.LEASED, worker="gone", attempt_nonce="g", starts=1, lease_until=ends)
        async with shop.worker():
            record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert record.starts == 2


async def test_lease_is_renewed_while_the_work_lasts(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "echo ran >> $OUT/runs; sleep 1.5"}]}) as shop, shop.worker():
        await shop.submit("web/unit", lease_s=0.6)
        record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert record.starts == 1
    assert shop.lines("runs") == ["ran"]


async def test_cancelled_run_stops_the_work_within_two_seconds(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": LONG}]}) as shop, shop.worker():
        await shop.submit("web/unit")
        await shop.reach("web/unit", JobState.LEASED)
        started = time.monotonic()
        await shop.cancel()
        record = await shop.reach("web/unit", JobState.CANCELLED)

    assert time.monotonic() - started < 2.0
    assert _code(record) == "CANCELLED"


async def test_draining_worker_hands_back_what_does_not_end_in_time(open_workshop: OpenWorkshop) -> None:
    script = "echo began >> $OUT/began; until [ -e $OUT/go ]; do sleep 0.05; done"
    async with open_workshop({"web": [{"unit": script}]}) as shop:
        await shop.submit("web/unit")
        async with shop.worker(grace_s=0.1):
            await shop.reach("web/unit", JobState.LEASED)
        handed_back = await shop.record("web/unit")
        (shop.folder / "go").touch()
        async with shop.worker(shop.bench("worker-2")):
            record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert handed_back is not None
    assert (handed_back.state, handed_back.starts) == (JobState.QUEUED, 0)
    assert (record.worker, record.starts) == ("worker-2", 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
async def test_log_that_finds_no_room_leaves_no_task_behind(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        async with shop.worker(shop.bench(handlers={JobType.CI: FillsItsDisk()}), grace_s=10.0):
            await shop.submit("web/unit")
            await shop.reach("web/unit", JobState.SUCCEEDED)

        assert [task for task in asyncio.all_tasks() if "LogStore" in repr(task)] == []


class AnswersNoLog(DirectoryBlob):
    """A store that takes logs for ever."""

    async def put(self, key: str, data: bytes | Path, *, cls: BlobClass) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("stop", ["cancel", "drain"])
async def test_stopped_work_waits_for_its_log_for_seconds_only(open_workshop: OpenWorkshop, stop: str) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        talks = TalksOn()
        bench = dataclasses.replace(shop.bench(handlers={JobType.CI: talks}), blob=AnswersNoLog(shop.folder / "blob"))
        async with shop.worker(bench):
            await shop.submit("web/unit")
            await talks.said.wait()
            if stop == "cancel":
                await shop.cancel()
                await shop.reach("web/unit", JobState.CANCELLED)
        record = await shop.record("web/unit")

    assert record is not None
    assert (record.state, record.starts) == {
        "cancel": (JobState.CANCELLED, 1),
        "drain": (JobState.QUEUED, 0),
    }[stop]


class LosesAnAnswer(MemoryRecords):
    """A bucket that takes the first record that goes back to its queue, and whose answer is lost."""

    lost = False

    async def update(self, key: str, value: bytes, revision: int) -> int:
        written = await super().update(key, value, revision)
        if not self.lost and decode_record(value).state is JobState.QUEUED:
            self.lost = True
            raise BusUnavailable("the answer was lost")
        return written


async def test_job_whose_hand_back_was_not_answered_is_another_workers_at_once(tmp_path: Path) -> None:
    server = MemoryServer()
    bus = MemoryBus(server)
    records = LosesAnAnswer(server.buckets[subject.JOBS_BUCKET], lambda: None)
    bus.jobs = records  # type: ignore[misc]  # a connection's own view of the bucket
    shop = Workshop(bus, tmp_path)
    await shop.prepare({"web": [{"unit": "until [ -e $OUT/go ]; do sleep 0.05; done"}]})
    await shop.submit("web/unit", lease_s=1000.0)
    async with shop.worker(grace_s=0.1):
        await shop.reach("web/unit", JobState.LEASED)
    (tmp_path / "go").touch()

    async with shop.worker(shop.bench("worker-2")):
        record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert records.lost
    assert (record.worker, record.starts) == ("worker-2", 1)


class AnswersLate(MemoryRecords):
    """A bucket whose answer to the first claim comes when the lease is over, by the clock of who asked."""

    late_s = 0.0

    async def update(self, key: str, value: bytes, revision: int) -> int:
        written = await super().update(key, value, revision)
        if decode_record(value).state is JobState.LEASED:
            self.late_s = 1000.0
        return written

    def clock(self) -> float:
        return time.time() + self.late_s


async def test_work_does_not_begin_under_a_lease_that_is_over(tmp_path: Path) -> None:
    server = MemoryServer()
    bus = MemoryBus(server)
    records = AnswersLate(server.buckets[subject.JOBS_BUCKET], lambda: None)
    bus.jobs = records  # type: ignore[misc]  # a connection's own view of the bucket
    shop = Workshop(bus, tmp_path)
    await shop.prepare({"web": [{"unit": "echo $ATTEMPT >> $OUT/begun"}]})
    bench = dataclasses.replace(shop.bench(), ledger=dataclasses.replace(shop.ledger, clock=records.clock))
    await shop.submit("web/unit", schedule_to_start_s=5000.0)

    async with shop.worker(bench):
        record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert (record.starts, shop.lines("begun")) == (2, ["2"])


async def test_draining_worker_lets_short_work_end(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "sleep 0.4"}]}) as shop:
        await shop.submit("web/unit")
        async with shop.worker(grace_s=10.0):
            await shop.reach("web/unit", JobState.LEASED)

        assert (await shop.states())["web/unit"] is JobState.SUCCEEDED


async def test_large_result_lies_in_the_object_store(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        bench = shop.bench(handlers={JobType.CI: Verbose()})
        async with shop.worker(bench):
            await shop.submit("web/unit")
            record = await shop.reach("web/unit", JobState.SUCCEEDED)
        assert record.result is not None
        reference = record.result.result_ref
        assert reference is not None
        stored = await bench.blob.get(reference.key)

    assert record.result.data is None
    assert stored is not None
    assert (len(stored), digest_of(stored)) == (reference.size, reference.sha256)


async def test_lease_is_renewed_while_a_large_result_is_stored(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        store = SlowStore(shop.folder / "blob")
        bench = dataclasses.replace(shop.bench(handlers={JobType.CI: Verbose()}), blob=store)
        async with shop.worker(bench):
            await shop.submit("web/unit", lease_s=1000.0)
            await store.asked.wait()
            claimed = await shop.reach("web/unit", JobState.LEASED)
            await until(lambda: _renewed(shop, claimed))
            store.answers.set()
            ended = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert (ended.starts, ended.attempt_nonce) == (claimed.starts, claimed.attempt_nonce)


async def test_result_of_an_attempt_without_lease_is_not_written_over_the_one_that_counts(
    open_workshop: OpenWorkshop,
) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        begun, overtaken = asyncio.Event(), asyncio.Event()
        late = shop.bench(handlers={JobType.CI: Overtaken(begun, overtaken)})
        async with shop.worker(late, slots=1, grace_s=10.0):
            job = await shop.submit("web/unit", lease_s=1000.0)
            await begun.wait()
            second = shop.bench("worker-2", handlers={JobType.CI: Verbose()})
            much_later = dataclasses.replace(shop.ledger, clock=lambda: time.time() + 2000.0)
            target = subject.job_subject(job.type, job.run_id, job.job_id)
            await shop.bus.purge(TASKS, target)
            await shop.bus.publish_job(target, encode(job))
            async with shop.worker(dataclasses.replace(second, ledger=much_later)):
                record = await shop.reach("web/unit", JobState.SUCCEEDED)
            overtaken.set()
        assert record.result is not None
        reference = record.result.result_ref
        assert reference is not None
        stored = await second.blob.get(reference.key)

    assert record.worker == "worker-2"
    assert stored is not None
    assert digest_of(stored) == reference.sha256


async def test_error_that_fits_into_no_record_is_told_without_its_context(open_workshop: OpenWorkshop) -> None:
    handlers: dict[JobType, Handler] = {JobType.CI: Eloquent()}
    async with open_workshop({"web": [{"unit": PASS}]}) as shop, shop.worker(shop.bench(handlers=handlers)):
        await shop.submit("web/unit")
        record = await shop.reach("web/unit", JobState.FAILED)

    assert record.starts == 1
    assert record.result is not None
    assert record.result.error is not None
    assert (record.result.exit_code, record.result.error.code, record.result.error.context) == (1, "STEP_FAILED", {})


async def test_handler_with_a_bug_fails_its_job_and_keeps_its_slot(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"one": PASS}], "api": [{"two": PASS}]}) as shop:
        broken = shop.bench(handlers={JobType.CI: Broken()})
        async with shop.worker(broken, slots=1):
            await shop.submit("web/one")
            record = await shop.reach("web/one", JobState.FAILED)
            await shop.submit("api/two")
            await shop.reach("api/two", JobState.CANCELLED)

    assert _code(record) == "INTERNAL"


@pytest.mark.parametrize("kind", [KeyError, OSError])
async def test_secret_in_what_a_handler_raises_is_hidden(
    open_workshop: OpenWorkshop, stream: io.StringIO, kind: type[Exception]
) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = await shop.submit("web/unit")
        await _write(shop, job, starts=lease.STARTS_MAX - 1)
        async with shop.worker(shop.bench(handlers={JobType.CI: Tattles(kind)})):
            record = await shop.reach("web/unit", JobState.FAILED)

    assert _code(record) == "INTERNAL"
    assert b"hunter22" not in encode(record)
    assert b"cannot use ***" in encode(record)
    assert "hunter22" not in stream.getvalue()
    assert ("test_worker.py" in stream.getvalue()) == (kind is KeyError)


async def test_secret_within_an_errors_context_is_hidden(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit")
        async with shop.worker(shop.bench(handlers={JobType.CI: Explains()})):
            record = await shop.reach("web/unit", JobState.FAILED)

    assert record.result is not None
    assert record.result.error is not None
    assert record.result.error.context == {"tail": ["the key ***"], "exit_code": 3}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ETIMEDOUT])
async def test_machine_that_fails_is_tried_again_elsewhere(open_workshop: OpenWorkshop, number: int) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.submit("web/unit")
        async with shop.worker(shop.bench(handlers={JobType.CI: FailsAtFirst(number)})):
            record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert record.starts == 2


async def test_worker_without_a_disk_takes_no_job_from_another(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        (shop.folder / "full").write_text("a file, so that nothing can be made below it")
        unfit = dataclasses.replace(shop.bench("worker-1"), scratch=shop.folder / "full")
        async with shop.worker(unfit), shop.worker(shop.bench("worker-2")):
            await shop.submit("web/unit")
            record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert (record.starts, record.worker) == (1, "worker-2")


async def test_disk_that_fills_up_costs_a_slot_one_start(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"one": PASS, "two": PASS, "three": PASS}]}) as shop:
        unfit = dataclasses.replace(shop.bench("worker-1"), scratch=shop.folder / "full")
        async with shop.worker(unfit, slots=1):
            await shop.submit("web/one")
            await shop.reach("web/one", JobState.SUCCEEDED)
            await until(lambda: _idle(shop, "full"))
            unfit.scratch.rmdir()
            unfit.scratch.write_text("a file, so that nothing can be made below it")
            await shop.submit("web/two")  # the slot waits for a job, and takes it as it comes
            await until(lambda: _handed_back(shop, "web/two"))
            await shop.submit("web/three")
            async with shop.worker(shop.bench("worker-2")):
                records = [await shop.reach(name, JobState.SUCCEEDED) for name in ("web/two", "web/three")]

    assert [record.starts for record in records] == [2, 1]


async def test_attempt_leaves_no_scratch_directory(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "touch file"}]}) as shop:
        async with shop.worker(grace_s=5.0):
            await shop.submit("web/unit")
            await shop.reach("web/unit", JobState.SUCCEEDED)

        assert list((shop.folder / "scratch").iterdir()) == []


async def test_slots_bound_what_runs_at_once(open_workshop: OpenWorkshop) -> None:
    script = "echo began >> $OUT/began; until [ -e $OUT/go ]; do sleep 0.05; done"
    projects = {name: [{"unit": script}] for name in ("one", "two", "three")}
    async with open_workshop(projects) as shop, shop.worker(slots=2, grace_s=10.0):
        for name in shop.jobs():
            await shop.submit(name)
        await until(lambda: _counted(shop, 2))
        states = [str(state) for state in (await shop.states()).values()]
        (shop.folder / "go").touch()
        await until(lambda: _counted(shop, 3))

    assert sorted(states) == ["leased", "leased", "queued"]


class Verbose:
    """Its result does not fit into a record."""

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        return Outcome(status=JobState.SUCCEEDED, data=Text(text="x" * RESULT_INLINE_BYTES_MAX))


class SlowStore(DirectoryBlob):
    """An object store that takes results when it is let."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.asked, self.answers = asyncio.Event(), asyncio.Event()

    async def put(self, key: str, data: bytes | Path, *, cls: BlobClass) -> None:
        if "/results/" in key:
            self.asked.set()
            await self.answers.wait()
        await super().put(key, data, cls=cls)


class Overtaken(Verbose):
    """It ends with a large result of its own when another worker has ended the job."""

    def __init__(self, begun: asyncio.Event, overtaken: asyncio.Event) -> None:
        self._begun = begun
        self._overtaken = overtaken

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        self._begun.set()
        await self._overtaken.wait()
        return Outcome(status=JobState.SUCCEEDED, data=Text(text="late" * RESULT_INLINE_BYTES_MAX))


class TalksOn:
    """It prints a line, and does not end."""

    def __init__(self) -> None:
        self.said = asyncio.Event()

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        await context.log.write("began")
        self.said.set()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")


class FillsItsDisk:
    """It prints a line, of which not all is on the disk when there is no more room."""

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        await context.log.write("began")
        _fill_up(context.folder.parent / "log")
        return Outcome(status=JobState.SUCCEEDED)


class Eloquent:
    """Its error fits into no record."""

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        error = new_error("STEP_FAILED", "user", "exit code 1", component=context.component, now=1.0)
        return Outcome(status=JobState.FAILED, exit_code=1, error=replace(error, context={"all": "x" * 1_100_000}))


class Broken:
    async def handle(self, job: Job, context: JobContext) -> Outcome:
        raise KeyError("a bug")


class Tattles:
    def __init__(self, kind: type[Exception]) -> None:
        self._kind = kind

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        context.log.mask.hide(["hunter22"])
        raise self._kind("cannot use hunter22")


class Explains:
    async def handle(self, job: Job, context: JobContext) -> Outcome:
        context.log.mask.hide(["hunter22"])
        error = ErrorRecord(
            code="STEP_FAILED",
            message="no",
            component=context.component,
            error_class="user",
            context={"tail": ["the key hunter22"], "exit_code": 3},
        )
        return Outcome(status=JobState.FAILED, error=error)


class FailsAtFirst:
    """The machine refuses it something the first time."""

    def __init__(self, number: int) -> None:
        self._number = number

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        if context.attempt == 1:
            raise OSError(self._number, os.strerror(self._number))
        return Outcome(status=JobState.SUCCEEDED)


class Text(Struct):
    text: str


def _fill_up(opened: Path) -> None:
    """Whoever has this file open finds no room from now on."""
    descriptor = next(each for each in Path("/proc/self/fd").iterdir() if each.resolve() == opened)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, int(descriptor.name))
    os.close(full)


def _code(record: JobRecord) -> str | None:
    return record.result.error.code if record.result is not None and record.result.error is not None else None


async def _handed_back(shop: Workshop, name: str) -> bool | None:
    record = await shop.record(name)
    return (record.state, record.starts) == (JobState.QUEUED, 1) or None


async def _write(shop: Workshop, job: Job, **fields: object) -> JobRecord:
    """Write a record past all rules, as a worker that is gone may have left it."""
    record = await shop.ledger.read(job.run_id, job.job_id)
    assert record is not None
    written = replace(record, **fields)
    await shop.bus.jobs.put(subject.job_key(job.run_id, job.job_id), encode(written))
    return written


async def _gone(shop: Workshop) -> bool | None:
    """No message of the run is left."""
    left = [name for name, job in shop.jobs().items() if await _still_queued(shop, job)]
    return True if not left else None


async def _renewed(shop: Workshop, claimed: JobRecord) -> bool | None:
    record = await shop.record("web/unit")
    assert record is not None
    return record.lease_until != claimed.lease_until or None


async def _letters(shop: Workshop) -> list[DeadLetter] | None:
    return await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2) or None


async def _told(stream: io.StringIO, words: str) -> bool | None:
    return words in stream.getvalue() or None


async def _still_queued(shop: Workshop, job: Job) -> bool:
    if isinstance(shop.bus, MemoryBus):
        return shop.bus.server.queues[TASKS.stream].holds(subject.job_subject(job.type, job.run_id, job.job_id))
    assert isinstance(shop.bus, JetStreamBus)
    info = await shop.bus.connection.jetstream.stream_info(TASKS.stream)
    return bool(info.state.messages)


async def _idle(shop: Workshop, scratch: str = "scratch") -> bool | None:
    """No work is in hand: every attempt has removed its directory."""
    return not list((shop.folder / scratch).iterdir()) or None


async def _counted(shop: Workshop, number: int) -> bool | None:
    return len(shop.lines("began")) == number or None
