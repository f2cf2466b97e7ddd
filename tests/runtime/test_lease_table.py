"""The rules of a job record and the table of its states agree: each arrow is one that some rule makes, and no more."""

from itertools import product

from msgspec.structs import replace
from tests.runtime.samples import queued_record

from forge_runtime import lease
from forge_runtime.job import ErrorRecord, JobRecord, JobResult, JobState, new_error
from forge_runtime.lease import Holder, Refused
from forge_runtime.status import JOB

HOLDER = Holder(worker="worker-a", nonce="1", component="worker.tasks")
OTHER = Holder(worker="worker-b", nonce="2", component="worker.tasks")
WHY = ErrorRecord(code="CANCELLED", message="stopped", component="dispatcher", error_class="cancelled")
NOW = 0.0
LATE = 1e6


def records() -> list[JobRecord]:
    """One of each state, a job that was given up, and those that have used up their starts."""
    queued = queued_record(now=NOW)
    leased = lease.claim(queued, HOLDER, NOW)
    assert isinstance(leased, JobRecord)
    given_up = new_error(lease.POISON, "infra", "three workers died", component="worker.tasks", now=NOW)
    ended = [
        replace(
            leased,
            state=state,
            lease_until=None,
            result=JobResult(job_id=leased.job.job_id, status=state, error=error),
        )
        for state in JobState
        if state.terminal
        for error in (None, given_up)
    ]
    return [queued, leased, *ended, *(replace(record, starts=lease.STARTS_MAX) for record in (queued, leased))]


def writes(record: JobRecord, now: float) -> list[JobRecord | Refused]:
    """What each rule makes of a record, whoever asks for it."""
    ends = [JobResult(job_id=record.job.job_id, status=state) for state in _ENDS]
    return [
        *(lease.claim(record, holder, now) for holder in (HOLDER, OTHER)),
        lease.renew(record, HOLDER, now),
        *(lease.complete(record, HOLDER, result) for result in ends),
        *(lease.requeue(record, HOLDER, now, counted=counted) for counted in (True, False)),
        *(lease.cancel(record, WHY, now, force=force) for force in (True, False)),
        lease.expire(record, "sweeper", now),
        *(lease.poison(record, "sweeper", "why", now, force=force) for force in (True, False)),
        lease.revive(record, now),
    ]


def test_rules_and_table_have_the_same_arrows() -> None:
    made = {
        (before.state.value, after.state.value)
        for before, now in product(records(), (NOW, LATE))
        for after in writes(before, now)
        if isinstance(after, JobRecord) and after.state is not before.state
    }

    assert made == {(state, target) for state, targets in JOB.arrows.items() for target in targets}


def test_only_a_job_that_was_given_up_leaves_its_end() -> None:
    for before, now in product(records(), (NOW, LATE)):
        if before.state.terminal:
            left = [after for after in writes(before, now) if isinstance(after, JobRecord) and after != before]

            assert bool(left) == lease.given_up(before)


_ENDS = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
