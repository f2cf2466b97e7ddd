"""Golden cases of the lint, one text file each: a workflow with marked lines, and what must be said of it.

A marker at the end of a line names the codes of the findings there. They are written by hand: FORGE_GOLDEN=write
rewrites the wording, never what is found where.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from tests.txtar import Archive, expected_marks, found_marks, read_archive

from forgec.diagnostic import Diagnostic, ForgeError, ordered
from forgec.lint.text import lint_text
from forgec.manifest.target import TARGET_DEFAULT, TARGETS
from forgec.render.text import render_text
from forgec.source import Source

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "lint"
CASES = sorted(GOLDEN.glob("*.txtar"))
FILE = "workflow.yaml"
REWRITE = os.environ.get("FORGE_GOLDEN") == "write"

_TARGET = re.compile(r"^\$ forgec lint(?: --argo-target (\S+))? workflow\.yaml$", re.MULTILINE)


def findings(archive: Archive) -> tuple[Diagnostic, ...]:
    command = _TARGET.search(archive.comment)
    assert command, "a case says how it is called"
    try:
        found = lint_text(Source(FILE, archive.files[FILE]), TARGETS[command[1] or TARGET_DEFAULT]).diagnostics
    except ForgeError as error:
        found = error.diagnostics
    return ordered(found)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_a_case_finds_what_is_marked_and_says_it_as_written(path: Path) -> None:
    archive = read_archive(path)

    found = findings(archive)

    assert found_marks(archive, found) == expected_marks(archive)
    text = render_text(found, color=False)
    if REWRITE:
        path.write_text(replace(archive, files={**archive.files, "stderr": text}).text(), encoding="utf-8")
    assert text == read_archive(path).files["stderr"], "FORGE_GOLDEN=write accepts the change"


def test_only_cases_lie_in_their_folder() -> None:
    assert sorted(GOLDEN.iterdir()) == CASES
