"""The quick reading of a document is the careful one's, or none."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.discovery.test_check import DOCUMENT
from tests.compiler.documents import documents

from forgec.diagnostic import ForgeError
from forgec.discovery.model import Discovery, to_json
from forgec.discovery.quick import read_quickly
from forgec.syntax.decode import decode
from forgec.syntax.document import parse_json, read_text

VALUES = st.sampled_from(
    [None, True, 0, -1, 1.0, 1e400, 2**53, 2**53 + 1, -(10**30), "", "a\x00b", "\ud800", [], [[]], {}, {"a": {"b": 1}}]
)


def carefully(text: str) -> Discovery | None:
    try:
        document, problems = decode(parse_json(read_text("d.json", text.encode(errors="surrogatepass"))), Discovery)
    except ForgeError:
        return None
    return None if problems else document


def quickly(text: str) -> Discovery | None:
    return read_quickly(read_text("d.json", text.encode()))


def places(value: Any, *path: str | int) -> list[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in items for found in places(each, *path, key))]


@given(document=documents())
@settings(max_examples=60, deadline=None)
def test_what_discovery_writes_is_read_quickly(document: Discovery) -> None:
    text = to_json(document).decode()

    assert quickly(text) == carefully(text) == document


@given(data=st.data())
@settings(max_examples=400, deadline=None)
def test_a_changed_document_is_read_as_the_careful_reader_does_or_left_to_it(data: st.DataObject) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    path = data.draw(st.sampled_from([each for each in places(document) if each]))
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = data.draw(VALUES)
    text = json.dumps(document)

    assert quickly(text) in (None, carefully(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"api",', '"api", "name": "api",'),
        ('"group": 2', '"group": 2.0'),
        ('"group": 2', '"group": 02'),
        ('"group": 2', '"group": NaN'),
        ('["latest"]', '[["latest"]]'),
        ('["latest"]', "9007199254740993"),
        ('["latest"]', "1e3"),
        ('["latest"]', '{"deep": 1}'),
        ('["latest"]', '"\\ud800"'),
        ('"api"', '"a\tpi"'),
    ],
)
def test_doubt_is_left_to_the_careful_reader(old: str, new: str) -> None:
    assert quickly(json.dumps(DOCUMENT).replace(old, new, 1)) is None


def test_a_right_document_is_read_quickly() -> None:
    text = json.dumps(DOCUMENT)

    assert quickly(text) == carefully(text) is not None
