"""JSON documents: values as the standard library reads them, and a place for everything."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgec.diagnostic import Code, ForgeError
from forgec.source import Source
from forgec.syntax.data import INTEGER_MAX, ListNode, ScalarNode, StructNode, to_plain
from forgec.syntax.document import parse_json, read_text

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-INTEGER_MAX, INTEGER_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    SCALARS | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=40,
)


def parse(text: str) -> object:
    return to_plain(parse_json(Source("d.json", text)))


def failures(text: str) -> list[str]:
    with pytest.raises(ForgeError) as caught:
        parse_json(Source("d.json", text))
    return [f"{each.span}: {each.message}" for each in caught.value.diagnostics]


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_what_the_standard_library_writes_is_read_back(value: object, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)

    assert parse(text) == value


@given(st.text(alphabet='[]{}",:0123456789.eE+-truefalsn\\u \n/\x00é') | st.text())
def test_any_text_is_read_as_the_standard_library_reads_it_or_refused(text: str) -> None:
    try:
        mine = parse(text)
    except ForgeError:
        return

    assert mine == json.loads(text)


def test_keys_and_values_know_their_places() -> None:
    node = parse_json(Source("d.json", '{\n  "a": [1, "two"],\n  "b": {}\n}\n'))

    assert isinstance(node, StructNode)
    assert str(node.fields["a"].key_span) == "d.json:2:3"
    assert isinstance(items := node.fields["a"].value, ListNode)
    assert isinstance(two := items.items[1], ScalarNode)
    assert (str(two.span), two.span.text) == ("d.json:2:12", '"two"')
    assert node.fields["b"].value.span.text == "{}"


def test_every_repeated_key_is_found_even_before_a_mistake_of_form() -> None:
    assert failures('{"a": 1, "a": 2, "b": {"c": 1, "c": 2}, "a" 3}') == [
        'd.json:1:10: the key "a" is there twice',
        'd.json:1:32: the key "c" is there twice',
        'd.json:1:45: ":" is expected after the key, found "3"',
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "d.json:1:1: the file is empty; a JSON document is expected"),
        ('{"a":\n[1,', "d.json:2:4: a value is expected, found the end of the text inside the array opened at line 2"),
        ("[1 2]", 'd.json:1:4: "," or "]" is expected, found "2"'),
        ("[] x", 'd.json:1:4: the document ends before this: found "x"'),
        ("{a: 1}", 'd.json:1:2: a key in double quotes is expected, found "a"'),
        ("[-Infinity]", 'd.json:1:2: a value is expected, found "-Infinity"'),
        ("[01]", 'd.json:1:2: a value is expected, found "01"'),
        ('["a\nb"]', "d.json:1:2: the string is not closed on its line"),
        ('["\x07"]', "d.json:1:3: control character U+0007 inside a string"),
        ('["\\ud800x"]', 'd.json:1:3: "\\ud800" is half of a surrogate pair, not a character'),
        ("[1e999]", "d.json:1:2: the number is too large"),
        ("[9007199254740993]", "d.json:1:2: the number is beyond ±2^53, which other readers of JSON would round"),
        ("[" * 65 + "]" * 65, "d.json:1:65: nested deeper than 64 levels"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, message: str) -> None:
    assert failures(text) == [message]


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("[True]", "JSON writes true, false and null in lower case"),
        ("[NaN]", "JSON has no NaN"),
        ("['a']", "JSON uses double quotes"),
        ("// x", "JSON has no comments"),
        ("[1,]", "remove the comma"),
        ("[+1]", "a number is digits without leading zeros or plus sign, then perhaps a fraction and an exponent"),
    ],
)
def test_habits_of_other_languages_get_advice(text: str, advice: str) -> None:
    with pytest.raises(ForgeError) as caught:
        parse_json(Source("d.json", text))

    assert caught.value.diagnostics[0].help == advice


def test_the_first_byte_that_is_not_utf8_is_told() -> None:
    with pytest.raises(ForgeError) as caught:
        read_text("d.json", "é\nab".encode() + b"\xff")

    (problem,) = caught.value.diagnostics
    assert problem.code is Code.NOT_UTF8
    assert f"{problem.span}: {problem.message}" == "d.json:2:3: byte 0xff is not valid UTF-8"


def test_a_byte_order_mark_is_not_text() -> None:
    assert read_text("d.json", b"\xef\xbb\xbf[]").text == "[]"
    with pytest.raises(ForgeError, match="UTF-16"):
        read_text("d.json", "[]".encode("utf-16"))


def test_a_file_above_the_limit_is_not_read() -> None:
    with pytest.raises(ForgeError, match="limit of 10 MB"):
        read_text("d.json", b" " * (10 * 1024 * 1024 + 1))


def test_a_document_of_one_megabyte_takes_well_under_a_second() -> None:
    step = {"name": "unit", "action": "earthly", "target": "+unit", "args": ["--a=\n"]}
    text = json.dumps([{"name": f"p{n}", "path": f"x/{n}", "phases": {"test": [step] * 6}} for n in range(2000)])
    assert len(text) > 1_000_000

    started = time.process_time()
    parse_json(Source("d.json", text))

    assert time.process_time() - started < 1.5  # about 0.3 s; the rest is for a busy machine
