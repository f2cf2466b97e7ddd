"""/v1/deployments and /v1/approvals: what is deployed where, and who approved it."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from forge_api.auth.permission import Permission
from forge_api.db.release_query import ProjectKey
from forge_api.release_wire import (
    ENVIRONMENT,
    PROJECT,
    ApprovalList,
    ApprovalView,
    CreateApproval,
    CreateDeployment,
    DeploymentPage,
    DeploymentView,
    PutDeploymentStatus,
)
from forge_api.routes.request import (
    Caller,
    Id,
    IdempotencyKey,
    Limit,
    Name,
    Offset,
    OnPlatform,
    Owner,
    errors,
    permitted,
)
from forge_api.service import approval, deployment
from forge_api.service.audit import Actor
from forge_api.service.idempotency import Asked
from forge_api.service.repository import fold
from forge_api.wire import LIMIT_DEFAULT

router = APIRouter(prefix="/v1", tags=["deployments"], responses=errors(403))

Environment = Annotated[str, Path(pattern=ENVIRONMENT)]
Project = Annotated[str, Path(pattern=PROJECT, max_length=63)]
Reader = Annotated[Actor, permitted(Permission.DEPLOYMENT_READ)]


@router.post(
    "/deployments",
    status_code=201,
    responses=errors(404, 409) | {200: {"model": DeploymentView, "description": "there was one already"}},
)
async def create_deployment(
    platform: OnPlatform,
    caller: Caller,
    body: CreateDeployment,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> DeploymentView:
    """Who may depends on the environment."""
    found, created = await deployment.create_deployment(platform, Asked(caller, body, idempotency_key), body)
    response.status_code = 201 if created else 200
    return found


@router.put("/deployments/{deployment_id}/status", responses=errors(404, 409))
async def put_deployment_status(
    platform: OnPlatform,
    caller: Annotated[Actor, permitted(Permission.DEPLOYMENT_WRITE)],
    deployment_id: Id,
    body: PutDeploymentStatus,
) -> DeploymentView:
    return await deployment.put_status(platform, caller, deployment_id, body)


@router.get("/deployments/{environment}/{owner}/{name}/{project}", responses=errors(404))
async def active_deployment(
    platform: OnPlatform, _: Reader, environment: Environment, owner: Owner, name: Name, project: Project
) -> DeploymentView:
    key = ProjectKey(fold(f"{owner}/{name}"), project)
    return await deployment.active_deployment(platform, key, environment)


@router.get("/deployments/{environment}/{owner}/{name}/{project}/history")
async def history(  # noqa: PLR0913, PLR0917 - three of them are one name
    platform: OnPlatform,
    _: Reader,
    environment: Environment,
    owner: Owner,
    name: Name,
    project: Project,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
) -> DeploymentPage:
    key = ProjectKey(fold(f"{owner}/{name}"), project)
    return await deployment.history(platform, key, environment, limit, offset)


@router.post(
    "/approvals",
    status_code=201,
    responses=errors(404, 409) | {200: {"model": ApprovalView, "description": "the caller had approved already"}},
)
async def create_approval(
    platform: OnPlatform,
    caller: Caller,
    body: CreateApproval,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> ApprovalView:
    """Who may depends on the environment."""
    found, created = await approval.create_approval(platform, Asked(caller, body, idempotency_key), body)
    response.status_code = 201 if created else 200
    return found


@router.get("/approvals/{release_id}/{environment}", responses=errors(404))
async def list_approvals(
    platform: OnPlatform,
    _: Annotated[Actor, permitted(Permission.APPROVAL_READ)],
    release_id: Id,
    environment: Environment,
) -> ApprovalList:
    return await approval.list_approvals(platform, release_id, environment)


@router.delete("/approvals/{approval_id}", status_code=204, responses=errors(404, 409))
async def revoke_approval(platform: OnPlatform, caller: Caller, approval_id: Id) -> None:
    await approval.revoke_approval(platform, caller, approval_id)
