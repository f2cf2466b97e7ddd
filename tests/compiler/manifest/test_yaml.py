"""The YAML emitter: what a reader gets is what was written."""

import math

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from forgec.manifest.yaml import KEY_LENGTH_MAX, emit_yaml

NASTY = (
    *("", " ", "-", "--", "---", "...", "~", "=", "<<", "?", ":", "a:", "a: b", "a #b", "#", "&a", "*a", "!a", "%a"),
    *("y", "Y", "n", "yes", "No", "ON", "off", "true", "False", "null", "Null", "NaN", ".nan", ".inf", "-.inf", "inf"),
    *("0", "-1", "0x1f", "0o17", "017", "1_000", "1e3", "1.5", ".5", "1:30", "190:20:30", "2001-01-01", "`", "@"),
    *("2001-12-14t21:59:43.10-05:00", "{{item}}", "{a}", "[a]", "'", '"', "\\", "'a'", '"a"', "it's \"x\"", '["a"]'),
    *("a\nb", "a\n", "\n", "\ta", "a\tb", "\r\n", "\x00", "\x1b", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\uffff"),
    *("\U0001f600", "ünï", "a b", " a", "a ", "a,b", "a/b:c", "http://x:1", "a" * 300, "word " * 60),
)  # fmt: skip

texts = st.sampled_from(NASTY) | st.text(max_size=20)
keys = st.sampled_from([text for text in NASTY if len(text) <= KEY_LENGTH_MAX]) | st.text(max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20
)


@settings(max_examples=300, deadline=None)
@given(values)
def test_every_value_is_read_back_as_it_was(value: object) -> None:
    assert yaml.safe_load(emit_yaml(value)) == value


@pytest.mark.parametrize("text", NASTY)
def test_every_nasty_text_is_read_back_as_text(text: str) -> None:
    assert yaml.safe_load(emit_yaml({"key": text, "list": [text]})) == {"key": text, "list": [text]}


@pytest.mark.parametrize("number", [1e20, 1e-7, 0.1, -0.0, 1.7976931348623157e308, 5e-324])
def test_numbers_with_an_exponent_stay_numbers(number: float) -> None:
    read = yaml.safe_load(emit_yaml([number]))[0]

    assert isinstance(read, float)
    assert read == number


def test_the_form_is_block_style_with_keys_in_their_order() -> None:
    document = {
        "b": {"nested": "x", "none": {}},
        "a": [{"name": "one", "items": []}, [["deep"], "flat"], 1, True, None],
        "text": "two words",
    }

    assert emit_yaml(document) == (
        "b:\n"
        "  nested: x\n"
        "  none: {}\n"
        "a:\n"
        "- name: one\n"
        "  items: []\n"
        "- - - deep\n"
        "  - flat\n"
        "- 1\n"
        "- true\n"
        "- null\n"
        'text: "two words"\n'
    )


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("main", "main"),
        ("/tmp/forge/plan", "/tmp/forge/plan"),
        ("sha256:00ff", "sha256:00ff"),
        ("yes", '"yes"'),
        ("50m", '"50m"'),
        ("--run", '"--run"'),
        ("{{item}}", '"{{item}}"'),
        ('["a","b"]', """'["a","b"]'"""),
        ("it's", '"it\'s"'),
        ("a\nb", '"a\\nb"'),
        ("\U0001f600\x7f", '"\\U0001f600\\x7f"'),
    ],
)
def test_texts_are_plain_only_where_nothing_else_can_be_seen_in_them(text: str, form: str) -> None:
    assert emit_yaml(text) == form + "\n"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="no form in JSON"):
        emit_yaml({"x": number})


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        emit_yaml({"x": b""})


@pytest.mark.parametrize("key", [1, None, "k" * (KEY_LENGTH_MAX + 1)])
def test_keys_are_texts_of_bounded_length(key: object) -> None:
    with pytest.raises(ValueError, match="a key is a text"):
        emit_yaml({key: 1})


def test_a_key_of_the_greatest_length_and_the_longest_escapes_is_read_back() -> None:
    document = {"\U0001f600" * KEY_LENGTH_MAX: 1}

    assert yaml.safe_load(emit_yaml(document)) == document
