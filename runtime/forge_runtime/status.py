"""States and their legal changes, as tables; how a parent's state follows from its children's.

    run     pending -> discovering -> running -> succeeded | failed | cancelled
    child   pending -> running -> succeeded | failed | cancelled     (phase, task, step)
            pending -> skipped | cancelled
    job     queued <-> leased -> succeeded | failed | cancelled
            queued -> failed | cancelled | expired     failed -> queued (one that was given up, put back by hand)
    deploy  pending -> active | failed     active -> superseded     failed -> active (its pointer is there after all)

A state without a way out is final: nothing changes it any more. Staying in a state is never an error.
Who requests a change uses `next_status` (one arrow at a time). Who learns of changes from events, which may be lost
or come late, uses `reach` (any number of arrows): a step that is heard of first when it failed did run before.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final


class RunStatus(enum.StrEnum):
    PENDING = "pending"
    DISCOVERING = "discovering"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class ChildStatus(enum.StrEnum):
    """Of a phase, a task or a step. `skipped`: never started, and nobody cancelled it."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Machine:
    """A thing's name, and the states that each of its states may change to."""

    name: str
    arrows: Mapping[str, frozenset[str]]

    def final(self, status: str) -> bool:
        return not self.arrows[status]


@dataclass(frozen=True, slots=True)
class Change:
    """Legal: write `to`."""

    to: str


@dataclass(frozen=True, slots=True)
class Same:
    """It is in this state already; nothing to write."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not legal; `reason` is fit for a person."""

    reason: str


Verdict = Change | Same | Refused


def _table(**arrows: str) -> Mapping[str, frozenset[str]]:
    return {state: frozenset(targets.split()) for state, targets in arrows.items()}


_CHILD: Final = _table(
    pending="running skipped cancelled",
    running="succeeded failed cancelled",
    succeeded="",
    failed="",
    skipped="",
    cancelled="",
)

RUN: Final = Machine(
    "run",
    _table(
        pending="discovering failed cancelled",
        discovering="running succeeded failed cancelled",  # succeeded: a repository without projects has nothing to run
        running="succeeded failed cancelled",
        succeeded="",
        failed="",
        cancelled="",
    ),
)
PHASE: Final = Machine("phase", _CHILD)
TASK: Final = Machine("task", _CHILD)
STEP: Final = Machine("step", _CHILD)
JOB: Final = Machine(
    "job",
    _table(
        queued="leased failed cancelled expired",
        leased="queued succeeded failed cancelled",
        succeeded="",
        failed="queued",
        cancelled="",
        expired="",
    ),
)
DEPLOYMENT: Final = Machine(
    "deployment", _table(pending="active failed", active="superseded", failed="active", superseded="")
)


def next_status(machine: Machine, current: str, wanted: str) -> Verdict:
    """Judge one arrow from `current` to `wanted`; KeyError if `current` is no state of the machine."""
    if wanted == current:
        return Same()
    if wanted in machine.arrows[current]:
        return Change(wanted)
    if wanted not in machine.arrows:
        return Refused(f'"{wanted}" is not a status of a {machine.name}')
    if machine.final(current):
        return Refused(f"the {machine.name} is {current} already, which is final")
    return Refused(f"a {machine.name} cannot go from {current} to {wanted}")


def reach(machine: Machine, current: str, wanted: str) -> Verdict:
    """Judge a way of any length from `current` to `wanted`; a cycle back to an earlier state counts as a way."""
    verdict = next_status(machine, current, wanted)
    if not isinstance(verdict, Refused):
        return verdict
    seen, frontier = {current}, machine.arrows[current]
    while frontier:
        if wanted in frontier:
            return Change(wanted)
        seen |= frontier
        frontier = frozenset(after for state in frontier for after in machine.arrows[state]) - seen
    return verdict


def derive(children: Iterable[str]) -> ChildStatus:
    """The state of a task from its steps', or of a phase from its tasks'.

    Failed as soon as a child failed, whatever the others do; the other final states only once every child has ended,
    so that this never goes back as children go on. Without children there was nothing to do: skipped.
    """
    states = set(children)
    if ChildStatus.FAILED in states:
        return ChildStatus.FAILED
    if states & {ChildStatus.PENDING, ChildStatus.RUNNING}:
        unmoved = states <= {ChildStatus.PENDING, ChildStatus.SKIPPED}
        return ChildStatus.PENDING if unmoved else ChildStatus.RUNNING
    if ChildStatus.CANCELLED in states:
        return ChildStatus.CANCELLED
    if ChildStatus.SUCCEEDED in states:
        return ChildStatus.SUCCEEDED
    return ChildStatus.SKIPPED


def conclude(phases: Iterable[str], *, cancelled: bool, failed: bool) -> RunStatus:
    """How a run ended, nothing of it running any more.

    `cancelled`: somebody asked for it before anything failed. `failed`: a reason beside the phases (a job failed
    that has no row, the time limit, the engine's word).
    """
    if cancelled:
        return RunStatus.CANCELLED
    if failed or ChildStatus.FAILED in set(phases):
        return RunStatus.FAILED
    return RunStatus.SUCCEEDED
