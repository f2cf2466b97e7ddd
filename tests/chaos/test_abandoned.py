"""A harness that is ended in the middle leaves no server, worker or dispatcher behind."""

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chaos.fleet import ROOT
from tests.chaos.schedule import SMALL

WAIT_S = 30.0
PROCESSES = 1 + SMALL.workers + 1 + SMALL.runs * SMALL.units
"""The server, the workers, the sweeper and the dispatchers."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_what_the_harness_started_ends_with_it(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--size", "small"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        harness = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        _wait_until(lambda: len(_children_of(harness.pid)) >= PROCESSES)
        children = _children_of(harness.pid)
        harness.send_signal(number)

        assert harness.wait(WAIT_S) == -number
        _wait_until(lambda: not any(map(_runs, children)))
    finally:
        harness.kill()
        harness.wait(WAIT_S)


def _wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _children_of(pid: int) -> set[int]:
    families: defaultdict[int, set[int]] = defaultdict(set)
    for process in Path("/proc").glob("[0-9]*"):
        state, parent = _state_and_parent(int(process.name))
        if state not in _GONE:
            families[parent].add(int(process.name))
    return families[pid]


def _runs(pid: int) -> bool:
    return _state_and_parent(pid)[0] not in _GONE


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return after_name[0], int(after_name[1])


_GONE = ("Z", "X")
"""Also whom nobody has reaped yet."""
