"""/v1/runs: create, read, list, cancel, and the jobs of a run."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from forge_api.auth.permission import Permission
from forge_api.db.query import RunFilter
from forge_api.routes.request import Id, IdempotencyKey, Limit, Offset, OnPlatform, errors, permitted
from forge_api.service import job, report, run
from forge_api.service.audit import Actor
from forge_api.service.repository import fold
from forge_api.wire import (
    LIMIT_DEFAULT,
    Branch,
    CommitSha,
    CreateRun,
    JobList,
    PutDiscovery,
    PutRunStatus,
    Repository,
    RunPage,
    RunSummary,
    RunView,
    TriggerName,
)
from forge_runtime.status import RunStatus

router = APIRouter(prefix="/v1/runs", tags=["runs"], responses=errors(403))

Reader = Annotated[Actor, permitted(Permission.RUN_READ)]
Writer = Annotated[Actor, permitted(Permission.EXECUTION_WRITE)]


@router.post(
    "",
    status_code=201,
    responses=errors(429) | {200: {"model": RunSummary, "description": "there was one already"}},
)
async def create_run(
    platform: OnPlatform,
    caller: Annotated[Actor, permitted(Permission.RUN_CREATE)],
    body: CreateRun,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RunSummary:
    found, created = await run.create_run(platform, caller, body, idempotency_key)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/runs/{found.id}"
    return found


@router.get("")
async def list_runs(  # noqa: PLR0913, PLR0917 - a query parameter each
    platform: OnPlatform,
    _: Reader,
    repository: Annotated[Repository | None, Query()] = None,
    branch: Annotated[Branch | None, Query()] = None,
    commit_sha: Annotated[CommitSha | None, Query()] = None,
    status: Annotated[RunStatus | None, Query()] = None,
    trigger_type: Annotated[TriggerName | None, Query()] = None,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
) -> RunPage:
    filters = RunFilter(
        repository=fold(repository) if repository is not None else None,
        branch=branch,
        commit_sha=commit_sha,
        status=status,
        trigger_type=trigger_type,
    )
    return await run.list_runs(platform, filters, limit, offset)


@router.get("/{run_id}", responses=errors(404))
async def get_run(
    platform: OnPlatform, _: Reader, run_id: Id, include: Annotated[Literal["discovery"] | None, Query()] = None
) -> RunView:
    return await run.get_run(platform, run_id, discovery=include == "discovery")


@router.delete("/{run_id}", status_code=204, responses=errors(404, 409))
async def cancel_run(
    platform: OnPlatform, caller: Annotated[Actor, permitted(Permission.RUN_CANCEL)], run_id: Id
) -> None:
    await run.cancel_run(platform, caller, run_id)


@router.get("/{run_id}/jobs", responses=errors(404))
async def list_jobs(platform: OnPlatform, _: Reader, run_id: Id) -> JobList:
    return await job.list_jobs(platform, run_id)


@router.put("/{run_id}/discovery", responses=errors(404, 409))
async def put_discovery(platform: OnPlatform, caller: Writer, run_id: Id, body: PutDiscovery) -> RunView:
    await report.put_discovery(platform, caller, run_id, body)
    return await run.get_run(platform, run_id, discovery=False)


@router.put("/{run_id}/status", responses=errors(404, 409))
async def put_run_status(platform: OnPlatform, caller: Writer, run_id: Id, body: PutRunStatus) -> RunView:
    await report.put_status(platform, caller, run_id, body)
    return await run.get_run(platform, run_id, discovery=False)
