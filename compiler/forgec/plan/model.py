"""The plan: what a run will do, in the order it will do it, and nothing about which run that is.

    Plan
      groups: one after another
        phases: together
          units: together; a unit is what one dispatcher carries, a shard of the phase's tasks (or, by step, one task,
                 for which each step gets a dispatcher)
            tasks: together; one project's part in the phase
              waves: one after another, by falling priority
                steps: together; one job each
      release: units of projects, after the last group
        projects: together; of each its artifacts, then the release, then the deployments

A plan is content-addressed: canonical JSON (camelCase, keys sorted, no spaces), named by its SHA-256. It holds no
run, repository, commit or time, so two commits that change no pipeline have one plan. Phases without tasks stay in
it, because people want to see that they were skipped; they have no units.
"""

from collections.abc import Iterator
from operator import itemgetter
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from forgec.ids import RELEASE_STEP, artifact_step

API_VERSION: Final = "forge.io/plan/v1"
GROUPS_MAX: Final = 16
"""Of groups that have work: the number of lists in the dynamic workflow."""

SHARD_SIZE_DEFAULT: Final = 25
"""Tasks that one dispatcher carries: a pod a step costs thousands of pods a run, this one 4 a phase of 100 projects."""

Granularity = Literal["shard", "step"]
"""A dispatcher for each shard of a phase's tasks, or for each step of each task."""

UNIT_ID_LENGTH_MAX: Final = 80
"""`g16-` and `-s999-99` around a phase's name of 63 characters are 75; a node's name carries it, which has no limit."""

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


class Unit(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`id` is `g<group index>-<phase>-s<nnn>`; the index counts groups that have work, from 01.

    `by_step`: not one dispatcher carries it, but one for each step. Their ids are `<id>-<nn>`; steps count from 01 in
    the order of the waves.
    """

    id: UnitId
    tasks: tuple[Task, ...]
    by_step: bool = False

    def ids(self) -> Iterator[tuple[int, str]]:
        """The id of each dispatcher, after the number of waves that come before what it is started for."""
        if self.by_step:
            yield from ((rank, step_id) for step_id, _, rank, _ in self._steps())
        else:
            yield 0, self.id

    def dispatch(self, phase: str, unit_id: str) -> "Dispatch | None":
        """What the dispatcher of this id carries, if it is one of this unit's."""
        if not self.by_step:
            return Dispatch(phase=phase, tasks=self.tasks) if self.id == unit_id else None
        if not unit_id.startswith(f"{self.id}-"):
            return None
        for step_id, task, rank, step in self._steps():
            if step_id == unit_id:
                own = Wave(priority=task.waves[rank].priority, steps=(step,))
                part = replace(task, waves=(*task.waves[:rank], own))
                return Dispatch(phase=phase, tasks=(part,), last_wave_only=True)
        return None

    def _steps(self) -> Iterator[tuple[str, Task, int, PlanStep]]:
        steps = (
            (task, rank, step) for task in self.tasks for rank, wave in enumerate(task.waves) for step in wave.steps
        )
        return ((f"{self.id}-{number:02d}", *step) for number, step in enumerate(steps, 1))


class Dispatch(Struct, frozen=True, kw_only=True):
    """What one dispatcher brings to its end: tasks together, the waves of each in their order.

    `last_wave_only`: it was started for the last wave alone. The waves before are other dispatchers' too; whoever comes
    first submits their jobs, so none of them depends on another one's pod.
    """

    phase: str
    tasks: tuple[Task, ...]
    last_wave_only: bool = False


class PhasePlan(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str
    units: tuple[Unit, ...]


class GroupPlan(Struct, frozen=True, kw_only=True, rename="camel"):
    """`number` is the repository's own, as written in repo.cue."""

    number: int
    phases: tuple[PhasePlan, ...]

    @property
    def unit_ids(self) -> tuple[str, ...]:
        """The ids of the group's dispatchers. Earlier waves come first: of more pods than may run at a time the first
        ones are started, and one that waits for another's job is better started late."""
        ids = (ranked for phase in self.phases for unit in phase.units for ranked in unit.ids())
        return tuple(unit_id for _, unit_id in sorted(ids, key=itemgetter(0)))


class ReleaseProject(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A project to release, as the discovery document describes it.

    `artifacts`: what each one is, how it is made and where it goes; one of its publishers is primary. `publishers`:
    what the repository says of those that the artifacts name (references to secrets, never values). `deploy`: the
    release is also deployed. Which environments take it is decided when it is registered, so a plan names none.
    """

    project: str
    path: str
    artifacts: dict[str, Any] = {}
    publishers: dict[str, Any] = {}
    deploy: bool = False

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """The names of its steps, stage after stage, the steps of a stage together; the phase is `_release`.

        Every artifact, then the release, then the deployments: `deploy` stands for as many as there will be.
        """
        artifacts = tuple(artifact_step(name) for name in sorted(self.artifacts))
        stages = (artifacts, (RELEASE_STEP,), ("deploy",) if self.deploy else ())
        return tuple(stage for stage in stages if stage)


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
        return tuple(group for group in self.groups if any(phase.units for phase in group.phases))

    @property
    def release_ids(self) -> tuple[str, ...]:
        return tuple(unit.id for unit in self.release)

    def together(self, unit_id: str) -> int:
        """How many dispatchers go on at the same time as this one, itself included."""
        stages = (*(group.unit_ids for group in self.groups), self.release_ids)
        return next((len(stage) for stage in stages if unit_id in stage), 1)

    def release_unit(self, unit_id: str) -> ReleaseUnit | None:
        """What the dispatcher of this id releases, if it is one of the release stage's."""
        return next((unit for unit in self.release if unit.id == unit_id), None)

    def dispatch(self, unit_id: str) -> Dispatch | None:
        """What the dispatcher of this id carries; the release stage's are not among them."""
        found = (unit.dispatch(phase.name, unit_id) for _, phase, unit in self.units())
        return next((dispatch for dispatch in found if dispatch is not None), None)

    def units(self) -> Iterator[tuple[GroupPlan, PhasePlan, Unit]]:
        for group in self.groups:
            for phase in group.phases:
                for unit in phase.units:
                    yield group, phase, unit
