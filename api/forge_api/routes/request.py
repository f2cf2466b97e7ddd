"""What every route takes from a request: the platform, the caller, ids in the path."""

from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request, Security
from fastapi.security import HTTPBearer

from forge_api.auth.permission import Permission, may
from forge_api.problem import Problem, forbidden
from forge_api.service.audit import Actor
from forge_api.service.platform import Platform
from forge_api.wire import LIMIT_MAX, OFFSET_MAX, REPOSITORY_NAME, REPOSITORY_OWNER, UUID, ErrorReply

_bearer = HTTPBearer(auto_error=False, description="The token in the platform's api.token file.")


def _platform(request: Request) -> Platform:
    platform: Platform = request.app.state.platform
    return platform


def _actor(request: Request, _: Annotated[Any, Security(_bearer)]) -> Actor:
    """The caller as the gate found him; a route that the gate let pass without one is a mistake of ours."""
    principal = getattr(request.state, "principal", None)
    if principal is None:
        raise Problem(401)
    return Actor(principal, request.state.request_id, request.state.trace)


Caller = Annotated[Actor, Depends(_actor)]


def permitted(permission: Permission) -> Any:
    """The caller of a route that asks for this permission; Problem 403 where his role does not have it."""

    def check(caller: Caller) -> Actor:
        if not may(caller.principal.role, permission):
            raise forbidden(f"{caller.subject} does not have the permission {permission}")
        return caller

    return Depends(check)


OnPlatform = Annotated[Platform, Depends(_platform)]
Id = Annotated[str, Path(pattern=UUID)]
Owner = Annotated[str, Path(pattern=REPOSITORY_OWNER)]
Name = Annotated[str, Path(pattern=REPOSITORY_NAME)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX)]
Offset = Annotated[int, Query(ge=0, le=OFFSET_MAX)]
IdempotencyKey = Annotated[str | None, Header(min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$")]


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error replies of a route, for its description: those that any route may give, and its own."""
    return {status: {"model": ErrorReply} for status in (400, 401, 413, 415, 422, 500, 503, *statuses)}
