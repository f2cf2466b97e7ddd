"""Provisioning a real server: complete, repeatable, careful with what is not ours."""

import asyncio
import dataclasses
import re

import pytest
from nats.js.api import (
    ConsumerConfig,
    DeliverPolicy,
    ReplayPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
    SubjectTransform,
)
from tests.nats_server import NatsServer
from tests.runtime.bus.conftest import OpenBus

from forge_runtime.bus.assets import Asset, wanted_assets
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.provision import (
    Kind,
    Live,
    Misprovisioned,
    apply_changes,
    plan,
    plan_changes,
    provision,
    verify,
    verify_everything,
)
from forge_runtime.job import JobType
from forge_runtime.lane import Lane
from forge_runtime.subject import DAY_S, DEAD_LETTERS_STREAM, FOLLOWERS, LOG_STREAMS, QUEUES, job_subject, queue_of

CI = queue_of(JobType.CI)


async def test_a_bare_server_gets_everything_and_the_second_time_nothing(nats_server: NatsServer) -> None:
    bus = await connect(nats_server.settings())

    first = await provision(bus)
    second = await provision(bus)

    assert {change.kind for change in first} == {Kind.CREATE}
    made = {change.asset.title for change in first}
    for queue in QUEUES:
        assert {f"stream {queue.stream}", *(f"consumer {name} of {queue.stream}" for name in queue.consumers)} < made
        await verify(bus, queue)
    for name in ("KV_forge-jobs", "KV_forge-runs", "OBJ_forge-plans", *(stream.name for stream in LOG_STREAMS)):
        assert f"stream {name}" in made
    for follower in FOLLOWERS:
        assert f"consumer {follower.consumer} of {follower.stream}" in made
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
        await _change_consumer(bus, ack_wait=600.0)

        assert [str(change) for change in await provision(bus)] == [
            "update stream pipeline-tasks: max_msgs is 7, not 5000",
            "update consumer ci-consumer of pipeline-tasks: ack_wait is 600.0, not 30.0",
        ]
        await verify(bus, CI)


async def test_a_queue_whose_one_consumer_takes_every_lane_is_split_without_losing_a_job(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await _one_consumer_for_all(bus)
        jobs = [job_subject(JobType.CI, "run-1", f"job-{number}") for number in range(3)]
        for job in jobs:
            await bus.publish_job(job, b"")
        held = await bus.pull(CI, 10)
        changes = await plan(bus)
        await provision(bus)
        await bus.publish_job(job_subject(JobType.CI, "run-2", "job-1", Lane.FIRST), b"")
        assert held is not None
        await held.ack()

        left = [await bus.pull(CI, 10), await bus.pull(CI, 10), await bus.pull(CI, 0)]
        first = await bus.pull(CI, 10, Lane.FIRST)

        assert [str(change) for change in changes] == [
            "update consumer ci-consumer of pipeline-tasks: filter_subject is pipeline.tasks.>, not pipeline.tasks.*.*",
            "create consumer ci-consumer-first of pipeline-tasks",
            "create consumer ci-consumer-early of pipeline-tasks",
        ]
        assert [each and each.subject for each in left] == [*jobs[1:], None]
        assert first is not None
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

        with pytest.raises(Misprovisioned, match=r"stream pipeline-tasks: max_age is 3600\.0, not 0\.0"):
            await verify(bus, CI)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("headers_only", True, "headers_only is True, not False"),
        ("backoff", [30.0, 60.0], "backoff is [30.0, 60.0], not []"),
        ("inactive_threshold", 100.0, "inactive_threshold is 100.0, not 0.0"),
        ("max_ack_pending", 1, "max_ack_pending is 1, not 1000"),
        ("max_deliver", 4, "max_deliver is 4, not 20"),
    ],
)
async def test_a_consumer_that_would_deliver_otherwise_is_refused_shown_and_set_right(
    open_bus: OpenBus, field: str, value: object, told: str
) -> None:
    async with open_bus() as bus:
        await _change_consumer(bus, **{field: value})

        with pytest.raises(
            Misprovisioned, match=re.escape(f"consumer ci-consumer of pipeline-tasks: {told}; provision")
        ):
            await verify(bus, CI)
        assert [str(change) for change in await plan(bus)] == [f"update consumer ci-consumer of pipeline-tasks: {told}"]
        await provision(bus)
        await verify(bus, CI)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"mem_storage": True}, "mem_storage is True, not False"),
        ({"replay_policy": ReplayPolicy.ORIGINAL}, "replay_policy is original, not instant"),
        ({"max_waiting": 1}, "max_waiting is 1, not 512"),
        (
            {"deliver_subject": "somewhere", "max_waiting": None},
            "deliver_subject is somewhere, not None, max_waiting is None, not 512",
        ),
    ],
)
async def test_a_consumer_that_can_only_be_made_anew_is_refused_shown_and_replaced_by_force(
    open_bus: OpenBus, value: dict[str, object], told: str
) -> None:
    async with open_bus() as bus:
        await _change_consumer(bus, anew=True, **value)

        with pytest.raises(Misprovisioned, match=told):
            await verify(bus, CI)
        changes = await plan(bus)
        await apply_changes(bus, changes, force=True)

        assert [str(change) for change in changes] == [
            f"replace consumer ci-consumer of pipeline-tasks: {told}; loses how far its reader has come: "
            "what waits for an ack is handed out again"
        ]
        await verify(bus, CI)


