"""Faults done to a fleet, one after another as they come due, and what each of them hit."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.design import Design
from tests.chaos.fleet import Fleet, Member
from tests.chaos.observer import Observer
from tests.chaos.schedule import Fault, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A fault that happened: to whom, how many seconds into the trial, what the victim held then, and how wrong its
    clock was."""

    fault: Fault
    name: str
    at: float
    at_s: float
    held: frozenset[str]
    clock_s: float


GAP_S: Final = 0.5
"""Between two faults. After an outage many are due; in one blow they would kill the same job three times in a row. Such
a job is given up, as promised, and its run ends: what was left of it would be tried no more."""

VICTIM_WAIT_S: Final = 10.0
"""The dead are started again after a third of a second, or a few when that is part of the fault."""


@dataclass(slots=True)
class Injection:
    fleet: Fleet
    observer: Observer
    design: Design

    hits: list[Hit] = field(default_factory=list)
    missed: list[Fault] = field(default_factory=list)
    """Faults for which no victim was left."""
    _began: float = field(default_factory=time.monotonic)
    _last: float = 0.0

    async def perform(self, schedule: Sequence[Fault]) -> None:
        """Returns when every fault is over: paused processes go on, the disk has room, the server answers."""
        async with asyncio.TaskGroup() as lasting:
            for fault in schedule:
                await self.observer.until_ended(fault.after_jobs)
                await asyncio.sleep(self._last + GAP_S - time.monotonic())
                self._last = time.monotonic()
                if fault.kind in _SERVER_FAULTS:  # nothing else is due while it is away
                    self._note(fault, "nats-server")
                    await _SERVER_FAULTS[fault.kind](self.fleet, fault.amount_s)
                    await self.design.catch_up(self.observer)
                elif fault.kind is Kind.CANCEL_RUN:
                    self._note(fault, "run")
                    await self.design.cancel_run()
                elif (victim := await self._victim(fault)) is None:
                    self.missed.append(fault)
                else:
                    self._note(fault, victim.name)
                    lasting.create_task(self._do(fault, victim))

    async def _victim(self, fault: Fault) -> Member | None:
        """A living one; when all were just killed, the first that is back."""
        members = self.fleet.dispatchers if fault.kind is Kind.KILL_DISPATCHER else self.fleet.workers
        end = time.monotonic() + VICTIM_WAIT_S
        while not (living := [member for member in members if member.alive]):
            if time.monotonic() > end:
                return None
            await asyncio.sleep(0.05)
        return living[fault.victim % len(living)]

    def _note(self, fault: Fault, name: str) -> None:
        at = time.monotonic()
        held = frozenset(self.observer.held_by(name))
        clock_s = self.fleet.clocks[name]
        self.hits.append(Hit(fault=fault, name=name, at=at, at_s=at - self._began, held=held, clock_s=clock_s))

    async def _do(self, fault: Fault, victim: Member) -> None:
        match fault.kind:
            case Kind.KILL_WORKER | Kind.KILL_DISPATCHER:
                victim.kill(fault.amount_s)
            case Kind.PAUSE_WORKER:
                victim.pause()
                await asyncio.sleep(fault.amount_s)
                victim.resume()
            case Kind.FILL_DISK:
                victim.fill_disk()
                await asyncio.sleep(fault.amount_s)
                victim.empty_disk()
            case Kind.JUMP_CLOCK:
                self.fleet.set_clock(victim, fault.amount_s)


_SERVER_FAULTS = {
    Kind.KILL_SERVER: Fleet.restart_server,
    Kind.PAUSE_SERVER: Fleet.pause_server,
    Kind.CUT_SERVER_OFF: Fleet.cut_server_off,
    Kind.ISOLATE_SERVER: Fleet.isolate_server,
}
