"""/metrics: what this process counts, for Prometheus. No token: labels hold nothing of anybody's."""

from typing import Final

from fastapi import APIRouter, Response

from forge_api.routes.request import OnPlatform

PATH: Final = "/metrics"

router = APIRouter(tags=["health"])


@router.get(PATH, response_class=Response)
async def metrics(platform: OnPlatform) -> Response:
    body, media_type = platform.metrics.exposition()
    return Response(body, media_type=media_type)
