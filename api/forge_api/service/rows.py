"""A run's rows below it: made from the plan, ended, and rolled up from steps to tasks to phases."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query
from forge_api.db.query import Standing
from forge_api.db.tables import DEPLOYMENT_ACTION, Phase, Step, Task
from forge_runtime.status import PHASE, TASK, ChildStatus, Machine, derive
from forgec import ids
from forgec.plan.model import PhasePlan, Plan, ReleaseProject
from forgec.plan.model import Task as TaskPlan

DISCOVERY_GROUP: Final = 0
"""Groups of a repository count from 1."""

ARTIFACT: Final = "artifact"
RELEASE: Final = "release"


async def discovery_rows(session: AsyncSession, run_id: str) -> None:
    """Discovery is work like any other: a phase of one task of one step, there from the beginning."""
    phase, project, step = ids.DISCOVERY_PHASE, ids.DISCOVERY_TASK, ids.DISCOVERY_STEP
    session.add(_phase(run_id, phase, DISCOVERY_GROUP, ChildStatus.PENDING))
    await session.flush()
    session.add(_task(run_id, phase, project, "."))
    await session.flush()
    session.add(
        Step(
            id=ids.step_id(run_id, phase, project, step),
            task_id=ids.task_id(run_id, phase, project),
            name=step,
            position=0,
            action="discovery",
            target="",
            status=ChildStatus.PENDING,
            attempt=0,
        )
    )
    await session.flush()


async def plan_rows(session: AsyncSession, run_id: str, plan: Plan, environments: Sequence[str]) -> None:
    """Every phase, task and step of the plan. A phase without tasks is skipped from the start, and shown so.

    `environments` are those that take a release of this run by themselves.
    """
    phases = [(group.number, phase) for group in plan.groups for phase in group.phases]
    for number, phase in phases:
        status = ChildStatus.PENDING if phase.units else ChildStatus.SKIPPED
        session.add(_phase(run_id, phase.name, number, status))
    await session.flush()
    for _, phase in phases:
        session.add_all(_task(run_id, phase.name, task.project, task.path) for task in _tasks(phase))
    await session.flush()
    for _, phase in phases:
        session.add_all(step for task in _tasks(phase) for step in _steps(run_id, phase.name, task))
    await session.flush()
    released = [project for unit in plan.release for project in unit.projects]
    if released:
        last = max((number for number, _ in phases), default=DISCOVERY_GROUP)
        await _release_rows(session, run_id, last + 1, released, environments)


async def _release_rows(
    session: AsyncSession, run_id: str, group: int, released: Sequence[ReleaseProject], environments: Sequence[str]
) -> None:
    """A phase of its own: of each project its artifacts, the release, the deployments that it comes to by itself."""
    phase = ids.RELEASE_PHASE
    session.add(_phase(run_id, phase, group, ChildStatus.PENDING))
    await session.flush()
    session.add_all(_task(run_id, phase, project.project, project.path) for project in released)
    await session.flush()
    for project in released:
        artifacts = sorted(project.artifacts)
        for position, name in enumerate(artifacts):
            session.add(_release_step(run_id, project.project, ids.artifact_step(name), ARTIFACT, position))
        release = _release_step(run_id, project.project, ids.RELEASE_STEP, RELEASE, len(artifacts))
        session.add(release)
        for environment in environments if project.deploy else ():
            session.add(_deployment_step(run_id, project.project, environment, release.position + 1))
    await session.flush()


async def deployment_rows(session: AsyncSession, run_id: str, wanted: Collection[tuple[str, str]]) -> None:
    """The steps of deployments (project, environment) that no plan told of: which there are, a release says."""
    of_release = {ids.step_id(run_id, ids.RELEASE_PHASE, project, ids.RELEASE_STEP) for project, _ in wanted}
    releases = {step.task_id: step for step in await query.steps_of_ids(session, of_release)}
    for project, environment in sorted(wanted):
        release = releases.get(ids.task_id(run_id, ids.RELEASE_PHASE, project))
        if release is None:
            continue
        step = _deployment_step(run_id, project, environment, release.position + 1)
        if await query.step(session, step.id) is None:
            session.add(step)
    await session.flush()


def _deployment_step(run_id: str, project: str, environment: str, position: int) -> Step:
    return _release_step(run_id, project, ids.deployment_step(environment), DEPLOYMENT_ACTION, position)


def _release_step(run_id: str, project: str, name: str, action: str, position: int) -> Step:
    phase = ids.RELEASE_PHASE
    return Step(
        id=ids.step_id(run_id, phase, project, name),
        task_id=ids.task_id(run_id, phase, project),
        name=name,
        position=position,
        action=action,
        target="",
        status=ChildStatus.PENDING,
        attempt=0,
    )


def finish_step(step: Step, status: ChildStatus, at: datetime) -> None:
    """End a step that nobody else will end any more."""
    step.status = status
    step.completed_at = at


def follow(machine: Machine, parent: Task | Phase, children: Sequence[Standing]) -> None:
    """Set a parent's status and times from its children's. One without children keeps what it was made with."""
    if not children:
        return
    parent.status = derive(child.status for child in children)
    started = [child.started_at for child in children if child.started_at is not None]
    completed = [child.completed_at for child in children if child.completed_at is not None]
    parent.started_at = min(started, default=None)
    over = all(machine.final(child.status) for child in children)
    parent.completed_at = max(completed, default=None) if over else None


async def roll_up(session: AsyncSession, run_id: str) -> Sequence[Phase]:
    """All tasks and phases of a run, from its steps."""
    steps_of: defaultdict[str, list[Standing]] = defaultdict(list)
    for step in await query.steps(session, run_id):
        steps_of[step.task_id].append(_standing(step))
    tasks_of: defaultdict[str, list[Standing]] = defaultdict(list)
    for task in await query.tasks(session, run_id):
        follow(TASK, task, steps_of[task.id])
        tasks_of[task.phase_id].append(_standing(task))
    phases = await query.phases(session, run_id)
    for phase in phases:
        follow(PHASE, phase, tasks_of[phase.id])
    return phases


async def roll_up_from(session: AsyncSession, steps: Collection[Step]) -> None:
    """The tasks and phases above some steps: a run of thousands of steps must not be read for each event."""
    await session.flush()
    task_ids = {step.task_id for step in steps}
    standing = await query.standing_of_steps(session, task_ids)
    tasks = await query.tasks_of_ids(session, task_ids)
    for task in tasks:
        follow(TASK, task, standing[task.id])
    await session.flush()
    phase_ids = {task.phase_id for task in tasks}
    standing = await query.standing_of_tasks(session, phase_ids)
    for phase in await query.phases_of_ids(session, phase_ids):
        follow(PHASE, phase, standing[phase.id])


def _standing(row: Step | Task) -> Standing:
    status = row.counted_status if isinstance(row, Step) else row.status
    return Standing(status, row.started_at, row.completed_at)


def _tasks(phase: PhasePlan) -> Iterator[TaskPlan]:
    for unit in phase.units:
        yield from unit.tasks


def _phase(run_id: str, name: str, group_number: int, status: ChildStatus) -> Phase:
    return Phase(id=ids.phase_id(run_id, name), run_id=run_id, name=name, group_number=group_number, status=status)


def _task(run_id: str, phase: str, project: str, path: str) -> Task:
    return Task(
        id=ids.task_id(run_id, phase, project),
        phase_id=ids.phase_id(run_id, phase),
        project_name=project,
        project_path=path,
        status=ChildStatus.PENDING,
    )


def _steps(run_id: str, phase: str, task: TaskPlan) -> Iterator[Step]:
    planned = [step for wave in task.waves for step in wave.steps]
    for position, step in enumerate(planned):
        yield Step(
            id=ids.step_id(run_id, phase, task.project, step.name),
            task_id=ids.task_id(run_id, phase, task.project),
            name=step.name,
            position=position,
            action=step.action,
            target=step.target,
            status=ChildStatus.PENDING,
            attempt=0,
        )
