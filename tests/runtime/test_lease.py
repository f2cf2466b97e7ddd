"""Who may change a job record, when, and into what."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace
from tests.runtime.samples import queued_record

from forge_runtime import lease
from forge_runtime.job import ErrorRecord, JobRecord, JobResult, JobState
from forge_runtime.lease import Holder, Refusal, Refused

ALICE = Holder(worker="worker-a", nonce="1", component="worker.tasks")
ALICE_AGAIN = Holder(worker="worker-a", nonce="2", component="worker.tasks")
BOB = Holder(worker="worker-b", nonce="3", component="worker.tasks")
WHY = ErrorRecord(code="CANCELLED", message="stopped", component="dispatcher", error_class="cancelled")
LEASE_S = 30.0
QUEUE_LIMIT_S = 100.0
TERMINAL = [state for state in JobState if state.terminal]


def taken(by: Holder = ALICE, *, now: float = 0.0) -> JobRecord:
    record = lease.claim(queued_record(now=now), by, now)
    assert isinstance(record, JobRecord)
    return record


def ended(state: JobState) -> JobRecord:
    record = taken()
    return replace(record, state=state, result=JobResult(job_id=record.job.job_id, status=state), lease_until=None)


def result_of(record: JobRecord, status: JobState = JobState.SUCCEEDED) -> JobResult:
    return JobResult(job_id=record.job.job_id, status=status)


def reason(answer: JobRecord | Refused) -> Refusal:
    assert isinstance(answer, Refused)
    return answer.reason


def test_claim_leases_a_queued_job_and_counts_the_start() -> None:
    record = lease.claim(queued_record(), ALICE, 5.0)

    assert isinstance(record, JobRecord)
    assert (record.state, record.worker, record.attempt_nonce) == (JobState.LEASED, "worker-a", "1")
    assert (record.starts, record.started_at, record.lease_until) == (1, 5.0, 5.0 + LEASE_S)


def test_claim_of_a_held_job_is_refused_until_its_lease_ends() -> None:
    record = taken(ALICE, now=0.0)

    assert reason(lease.claim(record, BOB, LEASE_S - 0.001)) is Refusal.HELD
    again = lease.claim(record, BOB, LEASE_S)
    assert isinstance(again, JobRecord)
    assert (again.worker, again.starts, again.started_at) == ("worker-b", 2, LEASE_S)


def test_a_lease_is_believed_as_far_as_clocks_may_differ_and_no_further() -> None:
    record = taken(ALICE, now=lease.SKEW_S_MAX)

    assert reason(lease.claim(record, BOB, 0.0)) is Refusal.HELD
    assert isinstance(lease.claim(record, BOB, -0.001), JobRecord)


def test_claim_repeated_by_the_same_attempt_is_one_start() -> None:
    record = taken(ALICE)

    assert lease.claim(record, ALICE, 1.0) == record


def test_claim_by_another_attempt_of_the_same_worker_is_refused() -> None:
    assert reason(lease.claim(taken(ALICE), ALICE_AGAIN, 1.0)) is Refusal.HELD


def test_fourth_start_makes_the_job_failed_as_poison() -> None:
    record: JobRecord | Refused = queued_record()
    now = 0.0
    for number in range(lease.STARTS_MAX):
        assert isinstance(record, JobRecord)
        record = lease.claim(record, replace_nonce(BOB, number), now)
        now += LEASE_S
    assert isinstance(record, JobRecord)

    last = lease.claim(record, ALICE, now)

    assert isinstance(last, JobRecord)
    assert last.state is JobState.FAILED
    assert last.result is not None
    assert last.result.error is not None
    assert last.result.error.code == "JOB_POISON"
    assert last.starts == lease.STARTS_MAX


def test_claim_of_a_job_that_waited_too_long_makes_it_expired() -> None:
    record = lease.claim(queued_record(now=0.0), ALICE, QUEUE_LIMIT_S + 1)

    assert isinstance(record, JobRecord)
    assert record.state is JobState.EXPIRED
    assert record.result is not None
    assert record.result.error is not None
    assert record.result.error.code == "JOB_EXPIRED"
    assert record.starts == 0


def test_renew_extends_the_lease_of_its_holder() -> None:
    record = lease.renew(taken(ALICE, now=0.0), ALICE, 10.0)

    assert isinstance(record, JobRecord)
    assert record.lease_until == 10.0 + LEASE_S


def test_holder_may_renew_late_while_nobody_else_took_the_job() -> None:
    record = lease.renew(taken(ALICE, now=0.0), ALICE, 10 * LEASE_S)

    assert isinstance(record, JobRecord)


@pytest.mark.parametrize("stranger", [ALICE_AGAIN, BOB])
def test_only_the_holder_renews_completes_and_hands_back(stranger: Holder) -> None:
    record = taken(ALICE)

    assert reason(lease.renew(record, stranger, 1.0)) is Refusal.NOT_HOLDER
    assert reason(lease.complete(record, stranger, result_of(record))) is Refusal.NOT_HOLDER
    assert reason(lease.requeue(record, stranger, 1.0, counted=False)) is Refusal.NOT_HOLDER


def test_expired_lease_that_another_took_refuses_the_first_holder() -> None:
    record = lease.claim(taken(ALICE, now=0.0), BOB, LEASE_S)
    assert isinstance(record, JobRecord)

    assert reason(lease.renew(record, ALICE, LEASE_S)) is Refusal.NOT_HOLDER
    assert reason(lease.complete(record, ALICE, result_of(record))) is Refusal.NOT_HOLDER


@pytest.mark.parametrize("status", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_complete_keeps_the_result_and_ends_the_lease(status: JobState) -> None:
    before = taken(ALICE)

    record = lease.complete(before, ALICE, result_of(before, status))

    assert isinstance(record, JobRecord)
    assert (record.state, record.lease_until) == (status, None)
    assert record.result == result_of(before, status)


def test_hand_back_without_fault_costs_no_start() -> None:
    record = lease.requeue(taken(ALICE), ALICE, 50.0, counted=False)

    assert isinstance(record, JobRecord)
    assert (record.state, record.starts, record.submitted_at) == (JobState.QUEUED, 0, 50.0)
    assert (record.worker, record.attempt_nonce, record.lease_until, record.started_at) == (None, None, None, None)


def test_job_handed_back_by_a_clock_that_is_behind_is_no_older_than_it_was() -> None:
    held = taken(ALICE, now=1.0)

    record = lease.requeue(held, ALICE, held.submitted_at - 3600.0, counted=True)

    assert isinstance(record, JobRecord)
    assert record.submitted_at == held.submitted_at


def test_hand_back_for_another_try_keeps_its_start() -> None:
    record = lease.requeue(taken(ALICE), ALICE, 50.0, counted=True)

    assert isinstance(record, JobRecord)
    assert record.starts == 1


def test_cancel_ends_a_queued_job_and_one_whose_lease_ran_out() -> None:
    for record in (queued_record(), taken(ALICE, now=0.0)):
        cancelled = lease.cancel(record, WHY, LEASE_S)

        assert isinstance(cancelled, JobRecord)
        assert cancelled.state is JobState.CANCELLED
        assert cancelled.result is not None
        assert cancelled.result.error == WHY


def test_cancel_leaves_a_held_job_to_its_worker_unless_forced() -> None:
    record = taken(ALICE, now=0.0)

    assert reason(lease.cancel(record, WHY, 1.0)) is Refusal.HELD
    forced = lease.cancel(record, WHY, 1.0, force=True)
    assert isinstance(forced, JobRecord)
    assert reason(lease.complete(forced, ALICE, result_of(record))) is Refusal.ENDED


def test_expire_ends_only_a_job_that_waited_too_long() -> None:
    assert reason(lease.expire(queued_record(), "sweeper", QUEUE_LIMIT_S)) is Refusal.NOT_DUE
    assert reason(lease.expire(taken(), "sweeper", QUEUE_LIMIT_S + 1)) is Refusal.HELD
    record = lease.expire(queued_record(), "sweeper", QUEUE_LIMIT_S + 1)
    assert isinstance(record, JobRecord)
    assert record.state is JobState.EXPIRED


@pytest.mark.parametrize("state", TERMINAL)
def test_a_job_that_ended_absorbs_everything(state: JobState) -> None:
    record = ended(state)
    answers = [
        lease.claim(record, BOB, 1e6),
        lease.claim(record, ALICE, 1e6),
        lease.renew(record, ALICE, 1.0),
        lease.complete(record, ALICE, result_of(record)),
        lease.requeue(record, ALICE, 1.0, counted=True),
        lease.cancel(record, WHY, 1.0, force=True),
        lease.expire(record, "sweeper", 1e6),
        lease.poison(record, "worker.tasks", "unreadable", 1.0),
    ]

    assert [reason(answer) for answer in answers] == [Refusal.ENDED] * len(answers)


def replace_nonce(holder: Holder, number: int) -> Holder:
    return Holder(worker=holder.worker, nonce=f"{holder.nonce}-{number}", component=holder.component)


class Fencing(RuleBasedStateMachine):
    """Several holders and a sweeper over one record; every clock may be wrong by minutes, in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.record = queued_record(now=1000.0)
        self.now = 1000.0
        self.claims: list[Holder] = []
        self.completions: list[Holder] = []
        self.ends = 0
        self.fenced: set[str] = set()

    skews = st.floats(min_value=-200.0, max_value=200.0)
    hold = st.integers(min_value=0, max_value=30)

    @rule(step=st.floats(min_value=0.0, max_value=120.0))
    def time_passes(self, step: float) -> None:
        self.now += step

    @rule(skew=skews, worker=st.sampled_from(["a", "b", "c"]))
    def claim(self, skew: float, worker: str) -> None:
        holder = Holder(worker=worker, nonce=str(len(self.claims)), component="worker.tasks")
        before = self.record
        self._write(lease.claim(before, holder, self.now + skew))
        if self.record.attempt_nonce == holder.nonce and self.record.state is JobState.LEASED:
            self.fenced |= {other.nonce for other in self.claims}
            self.claims.append(holder)

    @precondition(lambda self: self.claims)
    @rule(index=hold, skew=skews)
    def renew(self, index: int, skew: float) -> None:
        holder = self._holder(index)
        answer = lease.renew(self.record, holder, self.now + skew)
        assert not (holder.nonce in self.fenced and isinstance(answer, JobRecord))
        self._write(answer)

    @precondition(lambda self: self.claims)
    @rule(index=hold, status=st.sampled_from([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]))
    def complete(self, index: int, status: JobState) -> None:
        holder = self._holder(index)
        answer = lease.complete(self.record, holder, result_of(self.record, status))
        if isinstance(answer, JobRecord):
            assert holder.nonce not in self.fenced
            self.completions.append(holder)
        self._write(answer)

    @precondition(lambda self: self.claims)
    @rule(index=hold, skew=skews, counted=st.booleans())
    def hand_back(self, index: int, skew: float, counted: bool) -> None:
        holder = self._holder(index)
        answer = lease.requeue(self.record, holder, self.now + skew, counted=counted)
        if isinstance(answer, JobRecord):
            assert holder.nonce not in self.fenced
            self.fenced.add(holder.nonce)
        self._write(answer)

    @rule(skew=skews, force=st.booleans())
    def cancel(self, skew: float, force: bool) -> None:
        self._write(lease.cancel(self.record, WHY, self.now + skew, force=force))

    @rule(skew=skews)
    def expire(self, skew: float) -> None:
        self._write(lease.expire(self.record, "sweeper", self.now + skew))

    @invariant()
    def ends_once(self) -> None:
        assert self.ends <= 1
        assert len(self.completions) <= 1
        assert self.record.state.terminal == (self.ends == 1)

    @invariant()
    def record_is_whole(self) -> None:
        record = self.record
        assert 0 <= record.starts <= lease.STARTS_MAX
        assert (record.lease_until is not None) == (record.state is JobState.LEASED)
        assert (record.result is not None) == record.state.terminal
        if record.state is JobState.LEASED:
            assert record.attempt_nonce == self.claims[-1].nonce

    def _holder(self, index: int) -> Holder:
        return self.claims[index % len(self.claims)]

    def _write(self, answer: JobRecord | Refused) -> None:
        if isinstance(answer, Refused):
            return
        assert not self.record.state.terminal or answer == self.record
        if answer.state.terminal and not self.record.state.terminal:
            self.ends += 1
        self.record = answer


TestFencing = Fencing.TestCase
TestFencing.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
