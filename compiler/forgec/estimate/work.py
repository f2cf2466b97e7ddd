"""A plan as jobs with durations, in the shape in which a run carries them out.

    stages      one after another: discovery, each group that has work, release
      units     pods, together
        tasks   together
          waves one after another, each a set of jobs together

A release is a task of three waves: its artifacts, the release, its deployment.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from forgec import ids
from forgec.estimate.limits import ARTIFACT_S, DEPLOYMENT_S, DISCOVERY_S, RELEASE_S
from forgec.plan.model import GroupPlan, Plan, ReleaseProject, Task

Pool = Literal["discovery", "tasks", "artifacts", "releases"]
"""Of workers; each has a queue of its own."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a job stands in the run. Phases that the repository did not declare begin with an underscore."""

    phase: str
    project: str
    step: str

    def __str__(self) -> str:
        return f"{self.phase}/{self.project}/{self.step}"


@dataclass(frozen=True, slots=True)
class Job:
    address: Address
    pool: Pool
    duration_s: float


DEPLOYMENT: Final = "deploy"
"""The step that stands for a release's deployments to all environments, which only the platform knows."""

Waves = tuple[tuple[Job, ...], ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """`units` holds the tasks of each unit."""

    name: str
    units: tuple[tuple[Waves, ...], ...]

    def tasks(self) -> Iterator[Waves]:
        for unit in self.units:
            yield from unit


Duration = Callable[[Address, float], float]
"""Seconds that a job takes, given its time limit."""


def time_limit(_: Address, limit_s: float) -> float:
    """The longest that each job may take."""
    return limit_s


def stages_of(plan: Plan, duration: Duration) -> tuple[Stage, ...]:
    """All work of a run, discovery first."""

    def job(pool: Pool, phase: str, project: str, step: str, limit_s: float) -> Job:
        address = Address(phase, project, step)
        return Job(address, pool, duration(address, limit_s))

    def task(phase: str, task: Task) -> Waves:
        return tuple(
            tuple(job("tasks", phase, task.project, step.name, step.timeout_s) for step in wave.steps)
            for wave in task.waves
        )

    def group(group: GroupPlan) -> Stage:
        units = tuple(
            tuple(task(phase.name, each) for each in unit.tasks) for phase in group.phases for unit in phase.units
        )
        return Stage(f"group {group.number}", units)

    def release(project: ReleaseProject) -> Waves:
        def released(pool: Pool, step: str, limit_s: float) -> Job:
            return job(pool, ids.RELEASE_PHASE, project.project, step, limit_s)

        artifacts = tuple(released("artifacts", ids.artifact_step(name), ARTIFACT_S) for name in project.artifacts)
        waves = (artifacts, (released("releases", ids.RELEASE_STEP, RELEASE_S),))
        deployment = ((released("releases", DEPLOYMENT, DEPLOYMENT_S),),) if project.deploy else ()
        return (*(wave for wave in waves if wave), *deployment)

    discovery = job("discovery", ids.DISCOVERY_PHASE, ids.DISCOVERY_TASK, ids.DISCOVERY_STEP, DISCOVERY_S)
    found = [Stage("discovery", ((((discovery,),),),)), *map(group, plan.working_groups)]
    if plan.release:
        found.append(Stage("release", tuple(tuple(map(release, unit.projects)) for unit in plan.release)))
    return tuple(found)


def length_s(waves: Waves) -> float:
    """Of a task that waits for no worker."""
    return sum(max(job.duration_s for job in wave) for wave in waves)


def critical_path(stages: tuple[Stage, ...]) -> tuple[tuple[Stage, Job], ...]:
    """The jobs, each with its stage, that no number of workers makes shorter: the longest task of each stage."""
    return tuple(
        (stage, max(wave, key=lambda job: job.duration_s))
        for stage in stages
        for wave in max(stage.tasks(), key=length_s)
    )
