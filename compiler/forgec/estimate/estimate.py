"""The estimate of a run: what it takes of Argo and of the platform, how long, and which project contributes what."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from forgec.discovery.model import Discovery
from forgec.estimate.history import History, Recall
from forgec.estimate.schedule import Schedule, simulate
from forgec.estimate.work import Address, Job, Stage, critical_path, stages_of, time_limit
from forgec.manifest.entry import dynamic_entries, static_entries
from forgec.manifest.lower import PARALLELISM, ManifestOptions, dynamic_workflow, static_workflow
from forgec.manifest.size import Size, size_of
from forgec.plan.model import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A project's part. `pods`: a pod of n projects is an nth to each of them; `work_s`: its steps, added up."""

    project: str
    path: str
    tasks: int
    steps: int
    pods: float
    object_bytes: int
    document_bytes: int
    work_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """`compiled` is the workflow that has its plan, `submitted` the one that discovers it at run time.

    `pods_at_once` are those of the compiled and of the submitted one.
    `chain`: the critical path, each job with its stage. `measured` and `assumed`: the jobs that a history knew and did
    not know; both empty where none was given. `shares`: the largest first.
    """

    projects: int
    phases: int
    groups: int
    steps: int
    compiled: Size
    submitted: Size
    pods_at_once: tuple[int, int]
    document_bytes: int
    chain: tuple[tuple[Stage, Job], ...]
    schedules: tuple[Schedule, ...]
    measured: tuple[Address, ...]
    assumed: tuple[Address, ...]
    shares: tuple[Share, ...]

    @property
    def chain_s(self) -> float:
        return sum(job.duration_s for _, job in self.chain)


def estimate(
    discovery: Discovery,
    plan: Plan,
    *,
    workers: Sequence[int],
    history: History | None = None,
    by_step: Plan | None = None,
) -> Estimate:
    """`plan` is the document's own; a schedule for each number of `workers`, with durations of the history if any.

    `by_step` is its plan with a dispatcher for each step, where the workflow is compiled so; a run has shards.
    """
    compiled_plan = by_step or plan
    recall = Recall(history) if history else None
    stages = stages_of(plan, recall.duration if recall else time_limit)
    options = ManifestOptions()
    compiled = size_of(static_workflow(compiled_plan, options), static_entries(compiled_plan))
    return Estimate(
        projects=len(discovery.projects),
        phases=len(discovery.repository.phases),
        groups=len(plan.working_groups),
        steps=sum(len(steps) for project in discovery.projects for steps in project.phases.values()),
        compiled=compiled,
        submitted=size_of(dynamic_workflow(options), dynamic_entries(plan)),
        pods_at_once=(_pods_at_once(compiled_plan), _pods_at_once(plan)),
        document_bytes=len(msgspec.json.encode(discovery)),
        chain=critical_path(stages),
        schedules=tuple(simulate(stages, workers=count, pods_max=PARALLELISM) for count in workers),
        measured=tuple(recall.measured) if recall else (),
        assumed=tuple(recall.assumed) if recall else (),
        shares=_shares(discovery, compiled_plan, stages, _unit_bytes(compiled, compiled_plan)),
    )


def _pods_at_once(plan: Plan) -> int:
    return max(map(len, (*(group.unit_ids for group in plan.working_groups), plan.release_ids)))


def _unit_bytes(size: Size, plan: Plan) -> float:
    """What a unit adds to the object."""
    units = sum(len(group.unit_ids) for group in plan.groups) + len(plan.release)
    nothing = Plan(groups=(), release=())
    bare = size_of(static_workflow(nothing, ManifestOptions()), static_entries(nothing))
    return (size.object_bytes - bare.object_bytes) / units if units else 0.0


def _shares(discovery: Discovery, plan: Plan, stages: Sequence[Stage], unit_bytes: float) -> tuple[Share, ...]:
    pods: defaultdict[str, float] = defaultdict(float)
    tasks: defaultdict[str, int] = defaultdict(int)
    carried = [(len(list(unit.ids())), [task.project for task in unit.tasks]) for _, _, unit in plan.units()]
    carried += [(1, [released.project for released in unit.projects]) for unit in plan.release]
    for dispatchers, projects in carried:
        for name in projects:
            pods[name] += dispatchers / len(projects)
            tasks[name] += 1
    work_s: defaultdict[str, float] = defaultdict(float)
    for stage in stages:
        for job in (job for waves in stage.tasks() for wave in waves for job in wave):
            work_s[job.address.project] += job.duration_s
    shares = [
        Share(
            project=project.name,
            path=project.path,
            tasks=tasks[project.name],
            steps=sum(map(len, project.phases.values())),
            pods=pods[project.name],
            object_bytes=round(pods[project.name] * unit_bytes),
            document_bytes=len(msgspec.json.encode(project)),
            work_s=work_s[project.name],
        )
        for project in discovery.projects
    ]
    return tuple(sorted(shares, key=lambda share: (-share.object_bytes, -share.work_s, share.project)))
