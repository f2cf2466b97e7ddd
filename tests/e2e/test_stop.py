"""What `forge up` leaves when it ends, and what it finds of one that could not end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.platform import Platform, commit_repository, step_statuses, wait_until
from tests.e2e.test_platform import FILES, project_cue
from tests.leash import on_leash

from forge_runtime.job import JobState
from forge_runtime.process import note_group

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("before", ["", "trap '' TERM; "], ids=["obedient", "deaf"])
def test_ctrl_c_in_a_long_step_ends_it_and_hands_its_job_back_at_no_cost(tmp_path: Path, before: str) -> None:
    pause = f"7331.{tmp_path.stat().st_ino}"  # nobody else sleeps exactly so long
    patience = tmp_path / "no-more-patience"
    command = f"{before}test -e {patience} || sleep {pause}"
    earthfile = f"VERSION 0.8\nFROM alpine:3.20\n\nslow:\n    RUN {command}\n"
    project = {"a/.forge/project.cue": project_cue("a", test="slow"), "a/Earthfile": earthfile}
    directory = commit_repository(tmp_path / "long", {".forge/repo.cue": FILES[".forge/repo.cue"], **project})
    platform = Platform(tmp_path / "data", "--workers", "1")
    platform.start()
    try:
        run_id = platform.forge("run", "--detach", str(directory)).stdout.strip()
        wait_until(lambda: _processes(pause))
        wait_until(lambda: step_statuses(platform.client.run(run_id)).get("test/a/go") == "running")
    finally:
        code = platform.interrupt()

    left = _processes(pause)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert (code, left) == (0, [])
    [records] = [found for found in platform.job_records().values() if found[0].job.type.value == "ci"]
    last = records[-1]
    assert (last.state, last.starts, last.worker) == (JobState.QUEUED, 0, None)
    assert "job handed back" in (platform.home.logs / "worker-1.log").read_text()

    patience.touch()
    platform.start()
    try:
        assert platform.forge("watch", run_id).returncode == 0
    finally:
        platform.stop()


def test_what_a_killed_worker_left_running_is_ended_with_the_platform_and_before_it(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "data", "--workers", "1")
    gone, killed = (platform.home.workers / name for name in ("worker-9", "worker-1"))
    (gone / "scratch" / "half-done").mkdir(parents=True)
    first = _left_running(gone)

    platform.start()
    try:
        assert first.wait(10) == -9
        assert not gone.exists()
        second = _left_running(killed)
    finally:
        platform.stop()

    assert second.wait(10) == -9


def _left_running(worker: Path) -> "subprocess.Popen[bytes]":
    """A step of a worker that is no more."""
    command = on_leash([sys.executable, "-c", "import time; time.sleep(600)"])
    step = subprocess.Popen(command, start_new_session=True)
    note_group(worker / "groups", step.pid)
    return step


def _processes(argument: str) -> list[int]:
    """Those that live with this in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if argument.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # ended meanwhile
    return found
