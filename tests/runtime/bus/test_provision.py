"""Provisioning a real server: complete, repeatable, careful with what is not ours."""

import asyncio
import dataclasses

import pytest
from nats.js.api import RetentionPolicy, StreamConfig
from tests.nats_server import NatsServer
from tests.runtime.bus.conftest import OpenBus

from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.provision import Misprovisioned, provision, verify
from forge_runtime.job import JobType
from forge_runtime.subject import LOG_STREAMS, QUEUES, queue_of

CI = queue_of(JobType.CI)


async def test_a_bare_server_gets_everything_and_the_second_time_nothing(nats_server: NatsServer) -> None:
    bus = await connect(nats_server.settings())

    first = await provision(bus)
    second = await provision(bus)

    for queue in QUEUES:
        assert f"created stream {queue.stream}" in first
        assert f"created consumer {queue.consumer} of {queue.stream}" in first
        await verify(bus, queue)
    for name in ("KV_forge-jobs", "KV_forge-runs", "OBJ_forge-plans", *(stream.name for stream in LOG_STREAMS)):
        assert f"created stream {name}" in first
    assert second == []
    await bus.close()


async def test_two_processes_may_provision_at_once(nats_server: NatsServer) -> None:
    buses = [await connect(nats_server.settings()) for _ in range(4)]

    await asyncio.gather(*(provision(bus) for bus in buses))

    assert await provision(buses[0]) == []
    for bus in buses:
        await bus.close()


async def test_two_processes_may_correct_the_same_difference_at_once(open_bus: OpenBus) -> None:
    async with open_bus() as one, open_bus() as other:
        await _change(one, max_msgs=7)

        await asyncio.gather(provision(one), provision(other))

        await verify(one, CI)


async def test_a_field_that_differs_is_set_and_reported(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await _change(bus, max_msgs=7)
        consumer = (await bus.connection.jetstream.consumer_info(CI.stream, CI.consumer)).config
        await bus.connection.jetstream.add_consumer(CI.stream, dataclasses.replace(consumer, ack_wait=600.0))

        assert await provision(bus) == [
            "updated stream pipeline-tasks: max_msgs is 7, not 5000",
            "updated consumer ci-consumer of pipeline-tasks: ack_wait is 600.0, not 30.0",
        ]
        await verify(bus, CI)


async def test_what_an_operator_added_stays(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await _change(bus, max_msgs=7, max_bytes=123_456_789, description="ours")

        await provision(bus)

        config = (await bus.connection.jetstream.stream_info(CI.stream)).config
        assert (config.max_msgs, config.max_bytes, config.description) == (5000, 123_456_789, "ours")


async def test_a_worker_refuses_a_queue_that_differs_and_names_the_field(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await _change(bus, max_age=3600)

        with pytest.raises(Misprovisioned, match=r"pipeline-tasks/ci-consumer: max_age is 3600\.0, not 0\.0"):
            await verify(bus, CI)


async def test_a_worker_refuses_a_queue_that_is_missing(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.connection.jetstream.delete_consumer(CI.stream, CI.consumer)

        with pytest.raises(Misprovisioned, match="ci-consumer: consumer not found; provision the bus"):
            await verify(bus, CI)


async def test_a_change_that_the_server_refuses_is_named(nats_server: NatsServer) -> None:
    bus = await connect(nats_server.settings())
    await bus.connection.jetstream.add_stream(
        StreamConfig(name=CI.stream, subjects=[CI.filter], retention=RetentionPolicy.LIMITS)
    )

    with pytest.raises(Misprovisioned, match="stream pipeline-tasks: the server refuses"):
        await provision(bus)
    await bus.close()


async def _change(bus: JetStreamBus, **fields: object) -> None:
    config = (await bus.connection.jetstream.stream_info(CI.stream)).config
    await bus.connection.jetstream.update_stream(dataclasses.replace(config, **fields))
