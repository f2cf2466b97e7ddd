"""The tables of runs. A run has phases, a phase tasks (one per project), a task steps (one per job).

Releases and deployments have theirs in release_tables.py, and all are made of what schema.py has.
"""

import enum
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from forge_api.db.schema import SERIAL, Base, Document, one_of, quoted
from forge_runtime.status import ChildStatus, RunStatus
from forge_runtime.trace import TraceContext, parse_traceparent, span_id_of


class TriggerType(enum.StrEnum):
    PUSH = "push"
    PULL_REQUEST = "pull_request"
    MANUAL = "manual"


class OutboxKind(enum.StrEnum):
    """submit: start the run's workflow. cancel: stop its work. terminate: end what a stop did not end. deploy: submit
    the job of a deployment that no run carries."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    TERMINATE = "terminate"
    DEPLOY = "deploy"


ACTIVE: Final = [RunStatus.PENDING, RunStatus.DISCOVERING, RunStatus.RUNNING]
_ACTIVE_ROWS: Final = text(f"status IN ({quoted(ACTIVE)})")


class Repository(Base):
    """Who may have runs. `full_name` is owner/name in lower case: hosts do not tell names apart by case."""

    __tablename__ = "repository"

    full_name: Mapped[str] = mapped_column(primary_key=True)
    github_repository_id: Mapped[int | None] = mapped_column(BigInteger, unique=True)
    clone_url: Mapped[str]
    enabled: Mapped[bool]
    max_concurrent_runs: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]


class Run(Base):
    """A pipeline run. `attempt` counts the runs of one (repository, commit, ref); only one of them is ever active."""

    __tablename__ = "run"
    __table_args__ = (
        UniqueConstraint("repository", "commit_sha", "ref", "attempt"),
        Index(
            "uq_run_active",
            "repository",
            "commit_sha",
            "ref",
            unique=True,
            sqlite_where=_ACTIVE_ROWS,
            postgresql_where=_ACTIVE_ROWS,
        ),
        Index(None, "repository", "branch", "created_at"),
        Index(None, "status", "started_at"),
        Index(None, "created_at", "id"),
        one_of("status", RunStatus),
        one_of("trigger_type", TriggerType),
        CheckConstraint("attempt >= 1", name="attempt"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    repository: Mapped[str] = mapped_column(ForeignKey("repository.full_name"))
    clone_url: Mapped[str]
    """As registered when the run was made: a later change does not redirect a run that goes on."""
    ref: Mapped[str]
    """Full name; of a commit that no name was given for, the commit itself."""
    branch: Mapped[str | None]
    tag: Mapped[str | None]
    commit_sha: Mapped[str] = mapped_column(String(40))
    trigger_type: Mapped[str]
    triggered_by: Mapped[str]
    status: Mapped[str]
    attempt: Mapped[int]
    github_context: Mapped[Document | None]
    argo_workflow_name: Mapped[str]
    plan_digest: Mapped[str | None]
    discovery_digest: Mapped[str | None]
    discovery_output: Mapped[Document | None] = mapped_column(deferred=True)
    """Up to 1 MB: read only where it is asked for."""
    error: Mapped[Document | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column()
    traceparent: Mapped[str | None] = mapped_column(String(55))
    """The span of the request that made the run."""

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012

    @property
    def trace_id(self) -> str:
        return self.trace.trace_id

    @property
    def trace(self) -> TraceContext:
        """The run's own span: named by its id, in the trace of its request; of an older row, in one named by its id."""
        request = parse_traceparent(self.traceparent)
        span_id = span_id_of(self.id)
        return request.child(span_id) if request else TraceContext(trace_id=self.id.replace("-", ""), span_id=span_id)


class Phase(Base):
    __tablename__ = "phase"
    __table_args__ = (
        UniqueConstraint("run_id", "name"),
        Index(None, "run_id", "group_number"),
        one_of("status", ChildStatus),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
    name: Mapped[str]
    group_number: Mapped[int]
    status: Mapped[str]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


class Task(Base):
    """All steps of one project in one phase."""

    __tablename__ = "task"
    __table_args__ = (UniqueConstraint("phase_id", "project_name"), one_of("status", ChildStatus))

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    phase_id: Mapped[str] = mapped_column(ForeignKey("phase.id"))
    project_name: Mapped[str]
    project_path: Mapped[str]
    status: Mapped[str]
    error: Mapped[Document | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


DEPLOYMENT_ACTION: Final = "deployment"
"""A user's step has another: `earthly`."""


class Step(Base):
    """`attempt`: how often a worker began it, 0 before the first. `position`: its place in the plan's order."""

    __tablename__ = "step"
    __table_args__ = (
        UniqueConstraint("task_id", "name"),
        one_of("status", ChildStatus),
        CheckConstraint("attempt >= 0", name="attempt"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    task_id: Mapped[str] = mapped_column(ForeignKey("task.id"))
    name: Mapped[str]
    position: Mapped[int]
    action: Mapped[str]
    target: Mapped[str]
    status: Mapped[str]
    attempt: Mapped[int]
    worker: Mapped[str | None]
    exit_code: Mapped[int | None]
    logs_s3_key: Mapped[str | None]
    error: Mapped[Document | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]

    @property
    def counted_status(self) -> str:
        """What its task makes of it: a deployment may fail alone, since the release that it was of is out."""
        alone = self.action == DEPLOYMENT_ACTION and self.status == ChildStatus.FAILED
        return ChildStatus.SUCCEEDED if alone else self.status


class OutboxEntry(Base):
    """What must still happen outside the database, with a run or a deployment; written in the transaction that decided
    it."""

    __tablename__ = "outbox"
    __table_args__ = (
        Index(None, "done_at", "next_at"),
        one_of("kind", OutboxKind),
        CheckConstraint("(run_id IS NULL) = (kind = 'deploy')", name="run_id"),
        CheckConstraint("(deployment_id IS NULL) = (kind <> 'deploy')", name="deployment_id"),
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    run_id: Mapped[str | None] = mapped_column(ForeignKey("run.id"))
    kind: Mapped[str]
    tries: Mapped[int]
    next_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    last_error: Mapped[str | None]
    deployment_id: Mapped[str | None] = mapped_column(ForeignKey("deployment.id"), index=True)


class IdempotencyKey(Base):
    """A caller's key, what it was used for, and the id of what came of that."""

    __tablename__ = "idempotency_key"

    key: Mapped[str] = mapped_column(primary_key=True)
    request_digest: Mapped[str]
    resource_id: Mapped[str]
    created_at: Mapped[datetime]


class AuditEvent(Base):
    """A write by a caller. Each row's hash covers the one before, so a changed or missing row shows."""

    __tablename__ = "audit_event"
    __table_args__ = (Index(None, "resource_type", "resource_id", "at"), Index(None, "actor", "at"))

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    at: Mapped[datetime]
    actor: Mapped[str]
    action: Mapped[str]
    resource_type: Mapped[str]
    resource_id: Mapped[str]
    request_id: Mapped[str]
    details: Mapped[Document]
    previous_hash: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
