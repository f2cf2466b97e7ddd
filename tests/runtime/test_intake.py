"""A worker's intake: lanes take turns, slots that wait share their pulls, and no job is lost between them."""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import pytest
from tests.nats_server import NatsServer
from tests.runtime.workshop import until

from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.memory import MemoryBus, MemoryServer
from forge_runtime.bus.port import Bus, Delivery
from forge_runtime.bus.provision import provision
from forge_runtime.job import JobType
from forge_runtime.lane import Lane
from forge_runtime.subject import job_subject, queue_of, read_job_subject
from forge_runtime.worker import intake as intake_module
from forge_runtime.worker.intake import Intake, Taken
from forge_runtime.worker.source import Sources

CI = queue_of(JobType.CI)
DISCOVERY = queue_of(JobType.DISCOVERY)
LIMIT_S = 10.0


Buses = Callable[[], AbstractAsyncContextManager[tuple[Bus, Bus]]]


@pytest.fixture(params=["memory", "jetstream"])
def buses(request: pytest.FixtureRequest) -> Buses:
    """Opens two connections to one provisioned bus."""
    server: NatsServer | None = request.getfixturevalue("nats_server") if request.param == "jetstream" else None

    @asynccontextmanager
    async def open_() -> AsyncIterator[tuple[Bus, Bus]]:
        async with AsyncExitStack() as closing:
            if server is None:
                memory = MemoryServer()
                found: tuple[Bus, Bus] = MemoryBus(memory), MemoryBus(memory)
            else:
                one, other = await connect(server.settings("one")), await connect(server.settings("other"))
                await provision(one)
                found = one, other
            for each in found:
                closing.push_async_callback(each.close)
            yield found

    return open_


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An offer waits for as long as it takes."""
    monkeypatch.setattr(intake_module, "OFFER_HELD_S", LIMIT_S)


@pytest.fixture
async def bus(buses: Buses) -> AsyncIterator[Bus]:
    async with buses() as (one, _):
        yield one


async def test_of_every_four_jobs_two_are_first_ones_and_one_is_of_each_other_lane(bus: Bus) -> None:
    await _publish(bus, 20, *CI.lanes)
    intake = Intake(bus, [CI])

    taken = [await intake.next(LIMIT_S) for _ in range(16)]

    assert Counter(map(_lane, taken)) == {Lane.FIRST: 8, Lane.EARLY: 4, Lane.MAIN: 4}


async def test_where_nothing_is_new_the_main_lane_gets_every_slot(bus: Bus) -> None:
    await _publish(bus, 5, Lane.MAIN)
    intake = Intake(bus, [CI])

    taken = [await intake.next(LIMIT_S) for _ in range(5)]

    assert [_job(each) for each in taken] == [f"run-1/main-{number}" for number in range(5)]


@pytest.mark.parametrize("before", range(4))
async def test_a_first_job_is_among_the_next_two_whatever_was_taken_before_it(bus: Bus, before: int) -> None:
    await _publish(bus, 10, Lane.MAIN, Lane.EARLY)
    hours = itertools.count(step=3600.0)  # between any two looks, so that none is spared
    intake = Intake(bus, [CI], clock=hours.__next__)
    for _ in range(before):
        await intake.next(LIMIT_S)
    waiting = (await bus.queue_depth(CI)).pending
    await bus.publish_job(job_subject(JobType.CI, "run-2", "job", Lane.FIRST), b"")
    # A server acknowledges a message a moment before its consumers know of it.
    await until(lambda: _deeper(bus, waiting))

    lanes = {_lane(await intake.next(LIMIT_S)), _lane(await intake.next(LIMIT_S))}

    assert Lane.FIRST in lanes


async def test_pools_take_turns(bus: Bus) -> None:
    await _publish(bus, 10, Lane.MAIN)
    for number in range(10):
        await bus.publish_job(job_subject(JobType.DISCOVERY, f"run-{number}", "job"), b"")
    intake = Intake(bus, [DISCOVERY, CI])

    taken = [await intake.next(LIMIT_S) for _ in range(8)]

    assert Counter(each.queue.pool for each in taken if each) == {"discovery": 4, "tasks": 4}


async def test_slots_that_wait_together_get_a_job_each(bus: Bus) -> None:
    intake = Intake(bus, [DISCOVERY, CI])
    slots = [asyncio.create_task(intake.next(LIMIT_S)) for _ in range(6)]
    await asyncio.wait(slots, timeout=0.1)
    await _publish(bus, 1, *CI.lanes)
    await bus.publish_job(job_subject(JobType.DISCOVERY, "run-1", "job"), b"")
    served = [await each for each in itertools.islice(asyncio.as_completed(slots), 4)]
    left = [slot for slot in slots if not slot.done()]
    await intake.close()

    assert len({_job(each) for each in served}) == 4
    assert [await slot for slot in left] == [None, None]


async def test_a_slot_waits_no_longer_than_it_is_told(bus: Bus) -> None:
    intake = Intake(bus, [CI])

    assert await intake.next(0.05) is None
    await _publish(bus, 1, Lane.MAIN)
    other = Intake(bus, [CI])
    assert await other.next(LIMIT_S) is not None, "nothing of the first intake's is still open"


async def test_no_job_is_lost_or_handed_out_twice_when_slots_come_and_go(buses: Buses) -> None:
    """Slots wait for a moment, are cancelled, or take a job; the other worker takes what is handed back."""
    async with buses() as (bus, other):
        workers = [Intake(bus, [CI]), Intake(other, [CI])]
        done: Counter[str] = Counter()

        async def slot(intake: Intake, number: int) -> None:
            while sum(done.values()) < 60:
                taking = asyncio.create_task(intake.next(0.02 + 0.01 * number))
                if number % 2:
                    await asyncio.sleep(0.003 * number)
                    taking.cancel()
                try:
                    taken = await taking
                except asyncio.CancelledError:
                    continue
                if taken is not None:
                    done[_job(taken)] += 1
                    await taken.delivery.ack()

        async with asyncio.timeout(60):
            async with asyncio.TaskGroup() as slots:
                for intake in workers:
                    for number in range(4):
                        slots.create_task(slot(intake, number))
                for number in range(20):
                    await _publish(other, 1, *CI.lanes, run=f"run-{number}")

        assert len(done) == 60
        assert set(done.values()) == {1}


async def test_a_closed_intake_takes_no_job_and_leaves_none_behind(buses: Buses) -> None:
    async with buses() as (bus, other):
        intake = Intake(bus, [CI])
        waiting = asyncio.create_task(intake.next(LIMIT_S))
        await asyncio.sleep(0.1)
        await intake.close()
        await _publish(other, 1, Lane.MAIN)

        assert await waiting is None
        assert await intake.next(LIMIT_S) is None
        delivery = await other.pull(CI, LIMIT_S)
        assert delivery is not None
        assert delivery.deliveries == 1


async def test_what_is_offered_goes_to_a_slot_that_waits_and_to_no_more(buses: Buses) -> None:
    async with buses() as (bus, other):
        offered = [await _offered(other, number) for number in range(3)]
        intake = Intake(bus, [CI])
        waiting = [asyncio.create_task(intake.next(LIMIT_S)) for _ in range(2)]
        done, _ = await asyncio.wait(waiting, timeout=0.1)
        assert not done

        taken = [await intake.take(CI, delivery) for delivery in offered]

        assert taken == [True, True, False]
        assert {_job(await slot) for slot in waiting} == {"run-0/job", "run-1/job"}
        await _publish(other, 1, Lane.MAIN)
        assert await other.pull(CI, LIMIT_S) is not None, "nothing of the intake's is still open"


async def test_what_is_offered_waits_for_a_slot_that_is_about_to_come(bus: Bus) -> None:
    coming = 1
    intake = Intake(bus, [CI], coming=lambda: coming)
    offer, second = await _offered(bus, 1), await _offered(bus, 2)
    taking = asyncio.create_task(intake.take(CI, offer))
    await asyncio.sleep(0)

    assert not await intake.take(CI, second), "one slot has room for one"
    coming = 0
    assert await intake.next(LIMIT_S) == Taken(CI, offer, shared=True)
    assert await taking


async def test_what_is_offered_waits_for_a_moment_and_no_longer(bus: Bus) -> None:
    intake = Intake(bus, [CI], coming=lambda: 1)

    async with asyncio.timeout(LIMIT_S):
        assert not await intake.take(CI, await _offered(bus, 1))
    assert await intake.next(0.05) is None


async def test_what_is_offered_to_a_slot_that_finds_a_job_by_itself_is_declined(bus: Bus, patient: None) -> None:
    intake = Intake(bus, [CI])
    offer = await _offered(bus, 1)
    await _publish(bus, 1, Lane.FIRST)
    await until(lambda: _is_pending(bus))  # a server may give it to nobody for a moment yet
    looking = asyncio.create_task(intake.next(LIMIT_S))
    await asyncio.sleep(0)
    offering = asyncio.create_task(intake.take(CI, offer))

    found = await looking

    assert _job(found) == "run-1/first-0"
    assert not await offering


async def test_a_closed_intake_takes_no_offer(bus: Bus) -> None:
    intake = Intake(bus, [CI], coming=lambda: 1)
    offers = [await _offered(bus, number) for number in range(2)]
    taking = asyncio.create_task(intake.take(CI, offers[0]))
    await asyncio.sleep(0)

    await intake.close()

    assert not await taking
    assert not await intake.take(CI, offers[1])


async def test_a_queue_that_refuses_pulls_is_told_once_and_the_other_lanes_go_on(
    nats_server: NatsServer, caplog: pytest.LogCaptureFixture
) -> None:
    bus = await connect(nats_server.settings())
    await provision(bus)
    sources = Sources()
    intake = Intake(bus, [CI], sources=sources)
    await bus.connection.jetstream.delete_consumer(CI.stream, CI.lane_consumer(Lane.EARLY))
    with caplog.at_level(logging.INFO, logger="forge_runtime.worker.source"):
        slots = [asyncio.create_task(intake.next(LIMIT_S)) for _ in range(3)]
        await until(lambda: _refused(sources))
        why = sources.state()

        await _publish(bus, 1, Lane.MAIN, Lane.FIRST)
        done, _ = await asyncio.wait(slots, timeout=LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        await provision(bus)
        await until(lambda: _well(sources))

    assert "ci-consumer-early" in why
    assert done
    assert [record.message for record in caplog.records] == ["no jobs from a queue", "jobs from all queues again"]
    await intake.close()
    await asyncio.gather(*slots)
    await bus.close()


async def _is_pending(bus: Bus) -> bool | None:
    return True if (await bus.queue_depth(CI)).pending else None


async def _refused(sources: Sources) -> bool | None:
    return True if sources.state() != "ok" else None


async def _well(sources: Sources) -> bool | None:
    return True if sources.state() == "ok" else None


async def _publish(bus: Bus, count: int, *lanes: Lane, run: str = "run-1") -> None:
    """So many jobs of each lane, one lane after another."""
    for lane in lanes:
        for number in range(count):
            await bus.publish_job(job_subject(JobType.CI, run, f"{lane}-{number}", lane), b"")


async def _offered(bus: Bus, number: int) -> Delivery:
    """A job that somebody else has pulled."""
    await bus.publish_job(job_subject(JobType.CI, f"run-{number}", "job"), b"")
    delivery = await bus.pull(CI, LIMIT_S)
    assert delivery is not None
    return delivery


async def _deeper(bus: Bus, before: int) -> bool | None:
    return True if (await bus.queue_depth(CI)).pending > before else None


def _lane(taken: Taken | None) -> Lane:
    assert taken is not None
    return read_job_subject(taken.delivery.subject).lane


def _job(taken: Taken | None) -> str:
    """Run and job."""
    assert taken is not None
    address = read_job_subject(taken.delivery.subject)
    return f"{address.run_id}/{address.job_id}"
