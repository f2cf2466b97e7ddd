"""Golden error cases of discovery: golden/errors/discovery-*.txtar and earthfile-*.txtar.

Each holds a tree, marked where it is wrong, and what is said about it. `FORGE_GOLDEN=write` renews the words; the
markers are written by hand, so it never changes what is found.
"""

import os
from pathlib import Path

import pytest
from tests.txtar import Archive, expected_marks, found_marks, read_archive

from forgec.diagnostic import Diagnostic, ForgeError
from forgec.discovery.discover import discover
from forgec.discovery.tree import MemoryTree
from forgec.discovery.trigger import Trigger
from forgec.render.text import render_text

ERRORS = Path(__file__).resolve().parents[3] / "golden" / "errors"
CASES = sorted(path for kind in ("discovery", "earthfile") for path in ERRORS.glob(f"{kind}-*.txtar"))
REWRITE = os.environ.get("FORGE_GOLDEN") == "write"
TRIGGER = Trigger(branch="main", trigger_type="push")


def findings(archive: Archive) -> tuple[Diagnostic, ...]:
    files = {name: content.encode() for name, content in archive.files.items() if name != "stderr"}
    try:
        discover(MemoryTree(files), TRIGGER)
    except ForgeError as error:
        return error.diagnostics
    return ()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_everything_wrong_with_a_tree_is_found_and_told(case: Path) -> None:
    archive = read_archive(case)

    found = findings(archive)

    assert found_marks(archive, found) == expected_marks(archive)
    said = render_text(found, color=False)
    if REWRITE:
        case.write_text(Archive(archive.comment, archive.files | {"stderr": said}).text(), encoding="utf-8")
    else:
        assert said == archive.files["stderr"]
