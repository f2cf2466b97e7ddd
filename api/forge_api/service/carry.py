"""Deployments that a person asked for: the API submits their jobs itself, and hears of them like of a run's.

Such a deployment is a run of its own, of one job, and its id is the run's. It has no workflow and no rows of steps;
what its job came to becomes the deployment's status.
"""

import logging
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query, release_query
from forge_api.db.release_query import ProjectKey
from forge_api.db.release_tables import (
    ApprovalStatus,
    Deployment,
    DeploymentStatus,
    Release,
    ReleaseApproval,
    ReleaseTrigger,
)
from forge_api.service.deployment import fail
from forge_api.service.platform import BACKGROUND_PATIENCE_S, Platform
from forge_api.service.release_view import standing
from forge_runtime import subject
from forge_runtime.bus.port import Bus, Conflict
from forge_runtime.envelope import Envelope
from forge_runtime.job import NO_APPROVAL, Approval, Git, JobState, ReleaseData, RequestedDeployment, encode, utc_text
from forge_runtime.outage import ride_out
from forge_runtime.release_client import APPROVAL
from forge_runtime.run import RunRecord, decode_run

RUN_S_MAX: Final = 24 * 3600.0
TRIGGER: Final = "manual"

_log = logging.getLogger(__name__)


async def submit_deployment(platform: Platform, deployment_id: str) -> None:
    """Attach or submit, as a dispatcher does; raises BusUnavailable and QueueFull, and may be repeated.

    What was approved when it was asked for must be so still when it begins.
    """
    async with platform.database.read() as session:
        deployment = await release_query.deployment(session, deployment_id)
        assert deployment is not None
        release = await release_query.release(session, deployment.release_id)
        assert release is not None
        trigger = await release_query.trigger(session, release.id)
        aliases = await release_query.aliases(session, [release.id])
        approval = await _approval(session, deployment)
        repository = await query.repository(session, release.repository)
        assert repository is not None
    if deployment.status != DeploymentStatus.PENDING:
        return
    ledger = platform.ledger(BACKGROUND_PATIENCE_S)
    worth = None if approval is None else standing(approval, platform.now())
    if worth not in (None, ApprovalStatus.ACTIVE) and not await ledger.records(deployment.id):
        await _not_approved(platform, deployment, f"its approval is {worth}, so it was not begun; ask for a new one")
        return
    wanted = _run_record(deployment, release, trigger, repository.clone_url)
    record = await ride_out(lambda: create_run_record(ledger.bus, wanted), limit_s=BACKGROUND_PATIENCE_S)
    job = Envelope(record, platform.now().timestamp()).deployment_job(
        release.project,
        ReleaseData(
            release_id=release.id,
            release_number=release.release_number,
            oci_uri=release.oci_uri,
            oci_digest=release.oci_digest,
            aliases=tuple(alias.alias for alias in aliases),
        ),
        RequestedDeployment(id=deployment.id, environment=deployment.environment),
        _word_of(approval),
    )
    opened = (await ledger.open(job)).record
    if opened.state is JobState.QUEUED:
        target = subject.subject_of(opened.job)
        message = encode(opened.job)
        await ride_out(
            lambda: ledger.bus.publish_job(target, message, opened.job.traceparent), limit_s=BACKGROUND_PATIENCE_S
        )


async def create_run_record(bus: Bus, record: RunRecord) -> RunRecord:
    """Before any job of the run. The one that was made before, if it was, though the repository has moved since."""
    key = subject.run_key(record.run_id)
    try:
        await bus.runs.create(key, encode(record))
    except Conflict:
        entry = await bus.runs.get(key)
        stored = record if entry is None else decode_run(entry.value)
        assert _same_run(stored, record), f"{key} holds another run"
        return stored
    return record


def _same_run(one: RunRecord, other: RunRecord) -> bool:
    return (one.run_id, one.repository, one.commit_sha) == (other.run_id, other.repository, other.commit_sha)


async def _approval(session: AsyncSession, deployment: Deployment) -> ReleaseApproval | None:
    if deployment.approval_id is None:
        return None
    found = await release_query.approval(session, deployment.approval_id)
    assert found is not None
    return found


async def _not_approved(platform: Platform, deployment: Deployment, message: str) -> None:
    now = platform.now()
    error = {
        "code": APPROVAL,
        "message": message,
        "component": "api",
        "class": "policy",
        "timestamp": now.isoformat(),
    }
    async with platform.database.write() as session:
        await release_query.counter(session, ProjectKey(deployment.repository, deployment.project))
        stored = await release_query.deployment(session, deployment.id)
        assert stored is not None
        if stored.status == DeploymentStatus.PENDING:
            fail(stored, error, now)
    _log.warning("deployment not begun: %s", message, extra={"run_id": deployment.id})


def _word_of(found: ReleaseApproval | None) -> Approval:
    if found is None:
        return NO_APPROVAL
    return Approval(id=found.id, approved_by=found.approver, approved_at=utc_text(found.approved_at.timestamp()))


def _run_record(deployment: Deployment, release: Release, trigger: ReleaseTrigger, clone_url: str) -> RunRecord:
    """Made from rows that do not change, but for the address that the repository is cloned from."""
    return RunRecord(
        run_id=deployment.id,
        repository=release.repository,
        clone_url=clone_url,
        commit_sha=release.commit_sha,
        git=Git(branch=trigger.branch, tag=trigger.tag),
        trigger_type=TRIGGER,
        triggered_by=deployment.deployed_by,
        deadline_at=deployment.requested_at.timestamp() + RUN_S_MAX,
    )
