"""W3C trace context: one trace for all that one request sets going. Pure.

    request   the caller's trace, or a new one      span: new, answered in the header `traceparent`
    run       the request's trace                   span: from the run's id; run record, workflow annotation
    job       the run's                             span: from the job's id; envelope, header of its message
    attempt   the job's                             span: the nonce of its claim, which the job's record holds
    step      the attempt's                         span: new; TRACEPARENT in the step's environment

Spans of things with an id are named by that id: a dispatcher that is started again makes the same job, to the byte.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

HEADER: Final = "traceparent"
"""Of HTTP requests and replies, and of job messages."""

SPAN_BYTES: Final = 8
TRACE_BYTES: Final = 16
SAMPLED: Final = "01"

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class TraceContext(Struct, frozen=True, kw_only=True):
    """A span by its trace and its own id, in hexadecimal; as text, a `traceparent` of version 00.

    `flags` are 01 where whoever began the trace wants its spans kept, else 00.
    """

    trace_id: str
    span_id: str
    flags: str = SAMPLED

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"

    def child(self, span_id: str) -> "TraceContext":
        return replace(self, span_id=span_id)


@lru_cache(maxsize=256)
def parse_traceparent(text: str | None) -> TraceContext | None:
    """None for anything that the standard tells us to ignore.

    A later version may say more behind what we know. Of its flags, and of ours, only the first bit has a meaning that
    may be passed on.
    """
    match = _TRACEPARENT.fullmatch(text or "")
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id=trace_id, span_id=span_id, flags=f"{int(flags, 16) & 1:02x}")


def new_trace(random: Callable[[int], bytes]) -> TraceContext:
    """A trace of our own; `random` gives so many bytes."""
    return TraceContext(trace_id=_some(random, TRACE_BYTES), span_id=new_span_id(random))


def new_span_id(random: Callable[[int], bytes]) -> str:
    return _some(random, SPAN_BYTES)


def span_id_of(uuid: str) -> str:
    """The span of a thing that a UUID names: the half of it that is never all zeros."""
    return uuid.replace("-", "")[2 * SPAN_BYTES :]


def trace_id_of(traceparent: str | None) -> str | None:
    """The 32 digits that all parts of a run share; None for anything that is no traceparent."""
    context = parse_traceparent(traceparent)
    return None if context is None else context.trace_id


def _some(random: Callable[[int], bytes], length: int) -> str:
    """All zeros would mean that there is none."""
    while not any(data := random(length)):
        pass
    return data.hex()
