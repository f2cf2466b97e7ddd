"""What every request gets before anything looks at it: an id, its place in a trace, a measure, a log line.

X-Request-ID   the caller's, if it is a plausible one, else one of ours; echoed
traceparent    the caller's trace, if the header is one, else a new one; the reply names our span in it
"""

import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forge_api.metrics import ApiMetrics
from forge_api.problem import REQUEST_ID_HEADER
from forge_runtime.span import Span, Tracer
from forge_runtime.telemetry import log_fields
from forge_runtime.trace import HEADER as TRACE_HEADER
from forge_runtime.trace import TraceContext, new_span_id, new_trace, parse_traceparent

NO_ROUTE: Final = "none"
"""The label of requests that no route got: unknown addresses, and callers without a token."""

_READS: Final = frozenset({"GET", "HEAD"})
"""Whoever watches a run reads it several times a second: not worth a line each, unless it fails."""

_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request as it came in. `parent` is the caller's span, where he has one."""

    request_id: str
    context: TraceContext
    parent: str | None
    at: float
    began: float


class Observation:
    """Leaves the id and the trace context in the request's state.

    `probed` are the routes that machines ask every few seconds: counted, and neither logged nor traced.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: ApiMetrics,
        tracer: Tracer,
        random: Callable[[int], bytes],
        probed: frozenset[str],
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._tracer = tracer
        self._random = random
        self._probed = probed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrival = _arrival(Headers(scope=scope), self._random)
        scope.setdefault("state", {}).update(request_id=arrival.request_id, trace=arrival.context)
        code = 500  # what becomes of an exception that nobody answered

        async def observed(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = arrival.request_id
                headers[TRACE_HEADER] = str(arrival.context)
            await send(message)

        with log_fields(request_id=arrival.request_id, trace_id=arrival.context.trace_id):
            try:
                await self._app(scope, receive, observed)
            finally:
                self._tell(scope, arrival, code)

    def _tell(self, scope: Scope, arrival: Arrival, code: int) -> None:
        took_s = time.monotonic() - arrival.began
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request(route, method, code, took_s)
        if route in self._probed:
            return
        facts = {"method": method, "route": route, "code": code, "duration_ms": round(took_s * 1000, 1)}
        _log.log(logging.DEBUG if method in _READS and code < 400 else logging.INFO, "request", extra=facts)
        self._tracer.record(
            Span(
                name=f"{method} {route}",
                context=arrival.context,
                parent=arrival.parent,
                start_s=arrival.at,
                end_s=arrival.at + took_s,
                attributes={
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": code,
                    "forge.request_id": arrival.request_id,
                },
                error=f"answered with {code}" if code >= 500 else None,
                served=True,
            )
        )


def _arrival(headers: Headers, random: Callable[[int], bytes]) -> Arrival:
    given = headers.get(REQUEST_ID_HEADER, "")
    sent = headers.getlist(TRACE_HEADER)
    caller = parse_traceparent(sent[0]) if len(sent) == 1 else None
    context = caller.child(new_span_id(random)) if caller else new_trace(random)
    return Arrival(
        request_id=given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8),
        context=context,
        parent=caller.span_id if caller else None,
        at=time.time(),
        began=time.monotonic(),
    )
