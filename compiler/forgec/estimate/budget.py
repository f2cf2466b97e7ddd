"""Time limits that contradict each other: what may be written, and cannot be had.

    a step's own limit        kept by the worker, for each start; a phase's timeout is the limit of steps that set none
    a task's waves            one after another, inside one dispatcher, which ends after 24 h
    groups, then release      one after another, inside one run, which ends after 24 h
    a job whose worker died   starts again, three times in all, each with the whole limit

All of it is worked out from the limits alone, so a finding is about the worst case, and a warning.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final

from forgec.diagnostic import Code, Diagnostic, Related, Severity
from forgec.discovery.model import Project
from forgec.discovery.places import Located, Places
from forgec.estimate.limits import START_ALLOWANCE_S, STARTS_MAX, STEP_WAIT_S, WAIT_S
from forgec.estimate.schedule import Schedule, Wait
from forgec.estimate.work import Job, Stage, critical_path, length_s, stages_of, time_limit
from forgec.manifest.lower import SHARD_DEADLINE_S, WORKFLOW_DEADLINE_S
from forgec.plan.model import Plan, Task
from forgec.source import Span
from forgec.units import format_duration, parse_duration

START_S_MAX: Final = (SHARD_DEADLINE_S - STEP_WAIT_S) / STARTS_MAX - START_ALLOWANCE_S
"""A step with a longer limit cannot have all its starts within a dispatcher's time."""


_warning = partial(Diagnostic, severity=Severity.WARNING)


def budget_findings(located: Located, plan: Plan) -> list[Diagnostic]:
    """Every contradiction in a document; `plan` is its own."""
    places = located.places
    found = [finding for project in located.document.projects for finding in _steps(located, project)]
    too_long = [
        _too_long_task(phase.name, task, places)
        for _, phase, unit in plan.units()
        for task in unit.tasks
        if _task_s(task) > SHARD_DEADLINE_S
    ]
    return [*found, *(too_long or _too_long_run(stages_of(plan, time_limit), places))]


def worker_findings(schedule: Schedule) -> list[Diagnostic]:
    """What so many workers are too few for."""
    found = []
    workers = f"{schedule.workers} worker{'' if schedule.workers == 1 else 's'}"
    overdue = [wait.job for wait in schedule.waits if is_overdue(wait)]
    if overdue:
        jobs = "a job" if len(overdue) == 1 else f"{len(overdue)} jobs"
        allowed = format_duration(_wait_max_s(overdue[0]))
        message = f"with {workers} {jobs} would wait too long and expire, {overdue[0].address} first (after {allowed})"
        found.append(_warning(Code.WORKERS_TOO_FEW, message, help="more workers, or fewer steps that start together"))
    if schedule.makespan_s > WORKFLOW_DEADLINE_S:
        message = (
            f"with {workers} the run would take {format_duration(schedule.makespan_s)}, "
            f"it ends after {format_duration(WORKFLOW_DEADLINE_S)}"
        )
        found.append(_warning(Code.WORKERS_TOO_FEW, message, help="more workers, or shorter steps"))
    return found


def is_overdue(wait: Wait) -> bool:
    """Whether the job would expire before a worker takes it."""
    return wait.seconds > _wait_max_s(wait.job)


def _wait_max_s(job: Job) -> float:
    return STEP_WAIT_S if job.pool == "tasks" else WAIT_S


def _steps(located: Located, project: Project) -> Iterator[Diagnostic]:
    for name, steps in project.phases.items():
        phase_s = parse_duration(located.document.repository.phases[name].timeout)
        for step in steps:
            if step.timeout is None:
                continue
            limit_s = parse_duration(step.timeout)
            span = located.places.step(project.name, name, step.name)
            where = f'step "{step.name}" of phase "{name}"'
            if limit_s > phase_s:
                message = f"{where} may run {format_duration(limit_s)}, its phase says {format_duration(phase_s)}"
                advice = (
                    "a phase's timeout is the limit of steps that set none, and does not end this one: "
                    "raise it, or lower the step's"
                )
                related = _related(located.places.phase(name), "the phase")
                yield _warning(Code.STEP_ABOVE_PHASE, message, span, related, project=project.name, help=advice)
            if limit_s > START_S_MAX:
                message = (
                    f"{where} may run {format_duration(limit_s)} and be started {STARTS_MAX} times, "
                    f"which is more than the {format_duration(SHARD_DEADLINE_S)} of a run"
                )
                advice = f"up to {format_duration(START_S_MAX)} a step survives the loss of its worker twice"
                yield _warning(Code.STARTS_ABOVE_RUN, message, span, project=project.name, help=advice)


def _task_s(task: Task) -> float:
    return sum(max(step.timeout_s for step in wave.steps) for wave in task.waves)


def _too_long_task(phase: str, task: Task, places: Places) -> Diagnostic:
    message = (
        f'the steps of phase "{phase}", one priority after another, may take {format_duration(_task_s(task))}; '
        f"a dispatcher has {format_duration(SHARD_DEADLINE_S)}"
    )
    advice = "lower their timeouts, or give steps that may run together one priority"
    span = places.task(task.project, phase)
    return _warning(Code.TASK_ABOVE_RUN, message, span, project=task.project, help=advice)


def _stage_s(stage: Stage) -> float:
    return max(map(length_s, stage.tasks()))


def _too_long_run(stages: tuple[Stage, ...], places: Places) -> list[Diagnostic]:
    chain = critical_path(stages)
    total_s = sum(job.duration_s for _, job in chain)
    if total_s <= WORKFLOW_DEADLINE_S:
        return []
    longest = max((stage for stage, job in chain if job.pool == "tasks"), key=_stage_s)
    phase = next(job.address.phase for stage, job in chain if stage is longest)
    message = (
        f"the groups, one after another, may take {format_duration(total_s)}; "
        f"a run has {format_duration(WORKFLOW_DEADLINE_S)}"
    )
    longest_for = format_duration(_stage_s(longest))
    advice = f"lower timeouts, those of {longest.name} ({longest_for}) first, or merge groups"
    return [_warning(Code.RUN_ABOVE_LIMIT, message, places.group(phase), help=advice)]


def _related(span: Span | None, message: str) -> tuple[Related, ...]:
    return () if span is None else (Related(span, message),)
