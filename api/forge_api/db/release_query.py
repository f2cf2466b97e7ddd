"""Every SELECT of releases, deployments and approvals, by name; as query.py is for runs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db.release_tables import (
    OPEN,
    Deployment,
    DeploymentStatus,
    Release,
    ReleaseAlias,
    ReleaseApproval,
    ReleaseArtifact,
    ReleaseCounter,
    ReleaseTrigger,
)
from forge_api.db.tables import OutboxEntry, Phase, Task


@dataclass(frozen=True, slots=True)
class ProjectKey:
    """A project of a repository, whose name is folded."""

    repository: str
    project: str

    def __str__(self) -> str:
        return f"{self.repository}/{self.project}"


async def counter(session: AsyncSession, key: ProjectKey) -> ReleaseCounter:
    """The project's counter, made if there is none, and locked until the transaction ends."""
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    new = insert(ReleaseCounter).values(repository=key.repository, project=key.project, last=0)
    await session.execute(new.on_conflict_do_nothing())
    query = select(ReleaseCounter).where(
        ReleaseCounter.repository == key.repository, ReleaseCounter.project == key.project
    )
    return (await session.scalars(query.with_for_update().execution_options(populate_existing=True))).one()


async def release(session: AsyncSession, release_id: str) -> Release | None:
    found: Release | None = await session.get(Release, release_id)
    return found


async def release_of_commit(session: AsyncSession, key: ProjectKey, commit_sha: str) -> Release | None:
    found: Release | None = await session.scalar(
        select(Release).where(*_of_project(key), Release.commit_sha == commit_sha)
    )
    return found


async def release_of_alias(session: AsyncSession, key: ProjectKey, alias: str) -> Release | None:
    found: Release | None = await session.scalar(
        select(Release)
        .join(ReleaseAlias, ReleaseAlias.release_id == Release.id)
        .where(
            ReleaseAlias.repository == key.repository,
            ReleaseAlias.project == key.project,
            ReleaseAlias.alias == alias,
        )
    )
    return found


async def release_of_number(session: AsyncSession, key: ProjectKey, number: int) -> Release | None:
    found: Release | None = await session.scalar(
        select(Release).where(*_of_project(key), Release.release_number == number)
    )
    return found


async def releases_of_prefix(session: AsyncSession, key: ProjectKey, prefix: str, limit: int) -> Sequence[Release]:
    """Those whose commit begins so; the prefix is hexadecimal."""
    query = select(Release).where(*_of_project(key), Release.commit_sha.startswith(prefix))
    return (await session.scalars(query.order_by(Release.commit_sha).limit(limit))).all()


async def releases(session: AsyncSession, key: ProjectKey, limit: int, offset: int) -> tuple[Sequence[Release], int]:
    """A page of a project's releases, newest first, and how many there are in all."""
    total = await session.scalar(select(func.count()).select_from(Release).where(*_of_project(key))) or 0
    page = select(Release).where(*_of_project(key)).order_by(Release.release_number.desc()).limit(limit).offset(offset)
    return (await session.scalars(page)).all(), total


async def releases_of_ids(session: AsyncSession, release_ids: Collection[str]) -> Sequence[Release]:
    query = select(Release).where(Release.id.in_(release_ids)).order_by(Release.project, Release.id)
    return (await session.scalars(query)).all()


async def releases_of_run(
    session: AsyncSession, run_id: str, repository: str, commit_sha: str, phase: str
) -> Sequence[Release]:
    """Those that the run registered, and of its commit those of the projects that it has in this phase."""
    worked_on = (
        select(Task.project_name)
        .join(Phase, Task.phase_id == Phase.id)
        .where(Phase.run_id == run_id, Phase.name == phase)
    )
    same = (Release.repository == repository) & (Release.commit_sha == commit_sha) & Release.project.in_(worked_on)
    query = select(Release).where(or_(Release.pipeline_run_id == run_id, same)).order_by(Release.project, Release.id)
    return (await session.scalars(query)).all()


async def aliases(session: AsyncSession, release_ids: Collection[str]) -> Sequence[ReleaseAlias]:
    query = select(ReleaseAlias).where(ReleaseAlias.release_id.in_(release_ids))
    return (await session.scalars(query.order_by(ReleaseAlias.alias_type, ReleaseAlias.alias))).all()


async def aliases_named(session: AsyncSession, key: ProjectKey, names: Collection[str]) -> Sequence[ReleaseAlias]:
    query = select(ReleaseAlias).where(
        ReleaseAlias.repository == key.repository,
        ReleaseAlias.project == key.project,
        ReleaseAlias.alias.in_(names),
    )
    return (await session.scalars(query)).all()


async def trigger(session: AsyncSession, release_id: str) -> ReleaseTrigger:
    found = await session.get(ReleaseTrigger, release_id)
    assert found is not None, "it is written with its release"
    return found


