"""The plan: what a run will do, in the order it will do it, and nothing about which run that is.

    Plan
      groups: one after another
        phases: together
          units: together; a unit is what one dispatcher carries, a shard of the phase's tasks
            tasks: together; one project's part in the phase
              waves: one after another, by falling priority
                steps: together; one job each
      release: units of projects, after the last group

A plan is content-addressed: canonical JSON (camelCase, keys sorted, no spaces), named by its SHA-256. It holds no
run, repository, commit or time, so two commits that change no pipeline have one plan. Phases without tasks stay in
it, because people want to see that they were skipped; they have no units.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

API_VERSION: Final = "forge.io/plan/v1"
GROUPS_MAX: Final = 16
"""Of groups that have work: the number of lists in the dynamic workflow."""

SHARD_SIZE_DEFAULT: Final = 25
"""Tasks that one dispatcher carries: a pod a step costs thousands of pods a run, this one 4 a phase of 100 projects."""

UNIT_ID_LENGTH_MAX: Final = 80
"""`g16-` and `-s999` around a phase's name of 63 characters are 72; a node's name carries it, which has no limit."""

UnitId = Annotated[str, Meta(pattern=r"\A[a-z0-9]+(-+[a-z0-9]+)*\Z", max_length=UNIT_ID_LENGTH_MAX)]
"""Double hyphens are possible, because a phase's name may have them."""


class PlanStep(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`timeout_s`: seconds of run time, queue wait not counted."""

    name: str
    action: Literal["earthly"]
    target: str
    timeout_s: float
    args: tuple[str, ...] = ()
    secrets: tuple[dict[str, Any], ...] = ()


class Wave(Struct, frozen=True, kw_only=True, rename="camel"):
    priority: int
    steps: tuple[PlanStep, ...]


class Task(Struct, frozen=True, kw_only=True, rename="camel"):
    project: str
    path: str
    waves: tuple[Wave, ...]


class Unit(Struct, frozen=True, kw_only=True, rename="camel"):
    """`id` is `g<group index>-<phase>-s<nnn>`; the index counts groups that have work, from 01."""

    id: UnitId
    tasks: tuple[Task, ...]


class PhasePlan(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str
    units: tuple[Unit, ...]


class GroupPlan(Struct, frozen=True, kw_only=True, rename="camel"):
    """`number` is the repository's own, as written in repo.cue."""

    number: int
    phases: tuple[PhasePlan, ...]

    @property
    def unit_ids(self) -> tuple[str, ...]:
        return tuple(unit.id for phase in self.phases for unit in phase.units)


class ReleaseProject(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A project to release: its artifacts are built together, then the release is made, then deployed."""

    project: str
    path: str
    artifacts: dict[str, Any] = {}
    deploy: bool = False


class ReleaseUnit(Struct, frozen=True, kw_only=True, rename="camel"):
    """`id` is `release-s<nnn>`."""

    id: UnitId
    projects: tuple[ReleaseProject, ...]


class Plan(Struct, frozen=True, kw_only=True, rename="camel"):
    api_version: Literal["forge.io/plan/v1"] = API_VERSION
    groups: tuple[GroupPlan, ...]
    release: tuple[ReleaseUnit, ...]

    @property
    def working_groups(self) -> tuple[GroupPlan, ...]:
        """The groups that have something to do: these become entries of the workflow."""
        return tuple(group for group in self.groups if group.unit_ids)

    @property
    def release_ids(self) -> tuple[str, ...]:
        return tuple(unit.id for unit in self.release)

    def unit(self, unit_id: str) -> tuple[str, Unit] | None:
        """A unit and the name of its phase."""
        for _, phase, unit in self.units():
            if unit.id == unit_id:
                return phase.name, unit
        return None

    def units(self) -> Iterator[tuple[GroupPlan, PhasePlan, Unit]]:
        for group in self.groups:
            for phase in group.phases:
                for unit in phase.units:
                    yield group, phase, unit
