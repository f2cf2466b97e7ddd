"""Runs: create (once per commit and reference, however often it is asked for), read, list, cancel."""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query
from forge_api.db.query import RunFilter
from forge_api.db.tables import OutboxEntry, OutboxKind, Repository, Run, TriggerType
from forge_api.problem import busy, conflict, invalid, not_found
from forge_api.service import audit
from forge_api.service.audit import Actor, Resource
from forge_api.service.idempotency import Asked
from forge_api.service.platform import Platform
from forge_api.service.release_view import releases_of_run
from forge_api.service.repository import fold, registered
from forge_api.service.rows import discovery_rows, finish_step, roll_up
from forge_api.service.view import Below, run_summary, run_view
from forge_api.settings import RUNS_ACTIVE_MAX
from forge_api.wire import CreateRun, RunPage, RunSummary, RunView
from forge_runtime.status import RUN, ChildStatus, RunStatus
from forgec import ids

BUSY_RETRY_S: Final = 30

_log = logging.getLogger(__name__)
_RERUN: Final = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})


@dataclass(frozen=True, slots=True)
class Names:
    """What the commit is known by: the full reference, and the branch or the tag that it is."""

    ref: str
    branch: str | None
    tag: str | None


async def create_run(
    platform: Platform, actor: Actor, request: CreateRun, idempotency_key: str | None
) -> tuple[RunSummary, bool]:
    """The run, and True if it was made now.

    A pull request gets the run of the push that it consists of, if that is running or has succeeded. Else one
    (repository, commit, ref) has one active run, which every further request gets. After it succeeded, a push or
    pull request gets it as well, since the commit is the same; one that failed or was cancelled, and every manual
    request, makes the next attempt.
    """
    names = resolve_names(request)
    now = platform.now()
    async with platform.database.write() as session:
        repository = await registered(session, fold(request.repository), lock=True)
        asked = Asked(actor, request, idempotency_key)
        if (run_id := await asked.before(session, now)) is not None:
            return run_summary(await _existing(session, run_id)), False
        last = await _pushed(session, repository, request, names) or await query.latest_run(
            session, repository.full_name, request.commit_sha, names.ref
        )
        created = last is None or _may_rerun(last, request)
        if last is None or created:
            await _admit(session, repository)
            run = _new_run(platform, actor, request, names, repository)
            run.attempt = last.attempt + 1 if last else 1
            session.add(run)
            await session.flush()
            await discovery_rows(session, run.id)
            session.add(OutboxEntry(run_id=run.id, kind=OutboxKind.SUBMIT, tries=0, next_at=now))
            resource = Resource("run", run.id)
            await audit.record(
                session, actor, "run.create", resource, now, repository=run.repository, commit_sha=run.commit_sha
            )
        else:
            run = last
        asked.remember(session, run.id, now)
    platform.work.set()
    facts = {"run_id": run.id, "repository": run.repository, "commit_sha": run.commit_sha}
    _log.info("run created" if created else "run was there already", extra=facts)
    return run_summary(run), created


async def get_run(platform: Platform, run_id: str, *, discovery: bool) -> RunView:
    async with platform.database.read() as session:
        run = await _existing(session, run_id)
        below = Below(
            phases=await query.phases(session, run_id),
            tasks=await query.tasks(session, run_id),
            steps=await query.steps(session, run_id),
            releases=await releases_of_run(session, run),
        )
        output = await query.discovery_output(session, run_id) if discovery else None
        return run_view(run, below, output)


async def list_runs(platform: Platform, filters: RunFilter, limit: int, offset: int) -> RunPage:
    async with platform.database.read() as session:
        runs, total = await query.runs(session, filters, limit, offset)
        return RunPage(runs=[run_summary(run) for run in runs], total=total, limit=limit, offset=offset)


