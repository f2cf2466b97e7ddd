"""The projector: reads the events of the bus, for ever, and merges them into the database before they are acked.

Events that have arrived together are merged together, those of one run in one transaction: that costs more than the
merging, and a run of thousands of jobs tells two events of each.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final

import msgspec

from forge_api.db import query
from forge_api.service.batch import batches
from forge_api.service.conclude import End, merge_records
from forge_api.service.deployed import settle_deployments
from forge_api.service.platform import AWAY, BACKGROUND_PATIENCE_S, Platform
from forge_api.service.projection import fetch_documents, project
from forge_runtime.bus.port import EventDelivery
from forge_runtime.event import Event, EventKind, decode_event
from forge_runtime.subject import PROJECTOR, event_subject

RETRY_S: Final = 1.0
ENGINE_SUCCEEDED: Final = "succeeded"
BATCH_MAX: Final = 200
"""Events merged together; a batch is done in well under the 30 s after which unacked ones come again."""

_log = logging.getLogger(__name__)


async def run_projector(platform: Platform) -> None:
    """Merge what arrives; what cannot be merged because a part is away is tried again, never dropped."""
    bus = platform.ledger(BACKGROUND_PATIENCE_S).bus
    async with aclosing(batches(bus.events(PROJECTOR), BATCH_MAX)) as arrived:
        async for deliveries in arrived:
            await settle(platform, deliveries)


async def settle(platform: Platform, deliveries: Sequence[EventDelivery]) -> None:
    """Merge events and ack them; one that cannot be read, or breaks what merges it, is dropped with a log line.

    So is one that lies under another subject than its own: what the bus lets somebody tell, it knows by subjects.
    """
    runs: defaultdict[str, list[Event]] = defaultdict(list)
    for delivery in deliveries:
        try:
            event = decode_event(delivery.data)
            datetime.fromisoformat(event.at)
        except (msgspec.DecodeError, ValueError) as error:
            _log.error("unreadable event dropped: %s", error, extra={"subject": delivery.subject})
            continue
        if delivery.subject != event_subject(event.run_id, event.kind):
            _log.error(
                "event dropped that is of another run or kind than its subject", extra={"subject": delivery.subject}
            )
            continue
        runs[event.run_id].append(event)
    for run_id, events in runs.items():
        if not await _merged(platform, run_id, events):
            for event in events:  # one of them breaks it: the others shall not go with it
                if not await _merged(platform, run_id, [event]):
                    _log.error("event dropped; the reconciler repairs its run", extra={"run_id": run_id})
    for delivery in deliveries:
        await _ack(delivery)


async def project_events(platform: Platform, run_id: str, events: Sequence[Event]) -> None:
    """Merge events of one run, or of a deployment that stands for one. Those of what this database does not have change
    nothing."""
    of_work = [event for event in events if event.kind is not EventKind.FINISH]
    if of_work:
        async with platform.database.read() as session:
            known = await query.run(session, run_id)
        if known is None:
            async with platform.database.write() as session:
                told = await settle_deployments(session, of_work)
            if not told:
                _log.warning("events of an unknown run", extra={"run_id": run_id, "events": len(of_work)})
        else:
            documents = await fetch_documents(platform.ledger(BACKGROUND_PATIENCE_S).bus, known, of_work)
            async with platform.database.write() as session:
                run = await query.run(session, run_id, lock=True)
                assert run is not None
                await project(session, run, of_work, documents, platform.settings.environments)
    for event in events:
        if event.kind is EventKind.FINISH:
            failure = None if event.status == ENGINE_SUCCEEDED else _failure(event)
            await merge_records(platform, run_id, End(datetime.fromisoformat(event.at), failure))


async def _merged(platform: Platform, run_id: str, events: Sequence[Event]) -> bool:
    """False where merging them fails; while a part of the platform is away, it is tried again and again."""
    while True:
        try:
            await project_events(platform, run_id, events)
        except AWAY as error:
            _log.warning("events wait: %s", error, extra={"run_id": run_id, "events": len(events)})
            await asyncio.sleep(RETRY_S)
        except Exception:
            _log.exception("events cannot be merged", extra={"run_id": run_id, "events": len(events)})
            return False
        else:
            return True


async def _ack(delivery: EventDelivery) -> None:
    try:
        await delivery.ack()
    except AWAY as error:  # it comes again, and changes nothing then
        _log.warning("event not acked: %s", error, extra={"subject": delivery.subject})


def _failure(event: Event) -> str:
    return event.error.message if event.error is not None else f"it ended as {event.status}"
