"""Waiting for records, and riding out an outage."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.nats_server import NatsServer
from tests.runtime import samples

from forge_runtime import outage, subject
from forge_runtime import watch as watching
from forge_runtime.bus.hints import KeyHints
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.memory import MemoryBus, MemoryRecords
from forge_runtime.bus.port import BusUnavailable, Entry
from forge_runtime.bus.provision import provision
from forge_runtime.outage import ride_out
from forge_runtime.watch import SAFETY_READ_S, Watch, watch_flags, watch_run


async def test_a_change_is_found_at_once() -> None:
    bus = MemoryBus()
    run_id = samples.new_run_id()
    key = subject.cancel_key(run_id)
    async with watch_run(bus, run_id) as watch:
        waiting = asyncio.create_task(watch.until(key, lambda: bus.runs.get(key), 30.0))
        await asyncio.sleep(0)
        started = time.monotonic()
        await bus.runs.put(key, b"now")
        entry = await waiting

    assert entry is not None
    assert entry.value == b"now"
    assert time.monotonic() - started < 0.5


async def test_what_is_there_already_is_not_waited_for() -> None:
    bus = MemoryBus()
    await bus.runs.put("cancel.r", b"before")
    async with watch_flags(bus) as watch:
        entry = await watch.until("cancel.r", lambda: bus.runs.get("cancel.r"), 0.0)

    assert entry is not None


async def test_a_wait_ends_at_its_limit() -> None:
    bus = MemoryBus()
    async with watch_flags(bus) as watch:
        assert await watch.until("cancel.r", lambda: bus.runs.get("cancel.r"), 0.05) is None


async def test_a_change_without_a_hint_is_found_by_reading() -> None:
    bus = MemoryBus()
    deaf = DeafRecords(bus.server.buckets[subject.RUNS_BUCKET], lambda: None)
    async with Watch(lambda: deaf.changes(subject.CANCEL_KEYS)) as watch:
        waiting = asyncio.create_task(watch.until("cancel.r", lambda: deaf.get("cancel.r"), 3 * SAFETY_READ_S))
        await asyncio.sleep(0)
        await bus.runs.put("cancel.r", b"now")

        assert await waiting is not None


async def test_what_was_missed_while_the_connection_was_lost_is_found_when_it_is_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "SAFETY_READ_S", 60.0)
    bus, hints, looked = MemoryBus(), KeyHints(), asyncio.Event()

    @asynccontextmanager
    async def source() -> AsyncIterator[KeyHints]:
        yield hints

    async def read() -> Entry | None:
        looked.set()
        return await bus.runs.get("cancel.r")

    async with asyncio.timeout(20), Watch(source) as watch:
        waiting = asyncio.create_task(watch.until("cancel.r", read, 60.0))
        await looked.wait()
        await bus.runs.put("cancel.r", b"now")
        hints.note_gap()

        assert await waiting is not None


async def test_an_operation_is_tried_again_as_soon_as_the_connection_is_there(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "backoff_s", lambda *_: 60.0)
    bus = await connect(nats_server.settings())
    await provision(bus)
    await bus.runs.put("cancel.r", b"before")
    nats_server.kill()
    async with asyncio.timeout(40):
        waiting = asyncio.create_task(ride_out(lambda: bus.runs.get("cancel.r"), limit_s=120.0, bus=bus))
        done, _ = await asyncio.wait({waiting}, timeout=6.0)  # longer than one try lasts: it has failed, and waits
        nats_server.start()
        entry = await waiting

    await bus.close()
    assert not done
    assert entry is not None


async def test_an_operation_is_repeated_until_the_bus_is_back() -> None:
    answers = iter([BusUnavailable("gone"), None])

    async def operation() -> str:
        if (trouble := next(answers)) is not None:
            raise trouble
        return "done"

    assert await ride_out(operation, limit_s=10.0) == "done"


async def test_an_outage_beyond_the_limit_is_raised() -> None:
    bus = MemoryBus()
    await bus.close()

    with pytest.raises(BusUnavailable):
        await ride_out(lambda: bus.runs.get("cancel.r"), limit_s=0.0)


class DeafRecords(MemoryRecords):
    """A bucket that gives no hint to this connection."""

    @asynccontextmanager
    async def changes(self, pattern: str) -> AsyncIterator[KeyHints]:
        raise BusUnavailable(f"no subscription to {pattern}")
        yield
