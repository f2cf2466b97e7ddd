"""Writers in processes of their own, which know nothing of each other; and one that is killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.git_repository import git
from tests.runtime.gitops.origin import commits, install_hook, new_origin, pointers

RACERS = 20
LIMIT_S = 110

pytestmark = pytest.mark.timeout(LIMIT_S + 10)


class Racers:
    """Child processes, ended with the test."""

    def __init__(self, origin: Path) -> None:
        self._origin = origin
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, number: int, project: str) -> "subprocess.Popen[str]":
        folder = self._origin.parent / f"racer-{len(self.processes)}"
        arguments = (self._origin.as_uri(), str(folder), str(number), project)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.gitops.racer", *arguments],
            cwd=Path(__file__).parents[3],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def ready(self) -> None:
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def go(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate(timeout=30)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return new_origin(tmp_path / "origin.git")


@pytest.fixture
def racers(origin: Path) -> Iterator[Racers]:
    started = Racers(origin)
    yield started
    started.end()


def test_twenty_racing_processes_lose_no_update(origin: Path, racers: Racers) -> None:
    for number in range(RACERS):
        racers.start(number, f"project-{number}")
    racers.ready()

    for process in racers.processes:
        racers.go(process)
    said = [process.communicate(timeout=LIMIT_S)[0].split() for process in racers.processes]

    assert pointers(origin) == {f"project-{number}": f"{number:040x}" for number in range(RACERS)}
    assert {commit for commit, _ in said} == set(git(origin, "rev-list", f"--max-count={RACERS}", "main").split())
    assert len(commits(origin)) == RACERS + 1


def test_job_that_comes_again_after_its_worker_was_killed_is_done_once(
    origin: Path, racers: Racers, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    install_hook(origin, "post-receive", f"[ -e {gate} ] && cat {gate} >/dev/null; exit 0")
    killed = racers.start(1, "web")
    racers.ready()
    racers.go(killed)
    opened = gate.open("w")  # its commit is on the branch, and nobody was told

    killed.kill()
    gate.unlink()
    opened.close()
    again = racers.start(1, "web")
    racers.go(again)
    said = again.communicate(timeout=LIMIT_S)[0].split()

    assert said == ["ready", git(origin, "rev-parse", "main"), "False"]
    assert commits(origin)[0] == "Deploy web to dev: release 1"
    assert len(commits(origin)) == 2