async def test_a_reader_of_events_that_begins_with_new_ones_is_found(open_bus: OpenBus) -> None:
    (projector, _) = FOLLOWERS
    async with open_bus() as bus:
        await _change_consumer(bus, projector.stream, projector.consumer, anew=True, deliver_policy=DeliverPolicy.NEW)

        with pytest.raises(Misprovisioned, match="api-projector of forge-events: deliver_policy is new, not all"):
            await verify_everything(bus)


async def test_a_consumer_that_filters_by_a_list_gets_the_one_filter_of_its_lane(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await _change_consumer(bus, filter_subject=None, filter_subjects=["pipeline.tasks.a.*", "pipeline.tasks.b.*"])

        await provision(bus)

        await verify(bus, CI)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("no_ack", True, "update stream pipeline-tasks: no_ack is True, not False"),
        ("subject_transform", SubjectTransform(">", "other.>"), "update stream pipeline-tasks: subject_transform is "),
        ("sealed", True, "replace stream pipeline-tasks: sealed is True, not False"),
        ("deny_purge", True, "replace stream pipeline-tasks: deny_purge is True, not False"),
    ],
)
async def test_a_queue_that_would_take_jobs_otherwise_is_refused_shown_and_set_right(
    open_bus: OpenBus, field: str, value: object, told: str
) -> None:
    async with open_bus() as bus:
        await _change(bus, **{field: value})

        with pytest.raises(Misprovisioned, match=f"{field} is "):
            await verify(bus, CI)
        changes = await plan(bus)
        await apply_changes(bus, changes, force=True)

        assert str(changes[0]).startswith(told)
        await verify(bus, CI)


@pytest.mark.parametrize("pending", [5000, -1])
async def test_more_jobs_in_hands_than_needed_are_the_operators_to_allow(open_bus: OpenBus, pending: int) -> None:
    async with open_bus() as bus:
        await _change_consumer(bus, max_ack_pending=pending, headers_only=True)

        await provision(bus)

        config = (await bus.connection.jetstream.consumer_info(CI.stream, CI.consumer)).config
        assert (config.max_ack_pending, config.headers_only) == (pending, None)


