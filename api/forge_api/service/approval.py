"""Approvals: somebody takes responsibility for a release in an environment, for a day."""

from datetime import timedelta
from typing import Final

from forge_api.auth.permission import may_approve
from forge_api.db import release_query
from forge_api.db.release_query import ProjectKey
from forge_api.db.release_tables import ApprovalStatus, ReleaseApproval
from forge_api.problem import conflict, forbidden, not_found
from forge_api.release_wire import ApprovalList, ApprovalView, CreateApproval
from forge_api.service import audit
from forge_api.service.audit import Actor, Resource
from forge_api.service.deployment import existing_release, known_environment
from forge_api.service.idempotency import Asked
from forge_api.service.platform import Platform
from forge_api.service.release_view import approval_view, canonical_id, standing
from forge_runtime.release_client import PARTIAL
from forgec import ids

LIFETIME: Final = timedelta(hours=24)


async def create_approval(platform: Platform, asked: Asked, request: CreateApproval) -> tuple[ApprovalView, bool]:
    """The approval, and True if it was made now; who approved already, and whose word still stands, gets that."""
    actor, now = asked.actor, platform.now()
    _check_permission(platform, actor, request.environment)
    known_environment(platform, request.environment)
    async with platform.database.write() as session:
        release = await existing_release(session, request.release_id)
        await release_query.counter(session, ProjectKey(release.repository, release.project))
        if (approval_id := await asked.before(session, now)) is not None:
            earlier = await release_query.approval(session, approval_id)
            assert earlier is not None
            return approval_view(earlier, now), False
        if release.partial:
            raise conflict(f"release {canonical_id(release)} is partial, and cannot be deployed", reason=PARTIAL)
        for approval in await release_query.approvals(session, release.id, request.environment):
            if approval.approver == actor.subject and standing(approval, now) is ApprovalStatus.ACTIVE:
                return approval_view(approval, now), False
        approval = ReleaseApproval(
            id=ids.new_run_id(int(now.timestamp() * 1000), platform.ports.random(10)),
            release_id=release.id,
            environment=request.environment,
            approver=actor.subject,
            approved_at=now,
            expires_at=now + LIFETIME,
            justification=request.justification,
            status=ApprovalStatus.ACTIVE,
        )
        session.add(approval)
        await audit.record(
            session,
            actor,
            "approval.create",
            Resource("approval", approval.id),
            now,
            release=canonical_id(release),
            environment=request.environment,
            justification=request.justification,
        )
        asked.remember(session, approval.id, now)
    return approval_view(approval, now), True


async def list_approvals(platform: Platform, release_id: str, environment: str) -> ApprovalList:
    now = platform.now()
    async with platform.database.read() as session:
        await existing_release(session, release_id)
        found = await release_query.approvals(session, release_id, environment)
    return ApprovalList(approvals=[approval_view(approval, now) for approval in found])


async def revoke_approval(platform: Platform, actor: Actor, approval_id: str) -> None:
    """From now on nothing is deployed by it; what was deployed stays."""
    now = platform.now()
    async with platform.database.write() as session:
        approval = await release_query.approval(session, approval_id, lock=True)
        if approval is None:
            raise not_found(f"approval {approval_id}")
        _check_permission(platform, actor, approval.environment)
        match standing(approval, now):
            case ApprovalStatus.REVOKED:
                return
            case ApprovalStatus.EXPIRED:
                raise conflict("the approval has expired already; there is nothing left to revoke")
            case ApprovalStatus.ACTIVE:
                approval.status = ApprovalStatus.REVOKED
                await audit.record(session, actor, "approval.revoke", Resource("approval", approval.id), now)


def _check_permission(platform: Platform, actor: Actor, environment: str) -> None:
    if not may_approve(actor.subject, actor.principal.role, environment, platform.settings.environments):
        raise forbidden(f"{actor.subject} may not approve releases for {environment}")
