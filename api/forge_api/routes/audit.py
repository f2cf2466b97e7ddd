"""/v1/audit: who wrote what, newest first."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from forge_api.auth.permission import Permission
from forge_api.db.query import AuditFilter
from forge_api.routes.request import Limit, Offset, OnPlatform, errors, permitted
from forge_api.service import audit
from forge_api.service.audit import Actor
from forge_api.wire import LIMIT_DEFAULT, AuditPage, ShortText

router = APIRouter(prefix="/v1/audit", tags=["audit"], responses=errors(403))

Text = Annotated[ShortText | None, Query()]
Time = Annotated[AwareDatetime | None, Query()]


@router.get("")
async def audit_events(  # noqa: PLR0913, PLR0917 - a query parameter each
    platform: OnPlatform,
    _: Annotated[Actor, permitted(Permission.AUDIT_READ)],
    actor: Text = None,
    resource_type: Text = None,
    resource_id: Text = None,
    since: Time = None,
    until: Time = None,
    limit: Limit = LIMIT_DEFAULT,
    offset: Offset = 0,
) -> AuditPage:
    """What was written at or after `since` and before `until`."""
    filters = AuditFilter(actor=actor, resource_type=resource_type, resource_id=resource_id, since=since, until=until)
    return await audit.audit_page(platform, filters, limit, offset)
