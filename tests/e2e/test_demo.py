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


def test_the_sample_succeeds_in_every_phase_and_is_released_and_deployed(tmp_path: Path) -> None:
    done = demo(tmp_path / "data")

    assert done.returncode == 0, done.stdout + done.stderr
    for phase in ("discovery", "validate", "test", "build", "release"):
        assert re.search(rf"^  ok +{phase} ", done.stdout, re.MULTILINE), phase
    assert re.search(r"^succeeded in .*: 38 succeeded$", done.stdout, re.MULTILINE)
    released = re.findall(r"^released ([a-z-]+) as .*\b1\b", done.stdout, re.MULTILINE)
    assert released == ["catalogue", "pricing", "quote", "shop-config", "storefront"]
    commits = re.findall(r"^  dev +commit ([0-9a-f]{40})$", done.stdout, re.MULTILINE)
    assert sorted(commits) == sorted(_git(tmp_path / "data" / "gitops.git", "rev-list", "main").split())
    images = re.findall(r"^ +sha256:([0-9a-f]{64})$", done.stdout, re.MULTILINE)
    registry = tmp_path / "data" / "registry"
    assert all(list(registry.rglob(f"sha256-{digest}")) for digest in images)
    assert len(images) == len(released)


def test_a_broken_sample_fails_and_shows_where(tmp_path: Path) -> None:
    done = demo(tmp_path / "data", "--fail")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "pricing/unit failed in phase test with exit code 1" in done.stdout
    assert re.search(r"^  command  RUN python3 -m unittest ", done.stdout, re.MULTILINE)
    assert "half of 27 cents must be 14 cents, not 13" in done.stdout
    assert not re.search(r"^  ok +build ", done.stdout, re.MULTILINE)


def _git(repository: Path, *arguments: str) -> str:
    command = ["git", "--git-dir", str(repository), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
