"""The outbox: what a committed transaction still owes to the engine and the bus.

An entry may be carried out twice (the process can die between doing and noting it), so each of its steps is harmless
when repeated: the run record is created or found equal, a workflow's name is its run's, a flag's first reason stays.
"""

import asyncio
import logging
import random
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query
from forge_api.db.tables import OutboxEntry, OutboxKind, Run
from forge_api.problem import Problem
from forge_api.service.carry import RUN_S_MAX, create_run_record, submit_deployment
from forge_api.service.platform import BACKGROUND_PATIENCE_S, Platform
from forge_api.service.rows import finish_step, roll_up
from forge_runtime import subject
from forge_runtime.bus.port import BusUnavailable, QueueFull
from forge_runtime.engine.port import EngineUnavailable, ManifestRefused
from forge_runtime.job import Git, utc_text
from forge_runtime.retry import backoff_s
from forge_runtime.run import CancelFlag, CancelReason, RunRecord
from forge_runtime.status import RUN, STEP, ChildStatus, RunStatus
from forge_runtime.telemetry import log_fields
from forgec.diagnostic import ForgeError
from forgec.manifest.argo import to_builtins
from forgec.manifest.lower import ManifestOptions, lower_dynamic
from forgec.manifest.yaml import emit_yaml

POLL_S: Final = 1.0
BATCH: Final = 20
SUBMIT_TRIES_MAX: Final = 3
TERMINATE_AFTER: Final = timedelta(seconds=60)
"""A stopped workflow runs its exit handler, which settles every job; then there is nothing left to terminate."""

BY: Final = "api"

_log = logging.getLogger(__name__)


async def run_outbox(platform: Platform) -> None:
    """Drain when woken, and every second without that."""
    while True:
        platform.work.clear()
        while await drain(platform) == BATCH:
            pass
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_S):
                await platform.work.wait()


async def drain(platform: Platform) -> int:
    """Carry out entries that are due, in order, and say how many; one that fails stops nobody else's."""
    async with platform.database.read() as session:
        entries = await query.due_entries(session, platform.now(), BATCH)
    for entry in entries:
        try:
            await _carry_out(platform, entry)
            await _done(platform, entry)
        except (ForgeError, ManifestRefused) as error:
            await _give_up(platform, entry, str(error))
        except (BusUnavailable, QueueFull, Problem) as error:
            await _later(platform, entry, str(error), tries=entry.tries)
        except EngineUnavailable as error:
            await _failed(platform, entry, str(error))
        except Exception as error:
            _log.exception("outbox entry failed; the others go on", extra=_facts(entry))
            await _failed(platform, entry, f"{type(error).__name__}: {error}")
    return len(entries)


def run_record(run: Run) -> RunRecord:
    """What dispatchers are told of a run: made from its row alone, so that it is the same each time."""
    return RunRecord(
        run_id=run.id,
        repository=run.repository,
        clone_url=run.clone_url,
        commit_sha=run.commit_sha,
        git=Git(ref=None if run.ref == run.commit_sha else run.ref, branch=run.branch, tag=run.tag),
        trigger_type=run.trigger_type,
        triggered_by=run.triggered_by,
        deadline_at=run.created_at.timestamp() + RUN_S_MAX,
        traceparent=str(run.trace),
    )


async def _carry_out(platform: Platform, entry: OutboxEntry) -> None:
    if entry.deployment_id is not None:
        await submit_deployment(platform, entry.deployment_id)
        return
    assert entry.run_id is not None
    async with platform.database.read() as session:
        run = await query.run(session, entry.run_id)
    assert run is not None
    with log_fields(run_id=run.id, trace_id=run.trace_id):
        match OutboxKind(entry.kind):
            case OutboxKind.SUBMIT:
                if not RUN.final(run.status):
                    await _submit(platform, run)
            case OutboxKind.CANCEL:
                await _cancel(platform, run)
            case OutboxKind.TERMINATE:
                await _terminate(platform, run)
            case OutboxKind.DEPLOY:
                raise AssertionError("an entry of a run deploys nothing")