async def cancel_run(platform: Platform, actor: Actor, run_id: str) -> None:
    """Cancelled at once, and for good; what runs is stopped by the outbox, and its rows follow."""
    now = platform.now()
    async with platform.database.write() as session:
        run = await _existing(session, run_id, lock=True)
        if run.status == RunStatus.CANCELLED:
            return
        if RUN.final(run.status):
            raise conflict(f"run {run_id} is {run.status} already; there is nothing left to cancel")
        run.status = RunStatus.CANCELLED
        run.completed_at = now
        await _cancel_waiting(session, run_id, now)
        session.add(OutboxEntry(run_id=run_id, kind=OutboxKind.CANCEL, tries=0, next_at=now))
        await audit.record(session, actor, "run.cancel", Resource("run", run_id), now)
    platform.work.set()


def resolve_names(request: CreateRun) -> Names:
    """Reference, branch and tag, each from what was given; without any, the commit is its own name."""
    ref, branch = request.ref, request.branch
    if ref is None:
        return Names(f"refs/heads/{branch}" if branch else request.commit_sha, branch, None)
    kind, name = ref.split("/", 2)[1:]
    if kind == "heads":
        if branch not in (None, name):
            raise invalid("branch", f'contradicts ref "{ref}"')
        return Names(ref, name, None)
    if kind == "tags":
        if branch is not None:
            raise invalid("branch", "a tag has none")
        return Names(ref, None, name)
    return Names(ref, branch, None)


async def _pushed(session: AsyncSession, repository: Repository, request: CreateRun, names: Names) -> Run | None:
    """The push run of a pull request's head commit, which now knows its pull request."""
    if TriggerType(request.trigger_type) is not TriggerType.PULL_REQUEST or names.branch is None:
        return None
    run = await query.push_run(session, repository.full_name, request.commit_sha, names.branch)
    if run is not None and request.github_context is not None:
        pr_number = request.github_context.pr_number
        run.github_context = request.github_context.model_dump() | (run.github_context or {}) | {"pr_number": pr_number}
    return run


def _may_rerun(last: Run, request: CreateRun) -> bool:
    if not RUN.final(last.status):
        return False
    return last.status in _RERUN or TriggerType(request.trigger_type) is TriggerType.MANUAL


def _new_run(platform: Platform, actor: Actor, request: CreateRun, names: Names, repository: Repository) -> Run:
    now = platform.now()
    run_id = ids.new_run_id(int(now.timestamp() * 1000), platform.ports.random(10))
    return Run(
        id=run_id,
        repository=repository.full_name,
        clone_url=repository.clone_url,
        ref=names.ref,
        branch=names.branch,
        tag=names.tag,
        commit_sha=request.commit_sha,
        trigger_type=request.trigger_type,
        triggered_by=request.triggered_by or actor.subject,
        status=RunStatus.PENDING,
        github_context=request.github_context.model_dump() if request.github_context else None,
        argo_workflow_name=ids.workflow_name(run_id),
        created_at=now,
        traceparent=str(actor.trace),
    )


async def _admit(session: AsyncSession, repository: Repository) -> None:
    if await query.active_runs(session, repository.full_name) >= repository.max_concurrent_runs:
        raise busy(f"{repository.full_name} has {repository.max_concurrent_runs} runs at once already", BUSY_RETRY_S)
    if await query.active_runs(session) >= RUNS_ACTIVE_MAX:
        raise busy(f"the platform has {RUNS_ACTIVE_MAX} runs at once already", BUSY_RETRY_S)


async def _existing(session: AsyncSession, run_id: str, *, lock: bool = False) -> Run:
    run = await query.run(session, run_id, lock=lock)
    if run is None:
        raise not_found(f"run {run_id}")
    return run


async def _cancel_waiting(session: AsyncSession, run_id: str, now: datetime) -> None:
    """End what never started; what runs is ended by its worker, whose word the rows then follow."""
    for step in await query.steps(session, run_id):
        if step.status == ChildStatus.PENDING:
            finish_step(step, ChildStatus.CANCELLED, now)
    await roll_up(session, run_id)
