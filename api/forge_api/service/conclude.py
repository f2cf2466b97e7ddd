"""The end of a run: every record read, every open row closed, the status derived.

An engine's word, or a finish event, says that nothing of the run goes on. How the run ended is said by its job records
and its cancel flag; a record may be there before its event, so the records are read first and merged like events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forge_api.db import query
from forge_api.db.tables import Run
from forge_api.service.deployed import abandon_deployments
from forge_api.service.platform import BACKGROUND_PATIENCE_S, Platform
from forge_api.service.projection import fetch_documents, first_error, project
from forge_api.service.rows import finish_step, roll_up
from forge_runtime.envelope import ended_event, running_event
from forge_runtime.event import Event
from forge_runtime.job import JobRecord
from forge_runtime.run import CancelFlag, CancelReason
from forge_runtime.status import RUN, STEP, ChildStatus, RunStatus, conclude
from forgec.ids import DISCOVERY_PHASE


@dataclass(frozen=True, slots=True)
class End:
    """When the run ended, and the engine's complaint if its workflow did not succeed."""

    at: datetime
    failure: str | None = None


def record_events(records: Sequence[JobRecord], now: datetime) -> list[Event]:
    """What the records say, as the events that should have been heard."""
    events = []
    for record in records:
        if record.started_at is not None:
            events.append(running_event(record))
        if record.state.terminal:
            events.append(ended_event(record, now.timestamp()))
    return events


async def merge_records(platform: Platform, run_id: str, end: End | None) -> None:
    """Bring a run's rows up to its job records; with an `end`, close what is open and derive how the run ended."""
    ledger = platform.ledger(BACKGROUND_PATIENCE_S)
    events = record_events(await ledger.records(run_id), platform.now())
    flag = await ledger.flag(run_id)
    async with platform.database.read() as session:
        known = await query.run(session, run_id)
    if known is None:
        return
    documents = await fetch_documents(ledger.bus, known, events)
    async with platform.database.write() as session:
        run = await query.run(session, run_id, lock=True)
        assert run is not None
        await project(session, run, events, documents, platform.settings.environments)
        if end is None:
            return
        cancelled = run.status == RunStatus.CANCELLED or _reason(flag) == CancelReason.CANCELLED
        for step in await query.steps(session, run_id):
            if not STEP.final(step.status):
                finish_step(step, _closing(step.status, cancelled), end.at)
        await session.flush()
        await abandon_deployments(session, run, end.at)
        phases = await roll_up(session, run_id)
        if RUN.final(run.status):
            return
        failed = end.failure is not None or _reason(flag) in (CancelReason.FAILED, CancelReason.DEADLINE)
        failed |= not any(phase.name == DISCOVERY_PHASE and phase.status == ChildStatus.SUCCEEDED for phase in phases)
        run.status = conclude((phase.status for phase in phases), cancelled=cancelled, failed=failed)
        run.completed_at = end.at
        if run.status == RunStatus.FAILED:
            run.error = await first_error(session, run_id) or _error_without_step(run, flag, end)


def _reason(flag: CancelFlag | None) -> CancelReason | None:
    return None if flag is None else flag.reason


def _closing(status: str, cancelled: bool) -> ChildStatus:
    """What became of a step that nobody will report on any more."""
    if status == ChildStatus.PENDING and not cancelled:
        return ChildStatus.SKIPPED
    return ChildStatus.CANCELLED


def _error_without_step(run: Run, flag: CancelFlag | None, end: End) -> dict[str, Any]:
    if run.error is not None:
        return run.error
    if _reason(flag) == CancelReason.DEADLINE:
        code, error_class, message = "JOB_EXPIRED", "timeout", "the run passed its limit of 24 h and was stopped"
    elif flag is not None and end.failure is None:
        code, error_class, message = "INTERNAL", "internal", f"{flag.by} ended the run as failed; no step of it did"
    elif end.failure is not None:
        code, error_class, message = "INTERNAL", "infra", f"no step failed, but the workflow did: {end.failure}"
    else:
        code, error_class, message = "INTERNAL", "infra", "the workflow ended without having discovered what to run"
    return {
        "code": code,
        "message": message,
        "component": "api",
        "class": error_class,
        "timestamp": end.at.isoformat(),
        "context": {"workflow": run.argo_workflow_name},
    }
