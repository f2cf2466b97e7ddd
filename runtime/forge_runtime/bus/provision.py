"""Make the server's streams, consumers and buckets what the table of names says; and check that they are.

Only the fields that the table decides are compared and changed. What an operator added (placement, compression, byte
limits) stays. Running it twice, or in two processes at once, ends in the same state.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import nats.js.errors
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, RetentionPolicy, StorageType, StreamConfig
from nats.js.client import KV_PRE_TEMPLATE, KV_STREAM_TEMPLATE
from nats.js.object_store import OBJ_ALL_CHUNKS_PRE_TEMPLATE, OBJ_ALL_META_PRE_TEMPLATE, OBJ_STREAM_TEMPLATE

from forge_runtime.bus.jetstream import JetStreamBus
from forge_runtime.subject import (
    ACK_WAIT_S,
    BUCKETS,
    LOG_STREAMS,
    MAX_DELIVER,
    OBJECT_BUCKETS,
    QUEUES,
    Bucket,
    LogStream,
    WorkQueue,
)

_TRIES: Final = 3
"""Another process that provisions at the same moment makes ours fail once; then there is nothing left to do."""

_IN_USE: Final = frozenset({10058, 10148})
"""The server's codes for a stream, or consumer, that exists already with another configuration."""


class Misprovisioned(Exception):
    """The server has another configuration than this version needs; names the field, both values and what to do."""


async def provision(bus: JetStreamBus, *, replicas: int = 1) -> list[str]:
    """Create or update everything; what was changed, in words ("created stream pipeline-tasks").

    Misprovisioned if the server refuses a change (a stream's retention cannot be changed, for example).
    """
    changes: list[str] = []
    for name, fields in _streams().items():
        changes += await _settle_stream(bus, name, {**fields, "num_replicas": replicas})
    for queue in QUEUES:
        changes += await _settle_consumer(bus, queue)
    return changes


async def verify(bus: JetStreamBus, queue: WorkQueue) -> None:
    """Misprovisioned unless stream and consumer of a worker's queue are as the table says."""
    async with bus.connection.limit(f"check {queue.stream}/{queue.consumer}"):
        try:
            stream = await bus.connection.jetstream.stream_info(queue.stream)
            consumer = await bus.connection.jetstream.consumer_info(queue.stream, queue.consumer)
        except nats.js.errors.NotFoundError as error:
            raise Misprovisioned(f"{queue.stream}/{queue.consumer}: {error.description}; provision the bus") from error
    found = _differences(_queue(queue), stream.config) + _differences(_consumer(queue), consumer.config)
    if found:
        raise Misprovisioned(f"{queue.stream}/{queue.consumer}: {', '.join(found)}; provision the bus again")


def _streams() -> dict[str, dict[str, Any]]:
    return {
        **{queue.stream: _queue(queue) for queue in QUEUES},
        **{KV_STREAM_TEMPLATE.format(bucket=bucket.name): _records(bucket) for bucket in BUCKETS},
        **{OBJ_STREAM_TEMPLATE.format(bucket=bucket.name): _objects(bucket) for bucket in OBJECT_BUCKETS},
        **{stream.name: _log_stream(stream) for stream in LOG_STREAMS},
    }


def _queue(queue: WorkQueue) -> dict[str, Any]:
    return {
        "subjects": [queue.filter],
        "storage": StorageType.FILE,
        "retention": RetentionPolicy.WORK_QUEUE,
        "discard": DiscardPolicy.NEW,
        "discard_new_per_subject": True,
        "max_msgs_per_subject": 1,
        "max_msgs": queue.messages_max,
        "max_age": 0.0,
    }


def _consumer(queue: WorkQueue) -> dict[str, Any]:
    return {
        "filter_subject": queue.filter,
        "ack_policy": AckPolicy.EXPLICIT,
        "ack_wait": ACK_WAIT_S,
        "max_deliver": MAX_DELIVER,
    }


