"""Trees to typed documents: the same values as msgspec decodes, and every misfit with its path and place."""

import enum
import json
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from forgec.diagnostic import Diagnostic
from forgec.discovery.place import left_out
from forgec.source import Source
from forgec.syntax.data import FieldNode, ListNode, ScalarNode, StructNode, from_plain, to_plain
from forgec.syntax.decode import decode, decode_partly
from forgec.syntax.document import parse_json

Name = Annotated[str, Meta(pattern=r"\A[a-z]+\Z", max_length=5, description="at most five lower-case letters")]


class Colour(enum.StrEnum):
    RED = "red"
    GREEN = "green"


class Part(Struct, frozen=True, kw_only=True, rename="camel"):
    part_name: Name
    weight: float = 1.0
    colour: Colour = Colour.RED
    count: Annotated[int, Meta(ge=1, le=9)] = 1


class Thing(Struct, frozen=True, kw_only=True):
    kind: Literal["small", "large"]
    parts: tuple[Part, ...] = ()
    labels: dict[Name, str | None] = {}
    numbers: Annotated[list[int], Meta(max_length=2)] = []
    extra: Any = None
    done: bool = False
    code: Annotated[str, Meta(pattern=r"\A[0-9]+\Z", min_length=2)] | None = None


def decoded(text: str) -> tuple[Thing | None, list[Diagnostic]]:
    return decode(parse_json(Source("t.json", text)), Thing)


def failures(text: str) -> list[str]:
    value, problems = decoded(text)
    assert value is None
    return [f"{each.span.position.column if each.span else 0}: {each.message}" for each in problems]


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "small"},
        {"kind": "large", "parts": [{"partName": "a", "weight": 2, "colour": "green", "count": 9}]},
        {"kind": "small", "labels": {"a": "x", "b": None}, "numbers": [1, 2], "extra": [{"b": [None]}], "code": "12"},
    ],
)
def test_a_fitting_document_is_what_msgspec_makes_of_it(value: object) -> None:
    found, problems = decoded(json.dumps(value))

    assert problems == []
    assert found == msgspec.convert(value, Thing)
    assert all(type(part.weight) is float and isinstance(part.colour, Colour) for part in found.parts)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("[]", ["1: expected a struct, found a list"]),
        ("{}", ['1: the field "kind" is missing']),
        ('{"kind": "sm"}', ['10: kind: "sm" is not allowed: it is one of "large", "small"']),
        ('{"kind": 1}', ['10: kind: expected "large" or "small", found the number 1']),
        ('{"kind": "small", "done": 1}', ["27: done: expected true or false, found the number 1"]),
        ('{"kind": "small", "code": "1"}', ['27: code: "1" is not allowed: at least 2 characters']),
        ('{"kind": "small", "code": "1x"}', ['27: code: "1x" is not allowed: it does not match \\A[0-9]+\\Z']),
        ('{"kind": "small", "code": {}}', ["27: code: expected a string or null, found a struct"]),
        ('{"kind": "small", "numbers": [1, true, 1.0]}', [
            "34: numbers[1]: expected a whole number, found true",
            "40: numbers[2]: expected a whole number, found the number 1.0",
            "30: numbers: 3 items; at most 2 are allowed",
        ]),
        ('{"kind": "small", "labels": {"A b": 1}}', [
            '30: labels: the name "A b" is not allowed: at most five lower-case letters',
            '37: labels."A b": expected a string or null, found the number 1',
        ]),
        ('{"kind": "small", "parts": [{"partName": "abcdef", "count": 0, "colour": "rde"}]}', [
            '42: parts[0].partName: "abcdef" is not allowed: at most five lower-case letters',
            "61: parts[0].count: 0 is not allowed: at least 1",
            '74: parts[0].colour: "rde" is not allowed: it is one of "red", "green" (did you mean "red"?)',
        ]),
    ],
)  # fmt: skip
def test_every_misfit_is_told_with_path_and_place(text: str, messages: list[str]) -> None:
    assert failures(text) == messages


def test_unknown_fields_are_refused_with_the_name_that_was_meant() -> None:
    value, problems = decoded('{"kind": "small", "part": [], "parts": [{"partName": "a", "cuont": 1}]}')

    assert value is None
    assert [(each.message, each.help) for each in problems] == [
        ('unknown field "part"', 'did you mean "parts"?'),
        ('parts[0]: unknown field "cuont"', 'did you mean "count"?'),
    ]


def test_what_is_right_is_kept_with_its_tree_where_something_else_is_wrong() -> None:
    source = Source(
        "t.json", '{"kind": 1, "parts": [7, {"partName": "a", "count": 0}], "labels": {"a": "x"}, "more": 1}'
    )

    found = decode_partly(parse_json(source), Thing)

    assert len(found.problems) == 4
    assert found.value == Thing(kind="large", parts=(Part(part_name="a"),), labels={"a": "x"})  # kind has a stand-in
    assert to_plain(found.node) == {"parts": [{"partName": "a"}], "labels": {"a": "x"}}
    assert [left_out(found.node, *path) for path in ((), ("kind",), ("parts",), ("parts", 0), ("labels",))] == [
        True,
        True,
        True,
        True,
        False,
    ]


def test_a_misfit_that_several_paths_share_is_told_once() -> None:
    shared = parse_json(Source("t.json", '{"partName": "a", "colour": "blue", "wieght": 1}'))
    span = shared.span

    _, problems = decode(
        StructNode(
            {
                "kind": FieldNode(span, ScalarNode("small", span)),
                "parts": FieldNode(span, ListNode((shared, from_plain(to_plain(shared), span), shared), span)),
            },
            span,
        ),
        Thing,
    )

    assert [each.message for each in problems if each.span != span] == [
        'parts[0].colour: "blue" is not allowed: it is one of "red", "green"',
        'parts[0]: unknown field "wieght"',
    ]
