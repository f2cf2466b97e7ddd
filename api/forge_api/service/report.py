"""Discovery and the end of a run by request: what events tell otherwise, for callers that speak HTTP.

A request is stricter than an event: it is refused where it contradicts what is known, and told why.
"""

import asyncio
import hashlib
from datetime import datetime
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query
from forge_api.db.tables import OutboxEntry, OutboxKind, Run
from forge_api.environment import automatic
from forge_api.problem import conflict, invalid, not_found, unavailable
from forge_api.service import audit
from forge_api.service.audit import Actor, Resource
from forge_api.service.deployed import abandon_deployments
from forge_api.service.platform import Platform
from forge_api.service.projection import first_error, origin_of
from forge_api.service.rows import finish_step, plan_rows, roll_up
from forge_api.wire import PutDiscovery, PutRunStatus, ResultReference
from forge_runtime.blob import BlobUnavailable
from forge_runtime.status import RUN, STEP, ChildStatus, Refused, RunStatus, Same, next_status
from forgec import pipeline
from forgec.diagnostic import ForgeError
from forgec.discovery.model import Discovery
from forgec.plan.digest import canonical_json, digest_of
from forgec.plan.model import SHARD_SIZE_DEFAULT, Plan

OUTPUT_BYTES_MAX: Final = 1024 * 1024
"""Of a discovery document (contracts 1.4)."""

_SYNONYMS: Final = {"success": RunStatus.SUCCEEDED}


async def put_discovery(platform: Platform, actor: Actor, run_id: str, request: PutDiscovery) -> None:
    """Make the rows of a run from its discovery document. The same document again changes nothing."""
    discovery, plan = await asyncio.to_thread(_compiled, await _document(platform, run_id, request))
    output = canonical_json(discovery)
    digest = digest_of(output)
    now = platform.now()
    async with platform.database.write() as session:
        run = await _locked(session, run_id)
        if discovery.commit_sha != run.commit_sha:
            raise invalid("output", f"is of commit {discovery.commit_sha}, the run is of {run.commit_sha}")
        if run.discovery_digest == digest:
            return
        if run.discovery_digest is not None or run.plan_digest is not None:
            raise conflict(f"run {run_id} has another discovery document already ({run.discovery_digest})")
        if RUN.final(run.status):
            raise conflict(f"run {run_id} is {run.status} already, which is final")
        await plan_rows(session, run_id, plan, automatic(platform.settings.environments, [origin_of(run)]))
        run.plan_digest = digest_of(canonical_json(plan))
        run.discovery_digest, run.discovery_output = digest, msgspec.json.decode(output)
        await audit.record(session, actor, "run.discovery", Resource("run", run_id), now, digest=digest)


async def put_status(platform: Platform, actor: Actor, run_id: str, request: PutRunStatus) -> None:
    """End a run: its open rows are closed, and what is left of its work is stopped."""
    wanted = _SYNONYMS.get(request.status) or RunStatus(request.status)
    now = platform.now()
    async with platform.database.write() as session:
        run = await _locked(session, run_id)
        verdict = next_status(RUN, run.status, wanted)
        if isinstance(verdict, Refused):
            raise conflict(verdict.reason)
        if isinstance(verdict, Same):
            return
        if wanted == RunStatus.SUCCEEDED:
            await _check_success(session, run)
        await _close_rows(session, run, wanted, now)
        run.status, run.completed_at = wanted, now
        if wanted == RunStatus.FAILED:
            given = None if request.error is None else request.error.model_dump(by_alias=True, exclude_none=True)
            run.error = given or await first_error(session, run_id) or _unexplained(actor, now)
        if wanted != RunStatus.SUCCEEDED:
            session.add(OutboxEntry(run_id=run_id, kind=OutboxKind.CANCEL, tries=0, next_at=now))
        await audit.record(session, actor, "run.put", Resource("run", run_id), now, status=wanted)
    platform.work.set()


async def _document(platform: Platform, run_id: str, request: PutDiscovery) -> bytes:
    if request.output is not None:
        data = msgspec.json.encode(request.output)
    else:
        assert request.result_ref is not None
        data = await _stored(platform, run_id, request.result_ref)
    if len(data) > OUTPUT_BYTES_MAX:
        raise invalid("output", f"is larger than {OUTPUT_BYTES_MAX} bytes")
    return data


async def _stored(platform: Platform, run_id: str, reference: ResultReference) -> bytes:
    """What lies in the object store, as it should be."""
    if not reference.key.startswith(f"pipeline-runs/{run_id}/results/"):
        raise invalid("result_ref.key", "lies outside the results of the run")
    try:
        data = await platform.ports.blob.get(reference.key, length_max=OUTPUT_BYTES_MAX + 1)
    except BlobUnavailable:
        raise unavailable("the object store") from None
    if data is None:
        raise invalid("result_ref.key", "names nothing that is there")
    if (len(data), hashlib.sha256(data).hexdigest()) != (reference.size, reference.sha256):
        raise invalid("result_ref", "is not of this size and digest")
    return data


def _compiled(data: bytes) -> tuple[Discovery, Plan]:
    try:
        discovery = pipeline.read("output", data)
        return discovery, pipeline.plan(discovery, shard_size=SHARD_SIZE_DEFAULT)
    except ForgeError as error:
        raise invalid("output", "; ".join(each.message for each in error.diagnostics[:3])) from None


async def _check_success(session: AsyncSession, run: Run) -> None:
    failed = await query.first_failure(session, run.id)
    if failed is not None:
        step, task, phase = failed
        raise conflict(f"step {step.name} of {task.project_name} failed in phase {phase.name}, so the run did")
    unfinished = [step for step in await query.steps(session, run.id) if not STEP.final(step.status)]
    if unfinished:
        raise conflict(f"{len(unfinished)} steps of run {run.id} have not ended")


async def _close_rows(session: AsyncSession, run: Run, wanted: RunStatus, now: datetime) -> None:
    for step in await query.steps(session, run.id):
        if not STEP.final(step.status):
            skipped = step.status == ChildStatus.PENDING and wanted != RunStatus.CANCELLED
            finish_step(step, ChildStatus.SKIPPED if skipped else ChildStatus.CANCELLED, now)
    await session.flush()
    await abandon_deployments(session, run, now)
    await roll_up(session, run.id)


def _unexplained(actor: Actor, now: datetime) -> dict[str, object]:
    return {
        "code": "INTERNAL",
        "message": f"{actor.subject} ended the run as failed and gave no reason",
        "component": "api",
        "class": "internal",
        "timestamp": now.isoformat(),
    }


async def _locked(session: AsyncSession, run_id: str) -> Run:
    run = await query.run(session, run_id, lock=True)
    if run is None:
        raise not_found(f"run {run_id}")
    return run
