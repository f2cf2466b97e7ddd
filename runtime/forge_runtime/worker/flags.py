"""The cancel flags of the runs in hand: one watch a run, however many of its jobs are worked on at a time.

A run's flag is read when its first job comes, and from then on as often as any wait for a record (hints, 5 s). So a
job that is claimed between the raising of a flag and our hearing of it begins, and is stopped within those 5 s: the
same as for a job that was claimed a moment before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Final, Self

from forge_runtime import subject
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.ledger import Ledger
from forge_runtime.run import CancelFlag
from forge_runtime.tasks import end_tasks
from forge_runtime.watch import Watch

LINGER_S: Final = 5.0
"""How long a run is watched beyond its last job, at least: the next one is mostly near."""

Raised = asyncio.Future[CancelFlag]
"""Done once the flag is known. Shared by all jobs of the run: to be waited for, never cancelled."""


@dataclass(slots=True)
class _Run:
    raised: Raised = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    users: int = 0
    used: bool = True
    """Since the watch last looked."""


class Flags:
    """Of one worker, from `async with` on."""

    def __init__(self, ledger: Ledger, watch: Watch) -> None:
        self._ledger = ledger
        self._watch = watch
        self._runs: dict[str, _Run] = {}
        self._watches: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await end_tasks(*self._watches)

    @asynccontextmanager
    async def following(self, run_id: str) -> AsyncIterator[Raised]:
        """The run's flag while a job of it is in hand; done already if it is known to be raised."""
        run = self._runs.get(run_id)
        if run is None:
            flag = await self._ledger.flag(run_id)
            run = self._runs.get(run_id) or self._begin(run_id)
            if flag is not None and not run.raised.done():
                run.raised.set_result(flag)
        run.users += 1
        run.used = True
        try:
            yield run.raised
        finally:
            run.users -= 1

    def _begin(self, run_id: str) -> _Run:
        run = self._runs[run_id] = _Run()
        task = asyncio.create_task(self._follow(run_id, run))
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)
        return run

    async def _follow(self, run_id: str, run: _Run) -> None:
        # Without the ledger's patience: its growing pauses would outlast the outage, and the watch asks again anyway.
        ledger = replace(self._ledger, patience_s=0.0)

        async def read() -> CancelFlag | None:
            with suppress(BusUnavailable):
                return await ledger.flag(run_id)
            return None

        try:
            while not run.raised.done() and (run.users or run.used):
                run.used = False
                flag = await self._watch.until(subject.cancel_key(run_id), read, LINGER_S)
                if flag is not None and not run.raised.done():
                    run.raised.set_result(flag)
        finally:
            del self._runs[run_id]
