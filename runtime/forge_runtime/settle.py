"""Settling: the end of every job of a flagged run that has not ended by itself.

Each is settled by the one who holds it: a worker ends what it runs, and is given a moment for it; what lies in a queue
is cancelled here. The record first, then all that follows it, for a job that had ended before as well; the messages of
settled jobs are purged, and one that slips through finds its record ended.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from forge_runtime import subject
from forge_runtime.job import ErrorRecord, JobRecord, JobType, new_error
from forge_runtime.lease import Refusal, Refused, cancel
from forge_runtime.ledger import Ledger, NoRecord
from forge_runtime.outage import ride_out
from forge_runtime.run import CancelFlag
from forge_runtime.watch import Watch

HOLDER_WAIT_S: Final = 10.0
"""A worker sees the flag within a beat (10 s) even if every hint is lost, and mostly within milliseconds."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Ends jobs of one run because of its flag. `force` also ends those whose worker does not answer in time."""

    ledger: Ledger
    watch: Watch
    run_id: str
    flag: CancelFlag
    component: str
    force: bool = False
    holder_wait_s: float = HOLDER_WAIT_S

    async def settle(self, job_ids: Iterable[str], pools: Iterable[JobType]) -> list[JobRecord]:
        """The records of these jobs afterwards; a job that was never submitted has none."""
        settled = asyncio.gather(*(self._settle_job(job_id) for job_id in job_ids))
        try:
            for job_type in pools:
                await self._purge(subject.queue_of(job_type))
            return [record for record in await settled if record is not None]
        finally:
            settled.cancel()

    async def _purge(self, queue: subject.WorkQueue) -> None:
        subjects = subject.run_subjects(queue, self.run_id)
        await ride_out(
            lambda: self.ledger.bus.purge(queue, subjects), limit_s=self.ledger.patience_s, bus=self.ledger.bus
        )

    async def _settle_job(self, job_id: str) -> JobRecord | None:
        key = subject.job_key(self.run_id, job_id)
        try:
            record = await self.watch.until(key, lambda: self._end(job_id, force=False), self.holder_wait_s)
            if record is None and self.force:
                record = await self._end(job_id, force=True)
            return record or await self.ledger.read(self.run_id, job_id)
        except NoRecord:
            return None

    async def _end(self, job_id: str, *, force: bool) -> JobRecord | None:
        """The ended record; None while a worker holds the job."""
        decided = await self.ledger.change(
            self.run_id, job_id, lambda record, now: cancel(record, self._error(now), now, force=force)
        )
        if isinstance(decided, Refused):
            if decided.reason is not Refusal.ENDED:
                return None
            # Whoever ended it may have died before telling, and the purge takes the message that would be told again.
            ended = decided.record
        else:
            ended = decided
            _log.info("job cancelled", extra={"job_id": job_id, "reason": self.flag.reason, "forced": force or None})
        await self.ledger.announce(ended, self.component)
        return ended

    def _error(self, now: float) -> ErrorRecord:
        return cancelled_error(self.flag, self.component, now)


def cancelled_error(flag: CancelFlag, component: str, now: float) -> ErrorRecord:
    """Why a job was cancelled, as its result tells it."""
    cause = f"job {flag.job_id} failed" if flag.job_id else f"by {flag.by}"
    message = f"stopped because the run ends: {flag.reason}, {cause}"
    return new_error("CANCELLED", "cancelled", message, component=component, now=now)
