"""Inputs that were made to keep the comparison busy, and what is then not looked for."""

import os
import subprocess
import sys
from pathlib import Path

from tests.compiler.documents import document, project

from forgec.diff.compare import compare
from forgec.diff.lines import COMPARED_MAX, SHOWN_MAX, unified
from forgec.diff.match import STEPS_MAX
from forgec.diff.model import Kind
from forgec.discovery.model import Discovery, Step, to_json

LABELS = ("before", "after")


def steps_of_one_target(prefix: str, count: int) -> Discovery:
    steps = [Step(name=f"{prefix}{at}", action="earthly", target="+all") for at in range(count)]
    return document({"test": 1}, [project("api", {"test": steps})])


def test_up_to_fifty_steps_of_a_project_are_known_by_new_names() -> None:
    assert STEPS_MAX == 50 * 50

    few = compare(steps_of_one_target("a", 50), steps_of_one_target("b", 50))
    many = compare(steps_of_one_target("a", 51), steps_of_one_target("b", 51))

    assert {change.kind for change in few} == {Kind.RENAMED}
    assert {change.kind for change in many} == {Kind.ADDED, Kind.REMOVED}


def test_equal_texts_have_no_lines_of_difference() -> None:
    assert unified(b"a\nb\n", b"a\nb\n", labels=LABELS) == []


def test_lines_that_move_a_cursor_are_shown_escaped() -> None:
    assert unified(b"a\n", b"\x1b[2J\n", labels=LABELS)[-2] == "+\\x1b[2J"


def test_of_many_lines_the_first_are_shown_and_the_rest_counted() -> None:
    before, after = (b"".join(b"%s %d\n" % (word, at) for at in range(100)) for word in (b"a", b"b"))

    lines = unified(before, after, labels=LABELS)

    assert len(lines) == SHOWN_MAX + 1
    assert lines[-1] == f"... and {2 + 1 + 200 + 1 - SHOWN_MAX} lines more"


def test_of_very_long_texts_only_the_place_is_told() -> None:
    before = b"x\n" * COMPARED_MAX

    assert unified(before + b"a", before + b"b", labels=LABELS) == [
        f"the texts have {COMPARED_MAX + 1} and {COMPARED_MAX + 1} lines and differ from line {COMPARED_MAX + 1} on"
    ]
    assert unified(before, before, labels=LABELS) == []


def test_what_is_told_depends_on_the_documents_alone(tmp_path: Path) -> None:
    names = ("delta", "alpha", "omega", "gamma", "beta")
    before = document({"lint": 1, "test": 2}, [project(name, {"lint": names, "test": names}) for name in names])
    after = document(
        {"lint": 1, "test": 1}, [project(f"{name}-2", {"lint": names, "test": names[1:]}) for name in names[1:]]
    )
    (tmp_path / "before.json").write_bytes(to_json(before))
    (tmp_path / "after.json").write_bytes(to_json(after))

    outputs = {
        subprocess.run(
            [sys.executable, "-m", "forgec", "diff", "before.json", "after.json", "--format", "json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed, "LC_ALL": "C"},
            capture_output=True,
            timeout=60,
            check=False,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert len(outputs) == 1
    assert b'"kind": "renamed"' in outputs.pop()
