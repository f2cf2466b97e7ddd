"""The cue command as an engine, as far as programs in its place can show: limits, ends, and what it is told.

What the command itself makes of a file is in tests/conformance/cue, where the real one is.
"""

import os
import time
from pathlib import Path

import pytest

from forgec.adapter.cue import CueCommand, cue_evaluator
from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.source import Source
from forgec.syntax.data import to_plain

SOURCE = Source("api/.forge/project.cue", 'package project\n\nname: "api"\n')


def program(folder: Path, script: str) -> Path:
    """A program that stands where cue would."""
    path = folder / "cue"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def refusal(command: CueCommand) -> Diagnostic:
    with pytest.raises(ForgeError) as caught:
        command(SOURCE)
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_a_machine_without_cue_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ForgeError) as caught:
        cue_evaluator()

    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code is Code.CUE_MISSING
    assert diagnostic.help == "install v0.17 or later and put it on the PATH, or use the built-in evaluator"


@pytest.mark.parametrize("version", ["cue version v0.14.2", "cue version (devel)", ""])
def test_a_version_that_was_not_tried_is_refused(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, f"echo '{version}'")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ForgeError) as caught:
        cue_evaluator()

    assert [each.code for each in caught.value.diagnostics] == [Code.CUE_VERSION]


def test_a_program_without_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    left = tmp_path / "left"
    command = CueCommand(program(tmp_path, f"sleep 60 & echo $! > {left}; wait"), time_limit_s=0.5)

    diagnostic = refusal(command)

    assert diagnostic.code is Code.CUE_FAILED
    assert diagnostic.message == "cue found no answer within 0.5 s"
    assert str(diagnostic.span) == "api/.forge/project.cue:1:1"
    deadline = time.monotonic() + 10
    while is_running(int(left.read_text())):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Neither gone nor a zombie that nobody has collected yet."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def test_output_without_end_is_cut_off(tmp_path: Path) -> None:
    diagnostic = refusal(CueCommand(program(tmp_path, "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done")))

    assert diagnostic.code is Code.CUE_FAILED
    assert diagnostic.message == "cue printed more than the limit of 10 MB"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'fatal error: out of memory' >&2; exit 2", "cue ended with exit code 2: fatal error: out of memory"),
        ("kill -9 $$", "cue ended with signal 9"),
    ],
)
def test_a_crash_is_told_as_it_ended(script: str, message: str, tmp_path: Path) -> None:
    diagnostic = refusal(CueCommand(program(tmp_path, script)))

    assert (diagnostic.code, diagnostic.message) == (Code.CUE_FAILED, message)


def test_a_program_that_cannot_run_is_a_finding(tmp_path: Path) -> None:
    broken = tmp_path / "cue"
    broken.write_text("#!/nowhere/interpreter\n")
    broken.chmod(0o755)

    assert refusal(CueCommand(broken)).code is Code.CUE_FAILED


def test_cue_sees_the_file_and_nothing_of_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORGE_SECRET", "hidden")
    monkeypatch.setenv("CUE_REGISTRY", "registry.example")
    seen = tmp_path / "seen"
    script = (
        f'export -p > {seen}; find "$PWD" "$HOME" >> {seen}; echo "$@" >> {seen}; cat input.cue >> {seen}; echo "{{}}"'
    )

    node = CueCommand(program(tmp_path, f"PATH={os.environ['PATH']}; {script}"))(SOURCE)

    told = seen.read_text()
    assert to_plain(node) == {}
    assert SOURCE.text in told
    assert "export -E --out json ./input.cue" in told
    assert "CUE_REGISTRY='none'" in told or "CUE_REGISTRY=none" in told or 'CUE_REGISTRY="none"' in told
    assert "hidden" not in told
    assert str(Path.home()) + "/" not in told


@pytest.mark.parametrize(
    ("complaint", "code", "places"),
    [
        ('d: conflicting values 1 and "x":\n    ./input.cue:3:7\n    ./input.cue:1:1', Code.CONFLICT, ["3:7", "1:1"]),
        ('reference "x" not found:\n    ./input.cue:3:1', Code.UNRESOLVED, ["3:1"]),
        ("a.b: field not allowed:\n    ./input.cue:1:9", Code.UNKNOWN_FIELD, ["1:9"]),
        ("a: field is required but not present:\n    ./input.cue:1:9", Code.MISSING_FIELD, ["1:9"]),
        ("a: incomplete value string:\n    ./input.cue:1:9", Code.INCOMPLETE, ["1:9"]),
        ("expected operand, found '}':\n    ./input.cue:3:20", Code.SYNTAX, ["3:12"]),
        ("name: structural cycle", Code.CYCLE, ["3:1"]),
        (
            "name: error in call to strings.Repeat: negative count:\n    pkg/list/sort.cue:1:1",
            Code.CUE_REFUSED,
            ["3:1"],
        ),
        ("a failure of a new kind", Code.CUE_REFUSED, ["1:1"]),
        ("", Code.CUE_REFUSED, ["1:1"]),
    ],
)
def test_a_complaint_of_cue_is_a_finding_with_its_places(
    complaint: str, code: Code, places: list[str], tmp_path: Path
) -> None:
    (tmp_path / "stderr").write_text(complaint)

    diagnostic = refusal(CueCommand(program(tmp_path, f"/bin/cat {tmp_path}/stderr >&2; exit 1")))

    assert diagnostic.code is code
    spans = [diagnostic.span, *(related.span for related in diagnostic.related)]
    assert [str(span).removeprefix("api/.forge/project.cue:") for span in spans] == places


def test_several_complaints_are_several_findings_and_their_number_is_none(tmp_path: Path) -> None:
    (tmp_path / "stderr").write_text(
        "f: 2 errors in empty disjunction:\n"
        'f: conflicting values "a" and "c":\n    ./input.cue:3:1\n    ./input.cue:3:7\n'
        'f: conflicting values "b" and "c":\n    ./input.cue:1:1\n    ./input.cue:3:7\n'
    )

    with pytest.raises(ForgeError) as caught:
        CueCommand(program(tmp_path, f"/bin/cat {tmp_path}/stderr >&2; exit 1"))(SOURCE)

    assert [str(each.span) for each in caught.value.diagnostics] == [f"{SOURCE.name}:1:1", f"{SOURCE.name}:3:1"]


@pytest.mark.parametrize(
    ("complaints", "messages"),
    [
        (["string literal not terminated", "expected '}', found 'EOF'"], ["string literal not terminated"]),
        (["expected '}', found 'EOF'"], ["expected '}', found 'EOF'"]),
        (["expected ']', found 'EOF'", "expected '}', found 'EOF'"], ["expected ']', found 'EOF'"]),
    ],
)
def test_a_bracket_that_was_lost_with_another_mistake_is_not_missed(
    complaints: list[str], messages: list[str], tmp_path: Path
) -> None:
    (tmp_path / "stderr").write_text("".join(f"{each}:\n    ./input.cue:3:1\n" for each in complaints))

    with pytest.raises(ForgeError) as caught:
        CueCommand(program(tmp_path, f"/bin/cat {tmp_path}/stderr >&2; exit 1"))(SOURCE)

    assert [each.message for each in caught.value.diagnostics] == messages
