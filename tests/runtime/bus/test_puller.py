"""The puller against a real server that dies, goes silent or lacks the consumer."""

import asyncio
import random
import time

import pytest
from tests.nats_server import NatsServer
from tests.runtime.bus.conftest import OpenBus, restart, until

from forge_runtime.bus.jetstream import JetStreamBus
from forge_runtime.bus.port import BusUnavailable, Delivery
from forge_runtime.job import JobType
from forge_runtime.subject import job_subject, queue_of

CI = queue_of(JobType.CI)
JOB = job_subject(JobType.CI, "run-1", "job-1")

SOON_S = 4.0
"""Far below the ack wait of 30 s after which a swallowed message would come back."""


async def test_a_cancelled_pull_leaves_the_next_job_to_another_puller_as_its_first_delivery(open_bus: OpenBus) -> None:
    async with open_bus() as one, open_bus() as other:
        await _cancel_a_waiting_pull(one)
        started = time.monotonic()
        await one.publish_job(JOB, b"")
        delivery = await other.pull(CI, 10)

        assert delivery is not None
        assert delivery.deliveries == 1
        assert time.monotonic() - started < 1


async def test_a_job_that_arrives_while_its_pull_is_cancelled_is_handed_back(open_bus: OpenBus) -> None:
    chance = random.Random(7)
    async with open_bus() as one, open_bus() as other:
        for number in range(60):
            pulling = asyncio.create_task(one.pull(CI, 30))
            await asyncio.sleep(chance.uniform(0, 0.002))
            publishing = asyncio.create_task(other.publish_job(_job(number), b""))
            await asyncio.sleep(chance.uniform(0, 0.002))
            pulling.cancel()
            delivery = await _result_or_none(pulling) or await other.pull(CI, SOON_S)
            await publishing

            assert delivery is not None, f"round {number}: the job was swallowed"
            await delivery.ack()


async def test_a_pull_lives_through_a_restart_of_the_server(nats_server: NatsServer, open_bus: OpenBus) -> None:
    async with open_bus() as worker:
        pulling = asyncio.create_task(worker.pull(CI, 30))
        await _has_begun(pulling)
        nats_server.kill()
        nats_server.start()
        async with open_bus() as dispatcher:
            started = time.monotonic()
            await dispatcher.publish_job(JOB, b"")
            delivery = await pulling

        assert delivery is not None
        assert delivery.deliveries == 1
        assert time.monotonic() - started < SOON_S


async def test_a_job_held_over_a_restart_can_still_be_acked(nats_server: NatsServer, open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.publish_job(JOB, b"")
        delivery = await bus.pull(CI, 10)
        assert delivery is not None
        await restart(nats_server, bus, gently=True)
        await delivery.progress()
        await delivery.ack()

        assert await bus.publish_job(JOB, b"")


async def test_a_job_handed_out_just_before_the_server_is_killed_is_not_lost(
    nats_server: NatsServer, open_bus: OpenBus
) -> None:
    """The server writes down what it handed out about a second later, and then may not know our ack."""
    async with open_bus() as bus:
        await bus.publish_job(JOB, b"")
        delivery = await bus.pull(CI, 10)
        assert delivery is not None
        await restart(nats_server, bus)
        try:
            await delivery.ack()
        except BusUnavailable:
            again = await bus.pull(CI, 10)
            assert again is not None
            await again.ack()

        assert await bus.publish_job(JOB, b"")


async def test_a_silent_server_is_asked_again(nats_server: NatsServer, open_bus: OpenBus) -> None:
    async with open_bus() as bus, open_bus() as other:
        pulling = asyncio.create_task(bus.pull(CI, 60))
        await _has_begun(pulling)
        sent = bus.connection.client.stats["out_msgs"]
        nats_server.pause()
        await until(lambda: bus.connection.client.stats["out_msgs"] > sent)
        nats_server.resume()
        await other.publish_job(JOB, b"")
        delivery = await asyncio.wait_for(pulling, 10)

        assert delivery is not None


async def test_a_job_whose_holder_is_silent_comes_back_after_the_ack_wait(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.connection.jetstream.add_consumer(
            CI.stream, (await bus.connection.jetstream.consumer_info(CI.stream, CI.consumer)).config, ack_wait=1
        )
        await bus.publish_job(JOB, b"")
        first = await bus.pull(CI, 10)
        second = await bus.pull(CI, 10)

        assert first is not None
        assert second is not None
        assert (first.deliveries, second.deliveries) == (1, 2)


async def test_a_missing_consumer_is_named_and_asked_for_with_growing_pauses(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.connection.jetstream.delete_consumer(CI.stream, CI.consumer)
        started = time.monotonic()
        tries = 0
        while time.monotonic() - started < 1.5:
            with pytest.raises(BusUnavailable, match="pull from pipeline-tasks/ci-consumer: nobody answers"):
                await bus.pull(CI, 30)
            tries += 1

        assert 2 <= tries <= 6


async def test_a_consumer_deleted_under_a_pull_ends_it(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        pulling = asyncio.create_task(bus.pull(CI, 60))
        await _has_begun(pulling)
        await bus.connection.jetstream.delete_consumer(CI.stream, CI.consumer)

        with pytest.raises(BusUnavailable, match=r"Consumer Deleted|nobody answers"):
            await asyncio.wait_for(pulling, 10)


async def test_pulls_leave_one_inbox_behind_for_the_next(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        before = len(bus.connection.client._subs)
        await bus.pull(CI, 0.1)
        await _cancel_a_waiting_pull(bus)
        for _ in range(3):
            await bus.publish_job(JOB, b"")
            delivery = await bus.pull(CI, 10)
            assert delivery is not None
            await delivery.ack()

        await until(lambda: len(bus.connection.client._subs) <= before + 2)  # the inbox, and that of requests


def _job(number: int) -> str:
    return job_subject(JobType.CI, "run-1", f"job-{number}")


async def _has_begun(pulling: "asyncio.Task[Delivery | None]") -> None:
    done, _ = await asyncio.wait({pulling}, timeout=0.3)
    assert not done


async def _cancel_a_waiting_pull(bus: JetStreamBus) -> None:
    pulling = asyncio.create_task(bus.pull(CI, 30))
    await _has_begun(pulling)
    pulling.cancel()
    assert await _result_or_none(pulling) is None


async def _result_or_none(pulling: "asyncio.Task[Delivery | None]") -> Delivery | None:
    try:
        return await pulling
    except asyncio.CancelledError:
        return None
