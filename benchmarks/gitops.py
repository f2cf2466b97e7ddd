"""Release pointers written to a GitOps repository on this machine, against git's own commands with a working tree.

python -m benchmarks.gitops URL FOLDER NUMBER      a racer: waits for a line, writes pointer NUMBER, ends
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.measure import LIMIT_S, ROUNDS
from benchmarks.table import Grid
from benchmarks.tool import PYTHON
from forge_runtime.gitops.message import Update
from forge_runtime.gitops.pointer import Pointer
from forge_runtime.gitops.writer import GitOpsRepository, PointerWriter

TOGETHER: Final = 20
THERE: Final = 300
"""Pointers that the repository has before."""

RACES: Final = 3

_NAMES: Final = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "bench"), ("EMAIL", "bench@example.org"))
}
_ENVIRONMENT: Final = {**os.environ, **_NAMES, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}

_BY_HAND: Final = """
git clone -q --depth 1 "$1" "$2" && cd "$2" || exit 1
while :; do
  mkdir -p "$(dirname "$3")" && echo "release: $4" > "$3" && git add "$3" && git commit -qm "deploy $4" || exit 1
  git push -q origin HEAD:main 2>/dev/null && exit 0
  git fetch -q --depth 1 origin main && git reset -q --hard FETCH_HEAD || exit 1
done
"""
"""What a deploy script does; after a lost race from the new tip, at once."""


@dataclass(slots=True)
class Remote:
    """A bare repository; `written` counts the pointers that must be in it."""

    path: Path
    written: int = field(default=0)

    @property
    def url(self) -> str:
        return self.path.as_uri()

    def check(self) -> None:
        """RuntimeError if a pointer is lost."""
        listing = _git(self.path, "ls-tree", "-r", "--name-only", "main", "--", "environments/dev/acme/shop")
        if (there := len(listing.splitlines())) != self.written:
            raise RuntimeError(f"{self.written - there} of {self.written} pointers are lost")


def gitops(folder: Path) -> Iterator[Grid]:
    remote = _remote(folder / "gitops.git")
    scratch = _Numbered(folder / "gitops-scratch")
    contenders: list[tuple[str, Callable[[], float], int]] = [
        ("one pointer", _ours(remote, scratch.next(), 1), ROUNDS),
        ("one pointer, clone, commit and push", lambda: _by_hand(remote, scratch, 1, racing=False), ROUNDS),
        (f"{TOGETHER} pointers asked for at once in one worker", _ours(remote, scratch.next(), TOGETHER), ROUNDS),
        (
            f"{TOGETHER} pointers one after another, clone, commit and push",
            lambda: _by_hand(remote, scratch, TOGETHER, racing=False),
            RACES,
        ),
        (f"{TOGETHER} racing workers, a pointer each", lambda: _race(remote, scratch), RACES),
        (
            f"{TOGETHER} racing scripts: clone, commit, push until it succeeds",
            lambda: _by_hand(remote, scratch, TOGETHER, racing=True),
            RACES,
        ),
    ]
    measured: dict[str, list[float]] = {name: [] for name, _, _ in contenders}
    for turn in range(ROUNDS + 1):
        for name, work, rounds in contenders:
            if turn <= rounds:
                wall_s = work()
                remote.check()
                if turn:  # the first one warms up
                    measured[name].append(wall_s)
    yield Grid(
        title="Release pointers",
        headings=["wall, s (min-max)", "rounds"],
        rows=[[name, _spread(walls), str(len(walls))] for name, walls in measured.items()],
        notes=(
            f"A bare repository on this machine's disk with {THERE} pointers at first; after every round all that were"
            " written are counted in it, and none was lost. A worker has fetched before, and so has each of the racing"
            " ones, whose start is not counted; of the scripts it is, and they clone with a depth of 1. The contenders"
            " take turns."
        ),
    )


@dataclass(slots=True)
class _Numbered:
    """Directories of their own."""

    root: Path
    count: int = field(default=0)

    def next(self) -> Path:
        self.count += 1
        return self.root / str(self.count)


def _ours(remote: Remote, root: Path, together: int) -> Callable[[], float]:
    async def put(first: int) -> float:
        writer = PointerWriter(GitOpsRepository(clone_url=remote.url), root, allow_file=True)
        await writer.put(_update(first))  # opens the clone, as in a worker that runs
        began = time.perf_counter()
        await asyncio.gather(*(writer.put(_update(first + 1 + number)) for number in range(together)))
        return time.perf_counter() - began

    def work() -> float:
        wall_s = asyncio.run(put(remote.written))
        remote.written += together + 1
        return wall_s

    return work


def _by_hand(remote: Remote, scratch: _Numbered, together: int, *, racing: bool) -> float:
    began = time.perf_counter()
    running: list[subprocess.Popen[bytes]] = []
    for _ in range(together):
        number = remote.written
        remote.written += 1
        arguments = (remote.url, str(scratch.next()), _update(number).pointer.path, str(number))
        running.append(subprocess.Popen(["sh", "-c", _BY_HAND, "sh", *arguments], env=_ENVIRONMENT))
        if not racing:
            _end(running)
    _end(running)
    return time.perf_counter() - began


def _race(remote: Remote, scratch: _Numbered) -> float:
    racers = []
    for number in range(TOGETHER):
        argv = (PYTHON, "-m", "benchmarks.gitops", remote.url, str(scratch.next()), str(remote.written + number))
        racers.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    remote.written += TOGETHER
    for racer in racers:
        assert racer.stdout is not None
        racer.stdout.readline()
    began = time.perf_counter()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write(b"go\n")
        racer.stdin.close()
    _end(racers)
    return time.perf_counter() - began


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        if process.wait(timeout=LIMIT_S) != 0:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        if process.stdout is not None:
            process.stdout.close()


def _remote(path: Path) -> Remote:
    path.mkdir(parents=True)
    _git(path, "init", "-q", "--bare", "-b", "main")
    remote = Remote(path)
    asyncio.run(_fill(remote))
    remote.written = THERE
    return remote


async def _fill(remote: Remote) -> None:
    writer = PointerWriter(GitOpsRepository(clone_url=remote.url), remote.path.with_suffix(".fill"), allow_file=True)
    await asyncio.gather(*(writer.put(_update(number)) for number in range(THERE)))


def _update(number: int) -> Update:
    pointer = Pointer(
        environment="dev",
        repository="acme/shop",
        project=f"project-{number}",
        release=f"{number:040x}",
        digest=f"sha256:{number:064x}",
        deployment_id=f"deployment-{number}",
        requested_at="2026-01-01T00:00:00Z",
    )
    return Update(pointer=pointer, job_id=f"job-{number}", run_id="run")


def _git(path: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", path, *arguments], env=_ENVIRONMENT, check=True, capture_output=True, text=True, timeout=LIMIT_S
    )
    return done.stdout


def _spread(walls: Sequence[float]) -> str:
    return f"{statistics.median(walls):.3f} ({min(walls):.3f}-{max(walls):.3f})"


async def _racer(url: str, folder: Path, number: int) -> None:
    writer = PointerWriter(GitOpsRepository(clone_url=url), folder, allow_file=True)
    await writer.put(_update(0))  # is there: the clone is made and nothing is pushed
    print("ready", flush=True)
    sys.stdin.readline()
    await writer.put(_update(number))


if __name__ == "__main__":
    asyncio.run(_racer(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
