"""Spans on their way to a collector: their ids and times, and what happens where there is none."""

import logging
import os
import subprocess
import sys
import time

import pytest
from msgspec.structs import replace
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from tests.otlp_collector import collecting
from tests.runtime import samples
from tests.runtime.spans import KeptSpans

from forge_runtime.job import JobRecord, JobResult, JobState, new_error
from forge_runtime.lease import Holder, claim
from forge_runtime.otlp import FLUSH_S, exporting
from forge_runtime.span import JobSpans, Span, Trace
from forge_runtime.trace import TraceContext, span_id_of

RUN_ID = samples.new_run_id()
CONTEXT = TraceContext(trace_id="0102030405060708090a0b0c0d0e0f10", span_id="1112131415161718")


def test_span_arrives_with_our_ids_times_and_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as (collector, endpoint):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with exporting("forge-worker", "worker-1", os.environ) as tracer:
            tracer.record(
                Span(
                    name="step",
                    context=CONTEXT,
                    parent="2122232425262728",
                    start_s=1_800_000_000.25,
                    end_s=1_800_000_001.5,
                    attributes={"forge.step": "unit", "forge.attempt": 2},
                    error="STEP_FAILED: exit code 3",
                )
            )

    (span,) = collector.spans
    assert (span.trace_id.hex(), span.span_id.hex()) == (CONTEXT.trace_id, CONTEXT.span_id)
    assert (span.name, span.parent_span_id.hex()) == ("step", "2122232425262728")
    assert span.start_time_unix_nano == pytest.approx(1_800_000_000_250_000_000, abs=1000)
    assert span.end_time_unix_nano - span.start_time_unix_nano == pytest.approx(1_250_000_000, abs=1000)
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "STEP_FAILED: exit code 3")
    assert {pair.key for pair in span.attributes} == {"forge.step", "forge.attempt"}
    assert collector.resources[0]["service.name"] == "forge-worker"
    assert collector.resources[0]["service.instance.id"] == "worker-1"


def test_trace_that_nobody_wants_kept_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    unwanted = TraceContext(trace_id=CONTEXT.trace_id, span_id=CONTEXT.span_id, flags="00")
    with collecting() as (collector, endpoint):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        with exporting("forge-worker", "worker-1", os.environ) as tracer, Trace(unwanted, tracer).span("step"):
            pass

    assert collector.spans == []


def test_nothing_is_imported_where_no_endpoint_is_set() -> None:
    script = (
        "import os, sys\n"
        "from forge_runtime.otlp import exporting\n"
        "with exporting('forge-worker', 'worker-1', os.environ):\n"
        "    assert not any(name.startswith('opentelemetry') for name in sys.modules)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}

    done = subprocess.run([sys.executable, "-c", script], env=environment, timeout=60, check=False)

    assert done.returncode == 0


def test_endpoint_without_the_packages_is_told_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)  # as if it were not installed

    with exporting("forge-worker", "worker-1", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) as tracer:
        tracer.record(Span(name="step", context=CONTEXT, parent=None, start_s=0.0, end_s=1.0))

    assert "opentelemetry.sdk.trace.export is not installed" in caplog.text
    assert "catalyst-forge[telemetry]" in caplog.text


def test_collector_that_is_away_delays_the_end_by_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    with exporting("forge-worker", "worker-1", os.environ) as tracer, Trace(CONTEXT, tracer).span("step"):
        began = time.monotonic()

    assert time.monotonic() - began < FLUSH_S + 2


def test_attempt_that_lost_its_lease_is_told_by_the_one_that_claims_the_job_next() -> None:
    spans = KeptSpans()
    observer = JobSpans(spans)
    queued = replace(samples.queued_record(), job=replace(samples.ci_job(RUN_ID), traceparent=str(CONTEXT)))
    first = claimed(queued, "worker-1", "a" * 16, 10.0)
    second = claimed(first, "worker-2", "b" * 16, 100.0)

    observer.changed(queued, first, 10.0)
    observer.changed(first, second, 100.0)

    (waited,) = spans.named("queue wait")
    (lost,) = spans.named("attempt")
    assert (waited.start_s, waited.end_s, waited.parent) == (0.0, 10.0, CONTEXT.span_id)
    assert (lost.context.span_id, lost.parent, lost.attributes["forge.result"]) == ("a" * 16, CONTEXT.span_id, "lost")
    assert (lost.start_s, lost.end_s, lost.error) == (10.0, 100.0, "worker-1 lost its lease")


def test_job_that_ends_tells_its_attempt_and_itself_below_its_run() -> None:
    spans = KeptSpans()
    queued = replace(samples.queued_record(), job=replace(samples.ci_job(RUN_ID), traceparent=str(CONTEXT)))
    leased = claimed(queued, "worker-1", "a" * 16, 10.0)
    error = new_error("STEP_FAILED", "user", "exit code 3", component="worker.tasks", now=20.0)
    result = JobResult(job_id=queued.job.job_id, status=JobState.FAILED, error=error)

    JobSpans(spans).changed(leased, replace(leased, state=JobState.FAILED, result=result), 20.0)

    (attempt,), (job,) = spans.named("attempt"), spans.named("job")
    assert (attempt.parent, attempt.attributes["forge.result"]) == (job.context.span_id, "failed")
    assert (job.context, job.parent) == (CONTEXT, span_id_of(RUN_ID))
    assert attempt.error == job.error == "STEP_FAILED: exit code 3"


def test_job_in_no_trace_has_no_spans() -> None:
    spans = KeptSpans()
    queued = samples.queued_record()

    JobSpans(spans).changed(queued, claimed(queued, "worker-1", "a" * 16, 1.0), 1.0)
    with Trace(None, spans).span("step") as span:
        context = span.context

    assert spans.kept == []
    assert context is None


def test_span_of_work_that_breaks_says_why() -> None:
    spans = KeptSpans()

    with pytest.raises(OSError, match="no space"), Trace(CONTEXT, spans).span("step"):
        raise OSError("no space left")

    (span,) = spans.kept
    assert (span.parent, span.error) == (CONTEXT.span_id, "no space left")


def claimed(record: JobRecord, worker: str, nonce: str, now: float) -> JobRecord:
    leased = claim(record, Holder(worker=worker, nonce=nonce, component="worker.tasks"), now)
    assert isinstance(leased, JobRecord)
    return leased
