"""/v1/repositories: register and look up."""

from fastapi import APIRouter, Response

from forge_api.routes.request import Caller, Name, OnPlatform, Owner, errors
from forge_api.service import repository
from forge_api.wire import RegisterRepository, RepositoryView

router = APIRouter(prefix="/v1/repositories", tags=["repositories"], responses=errors())


@router.put(
    "/{owner}/{name}", responses=errors(409) | {201: {"model": RepositoryView, "description": "registered now"}}
)
async def put_repository(  # noqa: PLR0913, PLR0917 - two of them are one name
    platform: OnPlatform, caller: Caller, owner: Owner, name: Name, body: RegisterRepository, response: Response
) -> RepositoryView:
    found, created = await repository.put_repository(platform, caller, f"{owner}/{name}", body)
    response.status_code = 201 if created else 200
    return found


@router.get("/{owner}/{name}", responses=errors(404))
async def get_repository(platform: OnPlatform, _: Caller, owner: Owner, name: Name) -> RepositoryView:
    return await repository.get_repository(platform, f"{owner}/{name}")
