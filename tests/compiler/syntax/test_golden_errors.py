"""Golden error cases of texts: golden/errors/cue-*.txtar and json-*.txtar.

CUE files are marked where they are wrong. JSON has no comments, so `-- expect --` lists `CODE line`; a document called
`discovery.json` is decoded as one. `FORGE_GOLDEN=write` renews the words, never what must be found.
"""

import os
from pathlib import Path

import pytest
from tests.txtar import Archive, Mark, expected_marks, found_marks, read_archive

from forgec.diagnostic import Diagnostic, ForgeError
from forgec.discovery.model import Discovery
from forgec.render.text import render_text
from forgec.syntax.decode import decode
from forgec.syntax.document import parse_json, read_text
from forgec.syntax.parse import parse_file
from forgec.syntax.unify import evaluate

ERRORS = Path(__file__).resolve().parents[3] / "golden" / "errors"
CASES = sorted(path for kind in ("cue", "json") for path in ERRORS.glob(f"{kind}-*.txtar"))
PREFIXES = ("cue-", "json-", "discovery-", "earthfile-")
REWRITE = os.environ.get("FORGE_GOLDEN") == "write"


def findings(archive: Archive) -> tuple[Diagnostic, ...]:
    sources = {name: read_text(name, text.encode()) for name, text in archive.files.items()}
    try:
        cue = [parse_file(source) for name, source in sources.items() if name.endswith(".cue")]
        if cue:
            evaluate(cue)
        for name, source in sources.items():
            if name.endswith(".json"):
                node = parse_json(source)
                if name == "discovery.json":
                    return tuple(decode(node, Discovery)[1])
    except ForgeError as error:
        return error.diagnostics
    return ()


def announced(archive: Archive) -> list[Mark]:
    marks = expected_marks(archive)
    (document,) = [name for name in archive.files if name.endswith(".json")] or [""]
    for line in archive.files.get("expect", "").splitlines():
        code, number = line.split()
        marks.append((document, int(number), code))
    return sorted(marks)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_everything_wrong_with_a_text_is_found_and_told(case: Path) -> None:
    archive = read_archive(case)

    found = findings(archive)

    assert found_marks(archive, found) == announced(archive)
    assert found, "a case shows at least one problem"
    said = render_text(found, color=False)
    if REWRITE:
        case.write_text(Archive(archive.comment, archive.files | {"stderr": said}).text(), encoding="utf-8")
    else:
        assert said == archive.files["stderr"]


def test_every_error_case_belongs_to_a_harness() -> None:
    strays = [
        path.name for path in ERRORS.iterdir() if not (path.suffix == ".txtar" and path.name.startswith(PREFIXES))
    ]

    assert strays == []
