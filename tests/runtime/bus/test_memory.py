"""What the double does beyond the common contract: ack waits on a clock of the test's own."""

import asyncio
import hashlib

import pytest

from forge_runtime.bus.memory import MemoryBus, MemoryServer
from forge_runtime.bus.memory_queue import fits
from forge_runtime.bus.port import OBJECT_FRESH_S
from forge_runtime.job import JobType
from forge_runtime.subject import ACK_WAIT_S, MAX_DELIVER, event_subject, job_subject, queue_of

CI = queue_of(JobType.CI)
JOB = job_subject(JobType.CI, "run-1", "job-1")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_job_whose_holder_is_silent_comes_back_after_the_ack_wait() -> None:
    clock = Clock()
    bus = MemoryBus(MemoryServer(clock))
    await bus.publish_job(JOB, b"")
    await bus.pull(CI, 1)

    clock.now += ACK_WAIT_S - 1
    early = await bus.pull(CI, 0.01)
    clock.now += 1
    again = await bus.pull(CI, 1)

    assert early is None
    assert again is not None
    assert again.deliveries == 2


async def test_progress_keeps_a_job() -> None:
    clock = Clock()
    bus = MemoryBus(MemoryServer(clock))
    await bus.publish_job(JOB, b"")
    held = await bus.pull(CI, 1)
    assert held is not None

    clock.now += ACK_WAIT_S - 1
    await held.progress()
    clock.now += ACK_WAIT_S - 1

    assert await bus.pull(CI, 0.01) is None


async def test_a_tick_wakes_a_puller_after_the_clock_was_moved() -> None:
    clock = Clock()
    server = MemoryServer(clock)
    bus = MemoryBus(server)
    await bus.publish_job(JOB, b"")
    await bus.pull(CI, 1)
    waiting = asyncio.create_task(bus.pull(CI, 20))
    done, _ = await asyncio.wait({waiting}, timeout=0.05)

    clock.now += ACK_WAIT_S
    server.tick()
    held = await asyncio.wait_for(waiting, 1)

    assert not done
    assert held is not None


async def test_acks_are_not_fenced() -> None:
    clock = Clock()
    bus = MemoryBus(MemoryServer(clock))
    await bus.publish_job(JOB, b"")
    first = await bus.pull(CI, 1)
    clock.now += ACK_WAIT_S
    second = await bus.pull(CI, 1)
    assert first is not None
    assert second is not None

    await first.ack()
    await second.ack()

    assert await bus.publish_job(JOB, b"")


async def test_a_job_is_delivered_so_often_and_no_more() -> None:
    bus = MemoryBus()
    await bus.publish_job(JOB, b"")
    for _ in range(MAX_DELIVER):
        held = await bus.pull(CI, 1)
        assert held is not None
        await held.retry(0)

    assert await bus.pull(CI, 0.01) is None
    assert not await bus.publish_job(JOB, b""), "it still takes its place in the queue"


async def test_an_event_that_was_not_acked_comes_again() -> None:
    clock = Clock()
    bus = MemoryBus(MemoryServer(clock))
    await bus.publish_event(event_subject("run-1", "step"), b"event")
    first = await anext(bus.events("api"))

    clock.now += ACK_WAIT_S
    second = await anext(bus.events("api"))

    assert (first.data, second.data) == (b"event", b"event")


async def test_an_object_is_stored_again_after_a_day() -> None:
    clock = Clock()
    server = MemoryServer(clock)
    bus = MemoryBus(server)
    digest = f"sha256:{hashlib.sha256(b'plan').hexdigest()}"
    await bus.put_object(digest, b"plan")

    clock.now += OBJECT_FRESH_S - 1
    await bus.put_object(digest, b"plan")
    kept_at = server.objects[digest][1]
    clock.now += 1
    await bus.put_object(digest, b"plan")

    assert kept_at == 1000.0
    assert server.objects[digest][1] == 1000.0 + OBJECT_FRESH_S


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.b.c", "a.b", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*.c", "a.b.c", True),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
    ],
)
def test_wildcards_are_those_of_nats(pattern: str, subject: str, *, expected: bool) -> None:
    assert fits(pattern, subject) is expected
