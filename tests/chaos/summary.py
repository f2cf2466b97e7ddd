"""Several trials in one table: `python -m tests.chaos.summary SIZE [SEED ...]`, of the reports in build/chaos.

Without seeds all that there are, of whatever commit they are.
"""

import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.__main__ import REPORTS

_HEAD = "| seed | killed | jobs ended | starts | given up | lost | completed twice | stuck | recovery | took |"


def main(size: str, seeds: Sequence[str]) -> int:
    paths = sorted(REPORTS.glob(f"{size}-*.json"), key=_seed)
    paths = [path for path in paths if not seeds or str(_seed(path)) in seeds]
    if not paths:
        print(f"no reports of size {size} in {REPORTS}: run `make chaos SIZE={size}` first", file=sys.stderr)
        return 1
    # The first trial of a report is of leases and records; a second one, of the plain design.
    trials = [json.loads(path.read_bytes())["trials"][0] for path in paths]
    print(_HEAD, "|---" * _HEAD.count(" | ") + "|---|", sep="\n")
    for path, trial in zip(paths, trials, strict=True):
        print(_row(_seed(path), trial))
    sums = {name: sum(trial[name] for trial in trials) for name in ("jobs", "terminal", "not submitted")}
    findings = sum(len(trial["findings"]) for trial in trials)
    print(f"\n{sums['jobs']:,} jobs: {sums['terminal']:,} ended, {sums['not submitted']:,} not submitted")
    print(f"{findings} findings")
    faults = [fault for trial in trials for fault in trial["faults"]]
    for kind in dict.fromkeys(fault["kind"] for fault in faults):
        same = [fault for fault in faults if fault["kind"] == kind]
        for clock, chosen in (
            ("right", [x for x in same if not x["clock_s"]]),
            ("wrong", [x for x in same if x["clock_s"]]),
        ):
            if times := _recoveries(chosen):
                print(f"{kind}, its clock {clock}: {_spread(times)}")
    return 0


def _row(seed: int, trial: dict[str, Any]) -> str:
    kinds = [fault["kind"] for fault in trial["faults"]]
    killed = ", ".join(str(kinds.count(f"kill {victim}")) for victim in ("worker", "dispatcher", "server"))
    own = [x for x in trial["faults"] if x["kind"] == "kill worker" and not x["clock_s"]]
    times = _recoveries(own)
    recovery = f"{statistics.median(times):.1f} s, {_percentile(times, 95):.1f} s" if times else "-"
    counts = [
        trial[name] for name in ("terminal", "executions", "given up after three starts", "lost", "twice", "stuck")
    ]
    return f"| {seed} | {killed} | {' | '.join(map(str, counts))} | {recovery} | {trial['work_s']:.0f} s |"


def _spread(times: Sequence[float]) -> str:
    soon = 100 * sum(time_s <= 4 for time_s in times) / len(times)
    return (
        f"{len(times)} recoveries, median {statistics.median(times):.1f} s, {soon:.0f} % within 4 s,"
        f" 95 % within {_percentile(times, 95):.1f} s, longest {max(times):.1f} s"
    )


def _recoveries(faults: Iterable[dict[str, Any]]) -> list[float]:
    return [fault["recovery_s"] for fault in faults if fault["recovery_s"] is not None]


def _percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _seed(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "nightly", sys.argv[2:]))
