"""Releases, their aliases, triggers, artifacts, approvals and deployments; what the outbox owes to a deployment.

Idempotency keys stand for anything now, not for runs alone. They live a day, so the old ones are dropped: what a run is
for (repository, commit, reference) keeps it from being made twice.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

ID = sa.Uuid(as_uuid=False)
TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ACTIVE = sa.text("status = 'active'")
OPEN = sa.text("status IN ('pending', 'active')")
OLD_KINDS = "kind IN ('submit', 'cancel', 'terminate')"
KINDS = "kind IN ('submit', 'cancel', 'terminate', 'deploy')"


def upgrade() -> None:
    _releases()
    _deployments()
    _idempotency_keys()
    _outbox()


def _releases() -> None:
    op.create_table(
        "release",
        sa.Column("id", ID, nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("commit_sha", sa.String(length=40), nullable=False),
        sa.Column("release_number", sa.Integer(), nullable=False),
        sa.Column("pipeline_run_id", ID, nullable=True),
        sa.Column("oci_uri", sa.Text(), nullable=False),
        sa.Column("oci_digest", sa.String(length=71), nullable=False),
        sa.Column("partial", sa.Boolean(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.CheckConstraint("release_number >= 1", name=op.f("ck_release_release_number")),
        sa.ForeignKeyConstraint(["repository"], ["repository.full_name"], name="fk_release_repository"),
        sa.ForeignKeyConstraint(["pipeline_run_id"], ["run.id"], name="fk_release_pipeline_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_release"),
        sa.UniqueConstraint("repository", "project", "commit_sha", name="uq_release_repository_project_commit_sha"),
        sa.UniqueConstraint(
            "repository", "project", "release_number", name="uq_release_repository_project_release_number"
        ),
    )
    op.create_index("ix_release_created_at", "release", ["created_at"])
    op.create_index("ix_release_pipeline_run_id", "release", ["pipeline_run_id"])
    op.create_table(
        "release_counter",
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.CheckConstraint("last >= 0", name=op.f("ck_release_counter_last")),
        sa.ForeignKeyConstraint(["repository"], ["repository.full_name"], name="fk_release_counter_repository"),
        sa.PrimaryKeyConstraint("repository", "project", name="pk_release_counter"),
    )
    op.create_table(
        "release_alias",
        sa.Column("id", ID, nullable=False),
        sa.Column("release_id", ID, nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("alias_type", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "alias_type IN ('numeric', 'tag', 'branch', 'custom')", name=op.f("ck_release_alias_alias_type")
        ),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_release_alias_release_id"),
        sa.PrimaryKeyConstraint("id", name="pk_release_alias"),
        sa.UniqueConstraint("release_id", "alias", name="uq_release_alias_release_id_alias"),
        sa.UniqueConstraint("repository", "project", "alias", name="uq_release_alias_repository_project_alias"),
    )
    op.create_index("ix_release_alias_alias_alias_type", "release_alias", ["alias", "alias_type"])
    op.create_table(
        "release_trigger",
        sa.Column("release_id", ID, nullable=False),
        sa.Column("trigger_type", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.Column("tag", sa.Text(), nullable=True),
        sa.Column("triggered_by", sa.Text(), nullable=False),
        sa.Column("triggered_at", TIME, nullable=False),
        sa.CheckConstraint(
            "trigger_type IN ('branch_push', 'tag', 'manual')", name=op.f("ck_release_trigger_trigger_type")
        ),
        sa.CheckConstraint(
            "(trigger_type = 'branch_push' AND branch IS NOT NULL AND tag IS NULL)"
            " OR (trigger_type = 'tag' AND branch IS NULL AND tag IS NOT NULL)"
            " OR (trigger_type = 'manual' AND branch IS NULL AND tag IS NULL)",
            name=op.f("ck_release_trigger_names"),
        ),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_release_trigger_release_id"),
        sa.PrimaryKeyConstraint("release_id", name="pk_release_trigger"),
    )
    op.create_table(
        "release_artifact",
        sa.Column("id", ID, nullable=False),
        sa.Column("release_id", ID, nullable=False),
        sa.Column("artifact_name", sa.Text(), nullable=False),
        sa.Column("artifact_type", sa.Text(), nullable=False),
        sa.Column("tracking_oci_uri", sa.Text(), nullable=False),
        sa.Column("tracking_oci_digest", sa.String(length=71), nullable=False),
        sa.Column("primary_published_uri", sa.Text(), nullable=True),
        sa.Column("published", DOCUMENT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint(
            "artifact_type IN ('container', 'binary', 'archive')", name=op.f("ck_release_artifact_artifact_type")
        ),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_release_artifact_release_id"),
        sa.PrimaryKeyConstraint("id", name="pk_release_artifact"),
        sa.UniqueConstraint("release_id", "artifact_name", name="uq_release_artifact_release_id_artifact_name"),
    )


def _deployments() -> None:
    op.create_table(
        "release_approval",
        sa.Column("id", ID, nullable=False),
        sa.Column("release_id", ID, nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("approver", sa.Text(), nullable=False),
        sa.Column("approved_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=True),
        sa.Column("justification", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.CheckConstraint("status IN ('active', 'expired', 'revoked')", name=op.f("ck_release_approval_status")),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_release_approval_release_id"),
        sa.PrimaryKeyConstraint("id", name="pk_release_approval"),
    )
    op.create_index("ix_release_approval_release_id_environment", "release_approval", ["release_id", "environment"])
    op.create_index("ix_release_approval_approver_approved_at", "release_approval", ["approver", "approved_at"])
    op.create_table(
        "deployment",
        sa.Column("id", ID, nullable=False),
        sa.Column("release_id", ID, nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("approval_id", ID, nullable=True),
        sa.Column("requested_at", TIME, nullable=False),
        sa.Column("deployed_by", sa.Text(), nullable=False),
        sa.Column("deployed_at", TIME, nullable=True),
        sa.Column("gitops_commit_sha", sa.String(length=40), nullable=True),
        sa.Column("error", DOCUMENT, nullable=True),
        sa.CheckConstraint(
            "status IN ('pending', 'active', 'superseded', 'failed')", name=op.f("ck_deployment_status")
        ),
        sa.ForeignKeyConstraint(["release_id"], ["release.id"], name="fk_deployment_release_id"),
        sa.ForeignKeyConstraint(["approval_id"], ["release_approval.id"], name="fk_deployment_approval_id"),
        sa.PrimaryKeyConstraint("id", name="pk_deployment"),
    )
    for columns in (["environment", "release_id"], ["environment", "status"], ["release_id", "environment"]):
        op.create_index(f"ix_deployment_{'_'.join(columns)}", "deployment", columns)
    op.create_index(
        "ix_deployment_repository_project_environment_requested_at",
        "deployment",
        ["repository", "project", "environment", "requested_at"],
    )
    op.create_index(
        "uq_deployment_active",
        "deployment",
        ["environment", "repository", "project"],
        unique=True,
        sqlite_where=ACTIVE,
        postgresql_where=ACTIVE,
    )
    op.create_index(
        "uq_deployment_open",
        "deployment",
        ["environment", "release_id"],
        unique=True,
        sqlite_where=OPEN,
        postgresql_where=OPEN,
    )


def _idempotency_keys() -> None:
    op.drop_table("idempotency_key")
    op.create_table(
        "idempotency_key",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency_key"),
    )


def _outbox() -> None:
    """With the old table spelt out, since nothing can read a check constraint back from SQLite."""
    old = sa.Table(
        "outbox",
        sa.MetaData(),
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("done_at", TIME, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint(OLD_KINDS, name=op.f("ck_outbox_kind")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_outbox_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.Index("ix_outbox_done_at_next_at", "done_at", "next_at"),
    )
    with op.batch_alter_table("outbox", copy_from=old) as batch:
        batch.alter_column("run_id", existing_type=ID, nullable=True)
        batch.add_column(sa.Column("deployment_id", ID, nullable=True))
        batch.create_foreign_key("fk_outbox_deployment_id", "deployment", ["deployment_id"], ["id"])
        batch.create_index("ix_outbox_deployment_id", ["deployment_id"])
        batch.drop_constraint(op.f("ck_outbox_kind"), type_="check")
        batch.create_check_constraint(op.f("ck_outbox_kind"), KINDS)
        batch.create_check_constraint(op.f("ck_outbox_run_id"), "(run_id IS NULL) = (kind = 'deploy')")
        batch.create_check_constraint(op.f("ck_outbox_deployment_id"), "(deployment_id IS NULL) = (kind <> 'deploy')")
