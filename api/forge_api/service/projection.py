"""Events into rows: in any order, any number of times, always the same rows in the end.

An event is merged, not replayed. For each step the highest attempt counts, within it the last start, and the first
final state; a state is only ever moved forward. Tasks and phases follow from steps, the run's error from the step
that failed first. So merging is commutative and idempotent, and nobody has to deliver in order or only once.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query
from forge_api.db.tables import Run, Step, TriggerType
from forge_api.environment import Environments, Origin, automatic
from forge_api.service.deployed import data_of, settle_deployments
from forge_api.service.rows import deployment_rows, plan_rows, roll_up_from
from forge_runtime.bus.port import BadObject, Bus
from forge_runtime.event import Event, EventKind, StepAddress
from forge_runtime.job import ReleaseData
from forge_runtime.status import RUN, STEP, Change, ChildStatus, RunStatus, reach
from forgec import ids
from forgec.plan.digest import read_plan
from forgec.plan.model import Plan

OBJECT_TIMEOUT_S: Final = 10.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What an event refers to by digest, as far as it was asked for and found."""

    plan: Plan | None = None
    discovery: dict[str, Any] | None = None


async def fetch_documents(bus: Bus, run: Run, events: Sequence[Event]) -> Documents:
    """The plan and the discovery document, where the run has not got them yet; read before a transaction begins."""
    plan = discovery = None
    plan_digest, discovery_digest = _digests(events)
    if plan_digest is not None and run.plan_digest is None:
        data = await _object(bus, plan_digest)
        plan = read_plan(data) if data is not None else None
    if discovery_digest is not None and run.discovery_digest is None:
        data = await _object(bus, discovery_digest)
        discovery = msgspec.json.decode(data, type=dict[str, Any]) if data is not None else None
    return Documents(plan=plan, discovery=discovery)


async def project(
    session: AsyncSession, run: Run, events: Sequence[Event], documents: Documents, environments: Environments
) -> None:
    """Merge events of one run, whose row is locked."""
    plan_digest, discovery_digest = _digests(events)
    if documents.plan is not None and run.plan_digest is None:
        await plan_rows(session, run.id, documents.plan, automatic(environments, [origin_of(run)]))
        run.plan_digest = plan_digest
    if documents.discovery is not None and run.discovery_digest is None:
        run.discovery_output, run.discovery_digest = documents.discovery, discovery_digest
    await deployment_rows(session, run.id, _deployments(events))
    steps = await _steps_of(session, run.id, events)
    changed = [step for event in events if (step := _project_step(run, steps, event)) is not None]
    if changed:
        await roll_up_from(session, changed)
    if any(step.status == ChildStatus.FAILED for step in changed):
        await session.flush()
        run.error = await first_error(session, run.id)
    await settle_deployments(session, events)


def origin_of(run: Run) -> Origin:
    """What a release of this run comes from."""
    if run.trigger_type == TriggerType.PUSH and run.tag is not None:
        return Origin("tag")
    if run.trigger_type == TriggerType.PUSH and run.branch is not None:
        return Origin("branch_push", run.branch)
    return Origin("manual")


def _deployments(events: Sequence[Event]) -> set[tuple[str, str]]:
    """The deployments that the events tell of, by project and environment: that there will be one, or how it went."""
    found = set()
    for event in events:
        if event.address is None:
            continue
        if event.kind is EventKind.RELEASE and event.status == ChildStatus.SUCCEEDED:
            data = data_of(event, ReleaseData)
            requested = () if data is None else data.deployments
            found |= {(event.address.project, deployment.environment) for deployment in requested}
        environment = ids.deployment_environment(event.address.step)
        if event.kind is EventKind.DEPLOYMENT and environment is not None:
            found.add((event.address.project, environment))
    return found


async def _steps_of(session: AsyncSession, run_id: str, events: Sequence[Event]) -> dict[str, Step]:
    """The rows that the events speak of."""
    wanted = {step_id_of(run_id, event.address) for event in events if event.address is not None}
    return {step.id: step for step in await query.steps_of_ids(session, wanted)} if wanted else {}


