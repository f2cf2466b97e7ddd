"""The parts of `forge up`: kept alive through failures, which are said."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from forge_api.cli import child
from forge_api.cli.child import Child

LIMIT_S = 60.0

MAKES_ITS_LOG_A_DIRECTORY = """
import os, sys, time
log = sys.argv[1]
if os.path.exists(log + ".first"):
    time.sleep(600)
os.rename(log, log + ".first")
os.mkdir(log)
"""


@dataclass
class Told:
    """What was said; `until` waits for a line."""

    lines: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self.news.set()

    async def until(self, pattern: str) -> str:
        async with asyncio.timeout(LIMIT_S):
            while not (found := [line for line in self.lines if re.search(pattern, line)]):
                self.news.clear()
                await self.news.wait()
        return found[0]


@pytest.fixture
def part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Child]:
    monkeypatch.setattr(child, "BACKOFF_S_MAX", 0.01)

    def make(code: str) -> Child:
        log = tmp_path / "part.log"
        return Child("part", [sys.executable, "-c", code, str(log)], {}, log, tmp_path / "groups")

    return make


@asynccontextmanager
async def kept(part: Child, told: Told) -> AsyncIterator[None]:
    await part.start()
    part.keeper = asyncio.create_task(part.keep(told))
    try:
        yield
    finally:
        await part.stop()


async def test_a_part_that_cannot_be_started_again_is_tried_until_it_can(part: Callable[[str], Child]) -> None:
    told = Told()
    hindered = part(MAKES_ITS_LOG_A_DIRECTORY)

    async with kept(hindered, told):
        said = await told.until("cannot be started")
        hindered.log.rmdir()
        await told.until(r"pid \d+$")

    assert "Is a directory" in said


async def test_a_part_that_ends_at_each_start_is_called_so_with_the_end_of_its_log(
    part: Callable[[str], Child],
) -> None:
    told = Told()
    code = "import sys; print('FORGE_RUNNER is wrong', flush=True); sys.exit(78)"

    async with kept(part(code), told):
        said = await told.until("in a row")
        for _ in range(3):
            told.lines.remove(await told.until("exit code 78"))

    assert said.startswith("part         failed 5 times in a row within 60s")
    assert said.count("\n") > 1
    assert said.endswith("    FORGE_RUNNER is wrong")
    assert sum("in a row" in line for line in told.lines) == 1


async def test_of_a_long_log_the_end_is_read(part: Callable[[str], Child]) -> None:
    wordy = part("")
    wordy.log.write_text("x" * 1_000_000 + "\nthe end\n")

    assert wordy.tail().endswith("\n    the end")
    assert len(wordy.tail()) < 20_000


@pytest.mark.parametrize("name", ["logs/nats-server.log", "ports.json", "nats.conf", "lock", "api.token"])
def test_a_directory_in_the_place_of_a_file_is_said_and_no_traceback(tmp_path: Path, name: str) -> None:
    (tmp_path / "data" / name).mkdir(parents=True)
    command = [sys.executable, "-m", "forge_api.cli.main", "up", "--data-dir", str(tmp_path / "data")]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 75
    assert "Is a directory" in done.stderr
    assert Path(name).name in done.stderr
    assert "Traceback" not in done.stderr