async def artifacts(session: AsyncSession, release_id: str) -> Sequence[ReleaseArtifact]:
    query = select(ReleaseArtifact).where(ReleaseArtifact.release_id == release_id)
    return (await session.scalars(query.order_by(ReleaseArtifact.artifact_name))).all()


async def deployment(session: AsyncSession, deployment_id: str) -> Deployment | None:
    found: Deployment | None = await session.get(Deployment, deployment_id)
    return found


async def open_deployment(session: AsyncSession, release_id: str, environment: str) -> Deployment | None:
    """Of this release the one that is active there, or on its way."""
    found: Deployment | None = await session.scalar(
        select(Deployment).where(
            Deployment.release_id == release_id, Deployment.environment == environment, Deployment.status.in_(OPEN)
        )
    )
    return found


async def active_deployment(session: AsyncSession, key: ProjectKey, environment: str) -> Deployment | None:
    found: Deployment | None = await session.scalar(
        select(Deployment).where(
            Deployment.environment == environment,
            Deployment.repository == key.repository,
            Deployment.project == key.project,
            Deployment.status == DeploymentStatus.ACTIVE,
        )
    )
    return found


async def active_release(session: AsyncSession, key: ProjectKey, environment: str) -> Release | None:
    found: Release | None = await session.scalar(
        select(Release)
        .join(Deployment, Deployment.release_id == Release.id)
        .where(*_of_project(key), Deployment.environment == environment, Deployment.status == DeploymentStatus.ACTIVE)
    )
    return found


async def deployments(
    session: AsyncSession, key: ProjectKey, environment: str, limit: int, offset: int
) -> tuple[Sequence[Deployment], int]:
    """A page of a project's deployments in an environment, newest first, and how many there are in all."""
    conditions = (
        Deployment.repository == key.repository,
        Deployment.project == key.project,
        Deployment.environment == environment,
    )
    total = await session.scalar(select(func.count()).select_from(Deployment).where(*conditions)) or 0
    newest_first = (Deployment.requested_at.desc(), Deployment.id.desc())
    page = select(Deployment).where(*conditions).order_by(*newest_first).limit(limit).offset(offset)
    return (await session.scalars(page)).all(), total


async def deployments_of_releases(session: AsyncSession, release_ids: Collection[str]) -> Sequence[Deployment]:
    query = select(Deployment).where(Deployment.release_id.in_(release_ids))
    return (await session.scalars(query.order_by(Deployment.requested_at, Deployment.id))).all()


async def pending_by_hand(session: AsyncSession) -> Sequence[str]:
    """Ids of the pending deployments whose jobs the API submits itself, oldest first."""
    submitted = select(OutboxEntry.id).where(OutboxEntry.deployment_id == Deployment.id).exists()
    query = select(Deployment.id).where(Deployment.status == DeploymentStatus.PENDING, submitted)
    return (await session.scalars(query.order_by(Deployment.requested_at, Deployment.id))).all()


async def submit_again(session: AsyncSession, deployment_id: str, now: datetime) -> None:
    """Make what was done with the deployment's entry due once more; one that is not done yet stays as it is."""
    entry = update(OutboxEntry).where(OutboxEntry.deployment_id == deployment_id, OutboxEntry.done_at.is_not(None))
    await session.execute(entry.values(done_at=None, tries=0, next_at=now))


async def unsubmitted(session: AsyncSession, release_ids: Collection[str]) -> Sequence[Deployment]:
    """Pending deployments of these releases whose jobs the API does not submit itself."""
    submitted = select(OutboxEntry.id).where(OutboxEntry.deployment_id == Deployment.id).exists()
    query = select(Deployment).where(
        Deployment.release_id.in_(release_ids), Deployment.status == DeploymentStatus.PENDING, ~submitted
    )
    return (await session.scalars(query.order_by(Deployment.id))).all()


async def entries_of_deployment(session: AsyncSession, deployment_id: str) -> int:
    query = select(func.count()).select_from(OutboxEntry).where(OutboxEntry.deployment_id == deployment_id)
    return await session.scalar(query) or 0


async def approval(session: AsyncSession, approval_id: str, *, lock: bool = False) -> ReleaseApproval | None:
    """Locked, it is not revoked while somebody relies on it."""
    found: ReleaseApproval | None = await session.get(ReleaseApproval, approval_id, with_for_update=lock or None)
    return found


async def approvals(session: AsyncSession, release_id: str, environment: str) -> Sequence[ReleaseApproval]:
    query = select(ReleaseApproval).where(
        ReleaseApproval.release_id == release_id, ReleaseApproval.environment == environment
    )
    newest_first = (ReleaseApproval.approved_at.desc(), ReleaseApproval.id.desc())
    return (await session.scalars(query.order_by(*newest_first))).all()


def _of_project(key: ProjectKey) -> tuple[ColumnElement[bool], ...]:
    return (Release.repository == key.repository, Release.project == key.project)
