"""Rows as replies: a run, its phases, tasks and steps."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forge_api.db.schema import Document
from forge_api.db.tables import Phase, Run, Step, Task
from forge_api.wire import PhaseView, ReleaseOfRun, RunSummary, RunView, RunWarning, StepView, TaskView
from forge_runtime.status import ChildStatus
from forgec.ids import RELEASE_PHASE


def run_summary(run: Run) -> RunSummary:
    return RunSummary(**_run_fields(run))


@dataclass(frozen=True, slots=True, kw_only=True)
class Below:
    """What hangs below a run, in the order in which it is shown."""

    phases: Sequence[Phase]
    tasks: Sequence[Task]
    steps: Sequence[Step]
    releases: list[ReleaseOfRun]


def run_view(run: Run, below: Below, discovery: Document | None) -> RunView:
    phases, tasks, steps = below.phases, below.tasks, below.steps
    steps_of: defaultdict[str, list[StepView]] = defaultdict(list)
    for step in steps:
        steps_of[step.task_id].append(step_view(step))
    tasks_of: defaultdict[str, list[TaskView]] = defaultdict(list)
    for task in tasks:
        tasks_of[task.phase_id].append(task_view(task, steps_of[task.id]))
    return RunView(
        **_run_fields(run),
        plan_digest=run.plan_digest,
        phases=[_phase_view(phase, tasks_of[phase.id]) for phase in phases],
        releases=below.releases,
        warnings=_warnings(tasks, steps),
        discovery=discovery,
    )


def task_view(task: Task, steps: list[StepView]) -> TaskView:
    return TaskView(
        id=task.id,
        project_name=task.project_name,
        project_path=task.project_path,
        status=ChildStatus(task.status),
        error=task.error,
        started_at=task.started_at,
        completed_at=task.completed_at,
        steps=steps,
    )


def step_view(step: Step) -> StepView:
    return StepView(
        id=step.id,
        name=step.name,
        action=step.action,
        target=step.target,
        status=ChildStatus(step.status),
        attempt=step.attempt,
        worker=step.worker,
        exit_code=step.exit_code,
        error=step.error,
        started_at=step.started_at,
        completed_at=step.completed_at,
        logs_url=f"/v1/steps/{step.id}/logs" if step.logs_s3_key else None,
    )


def _warnings(tasks: Sequence[Task], steps: Sequence[Step]) -> list[RunWarning]:
    """Failed deployments: the release that they were of is out, and the run went on."""
    projects = {task.id: task.project_name for task in tasks}
    return [
        RunWarning(
            code=str((step.error or {}).get("code", "INTERNAL")),
            message=str((step.error or {}).get("message", "the deployment failed")),
            phase=RELEASE_PHASE,
            project=projects[step.task_id],
            step=step.name,
        )
        for step in steps
        if step.status == ChildStatus.FAILED and step.counted_status != step.status
    ]


def _phase_view(phase: Phase, tasks: list[TaskView]) -> PhaseView:
    return PhaseView(
        id=phase.id,
        name=phase.name,
        group_number=phase.group_number,
        status=ChildStatus(phase.status),
        started_at=phase.started_at,
        completed_at=phase.completed_at,
        tasks=tasks,
    )


def _run_fields(run: Run) -> dict[str, Any]:
    fields = {name: getattr(run, name) for name in RunSummary.model_fields}
    if run.ref == run.commit_sha:
        fields["ref"] = None
    return fields
