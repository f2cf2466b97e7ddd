"""Attach or submit: one job brought to its end, whoever began it and however often this is called.

    record ended      -> its result
    no record         -> create it, queued, then publish
    record queued     -> publish again: refused by the queue if the message is still there
    record leased     -> wait

The job's id depends on the run and the step alone, so a dispatcher that was killed, or runs twice, finds its jobs.
"""

import asyncio
import logging
import random
import time
from dataclasses import dataclass, field
from typing import Final

import msgspec

from forge_runtime import subject
from forge_runtime.bus.port import QueueFull
from forge_runtime.job import Job, JobRecord, JobState, encode
from forge_runtime.lease import STARTS_MAX
from forge_runtime.ledger import Ledger
from forge_runtime.outage import ride_out
from forge_runtime.retry import backoff_s
from forge_runtime.watch import Watch

SUBMISSIONS_MAX: Final = 16
"""Submissions at a time: enough to hide the round trips, too few to hold up the bus."""

START_ALLOWANCE_S: Final = 60.0
"""What a start may take beyond the job's own limit: checkout, log upload, a dead worker's lease."""

_log = logging.getLogger(__name__)


class GaveUp(Exception):
    """The job has not ended although every start it may have is over by the clock."""


@dataclass(frozen=True, slots=True)
class Submitter:
    """Submits jobs of one run, whose hints `watch` receives."""

    ledger: Ledger
    watch: Watch
    _turn: asyncio.Semaphore = field(init=False, default_factory=lambda: asyncio.Semaphore(SUBMISSIONS_MAX))

    async def bring_to_end(self, job: Job) -> JobRecord:
        """The job's terminal record; GaveUp when it does not come in time."""
        limit_s = longest_wait_s(job)
        give_up_at = time.monotonic() + limit_s
        with self.watch.hearing(subject.job_key(job.run_id, job.job_id), _tells_an_end) as hearing:
            async with self._turn:
                record = (await self.ledger.open(job)).record
                if record.state is JobState.QUEUED:
                    await self._publish(record.job, give_up_at)
            if record.state.terminal:
                _log.info("job had ended before", extra={"job_id": job.job_id, "state": record.state})
                return record
            ended = await hearing.until(lambda: self._ended(job), give_up_at - time.monotonic())
        if ended is None:
            raise GaveUp(f"job {job.job_id} did not end within {limit_s:.0f} s (queue wait and {STARTS_MAX} starts)")
        return ended

    async def _publish(self, job: Job, give_up_at: float) -> None:
        target = subject.subject_of(job)
        failures = 0
        while True:
            try:
                queued = await ride_out(
                    lambda: self.ledger.bus.publish_job(target, encode(job), job.traceparent),
                    limit_s=self.ledger.patience_s,
                )
            except QueueFull:
                delay_s = backoff_s(failures, random.random())  # noqa: S311 - spreads load, guards nothing
                if time.monotonic() + delay_s > give_up_at:
                    raise GaveUp(f"the queue for {job.type} jobs stayed full; job {job.job_id} waits outside") from None
                _log.info("queue is full, waiting", extra={"job_id": job.job_id, "delay_s": round(delay_s, 1)})
                failures += 1
                await asyncio.sleep(delay_s)
            else:
                _log.info("job submitted" if queued else "job was queued before", extra={"job_id": job.job_id})
                return

    async def _ended(self, job: Job) -> JobRecord | None:
        record = await self.ledger.read(job.run_id, job.job_id)
        return record if record is not None and record.state.terminal else None


def longest_wait_s(job: Job) -> float:
    """The queue wait and every start that the job may have."""
    limits = job.limits
    return limits.schedule_to_start_s + STARTS_MAX * (limits.start_to_close_s + START_ALLOWANCE_S)


class _State(msgspec.Struct):
    state: JobState


def _tells_an_end(value: bytes) -> bool:
    """Whether a hint's value is that of a job that has ended; also where it cannot be read, to be sure."""
    try:
        return _STATE.decode(value).state.terminal
    except msgspec.DecodeError:
        return True


_STATE = msgspec.json.Decoder(_State)
