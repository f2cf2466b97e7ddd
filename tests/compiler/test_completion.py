"""Completion, asked for as shells ask."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forgec.cli.main import COMMANDS

LIMIT_S = 60


def script(shell: str) -> str:
    argv = [sys.executable, "-m", "forgec", "completion", shell]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=LIMIT_S).stdout


def completed(*words: str, folder: Path) -> set[str]:
    """What bash offers for the last word."""
    (folder / "completion.bash").write_text(script("bash"))
    line = " ".join(f"'{word}'" for word in words)
    ask = (
        f"source completion.bash; COMP_WORDS=(forgec {line}); COMP_CWORD={len(words)}; _forgec;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", ask], cwd=folder, capture_output=True, text=True, check=True, timeout=LIMIT_S)
    assert done.stderr == ""
    return {line for line in done.stdout.splitlines() if line}


def test_the_first_word_completes_to_every_command(tmp_path: Path) -> None:
    assert completed("", folder=tmp_path) == {*COMMANDS, "--help", "--version"}
    assert completed("comp", folder=tmp_path) == {"compile", "completion"}


def test_an_option_completes_by_its_command(tmp_path: Path) -> None:
    assert completed("compile", "--dyn", folder=tmp_path) == {"--dynamic"}
    assert completed("schema", "--dyn", folder=tmp_path) == set()


def test_an_option_with_choices_completes_to_them(tmp_path: Path) -> None:
    (tmp_path / "discovery.json").touch()

    assert completed("compile", "--emit", "", folder=tmp_path) == {"workflow", "plan", "discovery"}
    assert completed("compile", "--argo-target", "4.", folder=tmp_path) == {"4.0", "4.1"}
    assert completed("schema", "d", folder=tmp_path) == {"discovery"}
    assert completed("explain", "FC60", folder=tmp_path) == {f"FC60{number}" for number in range(1, 6)}


def test_a_value_that_is_neither_a_choice_nor_a_file_completes_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "yesterday").touch()

    assert completed("compile", "--branch", "yes", folder=tmp_path) == set()
    assert completed("why", "yes", folder=tmp_path) == set()


def test_other_words_complete_to_files(tmp_path: Path) -> None:
    (tmp_path / "discovery.json").touch()

    assert completed("check", "disc", folder=tmp_path) == {"discovery.json"}
    assert completed("compile", "-o", "disc", folder=tmp_path) == {"discovery.json"}
    assert completed("diff", "disc", folder=tmp_path) == {"discovery.json"}
    assert completed("golden", "check", "disc", folder=tmp_path) == {"discovery.json"}


def test_a_value_may_stand_behind_an_equals_sign(tmp_path: Path) -> None:
    assert completed("compile", "--emit", "=", folder=tmp_path) == {"workflow", "plan", "discovery"}
    assert completed("compile", "--emit", "=", "w", folder=tmp_path) == {"workflow"}


@pytest.mark.parametrize("typed", ["my", "my\\ do", '"my do', "my do"])
def test_a_name_with_blanks_is_one_name_however_it_was_begun(typed: str, tmp_path: Path) -> None:
    for name in ("my document.json", "my*.json", "other.json"):
        (tmp_path / name).touch()

    assert completed("check", typed, folder=tmp_path) >= {"my document.json"}
    assert completed("check", typed, folder=tmp_path) <= {"my document.json", "my*.json"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_script_names_every_command_and_the_shell_can_read_it(shell: str, tmp_path: Path) -> None:
    path = tmp_path / f"completion.{shell}"
    path.write_text(script(shell))

    assert all(name in path.read_text() for name in COMMANDS)
    if (command := shutil.which(shell)) is not None:
        subprocess.run([command, "-n", str(path)], check=True, timeout=LIMIT_S)