def _project_step(run: Run, steps: Mapping[str, Step], event: Event) -> Step | None:
    """The step that the event changed, if it changed one."""
    if event.address is None:
        return None
    step = steps.get(step_id_of(run.id, event.address))
    if step is None:
        _log.warning("event of a step that the run does not have", extra={"run_id": run.id, "job_id": event.job_id})
        return None
    changed = merge(step, event)
    advance(run, step, event.status, datetime.fromisoformat(event.at))
    return step if changed else None


def merge(step: Step, event: Event) -> bool:
    """Take over what the event adds to the step's row; False if that is nothing."""
    if event.attempt < step.attempt:
        return False
    over = STEP.final(step.status)
    if event.attempt > step.attempt:
        if over:
            return False
        step.attempt, step.started_at, step.worker = event.attempt, None, None
    at = datetime.fromisoformat(event.at)
    if event.status == ChildStatus.RUNNING:
        # A job that was handed back keeps its count, so an attempt can begin twice: the last beginning counts.
        later = step.started_at is None or at > step.started_at
        if later:
            step.started_at = at
            if not over:
                step.worker = event.worker or step.worker
        began = isinstance(reach(STEP, step.status, event.status), Change)
        if began:
            step.status = event.status
        return later or began
    if not isinstance(reach(STEP, step.status, event.status), Change):
        return False
    step.status = event.status
    step.completed_at = at
    step.worker = event.worker or step.worker
    step.exit_code = event.exit_code
    step.logs_s3_key = event.log_key
    step.error = msgspec.to_builtins(event.error) if event.error is not None else None
    return True


def advance(run: Run, step: Step, status: str, at: datetime) -> None:
    """Move the run along: discovering while discovery runs, running once it is known what to run.

    Of a step that was skipped or cancelled nothing follows: it may never have begun.
    """
    if status in (ChildStatus.SKIPPED, ChildStatus.CANCELLED):
        return
    discovering = step.id == ids.step_id(run.id, ids.DISCOVERY_PHASE, ids.DISCOVERY_TASK, ids.DISCOVERY_STEP)
    known = not discovering or status == ChildStatus.SUCCEEDED
    wanted = RunStatus.RUNNING if known else RunStatus.DISCOVERING
    if not RUN.final(run.status) and isinstance(reach(RUN, run.status, wanted), Change):
        run.status = wanted
    if discovering and status == ChildStatus.RUNNING:
        run.started_at = at if run.started_at is None else min(run.started_at, at)


async def first_error(session: AsyncSession, run_id: str) -> dict[str, Any] | None:
    """The error of the step that failed first, with its place in the run as context."""
    found = await query.first_failure(session, run_id)
    if found is None:
        return None
    step, task, phase = found
    error = step.error or {
        "code": "STEP_FAILED",
        "message": f"step {step.name} failed" + (f" with exit code {step.exit_code}" if step.exit_code else ""),
        "component": "api",
        "class": "user",
    }
    place = {"phase": phase.name, "project": task.project_name, "step": step.name, "step_id": step.id}
    return error | {"context": (error.get("context") or {}) | place}


def step_id_of(run_id: str, address: StepAddress) -> str:
    return ids.step_id(run_id, address.phase, address.project, address.step)


def _digests(events: Sequence[Event]) -> tuple[str | None, str | None]:
    """Of the plan and of the discovery document, as far as the events name them."""
    plan = next((event.plan_digest for event in events if event.plan_digest), None)
    discovery = next((digest for event in events if (digest := event.data.get("discovery_digest"))), None)
    return plan, discovery


async def _object(bus: Bus, digest: str) -> bytes | None:
    try:
        data = await bus.get_object(digest, OBJECT_TIMEOUT_S)
    except BadObject as error:
        _log.error("stored document is damaged: %s", error, extra={"digest": digest})
        return None
    if data is None:
        _log.error("stored document is missing", extra={"digest": digest})
    return data
