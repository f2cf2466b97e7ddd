"""What is left of files with mistakes: all that does not hang together with one, and nothing that would mislead."""

import sys
from types import FrameType
from typing import Any

import pytest

from forgec.diagnostic import ForgeError
from forgec.discovery.evaluate import evaluate_builtin
from forgec.discovery.place import find, left_out
from forgec.discovery.salvage import COMPLAINTS_MAX, salvage
from forgec.source import Source
from forgec.syntax.data import StructNode, to_plain


def rest(text: str) -> StructNode | None:
    source = Source("x.cue", text)
    with pytest.raises(ForgeError) as caught:
        evaluate_builtin(source)
    return salvage(source, caught.value.diagnostics)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a: 1 & 2\nb: 3", {"b": 3}),
        ("a: {x: 1 & 2, y: 3}", {"a": {"y": 3}}),
        ("a: x: y: 1 & 2\na: x: z: 3", {"a": {"x": {"z": 3}}}),
        ("#D: {x: int | *1, y: 2}\na: #D & {y: 3, z: 4}", {"a": {"x": 1, "y": 2}}),
        ("a: nope.x\nb: a\nc: 1", {"c": 1}),
        ("let x = 1 & 2\na: x\nb: 1", {"b": 1}),
        ('import "strings"\na: strings.ToUpper(nope)\nb: 1', {"b": 1}),
        ("a: [1, 2 & 3]\nb: [4]", {"b": [4]}),
        ("a: {for x in nope {y: x}, z: 1}\nb: 1", {"a": {"z": 1}, "b": 1}),
        ("x: int\na: *x | 5\nb: 1", {"b": 1}),
        ('a: "x\nb: {c: 1, d 2}\ne: f: {g: 3', None),
        ("a: \"x\nb: {c: 1, d 2, e: 3}\nf: a\ng: 'bytes'\nh: 4", {"b": {"c": 1, "e": 3}, "h": 4}),
    ],
)
def test_all_but_what_is_wrong_is_left(text: str, left: object) -> None:
    found = rest(text)

    assert (to_plain(found) if found else None) == left


@pytest.mark.parametrize(
    ("text", "path", "lacks"),
    [
        ("a: {x: 1 & 2, y: {z: 3}}\nb: {c: 1}", ("a", "x"), True),
        ("a: {x: 1 & 2, y: {z: 3}}\nb: {c: 1}", ("a", "y", "w"), False),
        ("a: {x: 1 & 2, y: {z: 3}}\nb: {c: 1}", ("b", "d"), False),
        ("a: {for x in nope {y: x}, z: {w: 1}}\nb: {c: 1}", ("a", "z", "v"), True),
        ("a: {for x in nope {y: x}, z: {w: 1}}\nb: {c: 1}", ("b", "d"), False),
        ("#D: {x: 1 & 2, ...}\na: [{b: 1}]\nc: #D", ("a", 0, "d"), True),
        ("a: [{x: 1 & 2}, {y: 1}]", ("a", 1, "z"), True),
        ('a: b: c: "x\na: d: 1', ("a", "b"), True),
        ('a: b: c: "x\na: d: 1\ne: f: 2', ("e", "g"), False),
        ("#D: x 1\na: b: 1", ("a", "c"), True),
    ],
)
def test_it_is_known_where_something_may_be_missing(text: str, path: tuple[str | int, ...], lacks: bool) -> None:
    found = rest(text)

    assert found is not None
    assert find(found, *path) is None
    assert left_out(found, *path) is lacks


@pytest.mark.parametrize(
    "text",
    [
        "a: 1 & 2\nif a != _|_ {b: 1}",  # it would be judged by what is left out
        "a: [for x in a {x}]\n" + "b: " + "{c: " * 70 + "1" + "}" * 70,  # no end of it
    ],
)
def test_of_some_mistakes_nothing_is_left(text: str) -> None:
    assert rest(text) is None


def test_the_places_are_those_of_the_text() -> None:
    found = rest("a: 1 & 2\nb: 345")

    assert found is not None
    value = find(found, "b")
    assert value is not None
    assert value.span.text == "345"


@pytest.mark.parametrize(
    "wrong",
    [
        "a{}: nope\n",
        "a{}: 1 & 2\n",
        "#a{}: nope\n",  # each of which may be missing anywhere
        "x: a{}: nope\n",
        'import a{} "strings"\n',
    ],
)
def test_twice_as_many_mistakes_in_twice_as_long_a_file_take_about_twice_the_steps(wrong: str) -> None:
    few, many = (_steps(wrong, count) for count in (COMPLAINTS_MAX // 2, COMPLAINTS_MAX))

    assert few > COMPLAINTS_MAX  # something was counted
    assert many < 2.5 * few


def test_of_a_file_with_too_many_mistakes_nothing_is_left() -> None:
    right, wrong = "b: 1\n", "a{}: nope\n"

    at_the_limit = rest(right + "".join(map(wrong.format, range(COMPLAINTS_MAX))))
    beyond = rest(right + "".join(map(wrong.format, range(COMPLAINTS_MAX + 1))))

    assert at_the_limit is not None
    assert to_plain(at_the_limit) == {"b": 1}
    assert beyond is None


def test_mistakes_count_that_follow_from_what_was_taken_out() -> None:
    half = COMPLAINTS_MAX // 2 + 1
    causes = "".join(f"a{at}: nope\n" for at in range(half))

    assert rest(causes + "b: 1") is not None
    assert rest(causes + "".join(f"b{at}: a{at}\n" for at in range(half))) is None


def test_a_mistake_may_lie_deeper_than_a_program_can_call_itself() -> None:
    found = rest("b: 1\na: nope" + "(1)" * 2 * sys.getrecursionlimit())

    assert found is not None
    assert to_plain(found) == {"b": 1}


def _steps(wrong: str, count: int) -> int:
    """The lines of the module that run for so many mistakes, and as many declarations that are right."""
    mistakes = "".join(wrong.format(at) for at in range(count))
    source = Source("x.cue", mistakes + "".join(f"b{at}: {{c: 1}}\n" for at in range(count)))
    with pytest.raises(ForgeError) as caught:
        evaluate_builtin(source)
    steps = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return trace if frame.f_code.co_filename == salvage.__code__.co_filename else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        found = salvage(source, caught.value.diagnostics)
    finally:
        sys.settrace(before)
    assert found is not None
    assert len(found.fields) >= count
    return steps
