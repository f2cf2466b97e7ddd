"""Runs and what is below them, repositories, the outbox, idempotency keys, the audit log.

Types are spelt out and not taken from tables.py: a migration says what the schema was, whatever it becomes.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

ID = sa.Uuid(as_uuid=False)
TIME = sa.DateTime(timezone=True)
DOCUMENT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CHILD_STATUS = "status IN ('pending', 'running', 'succeeded', 'failed', 'skipped', 'cancelled')"
ACTIVE = sa.text("status IN ('pending', 'discovering', 'running')")


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource_type", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("details", DOCUMENT, nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_event"),
    )
    op.create_index("ix_audit_event_actor_at", "audit_event", ["actor", "at"])
    op.create_index(
        "ix_audit_event_resource_type_resource_id_at", "audit_event", ["resource_type", "resource_id", "at"]
    )
    op.create_table(
        "repository",
        sa.Column("full_name", sa.Text(), nullable=False),
        sa.Column("github_repository_id", sa.BigInteger(), nullable=True),
        sa.Column("clone_url", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("max_concurrent_runs", sa.Integer(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("full_name", name="pk_repository"),
        sa.UniqueConstraint("github_repository_id", name="uq_repository_github_repository_id"),
    )
    op.create_table(
        "run",
        sa.Column("id", ID, nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("clone_url", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.Column("tag", sa.Text(), nullable=True),
        sa.Column("commit_sha", sa.String(length=40), nullable=False),
        sa.Column("trigger_type", sa.Text(), nullable=False),
        sa.Column("triggered_by", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("github_context", DOCUMENT, nullable=True),
        sa.Column("argo_workflow_name", sa.Text(), nullable=False),
        sa.Column("plan_digest", sa.Text(), nullable=True),
        sa.Column("discovery_digest", sa.Text(), nullable=True),
        sa.Column("discovery_output", DOCUMENT, nullable=True),
        sa.Column("error", DOCUMENT, nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("completed_at", TIME, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status IN ('pending', 'discovering', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_run_status"),
        ),
        sa.CheckConstraint("trigger_type IN ('push', 'pull_request', 'manual')", name=op.f("ck_run_trigger_type")),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_run_attempt")),
        sa.ForeignKeyConstraint(["repository"], ["repository.full_name"], name="fk_run_repository"),
        sa.PrimaryKeyConstraint("id", name="pk_run"),
        sa.UniqueConstraint(
            "repository", "commit_sha", "ref", "attempt", name="uq_run_repository_commit_sha_ref_attempt"
        ),
    )
    op.create_index("ix_run_created_at_id", "run", ["created_at", "id"])
    op.create_index("ix_run_repository_branch_created_at", "run", ["repository", "branch", "created_at"])
    op.create_index("ix_run_status_started_at", "run", ["status", "started_at"])
    op.create_index(
        "uq_run_active",
        "run",
        ["repository", "commit_sha", "ref"],
        unique=True,
        sqlite_where=ACTIVE,
        postgresql_where=ACTIVE,
    )
    op.create_table(
        "idempotency_key",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_digest", sa.Text(), nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_idempotency_key_run_id"),
        sa.PrimaryKeyConstraint("key", name="pk_idempotency_key"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", TIME, nullable=False),
        sa.Column("done_at", TIME, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("kind IN ('submit', 'cancel', 'terminate')", name=op.f("ck_outbox_kind")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_outbox_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    op.create_index("ix_outbox_done_at_next_at", "outbox", ["done_at", "next_at"])
    op.create_table(
        "phase",
        sa.Column("id", ID, nullable=False),
        sa.Column("run_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("group_number", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("completed_at", TIME, nullable=True),
        sa.CheckConstraint(CHILD_STATUS, name=op.f("ck_phase_status")),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name="fk_phase_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_phase"),
        sa.UniqueConstraint("run_id", "name", name="uq_phase_run_id_name"),
    )
    op.create_index("ix_phase_run_id_group_number", "phase", ["run_id", "group_number"])
    op.create_table(
        "task",
        sa.Column("id", ID, nullable=False),
        sa.Column("phase_id", ID, nullable=False),
        sa.Column("project_name", sa.Text(), nullable=False),
        sa.Column("project_path", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("error", DOCUMENT, nullable=True),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("completed_at", TIME, nullable=True),
        sa.CheckConstraint(CHILD_STATUS, name=op.f("ck_task_status")),
        sa.ForeignKeyConstraint(["phase_id"], ["phase.id"], name="fk_task_phase_id"),
        sa.PrimaryKeyConstraint("id", name="pk_task"),
        sa.UniqueConstraint("phase_id", "project_name", name="uq_task_phase_id_project_name"),
    )
    op.create_table(
        "step",
        sa.Column("id", ID, nullable=False),
        sa.Column("task_id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("logs_s3_key", sa.Text(), nullable=True),
        sa.Column("error", DOCUMENT, nullable=True),
        sa.Column("started_at", TIME, nullable=True),
        sa.Column("completed_at", TIME, nullable=True),
        sa.CheckConstraint(CHILD_STATUS, name=op.f("ck_step_status")),
        sa.CheckConstraint("attempt >= 0", name=op.f("ck_step_attempt")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name="fk_step_task_id"),
        sa.PrimaryKeyConstraint("id", name="pk_step"),
        sa.UniqueConstraint("task_id", "name", name="uq_step_task_id_name"),
    )


def downgrade() -> None:
    for table in ("audit_event", "step", "task", "phase", "outbox", "idempotency_key", "run", "repository"):
        op.drop_table(table)
