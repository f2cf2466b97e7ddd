"""taskiq-nats and FastStream as contenders, in the peers' environment; none where that cannot be had."""

from pathlib import Path

from benchmarks.jobs.contender import Contender
from benchmarks.tool import peers

CHECK_S = (0.2, 0.005)
"""How often taskiq's asker looks for a result: its own default, and as often as makes sense."""


def others() -> list[Contender]:
    bin_ = peers()
    return [] if bin_ is None else [*(_taskiq(bin_, check_s) for check_s in CHECK_S), _faststream(bin_)]


def _taskiq(bin_: Path, check_s: float) -> Contender:
    return Contender(
        name=f"taskiq-nats, looks every {check_s:g} s",
        may_fail=True,
        promises="durable result; no lease or fencing (a job longer than 30 s is started again), no events",
        worker=lambda _number, slots, _folder: (
            *(str(bin_ / "taskiq"), "worker", "benchmarks.peers.taskiq_jobs:broker"),
            *("--workers", "1", "--max-async-tasks", str(slots), "--log-level", "WARNING"),
        ),
        load=(str(bin_ / "python"), "-m", "benchmarks.peers.taskiq_jobs", "*", str(check_s)),
    )


def _faststream(bin_: Path) -> Contender:
    argv = (str(bin_ / "python"), "-m", "benchmarks.peers.faststream_jobs")
    return Contender(
        name="FastStream request",
        may_fail=True,
        promises="no durable result (a reply to an inbox), no lease or fencing, no events",
        worker=lambda _number, slots, _folder: (*argv, "worker", str(slots)),
        load=(*argv, "*"),
    )
