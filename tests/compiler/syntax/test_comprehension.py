"""What depends on other values: comprehensions, computed names, aliases, conditions. Compared with cue v0.17.1."""

import pytest
from tests.compiler.syntax.test_unify import data, failures


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x: [1, 2, 3]\ny: [for i, v in x if v > 1 {i * v}]", {"x": [1, 2, 3], "y": [2, 6]}),
        ('x: {for k, v in {a: 1, _h: 2, o?: 3} {"\\(k)-x": v}}', {"x": {"a-x": 1}}),
        ("a: [for x in [1, 2] for y in [3, 4] let z = x * y if z > 4 {z}, 9]", {"a": [6, 8, 9]}),
        ('e: "prod"\nif e == "prod" {n: 3}\nif e != "prod" {n: 1}', {"e": "prod", "n": 3}),
        ("a: {if true {5}}\nb: {if false {5}}\nc: [if false {1}]", {"a": 5, "b": {}, "c": []}),
        ("a: {if c == 1 {d: 2}, if d == 2 {e: 3}, c: 1, d: int}", {"a": {"c": 1, "d": 2, "e": 3}}),
        ('names: ["a", "b"]\np: {for n in names {(n): {id: n}}}\nq: p.b.id',
         {"names": ["a", "b"], "p": {"a": {"id": "a"}, "b": {"id": "b"}}, "q": "b"}),
    ],
)  # fmt: skip
def test_a_comprehension_gives_its_body_as_often_as_its_clauses_say(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('s: [N=string]: {name: N, t: *"x" | string}\ns: web: {}\ns: db: t: "y"',
         {"s": {"web": {"name": "web", "t": "x"}, "db": {"name": "db", "t": "y"}}}),
        ('X="a-b": 1\nc: X', {"a-b": 1, "c": 1}),
        ("a: X={b: 1, c: X.b}", {"a": {"b": 1, "c": 1}}),
        ('k: "z"\n"\\(k)1": 1\n(k): 2', {"k": "z", "z1": 1, "z": 2}),
    ],
)  # fmt: skip
def test_names_are_given_by_aliases_and_by_expressions(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x: {a?: int}\ny: {if x.a == _|_ {d: 1}, if x.a != _|_ {e: 1}}", {"x": {}, "y": {"d": 1}}),
        ('#C: t?: string\n_c: #C\na: *_c.t | "5m"', {"a": "5m"}),
        ('#C: t?: string\n_c: #C & {t: "1m"}\na: *_c.t | "5m"', {"a": "1m"}),
        ("a: 1 + 2 < 4 && 3 > 2 || false\nb: !a", {"a": True, "b": False}),
        ("a: [1] == [1]\nb: {x: 1} == {x: 1, y?: 2}\nc: 1 == 1.0\nd: [1] == [1.0]",
         {"a": True, "b": True, "c": True, "d": False}),
        ('a: "v1" =~ "^v"\nb: "a" < "b"\nc: null != {}', {"a": True, "b": True, "c": True}),
    ],
)  # fmt: skip
def test_conditions_compare_values_and_ask_whether_there_is_one(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#A: {t: bool, if t {y: int}}\na: #A & {t: true, y: 1}", {"a": {"t": True, "y": 1}}),
        ('#A: {for k in ["a", "b"] {(k): int}}\na: #A & {a: 1, b: 2}', {"a": {"a": 1, "b": 2}}),
        ("#A: x: y: int\na: {#A, if true {q: 1}, x: {y: 1, z: 2}}", {"a": {"x": {"y": 1, "z": 2}, "q": 1}}),
        ("_a: close({x: 1, y: {z: 1}})\nb: _a & {y: w: 2}", {"b": {"x": 1, "y": {"z": 1, "w": 2}}}),
    ],
)  # fmt: skip
def test_closed_structs_allow_what_their_comprehensions_add(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("#A: {t: bool, if t {y: int}}\na: #A & {t: false, y: 1}", ['x.cue:2:20: a: the field "y" is not allowed']),
        ("a: close({x: 1})\nb: a & {y: 2}", ['x.cue:2:9: b: the field "y" is not allowed']),
        ("#A: x: y: int\na: #A & {x: z: 1}", ['x.cue:2:13: a.x: the field "z" is not allowed']),
        ("a: {for k in [1] {b: k}, b: 2}", ["x.cue:1:15: a.b: 1 conflicts with 2"]),
        ("a: _b + 1\na: 5\n_b: int", ["x.cue:1:4: _b has no concrete value: it can be int"]),
        ("for k, v in {a!: int} {(k): v}", ["x.cue:1:13: a is required but not given"]),
        ('[x]: int\nx: "a"', ['x.cue:1:2: the pattern refers to "x" beside it, which it might be matched with']),
    ],
)
def test_what_a_condition_leaves_out_is_not_there(text: str, messages: list[str]) -> None:
    assert failures(text)[: len(messages)] == messages


