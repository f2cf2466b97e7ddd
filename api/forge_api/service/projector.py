"""The projector: reads the events of the bus, for ever, and merges each into the database before it is acked."""

import asyncio
import logging
from datetime import datetime
from typing import Final

import msgspec

from forge_api.db import query
from forge_api.service.conclude import End, merge_records
from forge_api.service.platform import AWAY, BACKGROUND_PATIENCE_S, Platform
from forge_api.service.projection import fetch_documents, project
from forge_runtime.bus.port import EventDelivery
from forge_runtime.event import Event, EventKind, decode_event
from forge_runtime.subject import PROJECTOR

RETRY_S: Final = 1.0
ENGINE_SUCCEEDED: Final = "succeeded"

_log = logging.getLogger(__name__)


async def run_projector(platform: Platform) -> None:
    """Merge events one after another; what cannot be merged because a part is away is tried again, never dropped."""
    bus = platform.ledger(BACKGROUND_PATIENCE_S).bus
    async for delivery in bus.events(PROJECTOR):
        while not await _settle(platform, delivery):  # noqa: ASYNC110 - no poll: each turn tries the work itself
            await asyncio.sleep(RETRY_S)


async def project_event(platform: Platform, event: Event) -> None:
    """Merge one event. One of a run that this database does not have changes nothing."""
    if event.kind is EventKind.FINISH:
        failure = None if event.status == ENGINE_SUCCEEDED else _failure(event)
        await merge_records(platform, event.run_id, End(datetime.fromisoformat(event.at), failure))
        return
    async with platform.database.read() as session:
        known = await query.run(session, event.run_id)
    if known is None:
        _log.warning("event of an unknown run", extra={"run_id": event.run_id, "kind": event.kind})
        return
    documents = await fetch_documents(platform.ledger(BACKGROUND_PATIENCE_S).bus, known, [event])
    async with platform.database.write() as session:
        run = await query.run(session, event.run_id, lock=True)
        assert run is not None
        await project(session, run, [event], documents)


async def _settle(platform: Platform, delivery: EventDelivery) -> bool:
    """True once the event is done with: merged, or not readable as one."""
    try:
        event = decode_event(delivery.data)
        datetime.fromisoformat(event.at)
    except (msgspec.DecodeError, ValueError) as error:
        _log.error("unreadable event dropped: %s", error, extra={"subject": delivery.subject})
        await delivery.ack()
        return True
    try:
        await project_event(platform, event)
        await delivery.ack()
    except AWAY as error:
        _log.warning("event waits: %s", error, extra={"run_id": event.run_id})
        return False
    except Exception:
        _log.exception("event dropped; the reconciler repairs its run", extra={"run_id": event.run_id})
        await delivery.ack()
    return True


def _failure(event: Event) -> str:
    return event.error.message if event.error is not None else f"it ended as {event.status}"
