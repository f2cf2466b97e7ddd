"""Make a server's streams, consumers and buckets what the table of names says; and check that they are.

    wanted_assets ──┐
                    ├─ plan_changes (pure) ─▶ Change, Change, ... ─▶ apply_changes
    read_live ──────┘                         create, update, replace

A change is destructive if messages may be lost by it, or if the server knows no other way than to delete what is there
and make it anew. Nobody makes such a change without being told to, and then nothing else either: a half provisioned
server is harder to understand than one that was left alone. Running it twice, or in two processes at once, ends in the
same state.
"""

import dataclasses
import enum
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import nats.js.errors
from nats.js.api import ConsumerConfig, StreamConfig

from forge_runtime.bus.assets import Asset, AtLeast, wanted_assets, worker_assets
from forge_runtime.bus.connection import OPERATION_LIMIT_S
from forge_runtime.bus.jetstream import JetStreamBus
from forge_runtime.bus.server_time import unix_s
from forge_runtime.subject import WorkQueue

_REPLACED_FOR: Final = frozenset(
    {
        "storage",
        "retention",
        "ack_policy",
        "deliver_policy",
        "deliver_subject",
        "max_waiting",
        "mem_storage",
        "replay_policy",
    }
)
"""Fields that the server never changes on what exists (it refuses some ways between retentions, and allows others)."""

_NEVER_WITHDRAWN: Final = frozenset({"deny_delete", "deny_purge", "sealed"})
"""Fields that the server sets on what exists, and never takes back."""

_TRIES: Final = 3
"""Another process that provisions at the same moment makes ours fail once; then there is nothing left to do."""

_IN_USE: Final = frozenset({10058, 10148})
"""The server's codes for a stream, or consumer, that exists already with another configuration."""


class Misprovisioned(Exception):
    """The server has another configuration than this version needs; names the field, both values and what to do."""


class _Raced(Misprovisioned):
    """Somebody else made at the same moment what was missing."""