@pytest.mark.parametrize(
    "text",
    [
        "a: {b: {c: 1}}\nx: a.b\nif x.c == 1 {a: b: d: 2}",
        "d\nt: 1\nd: {d: D: {}}",
        "a: {if d == _|_ {c: 1}, d?: int, if true {d: 5}}",
        "a: {y: int, b: _b + 1} & ({y: 1, b: 3} | {y: 2, z: 1})\n_b: a.y",
        "a: {for x in a {b: x}}",
    ],
)
def test_what_comes_too_late_for_what_depends_on_it_is_an_error_and_never_another_value(text: str) -> None:
    assert any("is needed to find out" in message for message in failures(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: b + 1\nb: a - 1\nb: 2", {"a": 3, "b": 2}),
        ("a: -a\na: 0", {"a": 0}),
        ("a: {x: true, if x {x: bool}}", {"a": {"x": True}}),
        ('y: (y | "x")\ny: ""', {"y": ""}),
    ],
)
def test_a_value_that_is_there_anyway_ends_a_circle(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: (*1 | 2) | 3", {"a": 1}),
        ("a: {b: int} | {c: int}\na: {b: 1, c: 2}", {"a": {"b": 1, "c": 2}}),
        ("_b: *1 | 2\na: (_b | 3) & int", {"a": 1}),
        ("a: {x: _b + 1} | {y: 1}\n_b: int", {"a": {"y": 1}}),
    ],
)
def test_alternatives_that_are_one_or_have_no_value_do_not_make_a_choice_hard(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    "text", ["a: ((*1|2)|3) & (*3|1)", "_b: *1 | 2\na: _b & (1|3) | 3", "a: {a: 1, b?: int} | {a: 1}"]
)
def test_where_defaults_do_not_decide_nothing_is_guessed(text: str) -> None:
    assert any("has no concrete value" in message for message in failures(text))


def test_references_to_what_is_known_later_stand_for_themselves() -> None:
    text = '#I: i: string\na: #I & {i: @artifact("web.image")}\nb: string @repo(path="x.y")\nc: 1 @artifact("w.u")'

    assert data(text) == {
        "a": {"i": {"@artifact": "web.image"}},
        "b": {"@repo": "x.y"},
        "c": 1,
    }  # fmt: skip
    assert failures("a: @artifact(web)") == ["x.cue:1:4: @artifact(web) refers to nothing"]
    assert failures("a: @other(web)") == ["x.cue:1:4: a value is expected, found an attribute"]


@pytest.mark.parametrize(
    "text",
    [
        'for v in ["b\\(s)", "a\\(s)"] for w in [1, 2] {"\\(v)": v}\ns: "x"',
        "if a != _|_ {x: 1}\nif x == _|_ {a: 2}\na: 1\nx: int",
        '(s): 1\nif a != _|_ {d: 1}\na: int\ns: "a"',
    ],
)
def test_what_fields_there_are_does_not_depend_on_the_order_of_asking(text: str) -> None:
    told = failures(text)

    assert all("is asked for" in each or "is needed" in each for each in told)
