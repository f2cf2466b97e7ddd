"""Written configurations through both engines: a corpus of every construct, the examples, and the golden cases.

A file of `corpus` is an archive (txtar) of configurations; the name of each says what it is about. What must come out
is not written there: the reference says it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.cue.compare import Verdict, compare
from tests.conformance.cue.reference import Reference, Tools
from tests.judge import Judged
from tests.txtar import read_archive

ROOT = Path(__file__).resolve().parents[3]
CORPUS = sorted(Path(__file__).with_name("corpus").glob("*.txtar"))


def written() -> Iterator[tuple[str, str]]:
    """Name and text of each configuration."""
    for path in CORPUS:
        for title, text in read_archive(path).files.items():
            yield f"{path.stem}: {title}", text
    for path in sorted((ROOT / "examples").rglob("*.cue")):
        yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "golden").rglob("*.txtar")):
        for name, text in read_archive(path).files.items():
            if name.endswith(".cue"):
                yield f"{path.relative_to(ROOT).as_posix()}: {name}", text


CONFIGURATIONS = dict(written())


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_both_engines_give_the_same_data_or_both_refuse(
    name: str, cue_tools: Tools, reference: Reference, judged: Judged
) -> None:
    outcome = compare({"x.cue": CONFIGURATIONS[name]}, reference)

    assert outcome.verdict is not Verdict.DIFFERENT, outcome
    judged("cue", cue_tools.version, f"written {outcome.verdict.value}", 1)