def _records(bucket: Bucket) -> dict[str, Any]:
    """A key-value bucket as NATS tools know it."""
    return {
        "subjects": [KV_PRE_TEMPLATE.format(bucket=bucket.name) + ">"],
        "storage": StorageType.FILE,
        "retention": RetentionPolicy.LIMITS,
        "discard": DiscardPolicy.NEW,
        "max_msgs_per_subject": bucket.history,
        "max_age": float(bucket.ttl_s),
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
    }


def _objects(bucket: Bucket) -> dict[str, Any]:
    """An object bucket as NATS tools know it."""
    return {
        "subjects": [
            OBJ_ALL_CHUNKS_PRE_TEMPLATE.format(bucket=bucket.name),
            OBJ_ALL_META_PRE_TEMPLATE.format(bucket=bucket.name),
        ],
        "storage": StorageType.FILE,
        "retention": RetentionPolicy.LIMITS,
        "discard": DiscardPolicy.NEW,
        "max_age": float(bucket.ttl_s),
        "allow_direct": True,
        "allow_rollup_hdrs": True,
    }


def _log_stream(stream: LogStream) -> dict[str, Any]:
    return {
        "subjects": list(stream.subjects),
        "storage": StorageType.FILE,
        "retention": RetentionPolicy.LIMITS,
        "discard": DiscardPolicy.OLD,
        "max_age": float(stream.max_age_s),
    }


async def _settle_stream(bus: JetStreamBus, name: str, fields: Mapping[str, Any]) -> list[str]:
    jetstream = bus.connection.jetstream
    async with bus.connection.limit(f"provision stream {name}"):
        for attempt in range(1, _TRIES + 1):
            try:
                live = await _find(jetstream.stream_info(name))
                if live is None:
                    await jetstream.add_stream(StreamConfig(name=name, **fields))
                    return [f"created stream {name}"]
                found = _differences(fields, live.config)
                if found:
                    await jetstream.update_stream(dataclasses.replace(live.config, **fields))
                return [f"updated stream {name}: {', '.join(found)}"] if found else []
            except nats.js.errors.APIError as error:
                _refuse_unless_raced(f"stream {name}", error, last=attempt == _TRIES)
    return []


async def _settle_consumer(bus: JetStreamBus, queue: WorkQueue) -> list[str]:
    jetstream = bus.connection.jetstream
    fields = _consumer(queue)
    name = f"consumer {queue.consumer} of {queue.stream}"
    async with bus.connection.limit(f"provision {name}"):
        for attempt in range(1, _TRIES + 1):
            try:
                live = await _find(jetstream.consumer_info(queue.stream, queue.consumer))
                if live is None:
                    await jetstream.add_consumer(queue.stream, ConsumerConfig(durable_name=queue.consumer, **fields))
                    return [f"created {name}"]
                found = _differences(fields, live.config)
                if found:
                    await jetstream.add_consumer(queue.stream, dataclasses.replace(live.config, **fields))
                return [f"updated {name}: {', '.join(found)}"] if found else []
            except nats.js.errors.APIError as error:
                _refuse_unless_raced(name, error, last=attempt == _TRIES)
    return []


async def _find(question: Any) -> Any:
    try:
        return await question
    except nats.js.errors.NotFoundError:
        return None


def _refuse_unless_raced(name: str, error: nats.js.errors.APIError, *, last: bool) -> None:
    if isinstance(error, nats.js.errors.ServiceUnavailableError):
        raise error
    if error.err_code not in _IN_USE or last:
        raise Misprovisioned(f"{name}: the server refuses the change: {error.description}") from error


def _differences(expected: Mapping[str, Any], live: StreamConfig | ConsumerConfig) -> list[str]:
    """ "max_msgs is 100, not 5000", for each field that differs."""
    found = []
    for name, value in expected.items():
        actual = getattr(live, name)
        same = sorted(actual or ()) == sorted(value) if isinstance(value, list) else (actual or 0) == (value or 0)
        if not same:
            found.append(f"{name} is {_text(actual)}, not {_text(value)}")
    return found


def _text(value: Any) -> str:
    """Enum members of the library are strings, but print as members."""
    return str(getattr(value, "value", value))
