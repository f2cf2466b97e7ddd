"""What every bus promises, on the in-memory double and on a real NATS server."""

import asyncio
import hashlib
import random
import time

import pytest
from tests.conformance.conftest import Connections

from forge_runtime.bus.port import BadObject, Bus, BusUnavailable, Conflict, Delivery, Hint, Queued, QueueFull, TooLarge
from forge_runtime.job import JobType
from forge_runtime.lane import Lane
from forge_runtime.subject import (
    CANCEL_KEYS,
    WorkQueue,
    cancel_key,
    event_subject,
    job_subject,
    log_subject,
    queue_of,
    run_subjects,
)

CI = queue_of(JobType.CI)
DISCOVERY = queue_of(JobType.DISCOVERY)
JOB = job_subject(JobType.CI, "run-1", "job-1")


async def nothing(_queue: WorkQueue, _delivery: Delivery) -> bool:
    """A worker that takes no job of others."""
    return False


async def test_a_published_job_reaches_a_puller_that_waits(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        waiting = asyncio.create_task(worker.pull(CI, 10))
        queued = await dispatcher.publish_job(JOB, b"payload")
        delivery = await waiting

        assert queued
        assert delivery is not None
        assert (delivery.subject, delivery.data, delivery.deliveries) == (JOB, b"payload", 1)


async def test_a_published_job_waits_for_a_puller(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        await dispatcher.publish_job(JOB, b"payload")
        delivery = await worker.pull(CI, 10)

        assert delivery is not None
        assert delivery.data == b"payload"


async def test_a_job_brings_what_its_publisher_knew_of_its_record(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        await dispatcher.publish_job(JOB, b"payload", None, Queued(7, 1764500000.1234567))
        await dispatcher.publish_job(job_subject(JobType.CI, "run-1", "job-2"), b"payload")
        first, second = await worker.pull(CI, 10), await worker.pull(CI, 10)

        assert first is not None
        assert second is not None
        assert (first.queued, second.queued) == (Queued(7, 1764500000.1234567), None)


async def test_a_job_brings_who_had_better_do_it(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        await dispatcher.publish_job(JOB, b"payload", preferred="worker-2")
        delivery = await worker.pull(CI, 10)

        assert delivery is not None
        assert (delivery.preferred, delivery.queued) == ("worker-2", None)


async def test_a_job_that_another_worker_takes_is_that_ones(connections: Connections) -> None:
    async with connections() as (one, other):
        given: list[Delivery] = []

        async def take(queue: WorkQueue, delivery: Delivery) -> bool:
            given.append(delivery)
            return queue == CI

        async with one.neighbours("one", [CI], nothing) as known, other.neighbours("worker.2", [DISCOVERY, CI], take):
            await one.publish_job(JOB, b"payload", None, Queued(7, 1.5), "worker_2")
            pulled = await one.pull(CI, 10)
            assert pulled is not None
            taken = await known.offer("worker_2", CI, pulled)
        (held,) = given
        await held.progress()
        await held.ack()

        assert taken
        assert (held.subject, held.data, held.deliveries) == (JOB, b"payload", 1)
        assert (held.queued, held.preferred) == (Queued(7, 1.5), "worker_2")
        assert await one.publish_job(JOB, b"again"), "its message has left the queue"


async def test_a_job_that_another_worker_hands_back_returns_to_the_queue(connections: Connections) -> None:
    async with connections() as (one, other):

        async def take(_queue: WorkQueue, delivery: Delivery) -> bool:
            await delivery.retry(0.0)
            return True

        async with one.neighbours("one", [CI], nothing) as known, other.neighbours("other", [CI], take):
            await one.publish_job(JOB, b"payload")
            pulled = await one.pull(CI, 10)
            assert pulled is not None
            assert await known.offer("other", CI, pulled)
            again = await one.pull(CI, 10)

        assert again is not None
        assert (again.data, again.deliveries) == (b"payload", 2)


async def test_what_nobody_takes_stays_ours(connections: Connections) -> None:
    async with connections() as (one, other):
        async with one.neighbours("one", [CI], nothing) as known, other.neighbours("other", [DISCOVERY], nothing):
            await one.publish_job(JOB, b"payload")
            pulled = await one.pull(CI, 10)
            assert pulled is not None
            declined = [await known.offer(name, CI, pulled) for name in ("one", "other", "gone", "no name > * \u00e9")]
            await pulled.ack()

        assert declined == [False] * 4
        assert await other.publish_job(JOB, b"again"), "its message has left the queue"


async def test_a_worker_that_gives_no_answer_is_not_waited_for(connections: Connections) -> None:
    async with connections() as (one, other):

        async def take(_queue: WorkQueue, _delivery: Delivery) -> bool:
            await asyncio.Event().wait()
            return True

        async with one.neighbours("one", [CI], nothing) as known, other.neighbours("other", [CI], take):
            await one.publish_job(JOB, b"payload")
            pulled = await one.pull(CI, 10)
            assert pulled is not None

            async with asyncio.timeout(10):
                assert not await known.offer("other", CI, pulled)


async def test_a_job_reaches_only_its_own_pool(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        await dispatcher.publish_job(JOB, b"payload")

        assert await worker.pull(DISCOVERY, 0.2) is None


async def test_a_job_reaches_who_looks_into_its_lane(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        jobs = {lane: job_subject(JobType.CI, "run-1", f"job-{lane}", lane) for lane in CI.lanes}
        for job in jobs.values():
            await dispatcher.publish_job(job, b"")

        found = {lane: await worker.pull(CI, 10, lane) for lane in CI.lanes}

        assert {lane: delivery.subject for lane, delivery in found.items() if delivery} == jobs
        assert [await worker.pull(CI, 0, lane) for lane in CI.lanes] == [None] * len(CI.lanes)


async def test_a_pull_without_patience_finds_what_lies_there_now(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        before = await worker.pull(CI, 0)
        await dispatcher.publish_job(JOB, b"payload")
        then = await worker.pull(CI, 0)
        after = await worker.pull(CI, 0)

        assert (before, after) == (None, None)
        assert then is not None
        assert then.data == b"payload"


async def test_each_of_several_pullers_gets_its_own_job(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        waiting = [asyncio.create_task(bus.pull(CI, 10)) for bus in (worker, worker, dispatcher)]
        subjects = {job_subject(JobType.CI, "run-1", f"job-{number}") for number in range(3)}
        for subject in subjects:
            await dispatcher.publish_job(subject, b"")
        deliveries = await asyncio.gather(*waiting)

        assert {delivery.subject for delivery in deliveries if delivery} == subjects


async def test_publishing_a_job_twice_is_publishing_it_once(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        first = await dispatcher.publish_job(JOB, b"first")
        second = await dispatcher.publish_job(JOB, b"second")
        delivery = await worker.pull(CI, 10)

        assert (first, second) == (True, False)
        assert delivery is not None
        assert delivery.data == b"first"
        assert await worker.pull(CI, 0.2) is None


async def test_depth_of_a_queue_tells_what_waits_from_what_is_handed_out(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        before = await dispatcher.queue_depth(CI)
        for number, lane in enumerate(CI.lanes):
            await dispatcher.publish_job(job_subject(JobType.CI, "run-1", f"job-{number}", lane), b"")
        held = await worker.pull(CI, 10)
        while_held = await dispatcher.queue_depth(CI)
        assert held is not None
        await held.ack()

        after = await dispatcher.queue_depth(CI)

    assert (before.pending, before.in_flight) == (0, 0)
    assert (while_held.pending, while_held.in_flight) == (2, 1)
    assert (after.pending, after.in_flight, after.limit) == (2, 0, CI.messages_max)


async def test_a_job_that_runs_cannot_be_published_again(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        await dispatcher.publish_job(JOB, b"")
        await worker.pull(CI, 10)

        assert not await dispatcher.publish_job(JOB, b"")


async def test_an_acked_job_leaves_the_queue(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        await dispatcher.publish_job(JOB, b"")
        delivery = await worker.pull(CI, 10)
        assert delivery is not None
        await delivery.progress()
        await delivery.ack()

        assert await dispatcher.publish_job(JOB, b"")


async def test_a_job_handed_back_comes_again_and_is_counted(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        await dispatcher.publish_job(JOB, b"payload")
        first = await worker.pull(CI, 10)
        assert first is not None
        await first.retry(0)
        second = await worker.pull(CI, 10)

        assert second is not None
        assert (second.data, second.deliveries) == (b"payload", 2)


async def test_a_job_handed_back_with_a_delay_does_not_come_before(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        await dispatcher.publish_job(JOB, b"")
        first = await worker.pull(CI, 10)
        assert first is not None
        await first.retry(0.6)

        assert await worker.pull(CI, 0.2) is None
        assert await worker.pull(CI, 10) is not None


async def test_a_cancelled_pull_swallows_no_job(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        waiting = asyncio.create_task(worker.pull(CI, 30))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert not done
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await dispatcher.publish_job(JOB, b"")
        delivery = await dispatcher.pull(CI, 5)

        assert delivery is not None


async def test_purging_a_run_leaves_the_others(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        for run, job in [("run-1", "a"), ("run-1", "b"), ("run-2", "a")]:
            await dispatcher.publish_job(job_subject(JobType.CI, run, job), run.encode())
        await dispatcher.publish_job(job_subject(JobType.CI, "run-1", "c", Lane.FIRST), b"")

        assert await dispatcher.purge(CI, run_subjects(CI, "run-1")) == 3
        assert await dispatcher.purge(CI, run_subjects(CI, "run-1")) == 0
        left = await worker.pull(CI, 10)
        assert left is not None
        assert left.data == b"run-2"


async def test_a_purged_job_can_be_published_again(connections: Connections) -> None:
    async with connections() as (dispatcher, worker):
        await dispatcher.publish_job(JOB, b"first")
        await dispatcher.purge(CI, run_subjects(CI, "run-1"))

        assert await dispatcher.publish_job(JOB, b"second")
        delivery = await worker.pull(CI, 10)
        assert delivery is not None
        assert delivery.data == b"second"


async def test_a_full_queue_refuses_and_loses_nothing(connections: Connections) -> None:
    async with connections() as (dispatcher, _):
        jobs = [job_subject(JobType.DISCOVERY, "run-1", f"job-{number}") for number in range(DISCOVERY.messages_max)]
        await asyncio.gather(*(dispatcher.publish_job(job, b"") for job in jobs))

        with pytest.raises(QueueFull, match="one-too-many"):
            await dispatcher.publish_job(job_subject(JobType.DISCOVERY, "run-1", "one-too-many"), b"")
        assert not await dispatcher.publish_job(jobs[0], b""), "what is queued already is no failure"
        assert await dispatcher.purge(DISCOVERY, run_subjects(DISCOVERY, "run-1")) == DISCOVERY.messages_max


async def test_a_job_too_large_is_refused_and_the_connection_lives(connections: Connections) -> None:
    async with connections() as (dispatcher, _):
        with pytest.raises(TooLarge, match=JOB):
            await dispatcher.publish_job(JOB, bytes(1024 * 1024))

        assert await dispatcher.publish_job(JOB, b"")


async def test_a_record_is_read_by_others_with_its_revision(connections: Connections) -> None:
    async with connections() as (one, other):
        revision = await one.jobs.create("state.run-1.job-1", b"queued")
        entry = await other.jobs.get("state.run-1.job-1")

        assert entry is not None
        assert (entry.key, entry.value, entry.revision) == ("state.run-1.job-1", b"queued", revision)


async def test_a_missing_record_is_none(connections: Connections) -> None:
    async with connections() as (one, _):
        assert await one.runs.get("run.run-1") is None


async def test_a_record_is_created_once(connections: Connections) -> None:
    async with connections() as (one, other):
        await one.runs.create(cancel_key("run-1"), b"first")

        with pytest.raises(Conflict, match=r"cancel\.run-1"):
            await other.runs.create(cancel_key("run-1"), b"second")
        entry = await one.runs.get(cancel_key("run-1"))
        assert entry is not None
        assert entry.value == b"first"


async def test_of_two_updates_from_one_revision_the_second_loses(connections: Connections) -> None:
    async with connections() as (one, other):
        created = await one.jobs.create("state.run-1.job-1", b"queued")
        updated = await one.jobs.update("state.run-1.job-1", b"leased", created)

        with pytest.raises(Conflict, match=f"revision {created}"):
            await other.jobs.update("state.run-1.job-1", b"stolen", created)
        assert await other.jobs.update("state.run-1.job-1", b"succeeded", updated) > updated


async def test_put_replaces_whatever_is_there(connections: Connections) -> None:
    async with connections() as (one, other):
        await one.runs.put("run.run-1", b"first")
        revision = await other.runs.put("run.run-1", b"second")
        entry = await one.runs.get("run.run-1")

        assert entry is not None
        assert (entry.value, entry.revision) == (b"second", revision)


async def test_a_list_has_the_current_records_of_its_pattern(connections: Connections) -> None:
    async with connections() as (one, other):
        for key in ("state.run-1.a", "state.run-1.b", "state.run-2.a"):
            await one.jobs.create(key, b"first")
        await one.jobs.put("state.run-1.a", b"second")

        found = {entry.key: entry.value for entry in await other.jobs.list("state.run-1.>")}

        assert found == {"state.run-1.a": b"second", "state.run-1.b": b"first"}
        assert await other.jobs.list("state.run-3.>") == []


async def test_a_change_is_hinted_and_another_key_is_not(connections: Connections) -> None:
    async with connections() as (one, other), other.runs.changes(CANCEL_KEYS) as hints:
        await one.runs.put("run.run-1", b"")
        await one.runs.create(cancel_key("run-1"), b"why")

        assert await hints.next(10) == Hint(cancel_key("run-1"), b"why")
        assert await hints.next(0.1) is None


async def test_a_key_that_changed_often_is_hinted_at_least_once_more(connections: Connections) -> None:
    async with connections() as (one, other), other.jobs.changes("state.run-1.>") as hints:
        for number in range(10):
            await one.jobs.put("state.run-1.a", str(number).encode())
        await one.jobs.put("state.run-1.b", b"")
        seen = {}
        while "state.run-1.b" not in seen:
            hint = await hints.next(10)
            assert hint is not None
            seen[hint.key] = hint.value

        assert seen == {"state.run-1.a": b"9", "state.run-1.b": b""}


async def test_an_end_is_told_to_who_hears_of_its_run_under_the_key_of_its_record(connections: Connections) -> None:
    async with connections() as (worker, dispatcher), dispatcher.ends("run-1") as hints:
        await worker.tell_end("run-2", "job-1", b"of another run")
        await worker.tell_end("run-1", "job-1", b"succeeded")

        assert await hints.next(10) == Hint("state.run-1.job-1", b"succeeded")
        assert await hints.next(0.1) is None


async def test_an_object_of_a_megabyte_comes_back_as_it_was(connections: Connections) -> None:
    async with connections() as (one, other):
        data = random.Random(1).randbytes(1024 * 1024)
        await one.put_object(_digest(data), data)
        await other.put_object(_digest(data), data)

        assert await other.get_object(_digest(data), 10) == data


async def test_an_empty_object_is_an_object(connections: Connections) -> None:
    async with connections() as (one, other):
        await one.put_object(_digest(b""), b"")

        assert await other.get_object(_digest(b""), 10) == b""


async def test_a_missing_object_is_none(connections: Connections) -> None:
    async with connections() as (one, _):
        assert await one.get_object(_digest(b"never stored"), 10) is None


async def test_an_object_is_stored_under_its_own_digest_only(connections: Connections) -> None:
    async with connections() as (one, _):
        with pytest.raises(BadObject):
            await one.put_object(_digest(b"one"), b"other")

        assert await one.get_object(_digest(b"one"), 10) is None


async def test_events_come_in_order_and_acked_ones_do_not_come_again(connections: Connections) -> None:
    async with connections() as (worker, api):
        for number in range(4):
            await worker.publish_event(event_subject("run-1", "step"), str(number).encode())
        first = await _read_events(api, 2)
        second = await _read_events(api, 2)

        assert (first, second) == ([b"0", b"1"], [b"2", b"3"])


async def test_events_told_together_are_read_one_by_one_and_acked_one_by_one(connections: Connections) -> None:
    async with connections() as (worker, api):
        await worker.publish_event(event_subject("run-1", "step"), b"running", b"succeeded")
        others = (worker.publish_event(event_subject("run-1", "step"), str(number).encode()) for number in range(3))
        await asyncio.gather(*others)

        assert await _read_events(api, 5) == [b"running", b"succeeded", b"0", b"1", b"2"]


async def test_an_event_of_several_lines_is_refused(connections: Connections) -> None:
    async with connections() as (worker, _):
        with pytest.raises(ValueError, match="one line"):
            await worker.publish_event(event_subject("run-1", "step"), b"one\nother")


async def test_an_event_reaches_a_reader_that_waits(connections: Connections) -> None:
    async with connections() as (worker, api):
        reading = asyncio.create_task(_read_events(api, 1))
        await worker.publish_event(event_subject("run-1", "finish"), b"finished")

        assert await reading == [b"finished"]


async def test_notices_are_stored_but_are_no_events(connections: Connections) -> None:
    async with connections() as (worker, api):
        await worker.publish_event("forge.notices.run_finished", b"notice")
        await worker.publish_event(event_subject("run-1", "step"), b"event")

        assert await _read_events(api, 1) == [b"event"]


async def test_every_durable_consumer_reads_all_events(connections: Connections) -> None:
    async with connections() as (worker, api):
        await worker.publish_event(event_subject("run-1", "step"), b"event")

        assert await _read_events(api, 1, consumer="one") == [b"event"]
        assert await _read_events(api, 1, consumer="another") == [b"event"]


async def test_an_event_of_an_unknown_subject_is_not_lost_silently(connections: Connections) -> None:
    async with connections() as (worker, _):
        with pytest.raises(BusUnavailable, match=r"forge\.elsewhere"):
            await worker.publish_event("forge.elsewhere", b"")


async def test_lines_arrive_with_their_offset_until_the_subscription_ends(connections: Connections) -> None:
    async with connections() as (worker, api):
        arrived: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()

        async def handle(offset: int, data: bytes) -> None:
            await arrived.put((offset, data))

        end = await api.subscribe_lines(log_subject("run-1", "job-1"), handle)
        await worker.publish_line(log_subject("run-1", "job-1"), b"hello\n", 0)
        await worker.publish_line(log_subject("run-1", "job-2"), b"of another job\n", 0)
        await worker.publish_line(log_subject("run-1", "job-1"), b"world\n", 6)
        async with asyncio.timeout(10):
            lines = [await arrived.get(), await arrived.get()]
        await end()
        await worker.publish_line(log_subject("run-1", "job-1"), b"late\n", 12)

        assert lines == [(0, b"hello\n"), (6, b"world\n")]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(arrived.get(), 0.1)


async def test_a_handler_that_fails_gets_the_next_line_all_the_same(connections: Connections) -> None:
    async with connections() as (worker, api):
        arrived: asyncio.Queue[bytes] = asyncio.Queue()

        async def handle(offset: int, data: bytes) -> None:
            if offset == 0:
                raise RuntimeError("the first one fails")
            await arrived.put(data)

        await api.subscribe_lines(log_subject("run-1", "job-1"), handle)
        await worker.publish_line(log_subject("run-1", "job-1"), b"first", 0)
        await worker.publish_line(log_subject("run-1", "job-1"), b"second", 5)

        assert await asyncio.wait_for(arrived.get(), 10) == b"second"


async def test_a_line_above_64_kib_is_refused(connections: Connections) -> None:
    async with connections() as (worker, _):
        with pytest.raises(TooLarge, match="65536"):
            await worker.publish_line(log_subject("run-1", "job-1"), bytes(64 * 1024 + 1), 0)


async def test_a_closed_connection_says_so(connections: Connections) -> None:
    async with connections() as (one, other):
        await one.close()

        with pytest.raises(BusUnavailable, match="closed"):
            await one.publish_job(JOB, b"")
        with pytest.raises(BusUnavailable, match="closed"):
            await one.jobs.get("state.run-1.job-1")
        with pytest.raises(BusUnavailable, match="closed"):
            await one.pull(CI, 1)
        assert await other.publish_job(JOB, b"")


async def test_the_bus_has_a_clock(connections: Connections) -> None:
    async with connections() as (one, _):
        before = time.time()
        told = await one.time()

        assert before - 1.0 <= told <= time.time() + 1.0


async def _read_events(bus: Bus, count: int, consumer: str = "reader") -> list[bytes]:
    seen: list[bytes] = []
    async with asyncio.timeout(20):
        async for event in bus.events(consumer):
            seen.append(event.data)
            await event.ack()
            if len(seen) == count:
                break
    return seen


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
