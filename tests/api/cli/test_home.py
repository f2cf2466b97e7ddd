"""The data directory of one machine: who may prepare it, and what a start that was killed leaves of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from forge_api.cli.home import GITOPS_BRANCH, Home, InUse


def test_a_directory_is_held_by_one(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")

    with home.locked(), pytest.raises(InUse, match=r"a platform is running in .*data already"), home.locked():
        pass
    with home.locked():  # the first is through
        pass

    assert home.directory.stat().st_mode & 0o777 == 0o700


def test_a_start_beside_another_makes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    command = [sys.executable, "-m", "forge_api.cli.main", "up", "--data-dir", str(home.directory)]

    with home.locked():
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 75
    assert "running" in done.stderr
    assert [path.name for path in home.directory.iterdir()] == ["lock"]


def test_a_repository_that_was_half_made_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "data")
    dies_half_way = tmp_path / "bin" / "git"
    dies_half_way.parent.mkdir()
    dies_half_way.write_text('#!/bin/sh\nfor last; do :; done\nmkdir -p "$last/objects"\nkill -9 $$\n')
    dies_half_way.chmod(0o755)
    home.directory.mkdir()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{dies_half_way.parent}:/usr/bin:/bin")
        with pytest.raises(subprocess.CalledProcessError):
            home.prepare()
    assert not home.gitops.exists()

    home.prepare()

    command = ["git", "--git-dir", str(home.gitops), "symbolic-ref", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert head == f"refs/heads/{GITOPS_BRANCH}\n"


@pytest.mark.parametrize(
    ("data", "program_on_path", "expected"),
    [
        (".forge-data", True, "forge logs"),
        ("other", True, "forge logs --data-dir other"),
        ("other", False, "{program} logs --data-dir other"),
        ("an other", True, "forge logs --data-dir 'an other'"),
    ],
)
def test_command_to_paste_names_what_a_shell_would_not_find(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, program_on_path: bool, expected: str
) -> None:
    program = Path(sys.executable).with_name("forge")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORGE_DATA_DIR", raising=False)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin" if program_on_path else "/usr/bin:/bin")
    home = Home(tmp_path / data)

    command = home.command("logs")
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)

    assert command == expected.format(program=program)
    assert f"no platform is running in {data}\n" in done.stderr
