"""Spans to an OpenTelemetry collector, where OTEL_EXPORTER_OTLP_ENDPOINT names one and the packages are installed.

The exporter's other variables (headers, timeout, certificates) and OTEL_RESOURCE_ATTRIBUTES mean what OpenTelemetry
says. Nothing of it is imported where no endpoint is set, since that costs 0.1 s of CPU time at start. Spans are
sent in batches by a thread; when the collector is away they are dropped, and nobody waits for it.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from forge_runtime.span import Span, Tracer, Untraced
from forge_runtime.trace import TraceContext

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FLUSH_S: Final = 3.0
"""For what is left at the end of the process; the collector may be away, and the exporter would try for 10 s."""

_NANOSECONDS: Final = 1_000_000_000
_log = logging.getLogger(__name__)


@contextmanager
def exporting(service: str, instance: str, environ: Mapping[str, str]) -> Iterator[Tracer]:
    """A tracer for as long as the block lasts; what it holds at the end is sent, within 3 s."""
    if not any(environ.get(name, "").strip() for name in ENDPOINTS):
        yield Untraced()
        return
    try:
        tracer = _Exporter(service, instance)
    except ModuleNotFoundError as missing:
        _log.warning(
            "spans are not exported: an OTLP endpoint is set, but %s is not installed; "
            '`pip install "catalyst-forge[telemetry]"` brings it',
            missing.name,
        )
        yield Untraced()
        return
    try:
        yield tracer
    finally:
        tracer.close()


class _Exporter:
    """A Tracer."""

    def __init__(self, service: str, instance: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": service, "service.instance.id": instance})
        self._processor = BatchSpanProcessor(OTLPSpanExporter())
        self._readable: Callable[[Span], Any] = _reader(resource)

    def record(self, span: Span) -> None:
        """One of a trace that whoever began it does not want kept is dropped."""
        self._processor.on_end(self._readable(span))

    def close(self) -> None:
        """Within the limit, which the processor's own methods do not keep."""
        ending = threading.Thread(target=self._processor.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(FLUSH_S)


def _reader(resource: Any) -> Callable[[Span], Any]:
    """Our spans as the SDK's: it would give each an id of its own, and ours come from the things they are spans of."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    scope = InstrumentationScope("catalyst-forge")

    def context_of(context: TraceContext) -> SpanContext:
        flags = TraceFlags(int(context.flags, 16))
        return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), is_remote=False, trace_flags=flags)

    def readable(span: Span) -> ReadableSpan:
        return ReadableSpan(
            name=span.name,
            context=context_of(span.context),
            parent=None if span.parent is None else context_of(span.context.child(span.parent)),
            resource=resource,
            attributes=dict(span.attributes),
            kind=SpanKind.SERVER if span.served else SpanKind.INTERNAL,
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=int(span.start_s * _NANOSECONDS),
            end_time=int(span.end_s * _NANOSECONDS),
            instrumentation_scope=scope,
        )

    return readable
