"""Jobs that do nothing, from being asked for to being known as ended, over a server that syncs every write."""

import os
import signal
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.jobs.contender import BURST, PACE, SINGLES, SLOTS, TRIPS, WORKERS, Turn, bench, fine_cpu_of, take_turn
from benchmarks.jobs.fairness import LARGE_RUN, NEW_RUN
from benchmarks.jobs.others import others
from benchmarks.jobs.ours import bare, fair, floor, ours
from benchmarks.jobs.worker import HELD, LASTING_S
from benchmarks.projector import projector
from benchmarks.table import Grid

TURNS: Final = 3
IDLE_S: Final = 20.0
IDLE_SLOTS: Final = 50
RESTART_AFTER_S: Final = 3.0
FAIR_SLOTS: Final = 4
FAIRNESS: Final = {"lanes and a window for each run": ("lanes", 5), "one queue": ("one", 1)}
"""What each is called, its word for the load, and how often it is measured."""
_WRITES: Final = 500


def runtime(folder: Path) -> Iterator[Grid]:
    yield _carrying(folder)
    yield _fairness(folder)
    yield projector(folder / "projector")
    yield _recovery(folder)


def _carrying(folder: Path) -> Grid:
    contenders = [ours(), bare(), *others(), floor()]
    turns: dict[str, list[Turn]] = {contender.name: [] for contender in contenders}
    for number in range(TURNS):
        for place, contender in enumerate(contenders):
            turns[contender.name].append(take_turn(contender, folder / f"turn-{number}-{place}"))
    sync_ms = _sync_ms(folder)
    return Grid(
        title="Jobs",
        headings=[
            f"{PACE:g} a second: p50, p99, ms",
            "one at a time: p50, p99, ms",
            "jobs/s (min-max)",
            "CPU a job, ms",
            "jobs that raised",
            "promises",
        ],
        rows=[_row(contender.name, turns[contender.name], contender.promises) for contender in contenders],
        notes=(
            f"Medians of {TURNS} turns, each on a new nats-server with `sync_interval: always`; {WORKERS} worker"
            f" processes of {SLOTS} slots. Times: {TRIPS} jobs, {PACE:g} a second whatever became of those before, so"
            f" that all processes sleep in between; and {SINGLES} jobs, each asked for when the one before has ended."
            f" Rate and CPU (asker, workers and server together): {BURST:,} jobs asked for at once. This project's"
            " records, queues and events are audited after each turn: every job ended once, and was told. Of peers,"
            " jobs that raised something instead of ending are counted; rate and CPU are for each job that ended, and a"
            " turn that came to nothing counts in no column but that. A synced"
            f" write of 4 KiB takes this disk {statistics.median(sync_ms):.2f} ms (p99 {_percentile(sync_ms, 99):.2f})."
        ),
    )


def _row(name: str, turns: Sequence[Turn], promises: str) -> list[str]:
    good = [turn for turn in turns if turn.carried and turn.trips_s and turn.singles_s]
    if not good:
        return [name, "", "", "", "", _trouble(turns), promises]
    rates = [turn.carried / turn.burst_s for turn in good]
    paced, single = _times([turn.trips_s for turn in good]), _times([turn.singles_s for turn in good])
    cpu_ms = statistics.median(1000 * turn.cpu_s / turn.carried for turn in good)
    rate = f"{statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f})"
    return [name, paced, single, rate, f"{cpu_ms:.2f}", _trouble(turns), promises]


def _times(turns_s: Sequence[Sequence[float]]) -> str:
    """The medians of the turns' p50 and p99."""
    return ", ".join(
        f"{statistics.median(1000 * _percentile(trips_s, percent) for trips_s in turns_s):.2f}" for percent in (50, 99)
    )


