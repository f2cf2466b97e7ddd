"""Rows of releases, deployments and approvals as replies."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import release_query
from forge_api.db.release_tables import (
    ApprovalStatus,
    Deployment,
    Release,
    ReleaseAlias,
    ReleaseApproval,
    ReleaseArtifact,
    ReleaseTrigger,
)
from forge_api.db.tables import Run
from forge_api.release_wire import (
    AliasView,
    ApprovalView,
    ArtifactView,
    DeploymentView,
    PublishedView,
    RegisteredView,
    ReleaseSummary,
    ReleaseView,
    TriggerView,
)
from forge_api.wire import DeploymentOfRun, ReleaseOfRun
from forgec import ids


def release_summary(release: Release, aliases: Sequence[ReleaseAlias]) -> ReleaseSummary:
    return ReleaseSummary(**_fields(release, aliases))


def registered_view(release: Release, aliases: Sequence[ReleaseAlias], auto_deploy: Sequence[str]) -> RegisteredView:
    return RegisteredView(**_fields(release, aliases), auto_deploy=list(auto_deploy))


def release_view(
    release: Release,
    aliases: Sequence[ReleaseAlias],
    trigger: ReleaseTrigger,
    artifacts: Sequence[ReleaseArtifact],
) -> ReleaseView:
    return ReleaseView(
        **_fields(release, aliases),
        alias_types=[AliasView.model_validate(alias, from_attributes=True) for alias in aliases],
        trigger=TriggerView.model_validate(trigger, from_attributes=True),
        artifacts=[_artifact_view(artifact) for artifact in artifacts],
    )


def deployment_view(deployment: Deployment) -> DeploymentView:
    fields = {name: getattr(deployment, name) for name in DeploymentView.model_fields if name != "deployment_id"}
    return DeploymentView(**fields, deployment_id=deployment.id)


def approval_view(approval: ReleaseApproval, now: datetime) -> ApprovalView:
    return ApprovalView(
        approval_id=approval.id,
        release_id=approval.release_id,
        environment=approval.environment,
        approver=approval.approver,
        approved_at=approval.approved_at,
        expires_at=approval.expires_at,
        justification=approval.justification,
        status=standing(approval, now).value,
    )


def standing(approval: ReleaseApproval, now: datetime) -> ApprovalStatus:
    """What an approval is worth now: the clock ends one that nobody revoked."""
    over = approval.expires_at is not None and approval.expires_at <= now
    if approval.status == ApprovalStatus.ACTIVE and over:
        return ApprovalStatus.EXPIRED
    return ApprovalStatus(approval.status)


async def releases_of_run(session: AsyncSession, run: Run) -> list[ReleaseOfRun]:
    """What a run released, or found released, with where that is."""
    found = await release_query.releases_of_run(session, run.id, run.repository, run.commit_sha, ids.RELEASE_PHASE)
    if not found:
        return []
    release_ids = [release.id for release in found]
    aliases = await release_query.aliases(session, release_ids)
    deployments = await release_query.deployments_of_releases(session, release_ids)
    return [
        ReleaseOfRun(
            **{name: value for name, value in _fields(release, aliases).items() if name in ReleaseOfRun.model_fields},
            deployments=[
                DeploymentOfRun.model_validate(deployment, from_attributes=True)
                for deployment in deployments
                if deployment.release_id == release.id
            ],
        )
        for release in found
    ]


def canonical_id(release: Release) -> str:
    return f"{release.repository}/{release.project}/{release.commit_sha}"


def _artifact_view(artifact: ReleaseArtifact) -> ArtifactView:
    return ArtifactView.model_validate(
        {
            "name": artifact.artifact_name,
            "type": artifact.artifact_type,
            "tracking_oci_uri": artifact.tracking_oci_uri,
            "tracking_oci_digest": artifact.tracking_oci_digest,
            "primary_published_uri": artifact.primary_published_uri,
            "published": [PublishedView.model_validate(published) for published in artifact.published],
        }
    )


def _fields(release: Release, aliases: Sequence[ReleaseAlias]) -> dict[str, Any]:
    own = {name: getattr(release, name) for name in ReleaseSummary.model_fields if hasattr(release, name)}
    names = [alias.alias for alias in aliases if alias.release_id == release.id]
    return own | {"canonical_id": canonical_id(release), "aliases": names}
