"""`make demo` and `make demo FAIL=1`, as a newcomer runs them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]


def demo(data_dir: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "forge_api.cli.demo", "--data-dir", str(data_dir), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)


def test_the_sample_succeeds_in_every_phase(tmp_path: Path) -> None:
    done = demo(tmp_path / "data")

    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("discovery", "validate", "test", "build"):
        assert re.search(rf"^  ok +{phase} ", done.stdout, re.MULTILINE), phase
    assert re.search(r"^succeeded in .*: 27 succeeded$", done.stdout, re.MULTILINE)


def test_a_broken_sample_fails_and_shows_where(tmp_path: Path) -> None:
    done = demo(tmp_path / "data", "--fail")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "pricing/unit failed in phase test with exit code 1" in done.stdout
    assert re.search(r"^  command  RUN python3 -m unittest ", done.stdout, re.MULTILINE)
    assert "half of 27 cents must be 14 cents, not 13" in done.stdout
    assert not re.search(r"^  ok +build ", done.stdout, re.MULTILINE)
