"""What is left of files with mistakes: all that does not hang together with one, and nothing that would mislead."""

import pytest

from forgec.diagnostic import ForgeError
from forgec.discovery.evaluate import evaluate_builtin
from forgec.discovery.place import find, left_out
from forgec.discovery.salvage import salvage
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
