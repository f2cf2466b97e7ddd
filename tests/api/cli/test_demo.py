"""What the demo empties before it begins: a directory that a demo made, and no other."""

import subprocess
import sys
from pathlib import Path

import pytest

from forge_api.cli.demo import MARKER, Refused, emptied, how_to_look
from forge_api.cli.home import Home, InUse


def test_what_no_demo_made_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "to-grandmother").write_text("dear")
    command = [sys.executable, "-m", "forge_api.cli.demo", "--data-dir", str(tmp_path)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 75
    assert f"holds what no demo made (there is no file {MARKER} in it)" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["letters", "to-grandmother"]


def test_what_a_demo_made_is_emptied_by_the_next(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    with emptied(home):
        (home.directory / "logs").mkdir()
        (home.directory / "logs" / "api.log").touch()
        (home.directory / "elsewhere").symlink_to(tmp_path)

    with emptied(home):
        left = {path.name for path in home.directory.iterdir()}

    assert left == {MARKER, "lock"}
    assert tmp_path.is_dir()


def test_a_demo_beside_another_removes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")

    with emptied(home):
        (home.directory / "logs").mkdir()
        with pytest.raises(Refused, match="another demo is running"), emptied(home):
            pass

        assert (home.directory / "logs").is_dir()


def test_a_platform_that_starts_there_keeps_its_files(tmp_path: Path) -> None:
    home = Home(tmp_path / "data")
    with emptied(home):
        pass

    with home.locked():
        home.prepare()
        with pytest.raises(InUse, match="a platform is running"), emptied(home):
            pass

        assert home.api_token.exists()


def test_lines_that_the_demo_ends_with_ask_its_own_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".forge-data").mkdir()
    home = Home(tmp_path / ".forge-data" / "a demo")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    lines = [line[22:] for line in how_to_look(home).splitlines() if "/forge " in line]
    up, releases = lines
    done = subprocess.run(["/bin/sh", "-c", releases], capture_output=True, text=True, timeout=60, check=False)

    assert up == home.command("up")
    assert "no platform is running in .forge-data/a demo\n" in done.stderr
