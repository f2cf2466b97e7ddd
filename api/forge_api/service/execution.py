"""Statuses of steps and tasks by request: the state machine of the events, for callers that speak HTTP.

A request is stricter than an event: it asks for one arrow of the table, and is told why if that is refused.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query
from forge_api.db.tables import Run, Step, Task
from forge_api.problem import conflict, invalid, not_found
from forge_api.service import audit
from forge_api.service.audit import Actor, Resource
from forge_api.service.platform import Platform
from forge_api.service.projection import advance, first_error
from forge_api.service.rows import finish_step, roll_up_from
from forge_api.service.view import step_view, task_view
from forge_api.wire import PutStepStatus, PutTaskStatus, StepError, StepView, TaskView
from forge_runtime.status import RUN, STEP, TASK, ChildStatus, Refused, Same, next_status

_SYNONYMS = {"success": ChildStatus.SUCCEEDED}


async def put_step_status(platform: Platform, actor: Actor, step_id: str, request: PutStepStatus) -> StepView:
    wanted = _status(request.status)
    now = platform.now()
    async with platform.database.write() as session:
        run = await _run_of(session, await query.run_of_step(session, step_id), f"step {step_id}")
        step = await query.step(session, step_id)
        assert step is not None
        if request.attempt < step.attempt:
            raise conflict(f"step {step_id} is at attempt {step.attempt}, later than {request.attempt}")
        if request.logs_s3_key is not None and not request.logs_s3_key.startswith(f"pipeline-runs/{run.id}/logs/"):
            raise invalid("logs_s3_key", "lies outside the logs of the step's run")
        again = request.attempt > step.attempt and wanted == step.status == ChildStatus.RUNNING
        verdict = next_status(STEP, step.status, wanted)
        if isinstance(verdict, Refused):
            raise conflict(verdict.reason)
        if not isinstance(verdict, Same) or again:
            if ChildStatus.RUNNING in (wanted, step.status):
                step.attempt = request.attempt  # else it ends without ever having begun
            step.status = wanted
            step.worker = request.worker or step.worker
            if wanted == ChildStatus.RUNNING:
                step.started_at = now
            else:
                step.completed_at, step.exit_code = now, request.exit_code
                step.logs_s3_key, step.error = request.logs_s3_key, _error(request.error)
            await session.flush()
            await _moved(session, run, step, now)
            await audit.record(session, actor, "step.put", Resource("step", step_id), now, status=wanted)
        return step_view(step)


async def put_task_status(platform: Platform, actor: Actor, task_id: str, request: PutTaskStatus) -> TaskView:
    """A task's status follows from its steps, so only one that agrees with them is taken; ending a task that has not
    started ends its steps."""
    wanted = _status(request.status)
    now = platform.now()
    async with platform.database.write() as session:
        run = await _run_of(session, await query.run_of_task(session, task_id), f"task {task_id}")
        task = await query.task(session, task_id)
        assert task is not None
        steps = await query.steps_of_task(session, task_id)
        verdict = next_status(TASK, task.status, wanted)
        if isinstance(verdict, Refused):
            raise conflict(verdict.reason)
        if not isinstance(verdict, Same):
            _close_steps(task, steps, wanted, now=now)
            await session.flush()
            for step in steps:
                await _moved(session, run, step, now)
        if request.error is not None and task.error is None:
            task.error = _error(request.error)
        await audit.record(session, actor, "task.put", Resource("task", task_id), now, status=wanted)
        return task_view(task, [step_view(step) for step in steps])


def _close_steps(task: Task, steps: Sequence[Step], wanted: ChildStatus, *, now: datetime) -> None:
    if wanted not in (ChildStatus.SKIPPED, ChildStatus.CANCELLED):
        raise conflict(f"task {task.id} is {task.status} by its steps; put the status of the step that differs")
    for step in steps:
        if not STEP.final(step.status):
            verdict = next_status(STEP, step.status, wanted)
            if isinstance(verdict, Refused):
                raise conflict(verdict.reason)
            finish_step(step, wanted, now)


async def _moved(session: AsyncSession, run: Run, step: Step, now: datetime) -> None:
    await roll_up_from(session, [step])
    advance(run, step, step.status, now)
    if step.status == ChildStatus.FAILED and not RUN.final(run.status):
        run.error = await first_error(session, run.id)


async def _run_of(session: AsyncSession, run_id: str | None, what: str) -> Run:
    """The run above, locked."""
    run = None if run_id is None else await query.run(session, run_id, lock=True)
    if run is None:
        raise not_found(what)
    return run


def _status(name: str) -> ChildStatus:
    return _SYNONYMS.get(name) or ChildStatus(name)


def _error(error: StepError | None) -> dict[str, Any] | None:
    return None if error is None else error.model_dump(by_alias=True, exclude_none=True)