async def test_a_worker_refuses_a_queue_that_is_missing(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.connection.jetstream.delete_consumer(CI.stream, CI.consumer)

        with pytest.raises(Misprovisioned, match="there is no consumer ci-consumer of pipeline-tasks; provision"):
            await verify(bus, CI)


@pytest.mark.parametrize(
    ("stream", "fields", "told"),
    [
        ("KV_forge-jobs", {"max_age": 3600.0}, "max_age is 3600.0, not 604800.0"),
        ("KV_forge-runs", {"max_msgs_per_subject": 1}, "max_msgs_per_subject is 1, not 5"),
        ("KV_forge-runs", {"allow_direct": False}, "allow_direct is False, not True"),
        ("forge-events", {"no_ack": True}, "no_ack is True, not False"),
        ("forge-dead-letters", {"max_age": 3600.0}, "max_age is 3600.0, not 2592000.0"),
    ],
)
async def test_a_worker_refuses_a_bucket_or_stream_that_it_writes_to_and_that_differs(
    open_bus: OpenBus, stream: str, fields: dict[str, object], told: str
) -> None:
    async with open_bus() as bus:
        await _change(bus, stream, **fields)

        with pytest.raises(Misprovisioned, match=f"stream {stream}: {told}; provision"):
            await verify(bus, CI)


@pytest.mark.parametrize("stream", ["KV_forge-jobs", "KV_forge-runs", "forge-events", "forge-dead-letters"])
async def test_a_worker_refuses_to_start_without_a_bucket_or_stream_that_it_writes_to(
    open_bus: OpenBus, stream: str
) -> None:
    async with open_bus() as bus:
        await bus.connection.jetstream.delete_stream(stream)

        with pytest.raises(Misprovisioned, match=f"there is no stream {stream}; provision"):
            await verify(bus, CI)


async def test_only_workers_that_store_plans_look_at_their_bucket(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.connection.jetstream.delete_stream("OBJ_forge-plans")

        await verify(bus, CI)
        with pytest.raises(Misprovisioned, match="there is no stream OBJ_forge-plans"):
            await verify(bus, queue_of(JobType.DISCOVERY))


async def test_a_change_that_the_server_refuses_is_named(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        with pytest.raises(
            Misprovisioned, match="stream pipeline-discovery: num_replicas is 1, not 3: the server refuses"
        ):
            await provision(bus, replicas=3)


async def test_replicas_that_nobody_names_stay_as_they_are() -> None:
    live = {asset.title: Live(config=StreamConfig(**asset.fields)) for asset in wanted_assets(3) if not asset.consumer}

    changes = plan_changes(live, wanted_assets(), now=0.0)

    assert {change.kind for change in changes} == {Kind.CREATE}
    assert all(change.asset.consumer for change in changes)


async def test_nothing_at_all_is_changed_when_one_change_is_destructive(nats_server: NatsServer) -> None:
    bus = await connect(nats_server.settings())
    await _old_queue(bus)

    with pytest.raises(Misprovisioned, match="replace stream pipeline-tasks: retention is limits, not workqueue"):
        await provision(bus)

    assert [info.config.name for info in await bus.connection.jetstream.streams_info()] == [CI.stream]
    assert await _held(bus, CI.stream) == 1
    await bus.close()


async def test_a_forced_replacement_leaves_the_queue_empty_and_in_order(nats_server: NatsServer) -> None:
    bus = await connect(nats_server.settings())
    await _old_queue(bus)

    changes = await plan(bus)
    await apply_changes(bus, changes, force=True)

    (replaced,) = [change for change in changes if change.kind is Kind.REPLACE]
    assert replaced.loses == ("all of its 1 messages, and how far the readers of its consumers have come",)
    await verify(bus, CI)
    assert await _held(bus, CI.stream) == 0
    assert await plan(bus) == []
    await bus.close()


async def test_an_age_that_only_future_messages_reach_is_lowered_without_force(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await _change(bus, "forge-events", max_age=90 * DAY_S)
        await bus.publish_event("forge.events.run.step", b"{}")

        assert [change.destructive for change in await provision(bus)] == [False]


async def test_letters_that_one_a_subject_leaves_no_room_for_are_counted_as_lost(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await _change(bus, DEAD_LETTERS_STREAM, max_msgs_per_subject=-1)
        for _ in range(2):
            await bus.connection.jetstream.publish("forge.dead.tasks.run.job", b"{}")

        (change,) = await plan(bus)

        assert change.loses == ("all but the newest 1 messages of each subject",)


OLD = Live(config=StreamConfig(), messages=10, subjects=4, oldest_at=1000.0)


@pytest.mark.parametrize(
    ("field", "live", "wanted", "loses"),
    [
        ("max_age", 0.0, 500.0, True),
        ("max_age", 0.0, 2000.0, False),
        ("max_age", 500.0, 0.0, False),
        ("max_msgs_per_subject", -1, 6, True),
        ("max_msgs_per_subject", -1, 7, False),
        ("max_msgs_per_subject", 1, -1, False),
        ("subjects", ["a.>", "b.>"], ["a.>"], True),
        ("subjects", ["a.>"], ["a.>", "b.>"], False),
        ("max_msgs", 100, 5, False),
        ("allow_direct", True, False, False),
        ("storage", "memory", "file", True),
        ("retention", "limits", "workqueue", True),
        ("deny_delete", True, False, True),
        ("deny_delete", False, True, False),
    ],
)
async def test_what_a_change_loses(field: str, live: object, wanted: object, loses: bool) -> None:
    asset = Asset(stream="s", fields={field: wanted})
    standing = dataclasses.replace(OLD, config=StreamConfig(**{field: live}))

    (change,) = plan_changes({asset.title: standing}, [asset], now=2000.0)

    assert change.destructive == loses


async def test_a_stream_without_messages_may_be_narrowed() -> None:
    asset = Asset(stream="s", fields={"max_age": 1.0, "max_msgs_per_subject": 1, "subjects": ["a.>"]})
    standing = Live(config=StreamConfig(subjects=["a.>", "b.>"]))

    (change,) = plan_changes({asset.title: standing}, [asset], now=2000.0)

    assert not change.destructive
    assert len(change.differences) == 3


async def test_consumers_of_a_replaced_stream_are_made_anew() -> None:
    stream, *consumers = (asset for asset in wanted_assets() if asset.stream == CI.stream)
    live = {
        stream.title: Live(config=StreamConfig(**{**stream.fields, "storage": StorageType.MEMORY})),
        **{consumer.title: Live(config=ConsumerConfig(**consumer.fields)) for consumer in consumers},
    }

    changes = plan_changes(live, [stream, *consumers], now=0.0)

    assert [change.kind for change in changes] == [Kind.REPLACE, *(Kind.CREATE for _ in consumers)]


async def _old_queue(bus: JetStreamBus) -> None:
    """The tasks queue as a version before might have made it, with a job in it."""
    config = StreamConfig(name=CI.stream, subjects=[CI.filter], retention=RetentionPolicy.LIMITS)
    await bus.connection.jetstream.add_stream(config)
    await bus.connection.jetstream.publish("pipeline.tasks.run.job", b"{}")


async def _one_consumer_for_all(bus: JetStreamBus) -> None:
    """The tasks queue as it was before there were lanes."""
    jetstream = bus.connection.jetstream
    for name in CI.consumers[1:]:
        await jetstream.delete_consumer(CI.stream, name)
    config = (await jetstream.consumer_info(CI.stream, CI.consumer)).config
    await jetstream.add_consumer(CI.stream, dataclasses.replace(config, filter_subject=CI.filter))


async def _held(bus: JetStreamBus, stream: str) -> int:
    return (await bus.connection.jetstream.stream_info(stream)).state.messages


async def _change(bus: JetStreamBus, stream: str = CI.stream, **fields: object) -> None:
    config = (await bus.connection.jetstream.stream_info(stream)).config
    await bus.connection.jetstream.update_stream(dataclasses.replace(config, **fields))


async def _change_consumer(
    bus: JetStreamBus, stream: str = CI.stream, consumer: str = CI.consumer, *, anew: bool = False, **fields: object
) -> None:
    jetstream = bus.connection.jetstream
    config = (await jetstream.consumer_info(stream, consumer)).config
    if anew:
        await jetstream.delete_consumer(stream, consumer)
    await jetstream.add_consumer(stream, dataclasses.replace(config, **fields))
