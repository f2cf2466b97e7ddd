"""The tables of releases: what was released, where it is deployed, who approved it.

    release  1-1 trigger   1-N aliases, artifacts, deployments, approvals       counter: one row a project

A project's counter is also its lock. Whoever numbers a release or makes a deployment active holds that row until the
transaction ends: so numbers have no gaps, since one that is rolled back was never taken, and of two deployments that
become active together one comes first.
"""

import enum
from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from forge_api.db.schema import DOCUMENT, Base, Document, one_of, quoted


class ReleaseTriggerType(enum.StrEnum):
    BRANCH_PUSH = "branch_push"
    TAG = "tag"
    MANUAL = "manual"


class AliasType(enum.StrEnum):
    NUMERIC = "numeric"
    TAG = "tag"
    BRANCH = "branch"
    CUSTOM = "custom"


class ArtifactType(enum.StrEnum):
    CONTAINER = "container"
    BINARY = "binary"
    ARCHIVE = "archive"


class DeploymentStatus(enum.StrEnum):
    """active: its pointer is in the GitOps repository. superseded: that of a later deployment is."""

    PENDING = "pending"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class ApprovalStatus(enum.StrEnum):
    """As stored, `active` also after it expired: the clock says that, and nobody writes it down."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


_ACTIVE: Final = text(f"status = '{DeploymentStatus.ACTIVE}'")
OPEN: Final = [DeploymentStatus.PENDING, DeploymentStatus.ACTIVE]
_OPEN: Final = text(f"status IN ({quoted(OPEN)})")
_FITTING_NAMES: Final = (
    "(trigger_type = 'branch_push' AND branch IS NOT NULL AND tag IS NULL)"
    " OR (trigger_type = 'tag' AND branch IS NULL AND tag IS NOT NULL)"
    " OR (trigger_type = 'manual' AND branch IS NULL AND tag IS NULL)"
)


class Release(Base):
    """One project at one commit. A `partial` one lacks something that a publisher should have published."""

    __tablename__ = "release"
    __table_args__ = (
        UniqueConstraint("repository", "project", "commit_sha"),
        UniqueConstraint("repository", "project", "release_number"),
        Index(None, "created_at"),
        Index(None, "pipeline_run_id"),
        CheckConstraint("release_number >= 1", name="release_number"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    repository: Mapped[str] = mapped_column(ForeignKey("repository.full_name"))
    project: Mapped[str]
    commit_sha: Mapped[str] = mapped_column(String(40))
    release_number: Mapped[int]
    pipeline_run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id"))
    oci_uri: Mapped[str]
    oci_digest: Mapped[str] = mapped_column(String(71))
    partial: Mapped[bool]
    created_at: Mapped[datetime]
    created_by: Mapped[str]


class ReleaseCounter(Base):
    """The number of a project's newest release, 0 before the first."""

    __tablename__ = "release_counter"
    __table_args__ = (CheckConstraint("last >= 0", name="last"),)

    repository: Mapped[str] = mapped_column(ForeignKey("repository.full_name"), primary_key=True)
    project: Mapped[str] = mapped_column(primary_key=True)
    last: Mapped[int]


class ReleaseAlias(Base):
    """A name of a release, which no other release of its project has; of a branch's the branch as it is called."""

    __tablename__ = "release_alias"
    __table_args__ = (
        UniqueConstraint("release_id", "alias"),
        UniqueConstraint("repository", "project", "alias"),
        Index(None, "alias", "alias_type"),
        one_of("alias_type", AliasType),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    release_id: Mapped[str] = mapped_column(ForeignKey("release.id"))
    repository: Mapped[str]
    project: Mapped[str]
    alias: Mapped[str]
    alias_type: Mapped[str]
    branch: Mapped[str | None]


class ReleaseTrigger(Base):
    """Why there is the release: of branch and tag the one that fits the type."""

    __tablename__ = "release_trigger"
    __table_args__ = (
        one_of("trigger_type", ReleaseTriggerType),
        CheckConstraint(_FITTING_NAMES, name="names"),
    )

    release_id: Mapped[str] = mapped_column(ForeignKey("release.id"), primary_key=True)
    trigger_type: Mapped[str]
    branch: Mapped[str | None]
    tag: Mapped[str | None]
    triggered_by: Mapped[str]
    triggered_at: Mapped[datetime]


class ReleaseArtifact(Base):
    """`published`: [{publisher, status, uri, metadata}]. All else that is known of it lies in its tracking image."""

    __tablename__ = "release_artifact"
    __table_args__ = (UniqueConstraint("release_id", "artifact_name"), one_of("artifact_type", ArtifactType))

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    release_id: Mapped[str] = mapped_column(ForeignKey("release.id"))
    artifact_name: Mapped[str]
    artifact_type: Mapped[str]
    tracking_oci_uri: Mapped[str]
    tracking_oci_digest: Mapped[str] = mapped_column(String(71))
    primary_published_uri: Mapped[str | None]
    published: Mapped[list[Document]] = mapped_column(DOCUMENT)
    created_at: Mapped[datetime]


class ReleaseApproval(Base):
    __tablename__ = "release_approval"
    __table_args__ = (
        Index(None, "release_id", "environment"),
        Index(None, "approver", "approved_at"),
        one_of("status", ApprovalStatus),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    release_id: Mapped[str] = mapped_column(ForeignKey("release.id"))
    environment: Mapped[str]
    approver: Mapped[str]
    approved_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    justification: Mapped[str]
    status: Mapped[str]


class Deployment(Base):
    """A release in an environment. Of a project one is active there; of a release one is active or on its way."""

    __tablename__ = "deployment"
    __table_args__ = (
        Index(
            "uq_deployment_active",
            "environment",
            "repository",
            "project",
            unique=True,
            sqlite_where=_ACTIVE,
            postgresql_where=_ACTIVE,
        ),
        Index(
            "uq_deployment_open", "environment", "release_id", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN
        ),
        Index(None, "environment", "release_id"),
        Index(None, "environment", "status"),
        Index(None, "release_id", "environment"),
        Index(None, "repository", "project", "environment", "requested_at"),
        one_of("status", DeploymentStatus),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    release_id: Mapped[str] = mapped_column(ForeignKey("release.id"))
    repository: Mapped[str]
    project: Mapped[str]
    environment: Mapped[str]
    status: Mapped[str]
    approval_id: Mapped[str | None] = mapped_column(ForeignKey("release_approval.id"))
    requested_at: Mapped[datetime]
    deployed_by: Mapped[str]
    deployed_at: Mapped[datetime | None]
    gitops_commit_sha: Mapped[str | None] = mapped_column(String(40))
    error: Mapped[Document | None]
