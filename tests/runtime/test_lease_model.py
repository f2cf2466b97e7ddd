"""A job's record as several workers, a canceller, a sweeper and somebody with the dead letters change it at once.

Whoever writes has read before, at any time before, and the write is a compare-and-set: what the bus does. Clocks differ
by what is allowed (5 s between any two). A message may be delivered again at any moment, to any worker, also to the one
that has it, and also after the job's end.
"""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.runtime.samples import queued_record

from forge_runtime import lease
from forge_runtime.job import ErrorRecord, JobRecord, JobResult, JobState, new_error
from forge_runtime.lease import Holder, Refused

WORKERS = ("a", "b", "c")
LEASE_S = queued_record(now=0.0).job.limits.heartbeat_s
QUEUE_LIMIT_S = queued_record(now=0.0).job.limits.schedule_to_start_s
CANCELLED = ErrorRecord(code="CANCELLED", message="stopped", component="dispatcher", error_class="cancelled")
INFRA = new_error("RUNNER_UNAVAILABLE", "infra", "no runner", component="worker.tasks", now=0.0)


@dataclass
class Worker:
    """`seen`: the record that it read last, with its revision. `renewed_at`: true time of its last good write."""

    name: str
    skew_s: float = 0.0
    seen: tuple[JobRecord, int] | None = None
    holder: Holder | None = None
    renewed_at: float = 0.0


class Delivery(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.record = queued_record(now=self.now)
        self.revision = 1
        self.claims = 0
        self.workers = {name: Worker(name) for name in WORKERS}
        self.life = 0
        self.ends: dict[int, int] = {0: 0}
        self.life_of: dict[str, int] = {}
        self.forgotten: list[Holder] = []

    @initialize(skews=st.tuples(*[st.floats(min_value=-2.5, max_value=2.5)] * 3))
    def clocks_differ(self, skews: tuple[float, ...]) -> None:
        for worker, skew_s in zip(self.workers.values(), skews, strict=True):
            worker.skew_s = skew_s

    names = st.sampled_from(WORKERS)
    skews = st.floats(min_value=-2.5, max_value=2.5)

    @rule(seconds=st.one_of(st.floats(min_value=0.0, max_value=12.0), st.floats(min_value=0.0, max_value=90.0)))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(name=names, slow=st.booleans())
    def message_is_delivered(self, name: str, slow: bool) -> None:
        """For the first time or again: the worker reads the record, and acts on it at once or much later."""
        self.workers[name].seen = (self.record, self.revision)
        if not slow:
            self._claim(self.workers[name])

    @rule(name=names)
    def slow_worker_goes_on(self, name: str) -> None:
        self._claim(self.workers[name])

    def _claim(self, worker: Worker) -> None:
        if worker.seen is None:
            return
        record, revision = worker.seen
        self.claims += 1
        holder = Holder(worker=worker.name, nonce=str(self.claims), component="worker.tasks")
        working = [other.name for other in self.workers.values() if self._works(other)]
        answer = lease.claim(record, holder, self.now + worker.skew_s)
        if self._write(answer, revision) and self.record.state is JobState.LEASED:
            assert not working, f"{working[0]} still works on it"
            if worker.holder is not None:
                self.forgotten.append(worker.holder)
            worker.holder, worker.renewed_at = holder, self.now
            self.life_of[holder.nonce] = self.life

    @precondition(lambda self: self.forgotten)
    @rule(index=st.integers(min_value=0, max_value=9))
    def attempt_that_lost_its_job_ends_it(self, index: int) -> None:
        holder = self.forgotten[index % len(self.forgotten)]
        result = JobResult(job_id=self.record.job.job_id, status=JobState.SUCCEEDED)
        assert isinstance(lease.complete(self.record, holder, result), Refused)

    @rule(name=names)
    def beat(self, name: str) -> None:
        worker = self.workers[name]
        if worker.holder is None:
            return
        if self._write(lease.renew(self.record, worker.holder, self.now + worker.skew_s), self.revision):
            worker.renewed_at = self.now
        else:
            self.forgotten.append(worker.holder)  # fenced out: it has to stop
            worker.holder = None

    @rule(name=names, status=st.sampled_from([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED]))
    def complete(self, name: str, status: JobState) -> None:
        worker = self.workers[name]
        if worker.holder is None:
            return
        error = INFRA if status is JobState.FAILED else None
        result = JobResult(job_id=self.record.job.job_id, status=status, error=error)
        if self._write(lease.complete(self.record, worker.holder, result), self.revision):
            assert self.life_of[worker.holder.nonce] == self.life
        worker.holder = None

    @rule(name=names, counted=st.booleans())
    def hand_back(self, name: str, counted: bool) -> None:
        worker = self.workers[name]
        if worker.holder is None:
            return
        answer = lease.requeue(self.record, worker.holder, self.now + worker.skew_s, counted=counted)
        self._write(answer, self.revision)
        worker.holder = None

    @rule(name=names)
    def worker_dies(self, name: str) -> None:
        self.workers[name] = Worker(name, self.workers[name].skew_s)

    @rule(skew_s=skews, force=st.booleans())
    def cancel(self, skew_s: float, force: bool) -> None:
        self._write(lease.cancel(self.record, CANCELLED, self.now + skew_s, force=force), self.revision)

    @rule(skew_s=skews)
    def sweep(self, skew_s: float) -> None:
        self._write(lease.expire(self.record, "sweeper", self.now + skew_s), self.revision)

    @rule(skew_s=skews)
    def requeue_by_hand(self, skew_s: float) -> None:
        ended = self.record.state.terminal
        given_up = ended and self.record.state is JobState.FAILED and _class_of(self.record) == "infra"
        if self._write(lease.revive(self.record, self.now + skew_s), self.revision) and ended:
            assert given_up
            assert self.record.starts == 0
            self.life += 1
            self.ends[self.life] = 0

    @invariant()
    def each_life_ends_at_most_once(self) -> None:
        assert all(count <= 1 for count in self.ends.values())
        assert self.record.state.terminal == (self.ends[self.life] == 1)

    @invariant()
    def starts_are_bounded(self) -> None:
        assert 0 <= self.record.starts <= lease.STARTS_MAX

    @invariant()
    def nobody_waits_for_ever(self) -> None:
        """Whatever happened, a message that is delivered late enough brings the job on, or finds its end."""
        holder = Holder(worker="late", nonce="late", component="worker.tasks")
        late = self.now + LEASE_S + lease.SKEW_S_MAX + QUEUE_LIMIT_S
        answer = lease.claim(self.record, holder, late)
        assert isinstance(answer, JobRecord) or self.record.state.terminal

    def _works(self, worker: Worker) -> bool:
        """Whether its lease lasts by every clock that is allowed, and its claim stands."""
        if worker.holder is None or self.record.attempt_nonce != worker.holder.nonce:
            return False
        return self.record.state is JobState.LEASED and self.now < worker.renewed_at + LEASE_S - lease.SKEW_S_MAX

    def _write(self, answer: JobRecord | Refused, revision: int) -> bool:
        """Whether the record is now what the answer says."""
        if isinstance(answer, Refused) or revision != self.revision:
            return False
        if answer.state.terminal and not self.record.state.terminal:
            self.ends[self.life] += 1
        self.record = answer
        self.revision += 1
        return True


def _class_of(record: JobRecord) -> str | None:
    return record.result.error.error_class if record.result is not None and record.result.error is not None else None


TestDelivery = Delivery.TestCase
TestDelivery.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
