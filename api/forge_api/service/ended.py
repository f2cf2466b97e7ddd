"""What is told of a run and of a phase when it is over: how long it took, and the run's span."""

import logging
from collections.abc import Callable

from forge_api.db.ended import Ended
from forge_api.db.tables import Phase, Run
from forge_api.metrics import ApiMetrics
from forge_runtime.span import Span, Tracer
from forge_runtime.status import RunStatus
from forge_runtime.trace import parse_traceparent

_log = logging.getLogger(__name__)


def teller(metrics: ApiMetrics, tracer: Tracer) -> Callable[[Ended], None]:
    """Takes what a committed transaction ended."""

    def told(row: Ended) -> None:
        match row:
            case Run():
                _tell_run(row, metrics, tracer)
            case Phase():
                _tell_phase(row, metrics)

    return told


def _tell_run(run: Run, metrics: ApiMetrics, tracer: Tracer) -> None:
    assert run.completed_at is not None
    took_s = (run.completed_at - run.created_at).total_seconds()
    facts = {
        "run_id": run.id,
        "repository": run.repository,
        "commit_sha": run.commit_sha,
        "trace_id": run.trace_id,
        "status": run.status,
        "duration_ms": round(took_s * 1000),
        "error.code": run.error["code"] if run.error else None,
    }
    _log.info("run ended", extra=facts)
    metrics.run_ended(run.status, run.trigger_type, took_s)
    request = parse_traceparent(run.traceparent)
    tracer.record(
        Span(
            name="run",
            context=run.trace,
            parent=None if request is None else request.span_id,
            start_s=run.created_at.timestamp(),
            end_s=run.completed_at.timestamp(),
            attributes={
                "forge.run_id": run.id,
                "forge.repository": run.repository,
                "forge.commit_sha": run.commit_sha,
                "forge.trigger_type": run.trigger_type,
                "forge.result": run.status,
            },
            error=_why(run) if run.status == RunStatus.FAILED else None,
        )
    )


def _why(run: Run) -> str:
    return f"{run.error['code']}: {run.error['message']}" if run.error else "the run failed"


def _tell_phase(phase: Phase, metrics: ApiMetrics) -> None:
    """One of which nothing ever began took no time."""
    if phase.started_at is not None and phase.completed_at is not None:
        metrics.phase_ended(phase.status, (phase.completed_at - phase.started_at).total_seconds())
