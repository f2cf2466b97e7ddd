"""/v1/repositories: register and look up."""

from typing import Annotated

from fastapi import APIRouter, Response

from forge_api.auth.permission import Permission
from forge_api.routes.request import Name, OnPlatform, Owner, errors, permitted
from forge_api.service import repository
from forge_api.service.audit import Actor
from forge_api.wire import RegisterRepository, RepositoryView

router = APIRouter(prefix="/v1/repositories", tags=["repositories"], responses=errors(403))

Admin = Annotated[Actor, permitted(Permission.REPOSITORY_ADMIN)]


@router.put(
    "/{owner}/{name}", responses=errors(409) | {201: {"model": RepositoryView, "description": "registered now"}}
)
async def put_repository(  # noqa: PLR0913, PLR0917 - two of them are one name
    platform: OnPlatform, caller: Admin, owner: Owner, name: Name, body: RegisterRepository, response: Response
) -> RepositoryView:
    found, created = await repository.put_repository(platform, caller, f"{owner}/{name}", body)
    response.status_code = 201 if created else 200
    return found


@router.get("/{owner}/{name}", responses=errors(404))
async def get_repository(platform: OnPlatform, _: Admin, owner: Owner, name: Name) -> RepositoryView:
    return await repository.get_repository(platform, f"{owner}/{name}")
