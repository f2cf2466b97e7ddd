"""The reconciler: compares runs with the engine and with the job records, and repairs what an outage left behind.

It knows no history; each pass looks at what is. Whatever it repairs, a finish event or an event of a step would have
repaired as well, in the same way.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from forge_api.db import query, release_query
from forge_api.db.tables import OutboxEntry, OutboxKind, Run
from forge_api.service.conclude import End, merge_records, record_events
from forge_api.service.deployed import settle_deployments
from forge_api.service.outbox import BY
from forge_api.service.platform import AWAY, BACKGROUND_PATIENCE_S, Platform
from forge_runtime.engine.port import WorkflowPhase, WorkflowStatus
from forge_runtime.job import JobType
from forge_runtime.run import CancelFlag, CancelReason
from forge_runtime.settle import Settlement
from forge_runtime.status import RUN, RunStatus
from forge_runtime.sweeper import Sweeper
from forge_runtime.watch import watch_run

INTERVAL_S: Final = 30.0
SUBMIT_GRACE: Final = timedelta(seconds=60)

_log = logging.getLogger(__name__)


async def run_reconciler(platform: Platform) -> None:
    """A pass now and every 30 s."""
    while True:
        await reconcile(platform)
        await asyncio.sleep(INTERVAL_S)


async def run_sweeper(platform: Platform) -> None:
    """Ends jobs that nobody began and runs that passed their limit, while they go on."""

    async def unsettled() -> Sequence[str]:
        async with platform.database.read() as session:
            runs = await query.unsettled_runs(session)
            return [*runs, *await release_query.pending_by_hand(session)]

    await Sweeper(platform.ledger(BACKGROUND_PATIENCE_S), unsettled).run()


async def reconcile(platform: Platform) -> None:
    """One pass over the runs that have not ended, or have ended with rows that are still open."""
    async with platform.database.read() as session:
        run_ids = await query.unsettled_runs(session)
    for run_id in run_ids:
        try:
            await _reconcile_run(platform, run_id)
        except AWAY:
            raise
        except Exception:
            _log.exception("run cannot be reconciled; the others go on", extra={"run_id": run_id})
    await _reconcile_deployments(platform)


async def _reconcile_deployments(platform: Platform) -> None:
    """Those that stand for a run: what their records say, and a new submission of one that has lost its own."""
    now = platform.now()
    async with platform.database.read() as session:
        pending = await release_query.pending_by_hand(session)
    for deployment_id in pending:
        records = await platform.ledger(BACKGROUND_PATIENCE_S).records(deployment_id)
        async with platform.database.write() as session:
            if records:
                await settle_deployments(session, record_events(records, now))
            else:
                await release_query.submit_again(session, deployment_id, now)


async def _reconcile_run(platform: Platform, run_id: str) -> None:
    async with platform.database.read() as session:
        run = await query.run(session, run_id)
        submitting = await query.open_entries(session, run_id, OutboxKind.SUBMIT)
    assert run is not None
    if submitting:
        return
    status = await platform.ports.engine.status(run.argo_workflow_name)
    if status is not None and not status.phase.terminal:
        await merge_records(platform, run_id, end=None)
    elif status is None and run.status == RunStatus.PENDING:
        await _submit_again(platform, run)
    else:
        _log.warning("run ended without its finish event", extra={"run_id": run_id, "engine": str(status)})
        await _settle(platform, run)
        await merge_records(platform, run_id, End(platform.now(), _failure(run, status)))


async def _submit_again(platform: Platform, run: Run) -> None:
    """Taken by the engine once, known to it no more, and nothing of it ever ran."""
    now = platform.now()
    if now - run.created_at < SUBMIT_GRACE:
        return
    async with platform.database.write() as session:
        if not await query.open_entries(session, run.id, OutboxKind.SUBMIT):
            session.add(OutboxEntry(run_id=run.id, kind=OutboxKind.SUBMIT, tries=0, next_at=now))
    platform.work.set()


async def _settle(platform: Platform, run: Run) -> None:
    """End the jobs that nobody waits for any more, as `finish` would have."""
    ledger = platform.ledger(BACKGROUND_PATIENCE_S)
    running = [record for record in await ledger.records(run.id) if not record.state.terminal]
    if not running:
        return
    reason = CancelReason.CANCELLED if run.status == RunStatus.CANCELLED else CancelReason.FAILED
    await ledger.raise_flag(run.id, CancelFlag(reason=reason, by=BY, at=platform.now().timestamp()))
    flag = await ledger.flag(run.id)
    assert flag is not None
    async with watch_run(ledger.bus, run.id) as watch:
        settlement = Settlement(ledger, watch, run.id, flag, BY, force=True)
        await settlement.settle([record.job.job_id for record in running], JobType)


def _failure(run: Run, status: WorkflowStatus | None) -> str | None:
    if RUN.final(run.status) or (status is not None and status.phase is WorkflowPhase.SUCCEEDED):
        return None
    return "the engine does not know the workflow any more" if status is None else status.message or status.phase.value
