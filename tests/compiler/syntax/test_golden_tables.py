"""The parsers' tables belong to the grammars, and are never used with another."""

import os
from pathlib import Path
from typing import Any

import pytest
from lark.exceptions import GrammarError

from forge_grammar import resource
from forgec.syntax.lalr import parse
from forgec.syntax.table import as_text, build_table, table
from forgec.syntax.token import Token

REWRITE = os.environ.get("FORGE_GOLDEN") == "write"
GRAMMARS = sorted(path.name for path in resource.FOLDER.glob("*.lark"))
SUMS = b"""
start: sum
?sum: (sum PLUS)? NUMBER
%declare PLUS NUMBER
"""


def add(rule: str, items: list[Any]) -> Any:
    assert rule in ("start", "sum")
    return sum(item if isinstance(item, int) else int(item.text) for item in items[::2])


def total(name: str) -> int:
    words = [("NUMBER", "1"), ("PLUS", "+"), ("NUMBER", "2"), ("PLUS", "+"), ("NUMBER", "3")]
    found = parse(table(name), [Token(kind, text, 0, 0) for kind, text in words], add)
    assert isinstance(found, int)
    return found


@pytest.mark.parametrize("name", GRAMMARS)
def test_the_table_beside_a_grammar_is_the_one_that_lark_makes_of_it(name: str) -> None:
    made = as_text(build_table(resource.data(name)))
    kept = resource.FOLDER / f"{name}.json"
    if REWRITE:
        kept.write_text(made, encoding="utf-8")

    assert kept.read_text(encoding="utf-8") == made, "FORGE_GOLDEN=write makes the table anew"


def test_a_table_that_is_of_another_grammar_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "FOLDER", tmp_path)
    of_another = as_text(build_table(b"start: NUMBER\n%declare NUMBER\n"))
    for name, kept in (("stale.lark", of_another), ("fresh.lark", as_text(build_table(SUMS)))):
        (tmp_path / name).write_bytes(SUMS)
        (tmp_path / f"{name}.json").write_text(kept)

    assert (total("stale.lark"), total("fresh.lark")) == (6, 6)
    assert table("stale.lark") == table("fresh.lark")


def test_a_grammar_with_a_conflict_is_refused() -> None:
    with pytest.raises(GrammarError, match="conflict"):
        build_table(b"start: start PLUS start | NUMBER\n%declare PLUS NUMBER\n")
