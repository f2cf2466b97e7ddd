"""What the table of names means to a NATS server: each stream, bucket and consumer, by the fields that we decide. Pure.

A bucket is a stream with the shape that NATS tools know as one. What is not named here (placement, compression, byte
limits, descriptions, a consumer's pause) is the operator's, and neither compared nor changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from nats.js.api import AckPolicy, DeliverPolicy, DiscardPolicy, ReplayPolicy, RetentionPolicy, StorageType
from nats.js.client import KV_PRE_TEMPLATE, KV_STREAM_TEMPLATE
from nats.js.object_store import OBJ_ALL_CHUNKS_PRE_TEMPLATE, OBJ_ALL_META_PRE_TEMPLATE, OBJ_STREAM_TEMPLATE

from forge_runtime.job import JobType
from forge_runtime.subject import (
    ACK_WAIT_S,
    BUCKETS,
    DEAD_LETTERS_STREAM,
    EVENTS_STREAM,
    FOLLOWERS,
    LOG_STREAMS,
    MAX_DELIVER,
    OBJECT_BUCKETS,
    QUEUES,
    Bucket,
    Follower,
    LogStream,
    WorkQueue,
    queue_of,
)

REPLICAS: Final = "num_replicas"


class AtLeast(int):
    """A number that an operator may raise, or take the limit away (-1)."""


_STREAM: Final[Mapping[str, Any]] = {
    "no_ack": False,
    "sealed": False,
    "deny_delete": False,
    "deny_purge": False,
    "allow_rollup_hdrs": False,
    "subject_transform": None,
}
"""What a server has by itself, and no stream of ours works without."""

_CONSUMER: Final[Mapping[str, Any]] = {
    "ack_policy": AckPolicy.EXPLICIT,
    "ack_wait": ACK_WAIT_S,
    "filter_subjects": [],
    "deliver_policy": DeliverPolicy.ALL,
    "replay_policy": ReplayPolicy.INSTANT,
    "backoff": [],
    "headers_only": False,
    "inactive_threshold": 0.0,
    "mem_storage": False,
    "deliver_subject": None,
    "max_ack_pending": AtLeast(1000),
    "max_waiting": AtLeast(512),
}
"""Of each one we pull from. The two numbers are the server's own: fewer leave slots idle. A backoff replaces the ack
wait, a threshold deletes a consumer that nobody asks, and one in memory is gone when the server starts anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A stream, or a consumer of one, as it shall be. `fields` are named as the server's configuration names them."""

    stream: str
    consumer: str | None = None
    fields: Mapping[str, Any]

    @property
    def title(self) -> str:
        return f"stream {self.stream}" if self.consumer is None else f"consumer {self.consumer} of {self.stream}"


def wanted_assets(replicas: int | None = None) -> tuple[Asset, ...]:
    """Everything, each stream before its consumers. Without `replicas`, streams keep as many as they have."""
    chosen = {} if replicas is None else {REPLICAS: replicas}
    streams = {
        **{queue.stream: _queue(queue) for queue in QUEUES},
        **{KV_STREAM_TEMPLATE.format(bucket=bucket.name): _records(bucket) for bucket in BUCKETS},
        **{OBJ_STREAM_TEMPLATE.format(bucket=bucket.name): _objects(bucket) for bucket in OBJECT_BUCKETS},
        **{stream.name: _log_stream(stream) for stream in LOG_STREAMS},
    }
    return (
        *(Asset(stream=name, fields={**fields, **chosen}) for name, fields in streams.items()),
        *(consumer for queue in QUEUES for consumer in _consumers(queue)),
        *(_follower(follower) for follower in FOLLOWERS),
    )


def worker_assets(queue: WorkQueue) -> tuple[Asset, ...]:
    """What a worker of this queue needs: the queue, its consumers, and every bucket and stream that it writes to."""
    written = {EVENTS_STREAM, DEAD_LETTERS_STREAM, *(KV_STREAM_TEMPLATE.format(bucket=each.name) for each in BUCKETS)}
    if queue == queue_of(JobType.DISCOVERY):
        written.update(OBJ_STREAM_TEMPLATE.format(bucket=each.name) for each in OBJECT_BUCKETS)
    return tuple(
        asset
        for asset in wanted_assets()
        if asset.stream == queue.stream or (asset.consumer is None and asset.stream in written)
    )


def _queue(queue: WorkQueue) -> dict[str, Any]:
    return {
        **_STREAM,
        "subjects": [queue.filter],
        "storage": StorageType.FILE,
        "retention": RetentionPolicy.WORK_QUEUE,
        "discard": DiscardPolicy.NEW,
        "discard_new_per_subject": True,
        "max_msgs_per_subject": 1,
        "max_msgs": queue.messages_max,
        "max_age": 0.0,
    }


def _consumers(queue: WorkQueue) -> Iterator[Asset]:
    """One for each lane, in the order in which a server can make them."""
    for lane in queue.lanes:
        fields = {**_CONSUMER, "filter_subject": queue.lane_filter(lane), "max_deliver": MAX_DELIVER}
        yield Asset(stream=queue.stream, consumer=queue.lane_consumer(lane), fields=fields)


def _follower(follower: Follower) -> Asset:
    fields = {**_CONSUMER, "filter_subject": follower.filter, "max_deliver": -1}
    return Asset(stream=follower.stream, consumer=follower.consumer, fields=fields)


def _records(bucket: Bucket) -> dict[str, Any]:
    """A key-value bucket as NATS tools know it, but without roll-ups.

    One is a header on an ordinary write, which permissions do not see: whoever may write one record could remove all.
    We never purge a key, which is what tools use it for.
    """
    return {
        **_STREAM,
        "subjects": [KV_PRE_TEMPLATE.format(bucket=bucket.name) + ">"],
        "storage": StorageType.FILE,
        "retention": RetentionPolicy.LIMITS,
        "discard": DiscardPolicy.NEW,
        "max_msgs_per_subject": bucket.history,
        "max_age": float(bucket.ttl_s),
        "allow_direct": True,
        "deny_delete": True,
    }


def _objects(bucket: Bucket) -> dict[str, Any]:
    """An object bucket as NATS tools know it."""
    return {
        **_STREAM,
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
        **_STREAM,
        "subjects": list(stream.subjects),
        "storage": StorageType.FILE,
        "retention": RetentionPolicy.LIMITS,
        "discard": DiscardPolicy.OLD,
        "max_msgs_per_subject": stream.messages_per_subject,
        "max_age": float(stream.max_age_s),
    }
