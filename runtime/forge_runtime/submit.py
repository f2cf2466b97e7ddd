"""Attach or submit: one job brought to its end, whoever began it and however often this is called.

    record ended      -> its result
    no record         -> create it, queued, then publish
    record queued     -> publish again: refused by the queue if the message is still there
    record leased     -> wait
    record gone       -> as if there had been none: its bucket was lost, or emptied by hand

The job's id depends on the run and the step alone, so a dispatcher that was killed, or runs twice, finds its jobs.
Only so many jobs are submitted and not ended at a time; the others have no record yet, and their limits do not run.

A queue that is full refuses. Then the jobs that have their record wait outside, one of them knocks for all, and when it
is let in the others follow. Nothing is lost: whoever dies here is found again by his records.
"""

import asyncio
import logging
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import msgspec

from forge_runtime import subject
from forge_runtime.bus.port import QueueFull
from forge_runtime.job import Job, JobRecord, JobState, decode_record, encode
from forge_runtime.lane import RUN_WINDOW
from forge_runtime.lease import STARTS_MAX
from forge_runtime.ledger import Ledger, Standing
from forge_runtime.outage import ride_out
from forge_runtime.retry import backoff_s
from forge_runtime.watch import Watch

SUBMISSIONS_MAX: Final = 16
"""Submissions to one queue at a time: enough to hide the round trips, too few to hold up the bus."""

FULL_PAUSE_S: Final = 5.0
"""Between two knocks at a full queue, at the longest: short enough that workers do not run dry meanwhile."""

START_ALLOWANCE_S: Final = 60.0
"""What a start may take beyond the job's own limit: checkout, log upload, a dead worker's lease."""

_log = logging.getLogger(__name__)


class GaveUp(Exception):
    """The job has not ended although every start it may have is over by the clock."""


@dataclass(slots=True)
class Submitter:
    """Submits jobs of one run, whose hints `watch` receives; at most `window` of them are under way at a time."""

    ledger: Ledger
    watch: Watch
    window: int = RUN_WINDOW
    _place: asyncio.Semaphore = field(init=False)
    _turns: defaultdict[str, asyncio.Semaphore] = field(
        init=False, default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(SUBMISSIONS_MAX))
    )
    submitting: int = field(init=False, default=0)
    """How many jobs are on their way into a queue."""
    _doors: dict[str, "_Door"] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._place = asyncio.Semaphore(self.window)

    async def bring_to_end(self, job: Job, preferred: str | None = None) -> JobRecord:
        """The job's terminal record; GaveUp when it does not come in time, counted from its submission.

        `preferred` is the name of the worker that had better do it, if it has a slot free.
        """
        async with self._place:
            return await self._bring_to_end(job, None if preferred is None else subject.worker_token(preferred))

    async def _bring_to_end(self, job: Job, preferred: str | None) -> JobRecord:
        limit_s = longest_wait_s(job)
        give_up_at = time.monotonic() + limit_s
        with self.watch.hearing(subject.job_key(job.run_id, job.job_id), _success) as hearing:
            record = await self._submit(job, preferred, give_up_at)
            if record.state.terminal:
                _log.info("job had ended before", extra={"job_id": job.job_id, "state": record.state})
                return record
            ended = await hearing.until(lambda: self._ended(job, preferred, give_up_at), give_up_at - time.monotonic())
        if ended is None:
            raise GaveUp(f"job {job.job_id} did not end within {limit_s:.0f} s (queue wait and {STARTS_MAX} starts)")
        return ended

    async def _submit(self, job: Job, preferred: str | None, give_up_at: float) -> JobRecord:
        """What stands; if it is queued, its message is in the queue."""
        self.submitting += 1
        try:
            async with self._turns[subject.queue_of(job.type).stream]:
                standing = await self.ledger.open(job)
                if standing.record.state is JobState.QUEUED:
                    await self._publish(standing, preferred, give_up_at)
                return standing.record
        finally:
            self.submitting -= 1

    async def _publish(self, standing: Standing, preferred: str | None, give_up_at: float) -> None:
        job = standing.record.job
        stream = subject.queue_of(job.type).stream
        door = self._doors.setdefault(stream, _Door(stream))
        if await self._offer(standing, preferred):
            return
        async with door.outside(self.submitting):
            failures = 0
            while not await self._offer(standing, preferred):
                delay_s = backoff_s(failures, random.random(), FULL_PAUSE_S)  # noqa: S311 - guards nothing
                if time.monotonic() + delay_s > give_up_at:
                    raise GaveUp(f"{stream} stayed full, its workers do not keep up; job {job.job_id} waits outside")
                failures += 1
                await asyncio.sleep(delay_s)

    async def _offer(self, standing: Standing, preferred: str | None) -> bool:
        """False if the queue is full."""
        bus, job = self.ledger.bus, standing.record.job
        target, data, known = subject.subject_of(job), encode(job), standing.queued
        try:
            queued = await ride_out(
                lambda: bus.publish_job(target, data, job.traceparent, known, preferred),
                limit_s=self.ledger.patience_s,
                bus=bus,
            )
        except QueueFull:
            return False
        _log.info("job submitted" if queued else "job was queued before", extra={"job_id": job.job_id})
        return True

    async def _ended(self, job: Job, preferred: str | None, give_up_at: float) -> JobRecord | None:
        record = await self.ledger.read(job.run_id, job.job_id)
        if record is None:
            _log.warning("the job's record is gone, submitting it again", extra={"job_id": job.job_id})
            record = await self._submit(job, preferred, give_up_at)
        return record if record.state.terminal else None


class _Door:
    """The way into a queue that was full: one at a time knocks. Its two log lines come once for each time it fills."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._waiting = 0
        self._knocking = asyncio.Lock()

    @asynccontextmanager
    async def outside(self, jobs: int) -> AsyncIterator[None]:
        """Until it is our turn to knock, and while we do. `jobs`: how many are on their way into the queue."""
        self._waiting += 1
        if self._waiting == 1:
            _log.warning("queue is full, jobs wait outside", extra={"stream": self._stream, "jobs": jobs})
        try:
            async with self._knocking:
                yield
            if self._waiting == 1:
                _log.info("queue takes jobs again, none waits outside", extra={"stream": self._stream})
        finally:
            self._waiting -= 1


def longest_wait_s(job: Job) -> float:
    """The queue wait and every start that the job may have."""
    limits = job.limits
    return limits.schedule_to_start_s + STARTS_MAX * (limits.start_to_close_s + START_ALLOWANCE_S)


def _success(told: bytes) -> JobRecord | None:
    """The record, if it stays as it is for ever: a job that failed may be put back into its queue by hand."""
    try:
        record = decode_record(told)
    except msgspec.DecodeError:  # of a version that says it in another way: what stands is read
        return None
    return record if record.state is JobState.SUCCEEDED else None
