"""The audit log: who wrote what, in a chain that shows what was changed or taken out of it.

hash(n) = sha256(hash(n - 1) || canonical JSON of row n)
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.auth.token import Principal
from forge_api.db import query
from forge_api.db.query import AuditFilter
from forge_api.db.tables import AuditEvent
from forge_api.service.platform import Platform
from forge_api.wire import AuditPage, AuditView
from forge_runtime.trace import TraceContext

_BEGINNING: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is behind a request, the request's id, and its span."""

    principal: Principal
    request_id: str
    trace: TraceContext

    @property
    def subject(self) -> str:
        return self.principal.subject


@dataclass(frozen=True, slots=True)
class Resource:
    type: str
    id: str


async def record(
    session: AsyncSession, actor: Actor, action: str, resource: Resource, at: datetime, **details: Any
) -> None:
    """Append a row in the transaction of the write it speaks of."""
    last = await query.last_audit_event(session)
    event = AuditEvent(
        at=at,
        actor=actor.subject,
        action=action,
        resource_type=resource.type,
        resource_id=resource.id,
        request_id=actor.request_id,
        details=details,
        previous_hash=last.hash if last else _BEGINNING,
    )
    event.hash = _hash(event)
    session.add(event)
    await session.flush()


async def audit_page(platform: Platform, filters: AuditFilter, limit: int, offset: int) -> AuditPage:
    async with platform.database.read() as session:
        found, total = await query.audit_events(session, filters, limit, offset)
    events = [AuditView.model_validate(event, from_attributes=True) for event in found]
    return AuditPage(events=events, total=total, limit=limit, offset=offset)


def first_broken(events: Sequence[AuditEvent]) -> int | None:
    """The id of the first row that does not follow from the one before it; None if the chain holds."""
    previous = _BEGINNING
    for event in events:
        if event.previous_hash != previous or event.hash != _hash(event):
            return event.id
        previous = event.hash
    return None


def _hash(event: AuditEvent) -> str:
    content = [
        event.at.isoformat(),
        event.actor,
        event.action,
        event.resource_type,
        event.resource_id,
        event.request_id,
        event.details,
    ]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{event.previous_hash}{text}".encode()).hexdigest()
