"""Deployments: requested within the environment's policy, then active or failed as their jobs went.

A worker's request is carried out by the run that it belongs to. A person's is carried out by the API, which submits the
job itself (carry.py). Of one release in one environment there is one that is pending or active, so whoever asks for it
again gets that.
"""

import logging
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.auth.permission import may_deploy
from forge_api.db import release_query
from forge_api.db.release_query import ProjectKey
from forge_api.db.release_tables import ApprovalStatus, Deployment, DeploymentStatus, Release
from forge_api.db.tables import OutboxEntry, OutboxKind
from forge_api.environment import Environment, refusal
from forge_api.problem import conflict, forbidden, invalid, not_found
from forge_api.release_wire import CreateDeployment, DeploymentPage, DeploymentView, PutDeploymentStatus
from forge_api.service import audit
from forge_api.service.audit import Actor, Resource
from forge_api.service.idempotency import Asked
from forge_api.service.platform import Platform
from forge_api.service.release import later_release, origins_of
from forge_api.service.release_view import canonical_id, deployment_view, standing
from forge_runtime.release_client import APPROVAL, PARTIAL, POLICY
from forge_runtime.status import DEPLOYMENT, Change, Refused, Same, next_status, reach
from forgec import ids

_log = logging.getLogger(__name__)
_FAILED: Final = {"code": "INTERNAL", "message": "the deployment failed", "component": "api", "class": "internal"}


async def create_deployment(platform: Platform, asked: Asked, request: CreateDeployment) -> tuple[DeploymentView, bool]:
    """The deployment, and True if it was made now."""
    actor, now = asked.actor, platform.now()
    environment = permitted_environment(platform, actor, request.environment)
    async with platform.database.write() as session:
        release = await existing_release(session, request.release_id)
        await release_query.counter(session, _key(release))
        if (deployment_id := await asked.before(session, now)) is not None:
            return deployment_view(await _existing(session, deployment_id)), False
        deployment = await release_query.open_deployment(session, release.id, environment.name)
        created = deployment is None
        if deployment is None:
            await _check_policy(session, actor, environment, release)
            await _check_approval(session, actor, environment, request, now)
            deployment = await _new_deployment(platform, session, asked, request, release)
            session.add(deployment)
            await session.flush()
            await audit.record(
                session,
                actor,
                "deployment.create",
                Resource("deployment", deployment.id),
                now,
                release=canonical_id(release),
                environment=environment.name,
                approval_id=request.approval_id,
            )
        if not actor.principal.role.service:
            await _see_to_it(session, deployment, now)
        asked.remember(session, deployment.id, now)
        view = deployment_view(deployment)
    platform.work.set()
    facts = {"deployment_id": view.id, "environment": view.environment, "status": view.status}
    _log.info("deployment requested" if created else "deployment was requested already", extra=facts)
    return view, created


async def put_status(
    platform: Platform, actor: Actor, deployment_id: str, request: PutDeploymentStatus
) -> DeploymentView:
    """One arrow of the state table; the same state again changes nothing."""
    now = platform.now()
    async with platform.database.write() as session:
        deployment = await _existing(session, deployment_id)
        await release_query.counter(session, ProjectKey(deployment.repository, deployment.project))
        await session.refresh(deployment)
        verdict = next_status(DEPLOYMENT, deployment.status, request.status)
        if isinstance(verdict, Refused):
            raise conflict(verdict.reason)
        if isinstance(verdict, Same):
            return deployment_view(deployment)
        if request.gitops_commit_sha is not None:
            await activate(session, deployment, request.gitops_commit_sha, now)
        else:
            error = request.error
            fail(deployment, None if error is None else error.model_dump(by_alias=True, exclude_none=True), now)
        await audit.record(
            session, actor, "deployment.put", Resource("deployment", deployment.id), now, status=request.status
        )
        await session.flush()
        return deployment_view(deployment)


async def active_deployment(platform: Platform, key: ProjectKey, environment: str) -> DeploymentView:
    async with platform.database.read() as session:
        deployment = await release_query.active_deployment(session, key, environment)
    if deployment is None:
        raise not_found(f"active deployment of {key} in {environment}")
    return deployment_view(deployment)


async def history(platform: Platform, key: ProjectKey, environment: str, limit: int, offset: int) -> DeploymentPage:
    async with platform.database.read() as session:
        found, total = await release_query.deployments(session, key, environment, limit, offset)
    views = [deployment_view(deployment) for deployment in found]
    return DeploymentPage(deployments=views, total=total, limit=limit, offset=offset)


