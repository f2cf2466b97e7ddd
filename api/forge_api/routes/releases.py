"""/v1/releases: register, look up by any name, list."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from forge_api.auth.permission import Permission
from forge_api.db.release_query import ProjectKey
from forge_api.release_wire import PROJECT, CreateRelease, RegisteredView, ReleasePage, ReleaseView
from forge_api.routes.request import IdempotencyKey, Limit, Name, Offset, OnPlatform, Owner, errors, permitted
from forge_api.service import release
from forge_api.service.audit import Actor
from forge_api.service.idempotency import Asked
from forge_api.service.repository import fold
from forge_api.wire import LIMIT_DEFAULT

router = APIRouter(prefix="/v1/releases", tags=["releases"], responses=errors(403))

Project = Annotated[str, Path(pattern=PROJECT, max_length=63)]
Reference = Annotated[str, Path(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")]
Reader = Annotated[Actor, permitted(Permission.RELEASE_READ)]


@router.post(
    "",
    status_code=201,
    responses=errors(409) | {200: {"model": RegisteredView, "description": "there was one already"}},
)
async def create_release(
    platform: OnPlatform,
    caller: Annotated[Actor, permitted(Permission.RELEASE_CREATE)],
    body: CreateRelease,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> RegisteredView:
    found, created = await release.create_release(platform, Asked(caller, body, idempotency_key), body)
    response.status_code = 201 if created else 200
    response.headers["Location"] = f"/v1/releases/{found.canonical_id}"
    return found


@router.get("/{owner}/{name}/{project}")
async def list_releases(  # noqa: PLR0913, PLR0917 - three of them are one name
    platform: OnPlatform,
    _: Reader,
    owner: Owner,
    name: Name,
    project: Project,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
) -> ReleasePage:
    return await release.list_releases(platform, ProjectKey(fold(f"{owner}/{name}"), project), limit, offset)


@router.get("/{owner}/{name}/{project}/{reference:path}", responses=errors(404, 409))
async def get_release(
    platform: OnPlatform, _: Reader, owner: Owner, name: Name, project: Project, reference: Reference
) -> ReleaseView:
    """By alias, number, tag, or at least seven digits of the commit; the rest of the path, slashes and all."""
    return await release.get_release(platform, ProjectKey(fold(f"{owner}/{name}"), project), reference)
