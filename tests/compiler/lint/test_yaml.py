"""YAML from strangers: the same data as other readers see, with places, and no way to keep the reader busy."""

import math
import re
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forgec.diagnostic import Code, ForgeError
from forgec.discovery.place import find, key_place, place
from forgec.lint.yaml import NODES_MAX, parse_yaml
from forgec.source import Source
from forgec.syntax.data import to_plain

WORDS = ("yes", "no", "on", "off", "true", "null", "~", "1", "1.5", "0x1f", "-", "a: b", "# c", "{{item}}", "é😀")
OTHERWISE = re.compile(r"[yYnN]|[-+]?[0-9.]+[eE]?[-+]?[0-9]*|0o[0-7]+")
"""Plain words that PyYAML, which writes them, takes for texts, and Kubernetes for numbers or truth."""

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff"), max_size=8
    ).filter(lambda text: not OTHERWISE.fullmatch(text))
)
TEXTS = st.sampled_from((*WORDS, "key", "k" * 70)) | st.text("ab c:#", max_size=5)
DATA = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


def read(text: str) -> list[Any]:
    return [to_plain(node) for node in parse_yaml(Source("w.yaml", text))]


def refused(text: str) -> tuple[Code, int, int]:
    with pytest.raises(ForgeError) as raised:
        parse_yaml(Source("w.yaml", text))
    (found,) = raised.value.diagnostics
    assert found.span is not None
    return found.code, found.span.position.line, found.span.position.column


@settings(max_examples=300, deadline=None)
@given(DATA.filter(lambda value: value is not None), st.sampled_from([None, True, False]))
def test_what_another_writer_wrote_is_read_as_it_was(value: Any, flow: bool | None) -> None:
    text = yaml.dump(value, Dumper=yaml.SafeDumper, default_flow_style=flow, allow_unicode=True)

    assert read(text) == [value]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("y", True), ("N", False), ("on", True), ("Off", False), ("yEs", "yEs"), ("~", None), ("Null", None)),
        *(
            ("0x1F", 31),
            ("0o17", 15),
            ("017", 15),
            ("0b101", 5),
            ("-3", -3),
            ("+3", 3),
            ("08", 8.0),
            ("1_000", "1_000"),
        ),
        *(("1.", 1.0), (".5", 0.5), ("1e3", 1000.0), (".", "."), ("1.2.3", "1.2.3"), ("2026-11-24", "2026-11-24")),
        *(("12:30:00", "12:30:00"), ("'1'", "1"), ('"yes"', "yes"), ("!!str 1", "1")),
    ],
)
def test_a_plain_word_means_what_it_means_to_kubernetes(text: str, value: object) -> None:
    (found,) = read(f"[{text}]")

    assert found == [value]
    assert type(found[0]) is type(value)


def test_every_key_and_value_knows_its_place() -> None:
    (document,) = parse_yaml(Source("w.yaml", "ä: 1\nlist:\n- {name: 😀, b: x}\n- |\n  a\n  b\n"))

    assert str(key_place(document, "list")) == "w.yaml:2:1"
    assert str(place(document, "list", 0, "b")) == "w.yaml:3:16"
    assert place(document, "list", 0, "name").text == "😀"
    assert str(place(document, "list", 1)) == "w.yaml:4:3"
    assert find(document, "list", 2) is None


def test_documents_are_read_one_by_one_and_empty_ones_left_out() -> None:
    assert read("---\na: 1\n---\n# nothing\n---\n[2]\n...\n") == [{"a": 1}, [2]]
    assert read("") == []


def test_an_alias_is_what_it_names() -> None:
    assert read("a: &x {b: [1]}\nc: *x\nd: [*x, *x]\n") == [{"a": {"b": [1]}, "c": {"b": [1]}, "d": [{"b": [1]}] * 2}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", (Code.YAML_SYNTAX, 1, 6)),
        ("a: b: c", (Code.YAML_SYNTAX, 1, 5)),
        ("\ta: 1", (Code.YAML_SYNTAX, 1, 1)),
        ("a: \x07", (Code.YAML_SYNTAX, 1, 4)),
        ("a: *b", (Code.YAML_SYNTAX, 1, 4)),
        ("a: &x 1\n---\nb: *x", (Code.YAML_SYNTAX, 3, 4)),
        ("%YAML 3.0\n---\na", (Code.YAML_SYNTAX, 1, 1)),
        ("? [a]\n: 1", (Code.UNSUPPORTED, 1, 3)),
        ("a: &k 1\n*k : 2", (Code.UNSUPPORTED, 2, 1)),
        ("a: !!binary x", (Code.UNSUPPORTED, 1, 4)),
        ("!!python/name:os.system a", (Code.UNSUPPORTED, 1, 1)),
        ("a: ! 1", (Code.UNSUPPORTED, 1, 4)),
        ("a: !own {}", (Code.UNSUPPORTED, 1, 4)),
        ("<<: {a: 1}", (Code.UNSUPPORTED, 1, 1)),
        ("a: 1\nb: 2\na: 3", (Code.DUPLICATE_KEY, 3, 1)),
        ("a: 1e999", (Code.BAD_VALUE, 1, 4)),
        ("[" * 65 + "]" * 65, (Code.TOO_DEEP, 1, 65)),
    ],
)
def test_what_is_not_read_is_refused_at_its_place(text: str, expected: tuple[Code, int, int]) -> None:
    assert refused(text) == expected


def test_a_text_of_very_many_values_is_refused_before_it_takes_long() -> None:
    code, *_ = refused("[" + "1," * NODES_MAX + "]")

    assert code is Code.TOO_DEEP


def test_an_alias_inside_of_its_own_anchor_is_refused() -> None:
    assert refused("a: &x [*x]")[0] is Code.YAML_SYNTAX


@settings(max_examples=300, deadline=None)
@example("[" * 5000)
@example("- " * 5000 + "a")
@example("&a " * 50 + "x")
@example("? " * 500)
@given(st.text("ab:-?[]{},&*!|>'\"%@`#~<= \n\t0.e\u2028\ud7ff", max_size=60))
def test_no_text_ends_in_anything_but_data_or_findings(text: str) -> None:
    try:
        found = read(text)
    except ForgeError as error:
        found = [] if all(each.span for each in error.diagnostics) else [math.nan]

    assert all(math.isfinite(value) for value in found if isinstance(value, float))
