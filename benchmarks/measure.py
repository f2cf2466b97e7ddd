"""Whole processes, measured side by side.

The contenders of a table take turns, so that a neighbour's load on a shared machine hits all of them alike; the median
of the rounds is reported, with the range. A process is measured as its user meets it, from before its start to after
its end: interpreter, imports and output included.

Peak memory is the kernel's count (`ru_maxrss`); it cannot be below that of this process, about 20 MiB, which a child
inherits until it starts its own program.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

ROUNDS: Final = 7
LIMIT_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process and the children it waited for."""

    wall_s: float
    cpu_s: float
    peak_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A command; `prepare` is called before each round and not measured. `rounds`: fewer for what takes minutes."""

    name: str
    argv: Sequence[str]
    prepare: Callable[[], None] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    rounds: int = ROUNDS


@dataclass(frozen=True, slots=True)
class Result:
    name: str
    rounds: tuple[Usage, ...]

    @property
    def wall_s(self) -> float:
        return statistics.median(usage.wall_s for usage in self.rounds)

    @property
    def cpu_s(self) -> float:
        return statistics.median(usage.cpu_s for usage in self.rounds)

    @property
    def peak_mib(self) -> float:
        return statistics.median(usage.peak_mib for usage in self.rounds)

    @property
    def range_s(self) -> tuple[float, float]:
        walls = [usage.wall_s for usage in self.rounds]
        return min(walls), max(walls)


def compare(contenders: Sequence[Contender]) -> list[Result]:
    """One result a contender, in their order; RuntimeError with the end of its output for one that fails."""
    measured: dict[str, list[Usage]] = {contender.name: [] for contender in contenders}
    for contender in contenders:
        _run(contender)  # once to warm the file cache and the bytecode
    for turn in range(max(contender.rounds for contender in contenders)):
        for contender in contenders:
            if turn < contender.rounds:
                measured[contender.name].append(_run(contender))
    return [Result(name, tuple(rounds)) for name, rounds in measured.items()]


def _run(contender: Contender) -> Usage:
    if contender.prepare:
        contender.prepare()
    environment = {**os.environ, **contender.environment}
    started = time.monotonic()
    process = subprocess.Popen(
        contender.argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, stdin=subprocess.DEVNULL
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        tail = errors.decode(errors="replace")[-2000:]
        raise RuntimeError(f"{contender.name} ended with {process.returncode}: {tail}")
    if wall_s > LIMIT_S:
        print(f"{contender.name}: {wall_s:.0f} s a round", file=sys.stderr)
    return Usage(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
