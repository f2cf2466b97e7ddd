"""Every SELECT of the API, by name. A `lock` holds the row until the transaction ends (SQLite locks all anyway)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Row, case, func, literal_column, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db.schema import Document
from forge_api.db.tables import (
    ACTIVE,
    DEPLOYMENT_ACTION,
    AuditEvent,
    IdempotencyKey,
    OutboxEntry,
    Phase,
    Repository,
    Run,
    Step,
    Task,
)
from forge_runtime.status import ChildStatus, RunStatus

_AUDIT_LOCK: Final = 0x666F726765_01
"""Any number that nobody else locks in this database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    repository: str | None = None
    branch: str | None = None
    commit_sha: str | None = None
    status: str | None = None
    trigger_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """`since` is within, `until` is not."""

    actor: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a parent's status follows from: a child's status and times, or those of several children at once."""

    status: str
    started_at: datetime | None
    completed_at: datetime | None


async def repository(session: AsyncSession, full_name: str, *, lock: bool = False) -> Repository | None:
    found: Repository | None = await session.get(Repository, full_name, with_for_update=lock or None)
    return found


async def repository_by_github_id(session: AsyncSession, github_id: int) -> Repository | None:
    found: Repository | None = await session.scalar(
        select(Repository).where(Repository.github_repository_id == github_id)
    )
    return found


async def run(session: AsyncSession, run_id: str, *, lock: bool = False) -> Run | None:
    """Whoever changes anything of a run locks its row first: so changes of one run come one after another."""
    found: Run | None = await session.get(Run, run_id, with_for_update=lock or None)
    return found


async def discovery_output(session: AsyncSession, run_id: str) -> Document | None:
    found: Document | None = await session.scalar(select(Run.discovery_output).where(Run.id == run_id))
    return found


async def latest_run(session: AsyncSession, repository: str, commit_sha: str, ref: str) -> Run | None:
    found: Run | None = await session.scalar(
        select(Run)
        .where(Run.repository == repository, Run.commit_sha == commit_sha, Run.ref == ref)
        .order_by(Run.attempt.desc())
        .limit(1)
    )
    return found


async def push_run(session: AsyncSession, repository: str, commit_sha: str, branch: str) -> Run | None:
    """The newest run that a push of this commit to this branch made, unless it came to nothing."""
    found: Run | None = await session.scalar(
        select(Run)
        .where(Run.repository == repository, Run.commit_sha == commit_sha, Run.branch == branch)
        .where(Run.trigger_type == "push", Run.status.in_([*ACTIVE, RunStatus.SUCCEEDED]))
        .order_by(Run.created_at.desc())
        .limit(1)
    )
    return found


async def active_runs(session: AsyncSession, repository: str | None = None) -> int:
    """How many runs have not ended, of a repository or of all."""
    query = select(func.count()).select_from(Run).where(Run.status.in_(ACTIVE))
    if repository is not None:
        query = query.where(Run.repository == repository)
    return await session.scalar(query) or 0


async def runs(session: AsyncSession, filters: RunFilter, limit: int, offset: int) -> tuple[Sequence[Run], int]:
    """A page of runs, newest first, and how many there are in all."""
    conditions = _conditions(filters)
    total = await session.scalar(select(func.count()).select_from(Run).where(*conditions)) or 0
    page = select(Run).where(*conditions).order_by(Run.created_at.desc(), Run.id.desc()).limit(limit).offset(offset)
    return (await session.scalars(page)).all(), total


async def unsettled_runs(session: AsyncSession) -> Sequence[str]:
    """Ids of the runs that have not ended, or have ended with rows that are still open; oldest first."""
    still_open = select(Phase.run_id).where(Phase.status.in_([ChildStatus.PENDING, ChildStatus.RUNNING]))
    query = select(Run.id).where(or_(Run.status.in_(ACTIVE), Run.id.in_(still_open))).order_by(Run.created_at)
    return (await session.scalars(query)).all()


async def phases(session: AsyncSession, run_id: str) -> Sequence[Phase]:
    query = select(Phase).where(Phase.run_id == run_id).order_by(Phase.group_number, Phase.name)
    return (await session.scalars(query)).all()


async def tasks(session: AsyncSession, run_id: str) -> Sequence[Task]:
    query = (
        select(Task).join(Phase, Task.phase_id == Phase.id).where(Phase.run_id == run_id).order_by(Task.project_path)
    )
    return (await session.scalars(query)).all()


async def steps(session: AsyncSession, run_id: str) -> Sequence[Step]:
    query = (
        select(Step)
        .join(Task, Step.task_id == Task.id)
        .join(Phase, Task.phase_id == Phase.id)
        .where(Phase.run_id == run_id)
        .order_by(Step.position, Step.name)
    )
    return (await session.scalars(query)).all()


async def run_of_task(session: AsyncSession, task_id: str) -> str | None:
    found: str | None = await session.scalar(
        select(Phase.run_id).join(Task, Task.phase_id == Phase.id).where(Task.id == task_id)
    )
    return found


async def run_of_step(session: AsyncSession, step_id: str) -> str | None:
    found: str | None = await session.scalar(
        select(Phase.run_id)
        .join(Task, Task.phase_id == Phase.id)
        .join(Step, Step.task_id == Task.id)
        .where(Step.id == step_id)
    )
    return found


async def phase(session: AsyncSession, phase_id: str) -> Phase | None:
    found: Phase | None = await session.get(Phase, phase_id)
    return found


async def task(session: AsyncSession, task_id: str) -> Task | None:
    found: Task | None = await session.get(Task, task_id)
    return found


async def tasks_of_ids(session: AsyncSession, task_ids: Collection[str]) -> Sequence[Task]:
    return (await session.scalars(select(Task).where(Task.id.in_(task_ids)))).all()


async def phases_of_ids(session: AsyncSession, phase_ids: Collection[str]) -> Sequence[Phase]:
    return (await session.scalars(select(Phase).where(Phase.id.in_(phase_ids)))).all()


async def steps_of_ids(session: AsyncSession, step_ids: Collection[str]) -> Sequence[Step]:
    return (await session.scalars(select(Step).where(Step.id.in_(step_ids)))).all()


async def standing_of_tasks(session: AsyncSession, phase_ids: Collection[str]) -> Mapping[str, Sequence[Standing]]:
    """By phase: its tasks, those of one status as one."""
    columns = (Task.phase_id, Task.status, func.min(Task.started_at), func.max(Task.completed_at))
    query = select(*columns).where(Task.phase_id.in_(phase_ids)).group_by(Task.phase_id, Task.status)
    return _standings(await session.execute(query))


async def standing_of_steps(session: AsyncSession, task_ids: Collection[str]) -> Mapping[str, Sequence[Standing]]:
    """By task: its steps, those that count for one status as one."""
    alone = (Step.action == DEPLOYMENT_ACTION) & (Step.status == ChildStatus.FAILED)  # as Step.counted_status
    counted = case((alone, literal_column(f"'{ChildStatus.SUCCEEDED}'")), else_=Step.status).label("counted")
    columns = (Step.task_id, counted, func.min(Step.started_at), func.max(Step.completed_at))
    query = select(*columns).where(Step.task_id.in_(task_ids)).group_by(Step.task_id, counted)
    return _standings(await session.execute(query))


def _standings(rows: Iterable[Row[str, str, datetime | None, datetime | None]]) -> dict[str, list[Standing]]:
    found: dict[str, list[Standing]] = {}
    for parent, status, started_at, completed_at in rows:
        found.setdefault(parent, []).append(Standing(status, started_at, completed_at))
    return found


async def steps_of_task(session: AsyncSession, task_id: str) -> Sequence[Step]:
    query = select(Step).where(Step.task_id == task_id).order_by(Step.position, Step.name)
    return (await session.scalars(query)).all()


async def first_failure(session: AsyncSession, run_id: str) -> tuple[Step, Task, Phase] | None:
    """The step by which a run failed first, and where it stands."""
    query = (
        select(Step, Task, Phase)
        .join(Task, Step.task_id == Task.id)
        .join(Phase, Task.phase_id == Phase.id)
        .where(Phase.run_id == run_id, Step.status == ChildStatus.FAILED, Step.action != DEPLOYMENT_ACTION)
        .order_by(Step.completed_at, Step.id)
        .limit(1)
    )
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1], row[2])


async def step(session: AsyncSession, step_id: str) -> Step | None:
    found: Step | None = await session.get(Step, step_id)
    return found


async def place_of_step(session: AsyncSession, step_id: str) -> tuple[Step, Task, Phase] | None:
    query = (
        select(Step, Task, Phase)
        .join(Task, Step.task_id == Task.id)
        .join(Phase, Task.phase_id == Phase.id)
        .where(Step.id == step_id)
    )
    row = (await session.execute(query)).first()
    return None if row is None else (row[0], row[1], row[2])


async def due_entries(session: AsyncSession, now: datetime, limit: int) -> Sequence[OutboxEntry]:
    """Outbox entries whose time has come, in the order they were written."""
    query = (
        select(OutboxEntry)
        .where(OutboxEntry.done_at.is_(None), OutboxEntry.next_at <= now)
        .order_by(OutboxEntry.id)
        .limit(limit)
    )
    return (await session.scalars(query)).all()


async def entry(session: AsyncSession, entry_id: int) -> OutboxEntry | None:
    found: OutboxEntry | None = await session.get(OutboxEntry, entry_id)
    return found


async def open_entries(session: AsyncSession, run_id: str, kind: str) -> int:
    query = select(func.count()).select_from(OutboxEntry)
    query = query.where(OutboxEntry.run_id == run_id, OutboxEntry.kind == kind, OutboxEntry.done_at.is_(None))
    return await session.scalar(query) or 0


async def hold_name(session: AsyncSession, name: str) -> None:
    """Until the transaction ends, wait for whoever holds the same name, also of what has no row yet to be locked.

    SQLite lets in one writer anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(name, 0))))


