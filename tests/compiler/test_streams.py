"""Standard streams that are closed, full or left: an error with a reason, and never a bug."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from forgec.cli.command import BROKEN_PIPE, FOUND, USAGE

FORGEC = (sys.executable, "-m", "forgec")
DOCUMENT = Path(__file__).resolve().parents[2] / "golden" / "plans" / "many-projects" / "discovery.json"
CLOSED = b"error[FC604]: cannot write to standard output: Bad file descriptor\n\n1 error\n"


def run_in_shell(script: str, *argv: str, cwd: Path) -> "subprocess.CompletedProcess[bytes]":
    """`script` starts `"$@"`, with the streams that the test is about."""
    command = ["sh", "-c", script, "sh", *FORGEC, *argv]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "argv", [("check", str(DOCUMENT)), ("check", str(DOCUMENT), "--format", "json"), ("--version",), ("--help",)]
)
def test_a_standard_output_that_is_closed_takes_nothing_and_says_so(argv: tuple[str, ...], tmp_path: Path) -> None:
    done = run_in_shell('"$@" >&-', *argv, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (FOUND, CLOSED)


def test_a_standard_input_that_is_closed_cannot_be_read(tmp_path: Path) -> None:
    done = run_in_shell('"$@" <&-', "compile", "-", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (FOUND, b"")
    assert done.stderr.startswith(b"error[FC601]: cannot read <stdin>: Bad file descriptor\n")


def test_findings_that_nobody_can_read_still_end_it_with_their_code(tmp_path: Path) -> None:
    found = run_in_shell('"$@" 2>&-', "check", "missing.json", cwd=tmp_path)
    wrong = run_in_shell('"$@" 2>&-', "nonsense", cwd=tmp_path)

    assert (found.returncode, found.stdout) == (FOUND, b"")
    assert (wrong.returncode, wrong.stdout) == (USAGE, b"")


def test_no_file_gets_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    done = run_in_shell('"$@" <&- >&- 2>&-', "compile", str(DOCUMENT), "-o", "workflow.yaml", cwd=tmp_path)

    assert done.returncode == 0
    assert (tmp_path / "workflow.yaml").read_bytes() == (DOCUMENT.parent / "workflow.yaml").read_bytes()


@pytest.mark.parametrize("argv", [("--help",), ("--version",), ("check", "--help")])
def test_help_and_version_that_find_no_room_are_an_error_with_a_reason(argv: tuple[str, ...], tmp_path: Path) -> None:
    done = run_in_shell('"$@" >/dev/full', *argv, cwd=tmp_path)

    expected = b"error[FC604]: cannot write to standard output: No space left on device\n\n1 error\n"
    assert (done.returncode, done.stderr) == (FOUND, expected)


def test_a_reader_that_leaves_before_the_help_is_no_error_worth_a_word(tmp_path: Path) -> None:
    ours, theirs = os.pipe()
    os.close(ours)

    done = subprocess.run(
        [*FORGEC, "--help"],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
        timeout=60,
        check=False,
    )

    os.close(theirs)
    assert (done.returncode, done.stderr) == (BROKEN_PIPE, b"")


def test_links_in_a_circle_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    done = run_in_shell('"$@"', "compile", str(DOCUMENT), "-o", "a", "--receipt", "receipt.json", cwd=tmp_path)

    expected = b"error[FC604]: cannot write a: Too many levels of symbolic links; nothing was changed\n\n1 error\n"
    assert (done.returncode, done.stderr) == (FOUND, expected)


@pytest.mark.parametrize("columns", ["²", "٣", "0", "-1", "1", "9" * 30])
def test_a_width_that_is_none_is_not_asked_for(columns: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*FORGEC, "--help"], env={**os.environ, "COLUMNS": columns}, capture_output=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, b"")