def _trouble(turns: Sequence[Turn]) -> str:
    """What was raised, in how many of the turns."""
    raised: Counter[str] = Counter()
    for turn in turns:
        raised.update(turn.failed)
    told = [f"{count:,} {name}" for name, count in raised.items()]
    bad = [turn for turn in turns if turn.failed]
    broken = [turn.broken for turn in turns if turn.broken]
    parts = [f"{' and '.join(told)} in {len(bad)} of {len(turns)} turns"] if told else []
    parts += [f"{len(broken)} of {len(turns)} turns broke: {broken[0][:100]}"] if broken else []
    return "; ".join(parts) or "none"


def _fairness(folder: Path) -> Grid:
    """A new run of a few jobs behind a large one, with lanes and windows and without."""
    rows = []
    for name, (word, times) in FAIRNESS.items():
        takes = [_waits(folder / f"{word}-{number}", word) for number in range(times)]
        rows.append([name, *(_spread([waits[place] for waits in takes]) for place in (0, -1))])
    return Grid(
        title="Fairness",
        headings=["first job of the new run", "its last"],
        rows=rows,
        notes=(
            f"A run of {LARGE_RUN:,} jobs of {1000 * LASTING_S:g} ms is under way and one worker of {FAIR_SLOTS} slots"
            f" busy with it; then a run of {NEW_RUN} jobs comes. Waits from its submission to its starts, by the"
            f" records, in job lengths of {1000 * LASTING_S:g} ms. One queue is what the same dispatcher does without"
            " lanes and window: all jobs of a run go into the queue at once, first come, first served. Medians of"
            f" {', '.join(f'{times} ({name})' for name, (_, times) in FAIRNESS.items())}."
        ),
    )


def _waits(folder: Path, word: str) -> list[float]:
    folder.mkdir()
    with bench(fair(), folder, workers=1, slots=FAIR_SLOTS) as made:
        waits: list[float] = made.finish(made.start_load("fairness", LARGE_RUN, 0.0, word))["waits"]
        return waits


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.1f}" + (f" ({min(values):.1f}-{max(values):.1f})" if len(values) > 1 else "")


def _recovery(folder: Path) -> Grid:
    rows = [
        ["a worker with the job is killed", f"{_after_worker_kill_s(folder / 'kill'):.1f} s"],
        ["the server is killed and started again", f"{_after_server_kill_s(folder / 'restart'):.1f} s"],
        [f"CPU of an idle worker of {IDLE_SLOTS} slots, a minute", f"{_idle_cpu_s(folder / 'idle'):.3f} s"],
    ]
    return Grid(
        title="Recovery and idling",
        headings=["this project"],
        rows=rows,
        notes=(
            "From the kill of the worker to the job's known end by another one; a lease lasts 30 s. Of the server: the"
            f" longest that any job took, {PACE:g} a second being asked for all the while."
        ),
    )


def _after_worker_kill_s(folder: Path) -> float:
    folder.mkdir()
    with bench(ours(), folder, workers=1, slots=1) as made:
        load = made.start_load("burst", 1, 0.0, HELD)
        time.sleep(RESTART_AFTER_S)
        made.workers[0].send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        made.workers[0].wait()
        made.add_worker(1)
        _, errors = load.communicate(timeout=60)
        assert load.returncode == 0, errors
        return time.monotonic() - killed_at


def _after_server_kill_s(folder: Path) -> float:
    folder.mkdir()
    with bench(ours(), folder) as made:
        load = made.start_load("trips", TRIPS, PACE)
        time.sleep(RESTART_AFTER_S)
        made.server.kill()
        made.server.start()
        trips = made.finish(load)["trips_s"]
        return float(max(trips))


def _idle_cpu_s(folder: Path) -> float:
    folder.mkdir()
    with bench(ours(), folder, workers=1, slots=IDLE_SLOTS) as made:
        pid = made.workers[0].pid
        before_s = fine_cpu_of(pid)
        time.sleep(IDLE_S)
        return (fine_cpu_of(pid) - before_s) * 60 / IDLE_S


def _sync_ms(folder: Path) -> list[float]:
    times = []
    descriptor = os.open(folder / "synced", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for _ in range(_WRITES):
            began = time.perf_counter()
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)
            times.append(1000 * (time.perf_counter() - began))
    finally:
        os.close(descriptor)
    return times


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]
