"""Waiting for records, and riding out an outage."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.runtime import samples

from forge_runtime import subject
from forge_runtime.bus.hints import KeyHints
from forge_runtime.bus.memory import MemoryBus, MemoryRecords
from forge_runtime.bus.port import BusUnavailable
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
