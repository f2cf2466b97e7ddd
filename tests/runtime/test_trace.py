"""W3C trace context: what is taken over, what is ignored, and how spans are named."""

from collections.abc import Callable

import pytest
from tests.runtime import samples

from forge_runtime.trace import TraceContext, new_trace, parse_traceparent, span_id_of, trace_id_of

TRACE_ID = "0102030405060708090a0b0c0d0e0f10"
SPAN_ID = "1112131415161718"


def test_traceparent_is_read_and_written_as_it_was() -> None:
    text = f"00-{TRACE_ID}-{SPAN_ID}-01"

    context = parse_traceparent(text)

    assert context == TraceContext(trace_id=TRACE_ID, span_id=SPAN_ID, flags="01")
    assert str(context) == text
    assert trace_id_of(text) == TRACE_ID


def test_later_version_is_read_as_far_as_it_is_known_and_passed_on_as_ours() -> None:
    context = parse_traceparent(f"cc-{TRACE_ID}-{SPAN_ID}-09-what-comes-next")

    assert str(context) == f"00-{TRACE_ID}-{SPAN_ID}-01"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "00-zz-11-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID}-{SPAN_ID}-01\n",
    ],
)
def test_text_that_is_no_traceparent_is_ignored(text: str | None) -> None:
    assert parse_traceparent(text) is None
    assert trace_id_of(text) is None


def test_trace_that_nobody_wants_kept_says_so_to_the_end() -> None:
    context = parse_traceparent(f"00-{TRACE_ID}-{SPAN_ID}-00")

    assert context is not None
    assert str(context.child("a" * 16)) == f"00-{TRACE_ID}-{'a' * 16}-00"


def test_new_trace_is_never_all_zeros() -> None:
    answers = iter([bytes(16), b"\1" * 16, bytes(8), b"\2" * 8])
    random: Callable[[int], bytes] = lambda _length: next(answers)  # noqa: E731

    context = new_trace(random)

    assert (context.trace_id, context.span_id) == ("01" * 16, "02" * 8)


def test_span_of_an_id_is_the_same_each_time_and_another_one_for_another_id() -> None:
    one, other = samples.new_run_id(), samples.new_run_id()

    assert span_id_of(one) == span_id_of(one)
    assert span_id_of(one) != span_id_of(other)
    assert parse_traceparent(f"00-{TRACE_ID}-{span_id_of(one)}-01") is not None