class Kind(enum.StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    field: str
    live: Any
    wanted: Any

    def __str__(self) -> str:
        return f"{self.field} is {_text(self.live)}, not {_text(self.wanted)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What has to be done to one stream or consumer. `loses` says in words what is gone afterwards."""

    kind: Kind
    asset: Asset
    differences: tuple[Difference, ...] = ()
    loses: tuple[str, ...] = ()

    @property
    def destructive(self) -> bool:
        return bool(self.loses)

    def __str__(self) -> str:
        found = f": {', '.join(map(str, self.differences))}" if self.differences else ""
        lost = f"; loses {', '.join(self.loses)}" if self.loses else ""
        return f"{self.kind} {self.asset.title}{found}{lost}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A stream or consumer as the server has it; of a stream also what it holds. `oldest_at`: unix seconds."""

    config: StreamConfig | ConsumerConfig
    messages: int = 0
    subjects: int = 0
    oldest_at: float = 0.0


def plan_changes(live: Mapping[str, Live], wanted: Sequence[Asset], now: float) -> list[Change]:
    """What makes `live` (by title) into `wanted`; nothing is asked or told here. Pure."""
    changes: list[Change] = []
    emptied: set[str] = set()
    for asset in wanted:
        standing = live.get(asset.title)
        if standing is None or (asset.consumer is not None and asset.stream in emptied):
            changes.append(Change(kind=Kind.CREATE, asset=asset))
            continue
        found = differences(asset, standing.config)
        if not found:
            continue
        if any(_needs_replacement(difference) for difference in found):
            changes.append(Change(kind=Kind.REPLACE, asset=asset, differences=found, loses=(_all(asset, standing),)))
            if asset.consumer is None:
                emptied.add(asset.stream)
        else:
            loses = tuple(lost for difference in found if (lost := _lost(difference, standing, now)))
            changes.append(Change(kind=Kind.UPDATE, asset=asset, differences=found, loses=loses))
    return changes


def differences(asset: Asset, live: StreamConfig | ConsumerConfig) -> tuple[Difference, ...]:
    """Each field that is not as it shall be. Pure."""
    pairs = ((name, getattr(live, name), value) for name, value in asset.fields.items())
    return tuple(
        Difference(field=name, live=actual, wanted=value) for name, actual, value in pairs if not _same(actual, value)
    )


async def plan(bus: JetStreamBus, *, replicas: int | None = None) -> list[Change]:
    """What `apply_changes` would have to do now."""
    wanted = wanted_assets(replicas)
    return plan_changes(await read_live(bus, wanted), wanted, time.time())


async def provision(bus: JetStreamBus, *, replicas: int | None = None) -> list[Change]:
    """Create and update everything; what was done.

    Misprovisioned if a change is destructive, or the server refuses one.
    """
    done: list[Change] = []
    for attempt in range(1, _TRIES + 1):
        changes = await plan(bus, replicas=replicas)
        try:
            await apply_changes(bus, changes, done=done.append)
        except _Raced:
            if attempt == _TRIES:
                raise
        else:
            break
    return done


async def apply_changes(
    bus: JetStreamBus,
    changes: Sequence[Change],
    *,
    force: bool = False,
    done: Callable[[Change], None] = lambda _change: None,
) -> None:
    """Do what was planned, `done` being told of each change; the destructive ones only with `force`.

    Misprovisioned before the first change if one of them is destructive, later if the server refuses one.
    """
    refused = [str(change) for change in changes if change.destructive]
    if refused and not force:
        raise Misprovisioned(f"nothing was changed, because this would destroy: {'; '.join(refused)}; force it")
    for change in changes:
        async with bus.connection.limit(f"{change.kind} {change.asset.title}"):
            try:
                await _apply(bus, change)
            except nats.js.errors.ServiceUnavailableError:
                raise
            except nats.js.errors.APIError as error:
                kind = _Raced if error.err_code in _IN_USE else Misprovisioned
                raise kind(f"{change}: the server refuses: {error.description}") from error
        done(change)


async def read_live(bus: JetStreamBus, wanted: Sequence[Asset]) -> dict[str, Live]:
    """Those of the wanted streams and consumers that are there, by title."""
    found: dict[str, Live] = {}
    async with bus.connection.limit("read what is provisioned"):
        for asset in wanted:
            name = f"STREAM.INFO.{asset.stream}"
            if asset.consumer is not None:
                name = f"CONSUMER.INFO.{asset.stream}.{asset.consumer}"
            try:
                info = await _request(bus, name)
            except nats.js.errors.NotFoundError:
                continue
            found[asset.title] = _live(asset, info)
    return found


async def verify(bus: JetStreamBus, queue: WorkQueue) -> None:
    """Misprovisioned unless everything that a worker of this queue needs is as the table says."""
    assets = worker_assets(queue)
    live = await read_live(bus, assets)
    for asset in assets:
        if asset.title not in live:
            raise Misprovisioned(f"there is no {asset.title}; provision the bus")
        found = differences(asset, live[asset.title].config)
        if found:
            raise Misprovisioned(f"{asset.title}: {', '.join(map(str, found))}; provision the bus again")


async def verify_everything(bus: JetStreamBus) -> None:
    """Misprovisioned unless everything is there and as the table says; whoever asks may not change it."""
    changes = await plan(bus)
    if changes:
        raise Misprovisioned(f"the bus is not as this version needs it: {'; '.join(map(str, changes))}; provision it")


def _same(live: Any, wanted: Any) -> bool:
    """The server leaves out what is zero, and keeps no order among subjects."""
    if isinstance(wanted, AtLeast):
        return live is not None and (live >= wanted or live < 0)
    if isinstance(wanted, list):
        return sorted(live or ()) == sorted(wanted)
    return bool((live or 0) == (wanted or 0))


def _needs_replacement(difference: Difference) -> bool:
    withdrawn = difference.field in _NEVER_WITHDRAWN and not difference.wanted
    return difference.field in _REPLACED_FOR or withdrawn


def _all(asset: Asset, live: Live) -> str:
    if asset.consumer is not None:
        return "how far its reader has come: what waits for an ack is handed out again"
    return f"all of its {live.messages} messages, and how far the readers of its consumers have come"


def _lost(difference: Difference, live: Live, now: float) -> str | None:
    """What an update takes away. Fewer `max_msgs` take nothing where new messages are refused, as in all our queues."""
    if not live.messages:
        return None
    match difference.field:
        case "max_age":
            age_s = now - live.oldest_at
            if 0 < difference.wanted < age_s:
                return f"messages older than {difference.wanted:g} s (the oldest is {age_s:.0f} s old)"
        case "max_msgs_per_subject":
            fullest = live.messages - live.subjects + 1
            if 0 < difference.wanted < fullest:
                return f"all but the newest {difference.wanted} messages of each subject"
        case "subjects":
            removed = sorted(set(difference.live or ()) - set(difference.wanted))
            if removed:
                return f"a reader for messages under {', '.join(removed)} (the stream holds {live.messages} in all)"
    return None


def _live(asset: Asset, info: dict[str, Any]) -> Live:
    if asset.consumer is not None:
        return Live(config=ConsumerConfig.from_response(info["config"]))
    state = info["state"]
    return Live(
        config=StreamConfig.from_response(info["config"]),
        messages=state["messages"],
        subjects=state.get("num_subjects", 0),
        oldest_at=unix_s(state["first_ts"]) if state["messages"] else 0.0,
    )


async def _apply(bus: JetStreamBus, change: Change) -> None:
    """Onto the configuration that stands now, so that what an operator added stays, in a replacement too."""
    jetstream, asset = bus.connection.jetstream, change.asset
    fields = asset.fields
    if change.kind is not Kind.CREATE:
        fields = {difference.field: difference.wanted for difference in change.differences}
    if asset.consumer is not None:
        new = ConsumerConfig(durable_name=asset.consumer)
        if change.kind is not Kind.CREATE:
            new = (await jetstream.consumer_info(asset.stream, asset.consumer)).config
        if change.kind is Kind.REPLACE:
            await jetstream.delete_consumer(asset.stream, asset.consumer)
        await jetstream.add_consumer(asset.stream, dataclasses.replace(new, **fields))
        return
    stream = StreamConfig(name=asset.stream)
    if change.kind is not Kind.CREATE:
        stream = (await jetstream.stream_info(asset.stream)).config
    stream = dataclasses.replace(stream, **fields)
    if change.kind is Kind.UPDATE:
        await jetstream.update_stream(stream)
        return
    if change.kind is Kind.REPLACE:
        await jetstream.delete_stream(asset.stream)
    await jetstream.add_stream(stream)


async def _request(bus: JetStreamBus, name: str) -> dict[str, Any]:
    """By hand, because the client library drops how many subjects a stream has and how old its messages are."""
    answer = await bus.connection.client.request(f"$JS.API.{name}", timeout=OPERATION_LIMIT_S)
    info: dict[str, Any] = json.loads(answer.data)
    if "error" in info:
        nats.js.errors.APIError.from_error(info["error"])  # raises
    return info


def _text(value: Any) -> str:
    """Enum members of the library are strings, but print as members."""
    return str(getattr(value, "value", value))