async def idempotency_key(session: AsyncSession, key: str) -> IdempotencyKey | None:
    found: IdempotencyKey | None = await session.get(IdempotencyKey, key)
    return found


async def last_audit_event(session: AsyncSession) -> AuditEvent | None:
    """Until the transaction ends nobody else gets to know which is the last.

    PostgreSQL would give the row that was the last when it began to wait for it, so there all wait for a lock of ours.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(select(func.pg_advisory_xact_lock(_AUDIT_LOCK)))
    found: AuditEvent | None = await session.scalar(select(AuditEvent).order_by(AuditEvent.id.desc()).limit(1))
    return found


async def audit_chain(session: AsyncSession) -> Sequence[AuditEvent]:
    """Every row, from the first."""
    return (await session.scalars(select(AuditEvent).order_by(AuditEvent.id))).all()


async def audit_events(
    session: AsyncSession, filters: AuditFilter, limit: int, offset: int
) -> tuple[Sequence[AuditEvent], int]:
    """A page of rows, newest first, and how many there are in all."""
    wanted = (
        (AuditEvent.actor, filters.actor),
        (AuditEvent.resource_type, filters.resource_type),
        (AuditEvent.resource_id, filters.resource_id),
    )
    conditions = [column == value for column, value in wanted if value is not None]
    if filters.since is not None:
        conditions.append(AuditEvent.at >= filters.since)
    if filters.until is not None:
        conditions.append(AuditEvent.at < filters.until)
    total = await session.scalar(select(func.count()).select_from(AuditEvent).where(*conditions)) or 0
    page = select(AuditEvent).where(*conditions).order_by(AuditEvent.id.desc()).limit(limit).offset(offset)
    return (await session.scalars(page)).all(), total


def _conditions(filters: RunFilter) -> list[ColumnElement[bool]]:
    wanted = (
        (Run.repository, filters.repository),
        (Run.branch, filters.branch),
        (Run.commit_sha, filters.commit_sha),
        (Run.status, filters.status),
        (Run.trigger_type, filters.trigger_type),
    )
    return [column == value for column, value in wanted if value is not None]
