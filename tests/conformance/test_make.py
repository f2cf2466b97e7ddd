"""`make conformance` has every test that asks a real tool, so that its table lists each, or tells that it is absent."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_JUDGED = re.compile(r"^JUDGED := ((?:.*\\\n)*.*)$", re.MULTILINE)
_ASKS = re.compile(r"^from tests\.judge import .*\bJudged\b", re.MULTILINE)


def test_every_test_that_asks_a_real_tool_is_part_of_it() -> None:
    found = _JUDGED.search((ROOT / "Makefile").read_text(encoding="utf-8"))
    assert found
    listed = [ROOT / name for name in found[1].replace("\\\n", " ").split()]
    asking = [path for path in ROOT.glob("tests/**/test_*.py") if _ASKS.search(path.read_text(encoding="utf-8"))]

    assert [path for path in listed if not path.exists()] == []
    assert [path for path in asking if not any(path.is_relative_to(each) for each in listed)] == []
    assert len(asking) > 10
