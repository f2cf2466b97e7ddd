"""The runtime's own design under trial: leases, records, attach or submit. Real dispatchers, real workers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from nats.aio.msg import Msg
from tests.chaos.audit import Audit, audit
from tests.chaos.design import Verdict
from tests.chaos.observer import Observer
from tests.chaos.schedule import LEASE_S, WAVES, Size
from tests.runtime import samples

from forge_runtime import subject
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.bus.provision import Misprovisioned, provision
from forge_runtime.dispatcher import Exit
from forge_runtime.job import JobType, decode_record
from forge_runtime.ledger import Ledger
from forge_runtime.outage import ride_out
from forge_runtime.run import CancelFlag, CancelReason, RunRecord
from forge_runtime.settings import BusSettings
from forgec.plan.model import GroupPlan, PhasePlan, Plan, PlanStep, Task, Unit, Wave

SETTLE_S: Final = 10 * LEASE_S
"""After the last dispatcher: a message whose ack was lost comes back after its ack wait, once or twice."""

_TASKS: Final = subject.queue_of(JobType.CI)


class Leased:
    """One trial on one server or cluster."""

    name = "leases and records"

    def __init__(self, settings: BusSettings, replicas: int = 1) -> None:
        self._settings = settings
        self._replicas = replicas
        self._bus: JetStreamBus
        self._runs: list[RunRecord] = []
        self._given_up = 0

    async def prepare(self, size: Size, folder: Path) -> None:
        self._size = size
        self._folder = folder
        self._bus = await connect(self._settings)
        await ride_out(self._provision, limit_s=SETTLE_S)
        await samples.set_ack_wait(self._bus, _TASKS, LEASE_S)
        self._plan = plan_of(size)
        self._digest = await samples.store_plan(self._bus, self._plan)
        self._runs = [samples.run_record(samples.new_run_id()) for _ in range(size.runs + size.cancelled_runs)]
        for run in self._runs:
            await samples.store_run(self._bus, run)

    @asynccontextmanager
    async def watched(self, observer: Observer) -> AsyncIterator[None]:
        async def see(message: Msg) -> None:
            observer.see_record(decode_record(message.data))

        subscription = await self._bus.connection.subscribe(f"$KV.{subject.JOBS_BUCKET}.>", see)
        try:
            yield
        finally:
            await subscription.unsubscribe()

    async def catch_up(self, observer: Observer) -> None:
        records = await ride_out(lambda: self._bus.jobs.list("state.>"), limit_s=SETTLE_S)
        for entry in records:
            observer.see_record(decode_record(entry.value))

    def worker(self, name: str) -> list[str]:
        return ["-m", "tests.chaos.worker_process", str(self._folder), name, str(self._size.slots)]

    def services(self) -> dict[str, list[str]]:
        return {"sweeper": ["-m", "tests.chaos.sweeper_process"]}

    def dispatchers(self) -> dict[str, list[str]]:
        return {
            f"dispatcher-{number}-{unit.id}": [*_DISPATCHER, "run", *self._of(run), "--unit", unit.id]
            for number, run in enumerate(self._runs)
            for _, _, unit in self._plan.units()
        }

    def last_dispatchers(self) -> dict[str, list[str]]:
        return {
            f"dispatcher-{number}-finish": [
                *(*_DISPATCHER, "finish", *self._of(run)),
                *("--status", "succeeded" if number < self._size.runs else "failed"),
            ]
            for number, run in enumerate(self._runs)
        }

    async def cancel_run(self) -> None:
        flag = CancelFlag(reason=CancelReason.CANCELLED, by="api", at=time.time())
        await Ledger(self._bus, SETTLE_S).raise_flag(self._runs[-1].run_id, flag)

    def ended_well(self, dispatcher: str, exit_code: int) -> bool:
        """A run that was cancelled, or whose job was given up, may have units that ended before."""
        number = int(dispatcher.split("-")[1])
        cancelled = number >= self._size.runs
        stopped = (Exit.STOPPED,) if cancelled or self._given_up else ()
        failed = (Exit.FAILED,) if self._given_up else ()  # also of a run that is cancelled afterwards
        return exit_code in (Exit.SUCCEEDED, *stopped, *failed)

    async def settle(self) -> None:
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            try:
                async with self._bus.connection.limit("look at the queue"):
                    if not (await self._bus.connection.jetstream.stream_info(_TASKS.stream)).state.messages:
                        return
            except BusUnavailable:
                pass
            await asyncio.sleep(0.1)

    async def _provision(self) -> None:
        """The leader of a cluster that has just begun may not answer yet, or not know yet of its other servers."""
        try:
            await provision(self._bus, replicas=self._replicas)
        except Misprovisioned as error:
            if "no suitable peers" not in str(error):
                raise
            raise BusUnavailable(str(error)) from error

    async def verdict(self) -> Verdict:
        found = await audit(self._bus, DirectoryBlob(self._folder / "objects"))
        self._given_up = found.given_up
        return Verdict(
            jobs=found.jobs,
            executions=found.executions,
            twice=found.twice,
            lost=found.lost,
            stuck=found.left,
            counts=_counts(found),
            findings=found.findings,
        )

    async def close(self) -> None:
        await self._bus.close()

    def _of(self, run: RunRecord) -> list[str]:
        return ["--run", f"forge-{run.run_id}", "--plan", self._digest]


def plan_of(size: Size) -> Plan:
    """Tasks of four steps in two waves, shared among units."""
    units = tuple(
        Unit(id=f"g01-test-s{unit + 1:03}", tasks=tuple(_task(f"p{unit}-{task:02}") for task in range(size.tasks)))
        for unit in range(size.units)
    )
    return Plan(groups=(GroupPlan(number=1, phases=(PhasePlan(name="test", units=units),)),), release=())


def _task(project: str) -> Task:
    waves = tuple(
        Wave(
            priority=-index,
            steps=tuple(PlanStep(name=step, action="earthly", target=f"+{step}", timeout_s=60) for step in steps),
        )
        for index, steps in enumerate(WAVES)
    )
    return Task(project=project, path=project, waves=waves)


def _counts(found: Audit) -> dict[str, int]:
    return {
        "terminal": found.terminal,
        "records": found.records,
        "not submitted": found.not_submitted,
        "given up after three starts": found.given_up,
        "events": found.events,
        "large results": found.large_results,
        "logs missing": found.logs_missing,
    }


_DISPATCHER: Final = ("-m", "tests.chaos.dispatcher_process")
