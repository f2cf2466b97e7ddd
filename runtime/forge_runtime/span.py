"""Spans: what took time, told when it is over, below whatever set it going.

    POST /v1/runs                the request
      run                        from its row to its end; told at its end only, since a run may last a day
        job                      from its submission to its end
          queue wait             once for each stay in the queue
          attempt                once for each start: from its claim to whatever took the job out of its hands
            git checkout, step   the work itself

Ids are ours (see trace.py), so whoever tells of a parent need not be whoever tells of its child, nor alive any more: an
attempt whose worker died is told by the worker that claims the job after it.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from forge_runtime.job import JobRecord, JobState
from forge_runtime.trace import TraceContext, new_span_id, parse_traceparent, span_id_of

Value = str | int | float | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Times in unix seconds. `parent` is a span's id in the same trace; `error` says why it failed, if it did.

    `served`: it answered somebody else's request.
    """

    name: str
    context: TraceContext
    parent: str | None
    start_s: float
    end_s: float
    attributes: Mapping[str, Value] = field(default_factory=dict)
    error: str | None = None
    served: bool = False


class Tracer(Protocol):
    """Takes spans; it must not wait, block or raise, and drops what it cannot pass on."""

    def record(self, span: Span) -> None: ...


class Untraced:
    """A Tracer of which nobody reads anything."""

    def record(self, _span: Span) -> None:
        return None


@dataclass(slots=True)
class OpenSpan:
    """One that goes on: `attributes` and `error` are what will be told at its end."""

    context: TraceContext | None
    attributes: dict[str, Value]
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Where the work at hand stands: below `context`, or in no trace."""

    context: TraceContext | None = None
    tracer: Tracer = field(default_factory=Untraced)
    clock: Callable[[], float] = time.time

    @contextmanager
    def span(self, name: str, **attributes: Value) -> Iterator[OpenSpan]:
        """A child that lasts as long as the block; an exception that leaves the block is its error."""
        above = self.context
        if above is None:
            yield OpenSpan(None, attributes)
            return
        context = above.child(new_span_id(secrets.token_bytes))
        span, start_s = OpenSpan(context, attributes), self.clock()
        try:
            yield span
        except BaseException as error:
            span.error = str(error) or type(error).__name__
            raise
        finally:
            self.tracer.record(
                Span(
                    name=name,
                    context=context,
                    parent=above.span_id,
                    start_s=start_s,
                    end_s=self.clock(),
                    attributes=span.attributes,
                    error=span.error,
                )
            )


@dataclass(frozen=True, slots=True)
class JobSpans:
    """A JobObserver: tells the spans that a change of a job's record brings to their end."""

    tracer: Tracer

    def changed(self, before: JobRecord, after: JobRecord, now: float) -> None:
        if isinstance(self.tracer, Untraced):
            return  # to make spans that nobody reads would cost each job a quarter of a millisecond
        job = parse_traceparent(after.job.traceparent)
        if job is None:
            return
        if before.state is JobState.QUEUED and after.state is JobState.LEASED:
            self.tracer.record(_queue_wait(job, before, now))
        attempt = attempt_context(before)
        if attempt is not None and (after.state.terminal or before.attempt_nonce != after.attempt_nonce):
            self.tracer.record(_attempt(attempt, job.span_id, (before, after), now))
        if after.state.terminal:
            self.tracer.record(_job(job, after, now))

    def buried(self, _pool: str) -> None:
        return None


def attempt_context(record: JobRecord) -> TraceContext | None:
    """The span of a leased job's present attempt; None for a job that is not leased, or in no trace."""
    job = parse_traceparent(record.job.traceparent)
    if job is None or record.state is not JobState.LEASED or record.attempt_nonce is None:
        return None
    return parse_traceparent(str(job.child(record.attempt_nonce)))


def _queue_wait(job: TraceContext, before: JobRecord, now: float) -> Span:
    return Span(
        name="queue wait",
        context=job.child(new_span_id(secrets.token_bytes)),
        parent=job.span_id,
        start_s=before.submitted_at,
        end_s=now,
        attributes=_attributes(before),
    )


def _attempt(attempt: TraceContext, parent: str, change: tuple[JobRecord, JobRecord], now: float) -> Span:
    """Ended by the job's end, its return to the queue, or another's claim, whose worker then tells it."""
    before, after = change
    lost = after.state is JobState.LEASED
    result = "lost" if lost else "handed back" if after.state is JobState.QUEUED else after.state.value
    return Span(
        name="attempt",
        context=attempt,
        parent=parent,
        start_s=before.started_at or now,
        end_s=now,
        attributes=_attributes(before) | {"forge.worker": before.worker or "", "forge.result": result},
        error=f"{before.worker} lost its lease" if lost else _error(after),
    )


def _job(job: TraceContext, after: JobRecord, now: float) -> Span:
    return Span(
        name="job",
        context=job,
        parent=span_id_of(after.job.run_id),
        start_s=datetime.fromisoformat(after.job.submitted_at).timestamp(),
        end_s=now,
        attributes=_attributes(after) | {"forge.result": after.state.value},
        error=_error(after),
    )


def _attributes(record: JobRecord) -> dict[str, Value]:
    job = record.job
    return {
        "forge.run_id": job.run_id,
        "forge.job_id": job.job_id,
        "forge.job_type": job.type.value,
        "forge.repository": job.repository,
        "forge.commit_sha": job.commit_sha,
        "forge.attempt": record.starts,
    }


def _error(record: JobRecord) -> str | None:
    error = record.result.error if record.result is not None else None
    return None if error is None else f"{error.code}: {error.message}"