async def activate(session: AsyncSession, deployment: Deployment, gitops_commit_sha: str, at: datetime) -> None:
    """Its pointer is in the GitOps repository since `at`: it takes the place of one that was asked for before it, or
    steps behind one that was asked for after it. By that order the pointers are written, in whichever order their jobs
    end. One that had failed may also find that its release was asked for `again`. The project's counter is locked."""
    key = ProjectKey(deployment.repository, deployment.project)
    present = await release_query.active_deployment(session, key, deployment.environment)
    again = await release_query.open_deployment(session, deployment.release_id, deployment.environment)
    deployment.deployed_at, deployment.gitops_commit_sha, deployment.error = at, gitops_commit_sha, None
    if any(other is not None and _asked_later(other, deployment) for other in (present, again)):
        deployment.status = DeploymentStatus.SUPERSEDED
        return
    if present is not None:
        present.status = DeploymentStatus.SUPERSEDED
        await session.flush()  # before the other becomes active: at no moment there are two
    deployment.status = DeploymentStatus.ACTIVE


def fail(deployment: Deployment, error: dict[str, Any] | None, at: datetime) -> None:
    deployment.status = DeploymentStatus.FAILED
    deployment.error = error or _FAILED | {"timestamp": at.isoformat()}


def can_become(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether word of this status, however late, changes the deployment."""
    return isinstance(reach(DEPLOYMENT, deployment.status, status), Change)


def permitted_environment(platform: Platform, actor: Actor, name: str) -> Environment:
    """Problem 403 where the caller may not deploy there, 422 where there is no such environment."""
    environments = platform.settings.environments
    if not may_deploy(actor.subject, actor.principal.role, name, environments):
        raise forbidden(f"{actor.subject} may not deploy to {name}", reason=POLICY)
    return known_environment(platform, name)


def known_environment(platform: Platform, name: str) -> Environment:
    environments = platform.settings.environments
    if name not in environments:
        raise invalid("environment", f"there is none of this name; there are {', '.join(environments)}")
    return environments[name]


async def existing_release(session: AsyncSession, release_id: str) -> Release:
    release = await release_query.release(session, release_id)
    if release is None:
        raise not_found(f"release {release_id}")
    return release


def _asked_later(one: Deployment, other: Deployment) -> bool:
    return (one.requested_at, one.id) > (other.requested_at, other.id)


async def _check_policy(session: AsyncSession, actor: Actor, environment: Environment, release: Release) -> None:
    if release.partial:
        raise conflict(
            f"release {canonical_id(release)} is partial: not all of it is published; a new run of its commit may"
            " complete it",
            reason=PARTIAL,
        )
    reason = refusal(environment, await origins_of(session, release))
    if reason is not None:
        raise forbidden(reason, reason=POLICY)
    later = await later_release(session, release, environment.name) if actor.principal.role.service else None
    if later is not None:
        raise forbidden(
            f"{environment.name} has release {later.release_number} already, which is after release"
            f" {release.release_number}; a person may take it back",
            reason=POLICY,
        )


async def _check_approval(
    session: AsyncSession, actor: Actor, environment: Environment, request: CreateDeployment, now: datetime
) -> None:
    if request.approval_id is None:
        if environment.requires_approval:
            raise invalid("approval_id", f"{environment.name} requires an approval", reason=APPROVAL)
        return
    approval = await release_query.approval(session, request.approval_id, lock=True)
    if approval is None or (approval.release_id, approval.environment) != (request.release_id, environment.name):
        raise invalid("approval_id", f"is no approval of this release for {environment.name}", reason=APPROVAL)
    worth = standing(approval, now)
    if worth is not ApprovalStatus.ACTIVE:
        raise invalid("approval_id", f"the approval is {worth}; ask for a new one", reason=APPROVAL)
    if environment.requires_approval and environment.four_eyes and approval.approver == actor.subject:
        raise invalid("approval_id", f"{environment.name} asks for an approval by somebody else", reason=APPROVAL)


async def _new_deployment(
    platform: Platform, session: AsyncSession, asked: Asked, request: CreateDeployment, release: Release
) -> Deployment:
    now, deployer = platform.now(), asked.actor.subject
    if asked.actor.principal.role.service:  # it deploys for whoever caused the release
        deployer = (await release_query.trigger(session, release.id)).triggered_by
    return Deployment(
        id=ids.new_run_id(int(now.timestamp() * 1000), platform.ports.random(10)),
        release_id=release.id,
        repository=release.repository,
        project=release.project,
        environment=request.environment,
        status=DeploymentStatus.PENDING,
        approval_id=request.approval_id,
        requested_at=now,
        deployed_by=deployer,
    )


async def _see_to_it(session: AsyncSession, deployment: Deployment, now: datetime) -> None:
    """That a pending deployment has a job of ours. One of a run may have none any more, and two jobs do no harm: what
    the second writes is there already, and that the first came to nothing is not believed any more (deployed.py)."""
    pending = deployment.status == DeploymentStatus.PENDING
    if pending and not await release_query.entries_of_deployment(session, deployment.id):
        session.add(OutboxEntry(deployment_id=deployment.id, kind=OutboxKind.DEPLOY, tries=0, next_at=now))


async def _existing(session: AsyncSession, deployment_id: str) -> Deployment:
    deployment = await release_query.deployment(session, deployment_id)
    if deployment is None:
        raise not_found(f"deployment {deployment_id}")
    return deployment


def _key(release: Release) -> ProjectKey:
    return ProjectKey(release.repository, release.project)
