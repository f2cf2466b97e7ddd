"""The job records and the cancel flags, read and changed: the only place that writes either.

A change is a pure decision (lease.py) over what stands, written by compare-and-set, and taken again over what stands
then if somebody else was faster. A write whose answer was lost is repeated: the decisions know their own work.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from forge_runtime import subject
from forge_runtime.bus.port import Bus, BusUnavailable, Conflict, Entry, Queued
from forge_runtime.dead_letter import Cause, cause_of
from forge_runtime.envelope import ended_event, running_event
from forge_runtime.event import Event
from forge_runtime.job import Job, JobRecord, JobState, decode_record, encode
from forge_runtime.lease import Refused
from forge_runtime.meter import JobObserver
from forge_runtime.outage import ride_out
from forge_runtime.run import CancelFlag, CancelReason, RunRecord, decode_cancel, decode_run

T = TypeVar("T")

_log = logging.getLogger(__name__)

Decision = Callable[[JobRecord, float], JobRecord | Refused]
"""(what stands, now) -> what shall stand, or why nothing may be written."""


class NoRecord(Exception):
    """A job or run has no record: it was never written, or is older than a record's seven days."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A record, and the revision under which it stands, or stood when we last knew."""

    record: JobRecord
    revision: int

    @property
    def queued(self) -> Queued | None:
        """For the job's message, as long as no worker began it: then the record can be told from these two numbers."""
        record = self.record
        if record.state is not JobState.QUEUED or record.starts > 0:
            return None
        return Queued(self.revision, record.submitted_at)


@dataclass(frozen=True, slots=True)
class _Write:
    """A change of a record whose answer never came: it may stand, or never will. `at` is our clock."""

    before: JobRecord
    after: JobRecord
    at: float


