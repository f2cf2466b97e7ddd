"""CUE packages to data. The expectations were compared with the reference implementation, cue v0.17.1."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgec.diagnostic import Code, ForgeError
from forgec.source import Source
from forgec.syntax.data import StructNode, to_plain
from forgec.syntax.document import read_text
from forgec.syntax.parse import parse_file
from forgec.syntax.unify import evaluate

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "monorepo"


def node(*texts: str) -> StructNode:
    return evaluate([parse_file(Source(f"{name}.cue", text)) for name, text in zip("xyz", texts, strict=False)])


def data(*texts: str) -> object:
    return to_plain(node(*texts))


def failures(*texts: str) -> list[str]:
    with pytest.raises(ForgeError) as caught:
        node(*texts)
    return [f"{each.span}: {each.message}" for each in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('#A: {x: string, y: x}\na: #A & {x: "k"}', {"a": {"x": "k", "y": "k"}}),
        ("a: {x: *1 | int, y: x + 1} & {x: 5}", {"a": {"x": 5, "y": 6}}),
        ('m: "a"\nn: {m: "b", o: m}', {"m": "a", "n": {"m": "b", "o": "b"}}),
        ("a: b: c: 1\na: b: d: a.b.c", {"a": {"b": {"c": 1, "d": 1}}}),
        ('let v = "a"\n_h: "\\(v)b"\nx: _h', {"x": "ab"}),
        ("string: 3\na: string", {"string": 3, "a": 3}),
        ('x: {"#a": 1}\n#a: 2\ny: #a', {"x": {"#a": 1}, "y": 2}),
    ],
)
def test_names_are_found_in_the_struct_that_results(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: *1 | int\nb: a & 2", {"a": 1, "b": 2}),
        ('t: *"1m" | string\ny: "\\(t)-z"', {"t": "1m", "y": "1m-z"}),
        ("a: (int | *3) & (>2)", {"a": 3}),
        ('a: ("x" | "y") & ("y" | "z")', {"a": "y"}),
        ("a: {b: int} | {b: string}\na: b: 1", {"a": {"b": 1}}),
        ('#A: {k: "a", x: int} | {k: "b", y: int}\na: #A & {k: "b", y: 3}', {"a": {"k": "b", "y": 3}}),
        ("a: {#A, z: 1}\n#A: *{x: 1} | {y: 2}", {"a": {"x": 1, "z": 1}}),
        ("#L: {v: int, next: *null | #L}\nl: #L & {v: 1, next: v: 2}", {"l": {"v": 1, "next": {"v": 2, "next": None}}}),
        ('x: "\\(y)" & ("a" | "b")\ny: "b"', {"x": "b", "y": "b"}),
        ("a: 1 | 1", {"a": 1}),
    ],
)
def test_disjunctions_keep_what_fits_and_prefer_the_default(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#A: {x: int, ...}\na: #A & {x: 1, y: 2}", {"a": {"x": 1, "y": 2}}),
        ("#A: x: y: int\na: {#A, q: 1, x: y: 2}", {"a": {"q": 1, "x": {"y": 2}}}),
        ("#A: {x?: int, y!: int}\na: #A & {y: 1}", {"a": {"y": 1}}),
        ("#A: x: #B\n#B: y: int\na: #A & {x: y: 1}", {"a": {"x": {"y": 1}}}),
        ("{#A, y: 2}\n#A: {x: 1, y: int}", {"x": 1, "y": 2}),
    ],
)
def test_definitions_allow_what_they_declare(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: [string]: {x: *1 | int, y: x}\na: p: {}\na: q: x: 2",
            {"a": {"p": {"x": 1, "y": 1}, "q": {"x": 2, "y": 2}}},
        ),
        ('#P: {[=~"^x"]: int, z: string}\na: #P & {x1: 1, z: "a"}', {"a": {"x1": 1, "z": "a"}}),
        ('#P: ["a" | "b"]: int\na: {#P, b: 1}', {"a": {"b": 1}}),
        ("a: {[string]: {q: *1 | int}} & ({b: {}} | {c: 5})", {"a": {"b": {"q": 1}}}),
    ],
)
def test_patterns_speak_of_the_fields_they_cover(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("l: [...string]", {"l": []}),
        ("l: [...int] & [1, 2]", {"l": [1, 2]}),
        ("l: [{x: *1 | int}, {x: 3}] & [...{x: int}]", {"l": [{"x": 1}, {"x": 3}]}),
        ('a: [1, 2][1]\nb: {c: 5}["c"]', {"a": 2, "b": 5}),
        ("a: 1 / 2\nb: 1 + 2 * 3\nc: -b\nd: 7.0", {"a": 0.5, "b": 7, "c": -7, "d": 7.0}),
        ('a: "x" + "y"\nb: >=1 & <=3 & 2\nc: =~"^v" & "v1"\nd: !=null & 3', {"a": "xy", "b": 2, "c": "v1", "d": 3}),
        ('a: {"x"}\nb: {5, _h: 2}', {"a": "x", "b": 5}),
        ("a: b & 1\nb: a", {"a": 1, "b": 1}),
        ("", {}),
    ],
)
def test_lists_numbers_and_bounds(text: str, expected: object) -> None:
    assert data(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x: {a: 1, if true {b: 2}, c: 3}", ["a", "b", "c"]),
        ("x: {if true {b: 2}, a: 1, {c: 3}, d: 4}", ["b", "a", "c", "d"]),
        ('x: {for k in ["p"] {"\\(k)": 1}, if true {b: 2}, ("z"): 0, a: 1}', ["b", "a", "z", "p"]),
        ("x: {a: 1, e, c: 3}\ne: {if true {b: 2}, d: 1}", ["a", "c", "b", "d"]),
    ],
)
def test_a_loop_goes_through_fields_as_they_are_written(text: str, expected: list[str]) -> None:
    evaluated = data(f"{text}\nm: [for k, v in x {{k}}]")

    assert isinstance(evaluated, dict)
    assert evaluated["m"] == expected


def test_files_of_a_package_are_one_value() -> None:
    assert data("package p\na: b\nlet l = 1\nc: l", "package p\nb: 2\nlet l = 3\nd: l") == {
        "a": 2,
        "c": 1,
        "b": 2,
        "d": 3,
    }


def test_a_value_is_where_its_literal_is_and_not_where_its_type_is() -> None:
    found = node('#A: {x: string, y: *"d" | string}\na: #A & {x: "k"}\nb: a.x')

    assert isinstance(a := found.fields["a"].value, StructNode)
    assert str(a.fields["x"].value.span) == "x.cue:2:13"
    assert str(a.fields["x"].key_span) == "x.cue:2:10"
    assert a.fields["y"].value.span.text == '"d"'
    assert str(found.fields["b"].value.span) == "x.cue:2:13"
    assert str(a.span) == "x.cue:2:9"


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("a: x: 1\na: x: 2", ["x.cue:2:7: a.x: 2 conflicts with 1"]),
        (
            "a: (*1 | 2 | 3) & (1 | *2 | 3)",
            ["x.cue:1:6: a has no concrete value: it can be 1 or 2 or 3, and the marks single out none of them"],
        ),
        ('a: "x" | 1\na: true', ['x.cue:2:4: a: true is none of "x", 1']),
        ("#A: x: int\na: #A & {x: 1} & {y: 1}", ['x.cue:2:19: a: the field "y" is not allowed']),
        ("#A: #B & {extra: 1}\n#B: x: int", ['x.cue:1:11: #A: the field "extra" is not allowed']),
        ("#X: y: z: 1\na: #X.y & {w: 1}", ['x.cue:2:12: a: the field "w" is not allowed']),
        ('#P: [=~"^x"]: int\na: #P & {y: 1}', ['x.cue:2:10: a: the field "y" is not allowed']),
        ('a: {[string]: int, b: "x"}', ['x.cue:1:23: a.b: "x" conflicts with int']),
        ("a: x: 1\nb: a.y", ['x.cue:2:6: a has no field "y"']),
        ("a: b?: 1\nc: a.b", ['x.cue:2:6: the field "b" is declared but not given']),
        ("a: [a]", ["x.cue:1:5: a[0] contains itself: it refers to a value around it"]),
        ("b: _|_", ["x.cue:1:4: b is marked as an error (_|_)"]),
        ("5", ["x.cue:1:1: a file holds fields, not a single value"]),
        (
            "a: 90071992547409 * 1000",
            ["x.cue:1:4: the number is beyond ±2^53, which readers of the result would round"],
        ),
    ],
)
def test_what_cannot_be_is_told_where_it_was_written(text: str, messages: list[str]) -> None:
    assert failures(text) == messages


def test_problems_of_unlike_kinds_are_found_in_one_run() -> None:
    with pytest.raises(ForgeError) as caught:
        node('a: nowhere\nb: 1 & "x"\nc!: int\nd: int\n#D: {e: 1}\nf: #D & {g: 1}')

    assert [each.code for each in caught.value.diagnostics] == [
        Code.MISSING_FIELD,
        Code.UNRESOLVED,
        Code.CONFLICT,
        Code.INCOMPLETE,
        Code.UNKNOWN_FIELD,
    ]


def test_a_wrong_definition_is_told_once_however_often_it_is_used() -> None:
    assert len(failures("#A: x: 1 & 2\n" + "\n".join(f"a{n}: #A" for n in range(20)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"a{n}: [{', '.join([f'a{n + 1}'] * 6)}]" for n in range(30)) + "\na30: 1",
        "\n".join(f"a{n}: a{n + 1} + 1" for n in range(2000)) + "\na2000: 1",
        "\n".join(f"a{n}: {{x: a{n + 1}.x}}" for n in range(2000)) + "\na2000: x: 1",
        "a: " + "a: " * 3000 + "1",
        "a: " + ">=" * 3000 + "1",
        "b: c: 1\na: b" + ".c" * 3000,
        "a: " + " & ".join(f"({' | '.join(f'{{x{j}_{i}: 1}}' for i in range(4))})" for j in range(6)),
        'import "list"\nm: [(*m | list.MinItems(1)), list.Repeat(m, 2)]',
    ],
    ids=["lists of lists", "sums", "selectors", "depth", "bounds", "path", "alternatives", "repetition of itself"],
)
def test_what_grows_without_end_is_stopped(text: str) -> None:
    with pytest.raises(ForgeError) as caught:
        node(text)

    assert Code.TOO_DEEP in {each.code for each in caught.value.diagnostics}


def test_a_string_that_doubles_is_stopped() -> None:
    doubling = 'a0: "xxxxxxxxxxxxxxxx"\n' + "\n".join(f'a{n}: "\\(a{n - 1})\\(a{n - 1})"' for n in range(1, 40))

    assert failures(doubling) == ["x.cue:18:6: the string is longer than 1048576 characters"]


NAMES = st.sampled_from(["a", "b", "#D", "_h"])
EXPRESSIONS = st.recursive(
    st.sampled_from(
        ["1", '"x"', "int", "string", "_", "null", "2.5", "a", "b", "#D", "_h", "a.b", ">=1", '=~"x"', "_|_"]
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" & ", " | ", " + ", " | *"]), inner).map("".join).map("({})".format),
        st.lists(st.tuples(NAMES, st.sampled_from([": ", "?: ", "!: "]), inner).map("".join), max_size=3).map(
            lambda fields: "{" + ", ".join(fields) + "}"
        ),
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        inner.map('"\\({})"'.format),
        inner.map("{{{}}}".format),
        inner.map("[...{}]".format),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(NAMES, EXPRESSIONS), max_size=5))
def test_any_package_is_data_or_a_list_of_problems_and_always_the_same(fields: list[tuple[str, str]]) -> None:
    text = "\n".join(f"{name}: {expression}" for name, expression in fields)

    def outcome() -> object:
        try:
            return data(text)
        except ForgeError as error:
            return [(each.code, str(each.span), each.message) for each in error.diagnostics]

    assert outcome() == outcome()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("**/.forge/*.cue")), ids=lambda path: path.parent.parent.name)
def test_the_sample_repository_evaluates(path: Path) -> None:
    found = evaluate([parse_file(read_text(path.name, path.read_bytes()))])

    assert found.fields.keys() & {"name", "forgeVersion"}


def test_an_alternative_that_cannot_be_judged_does_not_give_way_to_another() -> None:
    text = '(*#E | {x: string, ...})\nt: (*x | "x") + "a"\nx: "b"\n#E: {a: 2, x: string | *"y"}'

    assert any("the marks single out none" in message for message in failures(text))


def test_a_definition_that_is_a_call_of_close_goes_one_level_deep() -> None:
    text = '#S: close({x: *{k: "a"} | {k: "b", z: int}})\na: #S & {x: z: 1}'

    assert data(text) == {"a": {"x": {"k": "a", "z": 1}}}
    assert failures(f"{text}\nb: #S & {{z: 1}}") == ['x.cue:3:10: b: the field "z" is not allowed']


def test_what_is_closed_is_evaluated_before_it_is_unified() -> None:
    (message,) = failures("#S: close({x: int, if x > 1 {y: 1}})\na: #S & {x: 2}")

    assert message.startswith("x.cue:1:23: ")


def test_what_closes_a_struct_says_nothing_of_its_fields_elsewhere() -> None:
    text = '#S: a: *{t: "b"} | {t: "c", x: int}\nb: #S\nc: b.a & {x: 1}'

    assert data(text) == {"b": {"a": {"t": "b"}}, "c": {"t": "b", "x": 1}}
    assert failures(f"{text}\nd: b & {{a: y: 1}}") == ["x.cue:4:12: d.a fits none of its alternatives"]


def test_a_reference_alone_is_what_it_refers_to_and_closed_as_that_is() -> None:
    text = '#S: a: {t: "a", x: int} | *{t: "b"}\nb: #S & {a: x: 1}\nc: b.a\nd: c & {y: 2}'

    assert data(text) == {
        "b": {"a": {"t": "a", "x": 1}},
        "c": {"t": "a", "x": 1},
        "d": {"t": "b", "x": 1, "y": 2},
    }


def test_a_definition_that_checks_a_list_does_not_close_its_items() -> None:
    text = 'import "list"\n#E: k: [...(*{t: "a"} | {t: "b", p: int})] & list.MinItems(1)\na: #E & {k: [{p: 1}]}'

    assert data(text) == {"a": {"k": [{"t": "a", "p": 1}]}}


def test_what_is_closed_refuses_a_field_also_while_a_condition_is_not_decided() -> None:
    assert failures("#B: {l: int, if l == 80 {x: 1}}\n#E: #B & {t: {}}") == [
        'x.cue:2:11: #E: the field "t" is not allowed'
    ]


def test_a_circle_of_calculations_is_told_with_its_parts() -> None:
    assert failures("a: b + 1\nb: c + 1\nc: a + 1") == ["x.cue:3:4: a needs its own value, by way of b, c"]


def test_a_package_that_is_not_there_may_be_another_one() -> None:
    with pytest.raises(ForgeError) as caught:
        node('import "string"\na: string.ToUpper("a")')

    assert caught.value.diagnostics[0].help == 'did you mean "strings"?'


def test_a_definition_is_closed_by_any_name() -> None:
    told = 'x.cue:2:9: y: the field "b" is not allowed'

    assert failures("X=#D: {a: 1}\ny: X & {b: 1}") == [told]


def test_three_dots_open_what_they_are_written_in_and_not_its_parts() -> None:
    assert data("n: {#D, d: 1, ...} & {e: 1}\n#D: m: 1") == {"n": {"d": 1, "m": 1, "e": 1}}
    assert failures("n: {#D & {d: 1}, ...}\n#D: m: 1") == ['x.cue:1:11: n: the field "d" is not allowed']


def test_what_the_left_side_decides_needs_no_truth_on_the_right() -> None:
    assert data('t: true || 1\nf: false && "x"') == {"t": True, "f": False}
    assert failures("t: false || 1") == ['x.cue:1:4: false || 1: "||" takes true and false']
