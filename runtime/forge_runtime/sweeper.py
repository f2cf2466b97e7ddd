"""The sweeper: ends what nobody will end, for runs that go on. Started by the API process.

    job queued beyond its limit        -> expired, event, the run's flag
    job queued, its message gone       -> published again (refused by the queue while the message is there)
    job leased, its lease long over    -> the same: whoever gets the message claims it, or finds it poisoned
    either, its message passed over    -> purged and published again
    run beyond its 24 h                -> flag, reason deadline
    message handed out 20 times        -> its job is poison: flag, dead letter, event; then the message goes

Each is somebody's duty already; the sweeper covers for the one who died. Doing it twice, or in two processes at once,
changes nothing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from forge_runtime import subject
from forge_runtime.bus.port import BusUnavailable, Delivery, QueueFull
from forge_runtime.dead_letter import Cause, Reason
from forge_runtime.envelope import log_fields_of
from forge_runtime.job import JobRecord, JobState, encode
from forge_runtime.lease import SKEW_S_MAX, Refused, expire, poison
from forge_runtime.ledger import Ledger, NoRecord
from forge_runtime.run import CancelFlag, CancelReason

COMPONENT: Final = "sweeper"
PERIOD_S: Final = 30.0
STRANDED_WAIT_S: Final = 1.0
"""For the first message that a queue hands out no more, and after each for the next: they wait at the server."""

QUIET_LEASES: Final = 2
"""A record that changed later is in somebody's hands: twice the lease is 60 s, and above a retry's delay."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Expire:
    """Nobody began the job in time."""


@dataclass(frozen=True, slots=True)
class Republish:
    """Nobody seems to have the job's message."""


def decide(record: JobRecord, now: float) -> Expire | Republish | None:
    """What a job needs. Pure."""
    lease_s = record.job.limits.heartbeat_s
    match record.state:
        case JobState.QUEUED:
            if not isinstance(expire(record, COMPONENT, now), Refused):
                return Expire()
            return Republish() if _is_quiet(record.submitted_at, lease_s, now) else None
        case JobState.EXPIRED if record.fails_run:
            return Expire()  # its run has no flag yet: whoever expired it died, or lost the answer, before telling
        case JobState.LEASED:
            return Republish() if _is_quiet(record.lease_until or 0.0, lease_s, now) else None
        case _:
            return None


def _is_quiet(at: float, lease_s: float, now: float) -> bool:
    """Whether nobody seems to have had the job in hand since then; nor if no clock within the skew can have said so."""
    return now >= at + QUIET_LEASES * lease_s or at > now + lease_s + SKEW_S_MAX


@dataclass(frozen=True, slots=True)
class Sweeper:
    """`active_runs` gives the ids of the runs that have not ended."""

    ledger: Ledger
    active_runs: Callable[[], Awaitable[Sequence[str]]]

    async def run(self, period_s: float = PERIOD_S) -> None:
        """Sweep for ever; an outage of the bus costs a round, nothing more."""
        while True:
            try:
                for run_id in await self.active_runs():
                    await self._sweep_if_possible(run_id)
                await self.sweep_stranded()
            except BusUnavailable as error:
                _log.warning("sweep put off", extra={"why": str(error)})
            await asyncio.sleep(period_s)

    async def sweep(self, run_id: str) -> None:
        """One round over one run. What a full queue does not take is tried again in the next."""
        try:
            run = await self.ledger.run(run_id)
        except NoRecord:
            return  # not submitted yet, or so old that its records are gone
        now = self.ledger.clock()
        if now >= run.deadline_at and await self.ledger.bus.time() >= run.deadline_at:
            await self.ledger.raise_flag(run_id, CancelFlag(reason=CancelReason.DEADLINE, by=COMPONENT, at=now))
        if await self.ledger.flag(run_id) is not None:
            return  # its dispatchers, workers and `finish` settle it
        for record in await self.ledger.records(run_id):
            match decide(record, now):
                case Expire():
                    await self._expire(record)
                case Republish():
                    try:
                        await self._republish(record)
                    except QueueFull as error:
                        _log.warning("job not published again", extra={**log_fields_of(record.job), "why": str(error)})

    async def _sweep_if_possible(self, run_id: str) -> None:
        """A record that this version cannot read is no reason to forget the other runs."""
        try:
            await self.sweep(run_id)
        except msgspec.DecodeError as error:
            _log.warning("run not swept", extra={"run_id": run_id, "why": str(error)})

    async def sweep_stranded(self) -> None:
        """End the jobs whose message no worker will get any more, of any run."""
        while (message := await self.ledger.bus.pull_stranded(STRANDED_WAIT_S)) is not None:
            await self._end_stranded(message)

    async def _end_stranded(self, message: Delivery) -> None:
        """The message goes last: whoever dies before finds it again, and the record ended."""
        pool, run_id, job_id, _ = subject.read_job_subject(message.subject)
        reason = f"its message was handed out {message.deliveries} times and never acknowledged"
        try:
            decided = await self.ledger.change(
                run_id, job_id, lambda record, now: poison(record, COMPONENT, reason, now)
            )
        except (NoRecord, msgspec.DecodeError, ValueError) as error:  # the last: of names that no record can have
            cause = Cause(reason=Reason.ORPHAN, message=f"{reason}; {error}")
            await self.ledger.bury(pool, run_id, job_id, message.data, cause)
        else:
            record = decided.record if isinstance(decided, Refused) else decided
            if not record.state.terminal:  # somebody works on it without the message, as long as the lease lasts
                await message.retry(max(STRANDED_WAIT_S, (record.lease_until or 0.0) - self.ledger.clock()))
                return
            await self.ledger.announce(record, COMPONENT, message.data)
        _log.warning("stranded job ended", extra={"run_id": run_id, "job_id": job_id, "deliveries": message.deliveries})
        await message.ack()

    async def _expire(self, record: JobRecord) -> None:
        """By two clocks: ours may be hours ahead, and would end all that waits."""
        job, bus_now = record.job, await self.ledger.bus.time()
        decided = await self.ledger.change(
            job.run_id, job.job_id, lambda standing, now: expire(standing, COMPONENT, min(now, bus_now))
        )
        ended = decided.record if isinstance(decided, Refused) else decided
        if ended.state is JobState.EXPIRED:
            _log.warning("job expired", extra=log_fields_of(job))
            await self.ledger.announce(ended, COMPONENT)

    async def _republish(self, record: JobRecord) -> None:
        """Anew where it is gone, or passed over; while somebody may still get it, the queue refuses another."""
        job = record.job
        queue, target = subject.queue_of(job.type), subject.subject_of(job)
        published = await self.ledger.bus.publish_job(target, encode(job), job.traceparent)
        if not published and await self.ledger.bus.passed_over(queue, target):
            # Dying in between does no harm: the next round finds the message gone.
            await self.ledger.bus.purge(queue, target)
            published = await self.ledger.bus.publish_job(target, encode(job), job.traceparent)
        if published:
            _log.warning("job's message was gone", extra=log_fields_of(job))
