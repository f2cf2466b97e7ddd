"""Events and hints against a server that is killed and started again."""

import asyncio
from dataclasses import replace

import pytest
from tests.nats_server import NatsServer
from tests.runtime.bus.conftest import OpenBus, restart, until

from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.port import Gap, Hint, QueueFull
from forge_runtime.bus.provision import provision
from forge_runtime.job import JobType
from forge_runtime.subject import (
    ADVISORIES_STREAM,
    CANCEL_KEYS,
    EVENTS_STREAM,
    PROJECTOR,
    SWEEPER,
    cancel_key,
    event_subject,
    job_subject,
    queue_of,
)

STEP = event_subject("run-1", "step")


async def test_reading_events_goes_on_after_the_server_was_killed(nats_server: NatsServer, open_bus: OpenBus) -> None:
    async with open_bus() as api:
        seen: asyncio.Queue[bytes] = asyncio.Queue()
        reading = asyncio.create_task(_read(api, seen))
        await api.publish_event(STEP, b"before")
        first = await asyncio.wait_for(seen.get(), 10)
        await restart(nats_server, api)
        await api.publish_event(STEP, b"after")
        async with asyncio.timeout(10):
            while (second := await seen.get()) == b"before":
                continue  # it may come again: a killed server can forget the last acks
        reading.cancel()

    assert (first, second) == (b"before", b"after")


async def test_reading_events_waits_for_a_stream_that_is_not_there_yet(nats_server: NatsServer) -> None:
    bus = await connect(nats_server.settings("api"))
    seen: asyncio.Queue[bytes] = asyncio.Queue()
    reading = asyncio.create_task(_read(bus, seen))
    done, _ = await asyncio.wait({reading}, timeout=0.3)
    assert not done
    await provision(bus)
    await bus.publish_event(STEP, b"event")

    assert await asyncio.wait_for(seen.get(), 10) == b"event"
    reading.cancel()
    await bus.close()


async def test_an_advisory_that_cannot_be_read_is_read_once(open_bus: OpenBus) -> None:
    advisory = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.pipeline-tasks.ci-consumer"
    async with open_bus() as bus:
        for words in (b"", b"{}", b'{"stream":1}'):
            await bus.connection.store("tell", advisory, words)

        assert await bus.pull_stranded(0.5) is None

        reader = await bus.connection.jetstream.consumer_info(ADVISORIES_STREAM, SWEEPER)
        assert (reader.num_pending, reader.num_ack_pending) == (0, 0)


async def test_a_queue_that_an_operator_limits_by_bytes_is_full_too(open_bus: OpenBus) -> None:
    queue = queue_of(JobType.RELEASE)
    async with open_bus() as bus:
        jetstream = bus.connection.jetstream
        config = (await jetstream.stream_info(queue.stream)).config
        await jetstream.update_stream(replace(config, max_bytes=8192))
        await bus.publish_job(job_subject(JobType.RELEASE, "run-1", "job-1"), bytes(6000))

        with pytest.raises(QueueFull, match="maximum bytes"):
            await bus.publish_job(job_subject(JobType.RELEASE, "run-1", "job-2"), bytes(6000))


async def test_reading_events_makes_a_deleted_consumer_anew(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        seen: asyncio.Queue[bytes] = asyncio.Queue()
        reading = asyncio.create_task(_read(bus, seen))
        await bus.publish_event(STEP, b"first")
        await asyncio.wait_for(seen.get(), 10)
        await bus.connection.jetstream.delete_consumer(EVENTS_STREAM, PROJECTOR)

        assert await asyncio.wait_for(seen.get(), 10) == b"first"
        reading.cancel()


async def test_hints_arrive_again_after_the_server_was_killed_and_what_was_missed_is_told(
    nats_server: NatsServer, open_bus: OpenBus
) -> None:
    async with open_bus() as bus, bus.runs.changes(CANCEL_KEYS) as hints:
        await restart(nats_server, bus)
        await bus.runs.create(cancel_key("run-1"), b"")

        assert await hints.next(10) == Gap()
        assert await hints.next(10) == Hint(cancel_key("run-1"), b"")


async def test_leaving_hints_while_the_server_is_gone_does_not_wait(nats_server: NatsServer, open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        async with asyncio.timeout(2):
            async with bus.runs.changes(CANCEL_KEYS):
                nats_server.kill()

        assert bus.connection.client._subs.keys() == {1}, "only the inbox for answers is left"


async def test_lines_are_dropped_while_the_server_is_gone(nats_server: NatsServer, open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        nats_server.kill()
        await until(lambda: not bus.connection.connected)
        await bus.publish_line("forge.logs.run-1.job-1", b"line\n", 0)

        assert bus.connection.client.pending_data_size == 0


async def test_a_record_deleted_by_hand_is_missing_and_can_be_created_anew(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        first = await bus.jobs.create("state.run-1.job-1", b"queued")
        await (await bus.connection.jetstream.key_value("forge-jobs")).delete("state.run-1.job-1")

        assert await bus.jobs.get("state.run-1.job-1") is None
        assert await bus.jobs.list("state.run-1.>") == []
        assert await bus.jobs.create("state.run-1.job-1", b"queued") > first


async def _read(bus: JetStreamBus, seen: asyncio.Queue[bytes]) -> None:
    async for event in bus.events(PROJECTOR):
        await event.ack()
        await seen.put(event.data)
