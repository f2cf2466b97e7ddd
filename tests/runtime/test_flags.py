"""One watch a run, however many of its jobs are in hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.runtime import samples

from forge_runtime.bus.memory import MemoryBus
from forge_runtime.ledger import Ledger
from forge_runtime.run import CancelFlag, CancelReason
from forge_runtime.watch import watch_flags
from forge_runtime.worker.flags import Flags

WHY = CancelFlag(reason=CancelReason.CANCELLED, by="api", at=0.0)


@asynccontextmanager
async def flags_of(ledger: Ledger) -> AsyncIterator[Flags]:
    async with watch_flags(ledger.bus) as watch, Flags(ledger, watch) as flags:
        yield flags


async def test_a_flag_that_was_raised_before_is_known_at_once() -> None:
    ledger, run_id = Ledger(MemoryBus(), 1.0), samples.new_run_id()
    await ledger.raise_flag(run_id, WHY)

    async with flags_of(ledger) as flags, flags.following(run_id) as raised:
        assert raised.done()
        assert raised.result() == WHY


async def test_all_jobs_of_a_run_hear_of_its_flag_and_those_of_another_do_not() -> None:
    ledger, run_id = Ledger(MemoryBus(), 1.0), samples.new_run_id()

    async with (
        flags_of(ledger) as flags,
        flags.following(run_id) as one,
        flags.following(run_id) as two,
        flags.following(samples.new_run_id()) as other,
    ):
        await ledger.raise_flag(run_id, WHY)
        async with asyncio.timeout(10):
            await asyncio.wait({one, two}, return_when=asyncio.ALL_COMPLETED)

        assert (one.result(), two.result(), other.done()) == (WHY, WHY, False)


async def test_a_job_that_comes_after_the_flag_hears_of_it_too() -> None:
    ledger, run_id = Ledger(MemoryBus(), 1.0), samples.new_run_id()

    async with flags_of(ledger) as flags:
        async with flags.following(run_id) as raised:
            await ledger.raise_flag(run_id, WHY)
            async with asyncio.timeout(10):
                await asyncio.wait({raised})
        async with flags.following(run_id) as raised:
            assert raised.done()