async def _submit(platform: Platform, run: Run) -> None:
    await create_run_record(platform.ledger(BACKGROUND_PATIENCE_S).bus, run_record(run))
    options = ManifestOptions(nats_url=platform.settings.nats_url, run_id=run.id, traceparent=str(run.trace))
    if platform.settings.nats_credentials is not None:
        options = replace(options, credentials_path=str(platform.settings.nats_credentials.absolute()))
    await platform.ports.engine.submit(emit_yaml(to_builtins(lower_dynamic(options))))
    _log.info("run submitted", extra={"workflow": run.argo_workflow_name})


async def _cancel(platform: Platform, run: Run) -> None:
    ledger = platform.ledger(BACKGROUND_PATIENCE_S)
    reason = CancelReason.CANCELLED if run.status == RunStatus.CANCELLED else CancelReason.FAILED
    await ledger.raise_flag(run.id, CancelFlag(reason=reason, by=BY, at=platform.now().timestamp()))
    for queue in subject.QUEUES:
        await ledger.bus.purge(queue, subject.run_subjects(queue, run.id))
    await platform.ports.engine.stop(run.argo_workflow_name)


async def _terminate(platform: Platform, run: Run) -> None:
    status = await platform.ports.engine.status(run.argo_workflow_name)
    if status is not None and not status.phase.terminal:
        await platform.ports.engine.terminate(run.argo_workflow_name)


async def _done(platform: Platform, entry: OutboxEntry) -> None:
    now = platform.now()
    async with platform.database.write() as session:
        stored = await query.entry(session, entry.id)
        assert stored is not None
        stored.done_at = now
        if stored.kind == OutboxKind.CANCEL:
            session.add(
                OutboxEntry(run_id=stored.run_id, kind=OutboxKind.TERMINATE, tries=0, next_at=now + TERMINATE_AFTER)
            )


async def _failed(platform: Platform, entry: OutboxEntry, reason: str) -> None:
    """A submission is tried three times; to stop a run is tried for ever."""
    if entry.kind == OutboxKind.SUBMIT and entry.tries + 1 >= SUBMIT_TRIES_MAX:
        await _give_up(platform, entry, reason)
    else:
        await _later(platform, entry, reason, tries=entry.tries + 1)


async def _later(platform: Platform, entry: OutboxEntry, reason: str, *, tries: int) -> None:
    delay_s = backoff_s(tries, random.random())  # noqa: S311 - spreads load, guards nothing
    _log.warning("outbox entry waits: %s", reason, extra=_facts(entry) | {"delay_s": round(delay_s, 1)})
    async with platform.database.write() as session:
        stored = await query.entry(session, entry.id)
        assert stored is not None
        stored.tries, stored.last_error = tries, reason
        stored.next_at = platform.now() + timedelta(seconds=delay_s)


async def _give_up(platform: Platform, entry: OutboxEntry, reason: str) -> None:
    """The run failed before it began. Its workflow is stopped all the same: an answer may have been lost."""
    now = platform.now()
    _log.error("run not submitted: %s", reason, extra=_facts(entry))
    assert entry.run_id is not None, "only a submission is given up"
    async with platform.database.write() as session:
        run = await query.run(session, entry.run_id, lock=True)
        stored = await query.entry(session, entry.id)
        assert run is not None
        assert stored is not None
        stored.done_at, stored.last_error = now, reason
        if RUN.final(run.status):
            return
        run.status, run.completed_at = RunStatus.FAILED, now
        run.error = {
            "code": "ARGO_SUBMIT_FAILED",
            "message": f"the engine did not take the workflow: {reason}"[:2048],
            "component": "api",
            "class": "infra",
            "timestamp": utc_text(now.timestamp()),
            "context": {"workflow": run.argo_workflow_name},
        }
        await _skip_open(session, run.id, now)
        session.add(OutboxEntry(run_id=run.id, kind=OutboxKind.CANCEL, tries=0, next_at=now))


def _facts(entry: OutboxEntry) -> dict[str, str | float | None]:
    return {"run_id": entry.run_id or entry.deployment_id}


async def _skip_open(session: AsyncSession, run_id: str, now: datetime) -> None:
    for step in await query.steps(session, run_id):
        if not STEP.final(step.status):
            finish_step(step, ChildStatus.SKIPPED, now)
    await roll_up(session, run_id)
