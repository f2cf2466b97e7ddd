"""The fencing rules of a job record: who may change it, when, and into what. Pure.

Acks of a queue are not fenced: a stale worker's ack removes the message that another worker is busy with. So a job's
owner is whoever wrote the record last by compare-and-set, and these functions say what may be written:

    queued --claim--> leased --complete--> succeeded | failed | cancelled
      |  ^-----requeue---/ |                 (only its holder: worker and nonce of the claim)
      |                    '--lease ends--> claim by another, one start more
      '--cancel, expire--> cancelled, expired

A job that was given up, failed because infrastructure failed it each time, can be put back by hand: revive.

A lease is time in which nobody else may take the job. Its end takes nothing from the holder by itself: as long as the
record still bears his nonce he may renew or complete, and the compare-and-set decides a race. So a clock that jumps
costs a second execution at worst, never a second completion. A lease that ends later than any clock within the allowed
skew can have written it is therefore none: a dead worker whose clock was an hour ahead keeps nobody waiting. And nobody
ends a job for having waited too long by his own clock alone.
"""

import enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from forge_runtime.job import ErrorRecord, JobRecord, JobResult, JobState, new_error, utc_text

STARTS_MAX: Final = 3
"""A job whose worker died this often is given up: the next claim makes it failed, JOB_POISON."""

POISON: Final = "JOB_POISON"
"""The error code of a job that was not even able to fail by itself."""

SKEW_S_MAX: Final = 5.0
"""Between the clocks of two machines."""

BEATS_PER_LEASE: Final = 3
"""A 30 s lease is renewed every 10 s, so two beats may be lost before the job is another's."""


class Refusal(enum.StrEnum):
    ENDED = "the job has ended"
    HELD = "another worker holds the job"
    NOT_HOLDER = "the job is no longer held by this attempt"
    NOT_DUE = "the job may still wait in its queue"


class Refused(Struct, frozen=True):
    """Nothing may be written; `record` is what stands."""

    reason: Refusal
    record: JobRecord


class Holder(Struct, frozen=True, kw_only=True):
    """One attempt of one worker. `nonce` is new for each claim, `component` names the writer in error records."""

    worker: str
    nonce: str
    component: str


def claim(record: JobRecord, holder: Holder, now: float, queue_now: float | None = None) -> JobRecord | Refused:
    """Take the job. The answer may be a job that ended just now: it waited too long, or began too often.

    `queue_now`: by another clock, where ours says that it waited too long.
    """
    if record.state.terminal:
        return Refused(Refusal.ENDED, record)
    if _holds(record, holder):
        return record  # our own write, whose answer was lost
    if _is_held(record, now):
        return Refused(Refusal.HELD, record)
    if waited_too_long(record, now if queue_now is None else queue_now):
        return _expired(record, holder.component, now)
    if record.starts >= STARTS_MAX:
        return _poisoned(record, holder.component, now)
    return replace(
        record,
        state=JobState.LEASED,
        starts=record.starts + 1,
        worker=holder.worker,
        attempt_nonce=holder.nonce,
        started_at=now,
        lease_until=now + record.job.limits.heartbeat_s,
    )


def renew(record: JobRecord, holder: Holder, now: float) -> JobRecord | Refused:
    """Another lease's length from now."""
    if not _holds(record, holder):
        return _not_holder(record)
    return replace(record, lease_until=now + record.job.limits.heartbeat_s)


def complete(record: JobRecord, holder: Holder, result: JobResult) -> JobRecord | Refused:
    """The job's end, written by the attempt that did the work."""
    assert result.status.terminal
    assert result.job_id == record.job.job_id
    if not _holds(record, holder):
        return _not_holder(record)
    return replace(record, state=result.status, result=result, lease_until=None)


def requeue(record: JobRecord, holder: Holder, now: float, *, counted: bool) -> JobRecord | Refused:
    """Hand the job back; `counted=False` when the attempt ended for no fault of the job (a worker that drains)."""
    if not _holds(record, holder):
        return _not_holder(record)
    return replace(
        record,
        state=JobState.QUEUED,
        starts=record.starts if counted else record.starts - 1,
        submitted_at=max(now, record.submitted_at),  # a holder whose clock is hours behind must not make it look old
        worker=None,
        attempt_nonce=None,
        started_at=None,
        lease_until=None,
    )


