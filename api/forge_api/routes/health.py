"""/healthz and /readyz: the two addresses that ask for no token."""

from typing import Final

from fastapi import APIRouter, Response

from forge_api.routes.request import OnPlatform
from forge_api.service import health
from forge_api.wire import Health, Readiness

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz"})

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Health:
    """This process answers; nothing else is asked."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "a part is missing"}})
async def readyz(platform: OnPlatform, response: Response) -> Readiness:
    found = await health.readiness(platform)
    response.status_code = 200 if found.ready else 503
    return found