@dataclass(frozen=True, slots=True)
class Ledger:
    """`patience_s` is how long each call rides out an outage of the bus before it raises BusUnavailable.

    `observers` are told what is written here.
    """

    bus: Bus
    patience_s: float
    clock: Callable[[], float] = time.time
    observers: tuple[JobObserver, ...] = ()

    async def run(self, run_id: str) -> RunRecord:
        entry = await self._ride_out(lambda: self.bus.runs.get(subject.run_key(run_id)))
        if entry is None:
            raise NoRecord(f"run {run_id} has no record in {subject.RUNS_BUCKET}: it is written before a run starts")
        return _decoded(decode_run, entry)

    async def open(self, job: Job) -> Standing:
        """The job's record, made now if it has none."""
        return await self._ride_out(lambda: self._open(job))

    async def read(self, run_id: str, job_id: str) -> JobRecord | None:
        standing = await self.standing(run_id, job_id)
        return None if standing is None else standing.record

    async def standing(self, run_id: str, job_id: str) -> Standing | None:
        key = subject.job_key(run_id, job_id)
        return await self._ride_out(lambda: self._standing(key))

    async def records(self, run_id: str) -> list[JobRecord]:
        """Those of the run's jobs; one that this version cannot read is told, and keeps nobody from the others."""
        found = []
        for entry in await self._ride_out(lambda: self.bus.jobs.list(subject.job_keys(run_id))):
            try:
                found.append(_decoded(decode_record, entry))
            except msgspec.DecodeError as error:
                _log.error("unreadable record", extra={"run_id": run_id, "why": str(error)})
        return found

    async def change(self, run_id: str, job_id: str, decide: Decision) -> JobRecord | Refused:
        """What stands after the decision; NoRecord where there is nothing to decide about."""
        unanswered: list[_Write] = []
        decided = await self._ride_out(lambda: self._change(run_id, job_id, decide, None, unanswered))
        return decided if isinstance(decided, Refused) else decided.record

    async def amend(self, known: Standing, decide: Decision) -> Standing | Refused:
        """`change` by somebody who knows what stands: not read again unless that was wrong, or refuses him."""
        job = known.record.job
        unanswered: list[_Write] = []
        return await self._ride_out(lambda: self._change(job.run_id, job.job_id, decide, known, unanswered))

    async def flag(self, run_id: str) -> CancelFlag | None:
        """Why the run ends, if it must."""
        entry = await self._ride_out(lambda: self.bus.runs.get(subject.cancel_key(run_id)))
        return None if entry is None else decode_cancel(entry.value)

    async def raise_flag(self, run_id: str, flag: CancelFlag) -> None:
        """End the run; whoever comes second changes nothing, so the first reason stays."""
        await self._ride_out(lambda: self._raise_flag(run_id, flag))

    async def announce(
        self, record: JobRecord, by: str, message: bytes | None = None, began: JobRecord | None = None
    ) -> None:
        """What follows a terminal record: the run's flag, the dead letter, the event. May be repeated.

        `by` signs the flag; `message` is what was delivered, if that is not simply the record's job; `began` is the
        record when it began, if that was not told yet.
        """
        job = record.job
        if record.fails_run:
            flag = CancelFlag(reason=CancelReason.FAILED, by=by, at=self.clock(), job_id=job.job_id)
            await self.raise_flag(job.run_id, flag)
        cause = cause_of(record)
        if cause is not None:
            pool = subject.queue_of(job.type).pool
            await self.bury(pool, job.run_id, job.job_id, encode(job) if message is None else message, cause)
        await self.publish(*([] if began is None else [running_event(began)]), ended_event(record, self.clock()))

    async def bury(self, pool: str, run_id: str, job_id: str, message: bytes, cause: Cause) -> None:
        """Keep a message among the dead letters."""
        target = subject.dead_letter_subject(pool, run_id, job_id)
        await self._ride_out(lambda: self.bus.dead_letters.bury(target, message, cause))
        for observer in self.observers:
            observer.buried(pool)

    async def publish(self, *events: Event) -> None:
        """Events of one run and kind, in this order."""
        target = subject.event_subject(events[0].run_id, events[0].kind)
        encoded = [encode(event) for event in events]
        await self._ride_out(lambda: self.bus.publish_event(target, *encoded))

    async def publish_running(self, record: JobRecord) -> None:
        await self.publish(running_event(record))

    async def _ride_out(self, operation: Callable[[], Awaitable[T]]) -> T:
        return await ride_out(operation, limit_s=self.patience_s, bus=self.bus)

    async def _open(self, job: Job) -> Standing:
        key = subject.job_key(job.run_id, job.job_id)
        record = _queued(job, self.clock())
        try:
            revision = await self.bus.jobs.create(key, encode(record))
        except Conflict:
            standing = await self._standing(key)
            if standing is None:  # a replica that answers reads may lag behind the one that took the write
                raise BusUnavailable(f"{key} exists and cannot be read yet") from None
            return standing
        return Standing(record, revision)

    async def _standing(self, key: str) -> Standing | None:
        entry = await self.bus.jobs.get(key)
        return None if entry is None else Standing(_decoded(decode_record, entry), entry.revision)

    async def _change(
        self, run_id: str, job_id: str, decide: Decision, known: Standing | None, unanswered: list[_Write]
    ) -> Standing | Refused:
        key = subject.job_key(run_id, job_id)
        while True:  # each turn lost a race that another write won, so some write makes progress
            standing = known or await self._standing(key)
            if standing is None:
                raise NoRecord(f"job {job_id} of run {run_id} has no record in {subject.JOBS_BUCKET}")
            if written := next((each for each in unanswered if each.after == standing.record), None):
                unanswered.clear()
                await self._tell(written)
                if written.after.state.terminal:
                    return standing
            now = self.clock()
            decided = decide(standing.record, now)
            if isinstance(decided, Refused) or decided == standing.record:
                if known is None:
                    return decided if isinstance(decided, Refused) else standing
                known = None  # only what is read may say that nothing is to be written
                continue
            known = None
            write = _Write(standing.record, decided, now)
            try:
                revision = await self.bus.jobs.update(key, encode(decided), standing.revision)
            except Conflict:
                continue
            except BusUnavailable:
                unanswered.append(write)
                raise
            await self._tell(write)
            return Standing(decided, revision)

    async def _tell(self, write: _Write) -> None:
        """Whoever counts, and if it is the job's end, whoever waits for it."""
        for observer in self.observers:
            observer.changed(write.before, write.after, write.at)
        if write.after.state.terminal:
            job = write.after.job
            with suppress(BusUnavailable):  # who waits for it reads now and then
                await self.bus.tell_end(job.run_id, job.job_id, encode(write.after))
                await asyncio.sleep(0)  # it goes out now, and not behind all that this task does next

    async def _raise_flag(self, run_id: str, flag: CancelFlag) -> None:
        try:
            await self.bus.runs.create(subject.cancel_key(run_id), encode(flag))
        except Conflict:
            return


def told_standing(job: Job, queued: Queued) -> Standing:
    """The record that a job's message was published for; what stands now may be another one."""
    return Standing(_queued(job, queued.submitted_at), queued.revision)


def _decoded(decode: Callable[[bytes], T], entry: Entry) -> T:
    """msgspec.DecodeError that says of which record."""
    try:
        return decode(entry.value)
    except msgspec.DecodeError as error:
        raise msgspec.DecodeError(f"{entry.key} cannot be read: {error}") from error


def _queued(job: Job, at: float) -> JobRecord:
    return JobRecord(state=JobState.QUEUED, job=job, submitted_at=at)
