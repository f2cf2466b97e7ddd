"""What is written: whole or not at all, and of several files all or none."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from forgec.cli.command import DONE, FOUND, USAGE
from forgec.cli.output import write_files
from forgec.diagnostic import ForgeError

FORGEC = (sys.executable, "-m", "forgec")
CASE = Path(__file__).resolve().parents[2] / "golden" / "plans" / "one-project"


def compile_to(folder: Path, *argv: str) -> "subprocess.CompletedProcess[bytes]":
    command = [*FORGEC, "compile", str(CASE / "discovery.json"), *argv]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("option", ["--receipt", "--source-map"])
def test_no_workflow_is_left_where_what_belongs_to_it_cannot_be_written(option: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "old.yaml").write_text("old")

    replaced = compile_to(tmp_path, "-o", "old.yaml", option, "folder")
    new = compile_to(tmp_path, "-o", "new.yaml", option, "folder")
    printed = compile_to(tmp_path, option, "folder")

    assert {each.returncode for each in (replaced, new, printed)} == {FOUND}
    assert replaced.stderr.startswith(b"error[FC604]: cannot write folder: Is a directory; nothing was changed\n")
    assert printed.stdout == b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "old.yaml"]
    assert (tmp_path / "old.yaml").read_text() == "old"


def test_files_that_are_replaced_already_get_back_what_was_in_them(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    (tmp_path / "folder").mkdir()
    contents = [(str(tmp_path / name), b"new") for name in ("old", "new", "folder")]

    with pytest.raises(ForgeError, match="folder: Is a directory; nothing was changed"):
        write_files(contents)

    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "old"]
    assert (tmp_path / "old").read_text() == "old"


def test_a_file_keeps_its_mode_and_a_link_its_place(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").touch(mode=0o600)
    (tmp_path / "link.json").symlink_to("receipt.json")

    done = compile_to(tmp_path, "-o", "secret.yaml", "--receipt", "link.json")

    assert done.returncode == DONE
    assert stat.S_IMODE((tmp_path / "secret.yaml").stat().st_mode) == 0o600
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "receipt.json").is_file()


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    name = "w" * os.pathconf(tmp_path, "PC_NAME_MAX")

    done = compile_to(tmp_path, "-o", name)

    assert (done.returncode, done.stderr) == (DONE, b"")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_each_of_several_outputs_reaches_a_device(tmp_path: Path) -> None:
    done = compile_to(tmp_path, "-o", "/dev/stdout", "--receipt", "/dev/stdout")

    assert done.returncode == DONE
    assert done.stdout.startswith((CASE / "workflow.yaml").read_bytes())
    assert b'"compiler"' in done.stdout


@pytest.mark.parametrize("option", ["--receipt", "--source-map"])
def test_standard_output_is_the_workflows_alone(option: str, tmp_path: Path) -> None:
    done = compile_to(tmp_path, option, "-")

    assert (done.returncode, list(tmp_path.iterdir())) == (USAGE, [])
    assert done.stderr.endswith(b"standard output is the workflow's; name a file\n")
