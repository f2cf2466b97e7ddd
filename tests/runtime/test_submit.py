"""What a job's way costs in reads of its record, and when a read may not be spared."""

import asyncio
from pathlib import Path

from msgspec.structs import replace
from tests.nats_server import NatsServer
from tests.runtime import samples
from tests.runtime.workshop import WAIT_LIMIT_S, PlannedDiscovery, Workshop, until

from forge_runtime import subject
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.memory import MemoryBus, MemoryRecords, MemoryServer
from forge_runtime.bus.port import Entry, Queued
from forge_runtime.bus.provision import provision
from forge_runtime.envelope import Envelope
from forge_runtime.job import JobRecord, JobState, JobType, decode_record, encode, new_error
from forge_runtime.lease import Holder, Refused, cancel, claim
from forge_runtime.submit import SUBMISSIONS_MAX, Submitter
from forge_runtime.tasks import end_tasks
from forge_runtime.watch import watch_run

STEPS = {"web": [{"unit": "echo ran >> $OUT/runs"}]}


class CountedRecords(MemoryRecords):
    """A bucket that counts how often this connection reads a record."""

    reads = 0

    async def get(self, key: str) -> Entry | None:
        self.reads += 1
        return await super().get(key)


class CountingBus(MemoryBus):
    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server)
        self.counted = CountedRecords(server.buckets[subject.JOBS_BUCKET], self._require_open)
        self.jobs = self.counted  # type: ignore[misc]  # a connection's own view of the bucket, made above as well


async def test_a_job_that_succeeds_is_brought_to_its_end_without_a_read_of_its_record(tmp_path: Path) -> None:
    server = MemoryServer()
    asker, worker = CountingBus(server), CountingBus(server)
    shop = Workshop(asker, tmp_path)
    await shop.prepare(STEPS)
    async with Workshop(worker, tmp_path).worker(), watch_run(asker, shop.run.run_id) as watch:
        (job,) = shop.jobs().values()
        record = await Submitter(shop.ledger, watch).bring_to_end(job)

    assert record.state is JobState.SUCCEEDED
    assert (asker.counted.reads, worker.counted.reads) == (0, 0)


async def test_a_job_that_is_told_to_have_failed_is_believed_only_when_it_was_read(tmp_path: Path) -> None:
    server = MemoryServer()
    asker, other = CountingBus(server), MemoryBus(server)
    shop = Workshop(asker, tmp_path)
    await shop.prepare(STEPS)
    async with watch_run(asker, shop.run.run_id) as watch:
        (job,) = shop.jobs().values()
        ending = asyncio.create_task(Submitter(shop.ledger, watch).bring_to_end(job))
        standing = await until(lambda: _entry(other, job.job_id, shop))
        failed = _cancelled(decode_record(standing.value))
        await other.tell_end(job.run_id, job.job_id, encode(failed))  # by a worker of long ago: it no longer stands
        await until(lambda: _has_read(asker))
        done = ending.done()
        await other.jobs.update(standing.key, encode(failed), standing.revision)
        await other.tell_end(job.run_id, job.job_id, encode(failed))
        record = await ending

    assert not done
    assert record == failed


async def test_a_job_that_is_lost_with_its_bucket_and_queue_is_submitted_again(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    bus = await connect(nats_server.settings())
    await provision(bus)
    shop = Workshop(bus, tmp_path)
    await shop.prepare(STEPS)
    (job,) = shop.jobs().values()
    async with watch_run(bus, shop.run.run_id) as watch:
        ending = asyncio.create_task(Submitter(shop.ledger, watch).bring_to_end(job))
        await until(lambda: _queued(bus))
        for stream in (subject.queue_of(job.type).stream, f"KV_{subject.JOBS_BUCKET}"):
            await bus.connection.jetstream.delete_stream(stream)
        await provision(bus)
        await bus.tell_end(job.run_id, job.job_id, b"")  # it would look by itself after a while
        async with shop.worker():
            record = await ending
    await bus.close()

    assert record.state is JobState.SUCCEEDED
    assert shop.lines("runs") == ["ran"]


async def test_a_message_that_knows_an_older_record_does_not_mislead_its_worker(tmp_path: Path) -> None:
    server = MemoryServer()
    bus = CountingBus(server)
    shop = Workshop(bus, tmp_path)
    await shop.prepare(STEPS)
    (job,) = shop.jobs().values()
    opened = await shop.ledger.open(job)
    held = claim(opened.record, Holder(worker="dead", nonce="1", component="worker"), opened.record.submitted_at)
    assert not isinstance(held, Refused)
    long_over = replace(held, lease_until=opened.record.submitted_at - 3600)
    await bus.jobs.update(subject.job_key(job.run_id, job.job_id), encode(long_over), opened.revision)
    known = Queued(opened.revision, opened.record.submitted_at)
    await bus.publish_job(subject.subject_of(job), encode(job), None, known)
    async with shop.worker():
        record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert record.starts == 2, "the start of the one who died counts"


async def test_a_queue_that_is_full_holds_up_no_job_of_another_queue(tmp_path: Path) -> None:
    shop = Workshop(MemoryBus(), tmp_path)
    await shop.prepare({f"p{number}": [{"unit": "true"}] for number in range(SUBMISSIONS_MAX + 4)})
    queue, others = subject.queue_of(JobType.CI), samples.new_run_id()
    for number in range(queue.messages_max):
        await shop.bus.publish_job(subject.job_subject(JobType.CI, others, str(number)), b"")
    discovery = Envelope(shop.run, shop.ledger.clock()).discovery_job()
    bench = shop.bench(handlers={JobType.DISCOVERY: PlannedDiscovery(shop.plan, shop.digest)})

    async with watch_run(shop.bus, shop.run.run_id) as watch:
        submitter = Submitter(shop.ledger, watch)
        stuck = [asyncio.create_task(submitter.bring_to_end(job)) for job in shop.jobs().values()]
        await until(lambda: _all_have_records(shop))
        async with shop.worker(bench), asyncio.timeout(WAIT_LIMIT_S):
            record = await submitter.bring_to_end(discovery)
        waiting = [task.done() for task in stuck]
        await end_tasks(*stuck)

    assert record.state is JobState.SUCCEEDED
    assert not any(waiting)


async def _all_have_records(shop: Workshop) -> bool | None:
    """Of those whose turn it was: the others wait for a turn."""
    known = [state for state in (await shop.states()).values() if state is not None]
    return len(known) >= SUBMISSIONS_MAX or None


def _cancelled(record: JobRecord) -> JobRecord:
    error = new_error("CANCELLED", "cancelled", "by a test", component="test", now=record.submitted_at)
    ended = cancel(record, error, record.submitted_at)
    assert not isinstance(ended, Refused)
    return ended


async def _entry(bus: MemoryBus, job_id: str, shop: Workshop) -> Entry | None:
    return await bus.jobs.get(subject.job_key(shop.run.run_id, job_id))


async def _has_read(bus: CountingBus) -> bool | None:
    return bus.counted.reads > 0 or None


async def _queued(bus: JetStreamBus) -> bool | None:
    return (await bus.queue_depth(subject.queue_of(JobType.CI))).pending == 1 or None
