"""One delivery of one job: claim, work under a lease, record, event, ack.

    message -> claim --refused--> ended before: event and ack again | held by another: hand back
                 |
                 v leased
               work ......... beats renew the lease and the message's ack wait; the event that it began after 50 ms
                 | first of: work done | lease lost | run cancelled | worker drains
                 v
    record -> (cancel flag) -> event -> ack      each repeated through outages, none skipped

A job that ends within 50 ms is told to have begun and to have ended in one message, in that order.

The record decides. An ack says only that the message may go; one that is delivered again finds the record ended,
repeats what comes after it, and leaves.
"""

import asyncio
import dataclasses
import logging
import random
import secrets
import time
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from forge_runtime import lease
from forge_runtime.blob import BlobUnavailable
from forge_runtime.bus.port import BusUnavailable, Delivery, TooLarge
from forge_runtime.dead_letter import Cause, Reason
from forge_runtime.envelope import log_fields_of
from forge_runtime.job import (
    RESULT_INLINE_BYTES_MAX,
    Job,
    JobRecord,
    JobResult,
    JobState,
    ResultReference,
    decode_job,
    encode,
    new_error,
    utc_text,
)
from forge_runtime.lease import Holder, Refusal, Refused
from forge_runtime.ledger import Decision, Ledger, NoRecord, Standing, told_standing
from forge_runtime.outage import ride_out
from forge_runtime.retry import RETRIED_CLASS, Retry, after_failure
from forge_runtime.run import CancelFlag
from forge_runtime.settle import cancelled_error
from forge_runtime.subject import WorkQueue, read_job_subject
from forge_runtime.tasks import end_tasks
from forge_runtime.telemetry import log_fields
from forge_runtime.trace import trace_id_of
from forge_runtime.worker.execution import Bench, Execution
from forge_runtime.worker.flags import Raised
from forge_runtime.worker.handler import Outcome
from forgec.plan.digest import digest_of

BEAT_RETRY_S: Final = 1.0
"""After a beat that failed: several tries fit into what is left of the lease."""

TOLD_AFTER_S: Final = 0.05
"""From a claim to the event that the job began: nobody who looks on sees less, and a job that ends before costs one
synced write less."""

HELD_S: Final = 0.1
"""Until a job that another holds is looked at again, at least: a message's ack wait ends moments before the lease."""

_log = logging.getLogger(__name__)