def cancel(record: JobRecord, error: ErrorRecord, now: float, *, force: bool = False) -> JobRecord | Refused:
    """End a job that nobody holds; with `force` also a held one, whose holder is then fenced out."""
    if record.state.terminal:
        return Refused(Refusal.ENDED, record)
    if _is_held(record, now) and not force:
        return Refused(Refusal.HELD, record)
    return _ended(record, JobState.CANCELLED, error, now)


def expire(record: JobRecord, component: str, now: float) -> JobRecord | Refused:
    """End a job that waited in its queue beyond its limit."""
    if record.state.terminal:
        return Refused(Refusal.ENDED, record)
    if not waited_too_long(record, now):
        return Refused(Refusal.HELD if record.state is JobState.LEASED else Refusal.NOT_DUE, record)
    return _expired(record, component, now)


def poison(record: JobRecord, component: str, reason: str, now: float, *, force: bool = False) -> JobRecord | Refused:
    """End a job whose message leads nowhere, if nobody holds it; with `force` also if somebody does."""
    if record.state.terminal:
        return Refused(Refusal.ENDED, record)
    if _is_held(record, now) and not force:
        return Refused(Refusal.HELD, record)
    return _ended(record, JobState.FAILED, _poison_error(component, reason, now), now)


def given_up(record: JobRecord) -> bool:
    """Whether the job failed because infrastructure failed it, as often as it may."""
    error = record.result.error if record.result is not None else None
    return record.state is JobState.FAILED and error is not None and error.error_class == "infra"


def revive(record: JobRecord, now: float) -> JobRecord | Refused:
    """Put a job that was given up back into its queue, with all its starts; one that is there already stays."""
    if record.state is JobState.QUEUED:
        return record
    if record.state is JobState.LEASED:
        return Refused(Refusal.HELD, record)
    if not given_up(record):
        return Refused(Refusal.ENDED, record)
    return JobRecord(state=JobState.QUEUED, job=record.job, submitted_at=now)


def waited_too_long(record: JobRecord, now: float) -> bool:
    return record.state is JobState.QUEUED and now > record.submitted_at + record.job.limits.schedule_to_start_s


def _holds(record: JobRecord, holder: Holder) -> bool:
    return (record.state, record.worker, record.attempt_nonce) == (JobState.LEASED, holder.worker, holder.nonce)


def _is_held(record: JobRecord, now: float) -> bool:
    if record.state is not JobState.LEASED or record.lease_until is None:
        return False
    return now < record.lease_until <= now + record.job.limits.heartbeat_s + SKEW_S_MAX


def _not_holder(record: JobRecord) -> Refused:
    return Refused(Refusal.ENDED if record.state.terminal else Refusal.NOT_HOLDER, record)


def _expired(record: JobRecord, component: str, now: float) -> JobRecord:
    message = (
        f"no worker began this job within {record.job.limits.schedule_to_start_s:g} s; "
        "see whether workers of its pool run, then start the run again"
    )
    return _ended(
        record, JobState.EXPIRED, new_error("JOB_EXPIRED", "infra", message, component=component, now=now), now
    )


def _poisoned(record: JobRecord, component: str, now: float) -> JobRecord:
    reason = f"{record.starts} workers in turn lost this job before its end, the last one {record.worker}"
    return _ended(record, JobState.FAILED, _poison_error(component, reason, now), now)


def _poison_error(component: str, reason: str, now: float) -> ErrorRecord:
    message = f"{reason}; the job is in the dead letters and will not be tried again"
    return new_error(POISON, "infra", message, component=component, now=now)


def _ended(record: JobRecord, state: JobState, error: ErrorRecord, now: float) -> JobRecord:
    result = JobResult(
        job_id=record.job.job_id,
        status=state,
        error=error,
        worker=record.worker,
        started_at=None if record.started_at is None else utc_text(record.started_at),
        completed_at=utc_text(now),
    )
    return replace(record, state=state, result=result, lease_until=None)
