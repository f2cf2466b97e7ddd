"""Who carries jobs, as command lines; and one turn of it on a server of its own.

A turn: server, worker processes, a warm-up, jobs at a steady pace, one after another, all at once, an audit. Every
contender has the same server (JetStream, one node, every write synced), as many worker processes and as many slots in
each.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.nats_server import NatsServer

WORKERS: Final = 2
SLOTS: Final = 16
WARM_UP: Final = 100
TRIPS: Final = 500
SINGLES: Final = 300
PACE: Final = 50.0
BURST: Final = 2500
LIMIT_S: Final = 120.0
READY_S: Final = 3.0
"""Until a worker's interpreter has started and it has asked for work; the warm-up waits for what is left."""

ROOT: Final = Path(__file__).resolve().parents[2]
STOP_S: Final = 12.0
"""For all workers to end when told to; this project's drain for 10 s at most."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """`worker` is given the number of slots; `load` the words of jobs/pace.py, put where it says `*`.

    `prepare` and `audit` are given the running server; the audit raises where a job is lost, or left. A job that raises
    ends the benchmark, unless the contender `may_fail`: then it is counted.
    """

    name: str
    promises: str
    load: Sequence[str]
    worker: Callable[[int, int, Path], Sequence[str]] | None = None
    may_fail: bool = False
    prepare: Callable[[NatsServer], None] = lambda _server: None
    audit: Callable[[NatsServer, int], None] = lambda _server, _jobs: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """`cpu_s`: of the burst, by workers, server and asker together. `failed`: jobs of it, by what was raised instead of
    their end; `broken` says why a turn came to nothing."""

    trips_s: Sequence[float] = ()
    singles_s: Sequence[float] = ()
    burst_s: float = 0.0
    cpu_s: float = 0.0
    failed: Mapping[str, int] = field(default_factory=dict)
    broken: str | None = None

    @property
    def carried(self) -> int:
        return 0 if self.broken else BURST - sum(self.failed.values())


class LoadFailed(Exception):
    """The asker ended without having measured anything, or jobs failed that may not."""


@dataclass(slots=True)
class Bench:
    """A server and the processes of one contender, below a folder."""

    contender: Contender
    server: NatsServer
    folder: Path
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def add_worker(self, slots: int) -> "subprocess.Popen[bytes]":
        assert self.contender.worker is not None
        number = len(self.workers)
        argv = self.contender.worker(number, slots, self.folder)
        with (self.folder / f"worker-{number}.log").open("wb") as log:
            process = subprocess.Popen(argv, env=self._environment(), cwd=ROOT, stdout=log, stderr=log)
        self.workers.append(process)
        return process

    def load(self, kind: str, number: int, rate: float = 0.0, *more: str) -> dict[str, Any]:
        return self.finish(self.start_load(kind, number, rate, *more))

    def finish(self, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
        """What it measured; LoadFailed with the end of what it said if it failed."""
        try:
            output, errors = process.communicate(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise LoadFailed(f"{self.contender.name}: not done after {LIMIT_S:g} s") from None
        if process.returncode != 0:
            raise LoadFailed(f"{self.contender.name}: {errors.decode(errors='replace')[-2000:]}")
        measured: dict[str, Any] = json.loads(output)
        if measured.get("failed") and not self.contender.may_fail:
            raise LoadFailed(f"{self.contender.name}: jobs raised {measured['failed']}")
        return measured

    def start_load(self, kind: str, number: int, rate: float = 0.0, *more: str) -> "subprocess.Popen[bytes]":
        words = (kind, str(number), str(rate), *more)
        argv = [word for part in self.contender.load for word in (words if part == "*" else (part,))]
        return subprocess.Popen(argv, env=self._environment(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def cpu_s(self) -> float:
        """Of the server and the workers so far, and of the loads that have ended."""
        ended = os.times()
        server = self.server.pid
        return sum(cpu_of(pid) for pid in (server, *(w.pid for w in self.workers))) + (
            ended.children_user + ended.children_system
        )

    def _environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "NATS_URL": self.server.url,
            "NATS_CREDENTIALS": str(self.server.token_file),
            "PYTHONPATH": str(ROOT),
        }


@contextmanager
def bench(contender: Contender, folder: Path, *, workers: int = WORKERS, slots: int = SLOTS) -> Iterator[Bench]:
    """Everything started, and ended whatever happens."""
    server = NatsServer(folder / "nats")
    server.start()
    made = Bench(contender, server, folder)
    try:
        contender.prepare(server)
        if contender.worker is not None:
            for _ in range(workers):
                made.add_worker(slots)
            time.sleep(READY_S)
        yield made
    finally:
        for worker in made.workers:
            worker.send_signal(signal.SIGTERM)
        end = time.monotonic() + STOP_S
        for worker in made.workers:
            try:
                worker.wait(max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        server.stop()


def take_turn(contender: Contender, folder: Path) -> Turn:
    """A contender that `may_fail` never ends the benchmark: the turn then says what happened."""
    folder.mkdir(parents=True)
    try:
        return _take_turn(contender, folder)
    except LoadFailed as failure:
        if not contender.may_fail:
            raise
        return Turn(broken=str(failure).strip().splitlines()[-1])


def _take_turn(contender: Contender, folder: Path) -> Turn:
    with bench(contender, folder) as made:
        made.load("burst", WARM_UP)
        trips = made.load("trips", TRIPS, PACE)["trips_s"]
        singles = made.load("single", SINGLES)["trips_s"]
        before_s = made.cpu_s()
        burst = made.load("burst", BURST)
        turn = Turn(
            trips_s=trips,
            singles_s=singles,
            burst_s=burst["wall_s"],
            cpu_s=made.cpu_s() - before_s,
            failed=burst.get("failed", {}),
        )
        contender.audit(made.server, WARM_UP + TRIPS + SINGLES + BURST)
    return turn


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a living process has used, with the threads it had: to a hundredth of one."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def fine_cpu_of(pid: int) -> float:
    """The same of the threads that it has now, in nanoseconds at the source."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
