"""The header Idempotency-Key: the same caller's same request with the same key is the same thing, for a day."""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import BaseModel
from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from forge_api.db import query
from forge_api.db.tables import IdempotencyKey
from forge_api.problem import Problem
from forge_api.service.audit import Actor

TTL: Final = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for what, and the key that he gave for it, if he gave one."""

    actor: Actor
    request: BaseModel
    key: str | None

    async def before(self, session: AsyncSession, now: datetime) -> str | None:
        """The id of what an earlier request with this key came to; Problem 422 if that was another request.

        Of requests that come at once the others wait until the first one's transaction has ended.
        """
        if self.key is None:
            return None
        await query.hold_name(session, f"idempotency {self._own}")
        await session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < now - TTL))
        known = await query.idempotency_key(session, self._own)
        if known is not None and known.request_digest != self._digest:
            raise Problem(422, "this Idempotency-Key was used for another request; use a new one")
        return None if known is None else known.resource_id

    def remember(self, session: AsyncSession, resource_id: str, now: datetime) -> None:
        if self.key is not None:
            session.add(
                IdempotencyKey(key=self._own, request_digest=self._digest, resource_id=resource_id, created_at=now)
            )

    @property
    def _own(self) -> str:
        """Keys of one caller are not those of another."""
        return f"{self.actor.subject} {self.key}"

    @property
    def _digest(self) -> str:
        text = f"{type(self.request).__name__} {self.request.model_dump_json()}"
        return hashlib.sha256(text.encode()).hexdigest()
