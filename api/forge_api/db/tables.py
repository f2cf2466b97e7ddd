"""The tables. A run has phases, a phase tasks (one per project), a task steps (one per job).

Types fit SQLite and PostgreSQL alike; every constraint has a name, so that migrations can speak of it.
"""

import enum
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from forge_runtime.status import ChildStatus, RunStatus
from forge_runtime.trace import TraceContext, parse_traceparent, span_id_of


class TriggerType(enum.StrEnum):
    PUSH = "push"
    PULL_REQUEST = "pull_request"
    MANUAL = "manual"


class OutboxKind(enum.StrEnum):
    """submit: start the run's workflow. cancel: stop its work. terminate: end what a stop did not end."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    TERMINATE = "terminate"


class UtcDateTime(TypeDecorator[datetime]):
    """A time that knows its zone. SQLite forgets zones, PostgreSQL takes times without one: both are prevented here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Document = dict[str, Any]
DOCUMENT: Final = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
SERIAL: Final = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite counts up only what is called INTEGER."""


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own way to say it
        datetime: UtcDateTime(),
        Document: DOCUMENT,
        str: Text(),
    }


def _one_of(column: str, values: type[enum.StrEnum]) -> CheckConstraint:
    return CheckConstraint(f"{column} IN ({_quoted(values)})", name=column)


def _quoted(values: type[enum.StrEnum] | list[RunStatus]) -> str:
    return ", ".join(f"'{value}'" for value in values)


ACTIVE: Final = [RunStatus.PENDING, RunStatus.DISCOVERING, RunStatus.RUNNING]
_ACTIVE_ROWS: Final = text(f"status IN ({_quoted(ACTIVE)})")


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
        _one_of("status", RunStatus),
        _one_of("trigger_type", TriggerType),
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
        _one_of("status", ChildStatus),
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
    __table_args__ = (UniqueConstraint("phase_id", "project_name"), _one_of("status", ChildStatus))

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    phase_id: Mapped[str] = mapped_column(ForeignKey("phase.id"))
    project_name: Mapped[str]
    project_path: Mapped[str]
    status: Mapped[str]
    error: Mapped[Document | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]


class Step(Base):
    """`attempt`: how often a worker began it, 0 before the first. `position`: its place in the plan's order."""

    __tablename__ = "step"
    __table_args__ = (
        UniqueConstraint("task_id", "name"),
        _one_of("status", ChildStatus),
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


class OutboxEntry(Base):
    """What must still happen outside the database; written in the transaction that decided it."""

    __tablename__ = "outbox"
    __table_args__ = (Index(None, "done_at", "next_at"), _one_of("kind", OutboxKind))

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
    kind: Mapped[str]
    tries: Mapped[int]
    next_at: Mapped[datetime]
    done_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class IdempotencyKey(Base):
    """A caller's key, what it was used for, and the run it made."""

    __tablename__ = "idempotency_key"

    key: Mapped[str] = mapped_column(primary_key=True)
    request_digest: Mapped[str]
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id"))
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
