"""One trial: a design's processes at work, a schedule of faults, and the verdict when everything is quiet."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from tests.chaos.design import Design, Verdict
from tests.chaos.fleet import Fleet, Server
from tests.chaos.injection import Hit, Injection
from tests.chaos.observer import Observer
from tests.chaos.schedule import SERVER_KINDS, Fault, Kind, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """A fault, and how long the work that it hit lay still: None where nothing was hit, infinite where for good."""

    hit: Hit
    recovery_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a trial came to. `exit_codes` are the last ones of the dispatchers, by name; None of one that goes on."""

    design: str
    verdict: Verdict
    work_s: float
    faults: tuple[Recovery, ...]
    missed: tuple[Fault, ...]
    exit_codes: dict[str, int | None]
    ended_badly: tuple[str, ...]
    """Dispatchers that did not end, or with a wrong exit code."""
    starts: int
    """Of all processes, the first ones included."""

    @property
    def findings(self) -> list[str]:
        badly = [f"{name} ended with exit code {self.exit_codes[name]}" for name in self.ended_badly]
        missed = [f"no victim for: {fault}" for fault in self.missed]
        return [*self.verdict.findings, *badly, *missed]

    @property
    def ended_well(self) -> int:
        return len(self.exit_codes) - len(self.ended_badly)


async def perform(design: Design, server: Server, schedule: Sequence[Fault], size: Size, folder: Path) -> Trial:
    """Server running, everything else is started and ended here."""
    await design.prepare(size, folder)
    fleet = Fleet(folder, server)
    observer = Observer()
    injection = Injection(fleet, observer, design)
    began = time.monotonic()
    try:
        async with design.watched(observer):
            for number in range(size.workers):
                fleet.add_worker(f"worker-{number}", design.worker(f"worker-{number}"))
            for name, arguments in design.services().items():
                fleet.add_service(name, arguments)
            try:
                async with asyncio.timeout(size.limit_s):
                    await _work(design, fleet, injection, schedule)
            except TimeoutError:
                pass  # the verdict says what is missing
            work_s = time.monotonic() - began
            exit_codes = {member.name: member.exit_codes[-1] if member.ended else None for member in fleet.dispatchers}
            await design.settle()
        await fleet.stop_workers()
        verdict = await design.verdict()
    finally:
        await fleet.stop()
        await design.close()
    return Trial(
        design=design.name,
        verdict=verdict,
        work_s=work_s,
        faults=tuple(Recovery(hit=hit, recovery_s=_recovery_s(hit, observer)) for hit in injection.hits),
        missed=tuple(injection.missed),
        exit_codes=exit_codes,
        ended_badly=tuple(
            name for name, code in exit_codes.items() if code is None or not design.ended_well(name, code)
        ),
        starts=sum(len(member.exit_codes) for member in [*fleet.workers, *fleet.dispatchers]),
    )


async def _work(design: Design, fleet: Fleet, injection: Injection, schedule: Sequence[Fault]) -> None:
    for name, arguments in design.dispatchers().items():
        fleet.add_dispatcher(name, arguments)
    carried = asyncio.gather(*(member.end() for member in fleet.dispatchers))
    await injection.perform(schedule)
    await carried
    for name, arguments in design.last_dispatchers().items():
        fleet.add_dispatcher(name, arguments)
    await asyncio.gather(*(member.end() for member in fleet.dispatchers))


def _recovery_s(hit: Hit, observer: Observer) -> float | None:
    """Until the last of the jobs in hand was begun anew or ended; of the server, how long no job at all ended."""
    if hit.fault.kind in SERVER_KINDS:
        return observer.standstill_s(hit.at, hit.at + hit.fault.amount_s)
    if not hit.held or hit.fault.kind not in (Kind.KILL_WORKER, Kind.PAUSE_WORKER):
        return None
    waits = [observer.next_change_s(job_id, hit.at) for job_id in hit.held]
    return max(inf if wait_s is None else wait_s for wait_s in waits)
