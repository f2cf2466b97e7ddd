"""A dead letter's job back to work, where that is still of use to somebody.

    letter -> does its run go on? -> record back to queued, by compare-and-set -> message published -> letter dropped

The letter goes last, so whoever is interrupted can do it again. A run that has ended cannot be revived with its job:
its dispatchers are gone, and its flag would cancel whatever is queued. What helps there is to start the run anew.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from forge_runtime import subject
from forge_runtime.bus.port import QueueFull
from forge_runtime.dead_letter import DeadLetter
from forge_runtime.job import JobRecord, encode
from forge_runtime.lease import Refused, revive
from forge_runtime.ledger import Ledger, NoRecord
from forge_runtime.outage import ride_out
from forge_runtime.run import CancelFlag, RunRecord

UNREADABLE: Final = (msgspec.DecodeError, ValueError)
"""Of a record whose words this version does not know; of a job by a name that no record can have."""


class NotRequeued(Exception):
    """Why a letter stays where it is, and what may be done instead."""


@dataclass(frozen=True, slots=True)
class Requeuer:
    ledger: Ledger

    async def requeue(self, letter: DeadLetter) -> None:
        """NotRequeued if the job's record or run does not allow it, or its queue is full."""
        record = await self.check(letter)
        job = record.job
        target = subject.subject_of(job)
        decided = await self.ledger.change(job.run_id, job.job_id, revive)
        if isinstance(decided, Refused):
            raise NotRequeued(_refusal(decided.record))
        bus, patience_s = self.ledger.bus, self.ledger.patience_s
        try:
            await ride_out(lambda: bus.publish_job(target, encode(job), job.traceparent), limit_s=patience_s)
        except QueueFull as full:
            raise NotRequeued(f"{full}; do it again when there is room") from None
        await ride_out(lambda: bus.dead_letters.drop(letter.sequence), limit_s=patience_s)

    async def check(self, letter: DeadLetter) -> JobRecord:
        """The record of a job that may be requeued; NotRequeued where it may not. Changes nothing."""
        try:
            record = await self.ledger.read(letter.run_id, letter.job_id)
        except UNREADABLE as error:
            raise NotRequeued(f"the record of the job cannot be read: {error}") from None
        if record is None:
            raise NotRequeued("there is no record of the job: records are kept for 7 days after their last change")
        if isinstance(revive(record, self.ledger.clock()), Refused):
            raise NotRequeued(_refusal(record))
        try:
            run = await self.ledger.run(letter.run_id)
        except NoRecord as missing:
            raise NotRequeued(str(missing)) from None
        why = run_is_over(run, await self.ledger.flag(letter.run_id), self.ledger.clock())
        if why is not None:
            raise NotRequeued(f"{why}; start the run again instead")
        return record


def run_is_over(run: RunRecord, flag: CancelFlag | None, now: float) -> str | None:
    """Why nobody would have anything of the run's jobs any more. Pure."""
    if flag is not None:
        return f"its run has ended ({flag.reason}, by {flag.by})"
    if now >= run.deadline_at:
        return "its run is beyond its time limit"
    return None


def _refusal(record: JobRecord) -> str:
    if record.state.terminal:
        return f"the job has ended ({record.state}) and was not given up by the infrastructure"
    return f"{record.worker} works on the job already"