class Attempt:
    """Carries one delivery to where it can be left; raises BusUnavailable when the bus stays away for too long."""

    def __init__(self, bench: Bench, queue: WorkQueue, delivery: Delivery, *, shared: bool = False) -> None:
        self._bench = bench
        self._ledger = bench.ledger
        self._queue = queue
        self._delivery = delivery
        self._shared = shared
        self._component = f"worker.{queue.pool}"
        self._known: Standing
        self._telling: asyncio.TimerHandle
        self._told: asyncio.Task[None] | None = None
        self._beats: asyncio.Task[None] | None = None
        self._lease_end = 0.0
        self.infrastructure_failed = False
        """The cause may be this machine."""
        self.ending = False
        """The work is over; what is left is to say so."""
        self._holder = Holder(worker=bench.worker, nonce=secrets.token_hex(8), component=self._component)

    async def run(self) -> None:
        try:
            job = decode_job(self._delivery.data)
            if job.type not in self._bench.handlers:
                raise msgspec.ValidationError(f"this worker has no handler for jobs of type {job.type}")
            fields = self._fields(job)
        except msgspec.DecodeError as error:
            await self._bury_unreadable(str(error))
            return
        with log_fields(**fields):
            if self._delivery.deliveries > 1:
                self._bench.meter.redelivered(self._queue.pool)
            async with self._bench.flags.following(job.run_id) as raised:
                try:
                    claimed = await self._claim(job, raised)
                except NoRecord as missing:  # just made, and not readable yet where we read
                    _log.warning("no record yet", extra={"why": str(missing)})
                    await self._hand_back(BEAT_RETRY_S)
                    return
                except msgspec.DecodeError as error:  # for those who can read it
                    _log.error("unreadable record", extra={"why": str(error)})
                    await self._hand_back(job.limits.heartbeat_s)
                    return
                if claimed is not None:
                    with log_fields(attempt=claimed.record.starts):
                        await self._hold(claimed, raised)

    def _fields(self, job: Job) -> dict[str, object]:
        """What every log line of the attempt says; msgspec.ValidationError where the payload is not its type's."""
        return {
            **log_fields_of(job),
            "component": self._component,
            "worker": self._bench.worker,
            "delivery": self._delivery.deliveries,
        }

    async def _claim(self, job: Job, raised: Raised) -> Standing | None:
        """The leased record; None where there is nothing for us to do."""

        def decide(record: JobRecord, now: float) -> JobRecord | Refused:
            if raised.done():
                return lease.cancel(record, cancelled_error(raised.result(), self._component, now), now)
            return lease.claim(record, self._holder, now, queue_now)

        queued = self._delivery.queued if self._delivery.deliveries == 1 else None
        if queued is not None:
            known = told_standing(job, queued)
        else:
            known = await self._ledger.standing(job.run_id, job.job_id) or await self._ledger.open(job)
        queue_now = None
        if lease.waited_too_long(known.record, self._ledger.clock()):
            queue_now = await ride_out(self._ledger.bus.time, limit_s=self._ledger.patience_s, bus=self._ledger.bus)
        decided = await self._ledger.amend(known, decide)
        record = decided.record
        if record.state.terminal:
            _log.info("nothing to do", extra={"state": record.state})
            await self._announce(record)
            return None
        if isinstance(decided, Refused) and self._shared:
            _log.info("the other worker that holds this message has begun", extra={"holder": record.worker})
            return None
        if isinstance(decided, Refused):
            left_s = max(HELD_S, self._left_s(record))
            _log.info("held by another worker", extra={"holder": record.worker, "delay_s": round(left_s, 1)})
            await self._hand_back(left_s)
            return None
        return decided

    def _left_s(self, record: JobRecord) -> float:
        """Until the lease ends, ours or another's."""
        return (record.lease_until or 0.0) - self._ledger.clock()

    async def _hold(self, claimed: Standing, raised: Raised) -> None:
        """Work, and whatever ends it."""
        record = claimed.record
        self._known = claimed
        lease_s = record.job.limits.heartbeat_s
        left_s = min(lease_s, self._left_s(record))  # the claim's answer may have been long on its way
        if left_s <= 0:
            _log.warning("lease ran out before work began, handing back")
            await self._hand_back(0.0)
            return
        execution = Execution(self._bench, record, self._component)
        work = asyncio.create_task(execution.run())
        self._telling = asyncio.get_running_loop().call_later(TOLD_AFTER_S, self._tell, record)
        self._lease_end = time.monotonic() + left_s
        ends: set[asyncio.Future[Any]] = {work, raised, self._bench.drain.told}
        try:
            first_beat_s = max(0.0, left_s - lease_s + _pause_s(record))
            await asyncio.wait(ends, timeout=first_beat_s, return_when=asyncio.FIRST_COMPLETED)
            if not any(end.done() for end in ends):  # most jobs last longer than this; the first beat is due
                await asyncio.wait({*ends, self._beating(record)}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                self.ending = True
                await self._conclude(execution, work.result())
            elif self._beats is not None and self._beats.done():
                await end_tasks(work)
                self._bench.meter.lease_lost(self._queue.pool)
                _log.warning("lease lost, work stopped; nothing is recorded", extra={"error.code": "LEASE_LOST"})
            elif raised.done():
                await end_tasks(work)
                await self._complete(execution, self._cancelled(raised.result()))
            else:
                await end_tasks(work)
                await self._requeue(record, after_s=0.0, counted=False)
        finally:
            self._telling.cancel()
            await end_tasks(*(task for task in (work, self._beats, self._told) if task is not None))

    def _tell(self, record: JobRecord) -> None:
        """That it began, beside the work."""
        if self._told is None:
            _log.info("job started")
            self._told = asyncio.create_task(self._ledger.publish_running(record))

    def _beating(self, record: JobRecord) -> asyncio.Task[None]:
        """The beats, from now on if there were none yet."""
        if self._beats is None:
            self._beats = asyncio.create_task(self._beat(record, self._lease_end))
        return self._beats

    async def _beat(self, record: JobRecord, lease_end: float) -> None:
        """Renew lease and ack wait now and three times a lease; returns when the lease is another's or has run out."""
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            try:
                async with asyncio.timeout(lease_end - began):
                    renewed = await self._renew()
            except (BusUnavailable, TimeoutError):
                if time.monotonic() >= lease_end:
                    return
                pause_s = min(BEAT_RETRY_S, lease_end - time.monotonic())
                continue
            if isinstance(renewed, Refused):
                return
            lease_end = began + record.job.limits.heartbeat_s
            pause_s = _pause_s(record)

    async def _renew(self) -> Standing | Refused:
        with suppress(BusUnavailable):  # the lease is what counts; a message that comes early finds the job held
            await self._delivery.progress()
        # Without the ledger's patience: its growing pauses could sleep through the end of the lease.
        once = dataclasses.replace(self._ledger, patience_s=0.0)
        return await self._amend(once, lambda standing, now: lease.renew(standing, self._holder, now))

    async def _amend(self, ledger: Ledger, decide: Decision) -> Standing | Refused:
        decided = await ledger.amend(self._known, decide)
        if isinstance(decided, Standing):
            self._known = decided
        return decided

    async def _conclude(self, execution: Execution, outcome: Outcome) -> None:
        """Record the outcome, or try again what another try may cure."""
        error = outcome.error
        if outcome.status is JobState.FAILED and error is not None:
            self.infrastructure_failed = error.error_class == RETRIED_CLASS
            jitter = random.random()  # noqa: S311 - spreads load, guards nothing
            match after_failure(error.error_class, execution.record.starts, jitter, lease.STARTS_MAX):
                case Retry(after_s):
                    _log.warning("infrastructure failed, handing back", extra={"why": error.message})
                    await self._requeue(execution.record, after_s=after_s, counted=True)
                    return
        try:
            await self._complete(execution, outcome)
        except BlobUnavailable as unavailable:
            message = f"the result cannot be stored: {unavailable}"
            error = new_error("INTERNAL", "infra", message, component=self._component, now=self._ledger.clock())
            await self._conclude(execution, Outcome(status=JobState.FAILED, error=error))

    async def _complete(self, execution: Execution, outcome: Outcome) -> None:
        result = await self._result(execution, outcome)
        try:
            decided = await self._amend(
                self._ledger, lambda standing, _: lease.complete(standing, self._holder, result)
            )
        except TooLarge:
            if outcome.error is None or not outcome.error.context:
                raise
            shorter = replace(outcome.error, context={}, cause=None)
            await self._complete(execution, dataclasses.replace(outcome, error=shorter))
            return
        if isinstance(decided, Refused) and decided.reason is Refusal.NOT_HOLDER:
            self._bench.meter.lease_lost(self._queue.pool)
            _log.warning("fenced out: another worker holds the job", extra={"error.code": "LEASE_LOST"})
            return
        ended = decided.record
        error = outcome.error
        _log.info("job ended", extra={"state": ended.state, "error.code": error.code if error else None})
        self._telling.cancel()
        if self._told is None:
            await self._announce(ended, began=execution.record)
            return
        await self._told
        await self._announce(ended)

    async def _announce(self, record: JobRecord, began: JobRecord | None = None) -> None:
        """All that follows a terminal record; repeated whenever its message comes again."""
        await self._ledger.announce(record, self._bench.worker, self._delivery.data, began)
        await self._ack()

    async def _requeue(self, began: JobRecord, *, after_s: float, counted: bool) -> None:
        decided = await self._amend(
            self._ledger, lambda standing, now: lease.requeue(standing, self._holder, now, counted=counted)
        )
        # A queued record is what an earlier try of ours wrote whose answer was lost.
        if isinstance(decided, Refused) and decided.record.state is not JobState.QUEUED:
            _log.warning("not handed back", extra={"why": decided.reason})
            return
        _log.info("job handed back", extra={"delay_s": round(after_s, 1), "counted": counted})
        self._tell(began)
        assert self._told is not None
        await self._told
        await self._hand_back(after_s)

    async def _hand_back(self, after_s: float) -> None:
        with suppress(BusUnavailable):  # the ack wait hands it back as well, later
            await self._delivery.retry(after_s)

    async def _ack(self) -> None:
        await ride_out(self._delivery.ack, limit_s=self._ledger.patience_s, bus=self._ledger.bus)

    async def _bury_unreadable(self, why: str) -> None:
        """A message that no worker of this version can read: its record fails, the message is kept for people."""
        _, run_id, job_id, _ = read_job_subject(self._delivery.subject)
        _log.error("unreadable job", extra={"run_id": run_id, "job_id": job_id, "why": why})
        reason = f"its message cannot be read ({why})"
        # A record that we cannot read is for those who can; and there are names that no record can have.
        with suppress(NoRecord, msgspec.DecodeError, ValueError):
            decided = await self._ledger.change(
                run_id, job_id, lambda record, now: lease.poison(record, self._component, reason, now, force=True)
            )
            await self._announce(decided.record if isinstance(decided, Refused) else decided)
            return
        cause = Cause(reason=Reason.UNREADABLE, message=why)
        await self._ledger.bury(self._queue.pool, run_id, job_id, self._delivery.data, cause)
        await self._ack()

    async def _result(self, execution: Execution, outcome: Outcome) -> JobResult:
        record = execution.record
        assert record.started_at is not None
        trace_id = trace_id_of(record.job.traceparent)
        error = None if outcome.error is None else replace(outcome.error, trace_id=trace_id)
        data = reference = None
        if outcome.data is not None:
            encoded = encode(outcome.data)
            if len(encoded) > RESULT_INLINE_BYTES_MAX:
                reference = await self._store(record, encoded)
            else:
                data = msgspec.to_builtins(outcome.data)
        return JobResult(
            job_id=record.job.job_id,
            status=outcome.status,
            data=data,
            result_ref=reference,
            error=error,
            worker=self._bench.worker,
            started_at=utc_text(record.started_at),
            completed_at=utc_text(self._ledger.clock()),
            exit_code=outcome.exit_code,
            log_key=execution.log_key,
        )

    async def _store(self, record: JobRecord, data: bytes) -> ResultReference:
        """Under a name of the attempt's own: one that has lost its lease without knowing must not write over another's
        result."""
        self._beating(record)  # a store that is slow outlasts what is left of the lease
        job = record.job
        key = f"pipeline-runs/{job.run_id}/results/{job.type}/{job.job_id}-{record.attempt_nonce}.json"
        await self._bench.blob.put(key, data, cls="result")
        return ResultReference(key=key, sha256=digest_of(data), size=len(data))

    def _cancelled(self, flag: CancelFlag) -> Outcome:
        error = cancelled_error(flag, self._component, self._ledger.clock())
        return Outcome(status=JobState.CANCELLED, error=error)


def _pause_s(record: JobRecord) -> float:
    """Between two beats."""
    return record.job.limits.heartbeat_s / lease.BEATS_PER_LEASE
