"""The processes of a campaign, and what they tell: failures as they are found, counts from time to time."""

import faulthandler
import multiprocessing
import queue
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from tests.fuzz.campaign import Failure, failures
from tests.fuzz.corpus import KINDS

SILENCE_S_MAX: Final = 120.0
"""A process that says nothing for so long is stuck where no signal reaches it."""

_MEMORY_BYTES_MAX: Final = 2 * 1024**3
_REPORT_EVERY: Final = 200


def messages(seed: int, numbers: range, count: int) -> Iterator[Failure | Counter[str]]:
    """What the processes tell, until the last has ended or one of them is stuck."""
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    processes = [
        context.Process(target=_work, args=(seed, numbers[index::count], told), daemon=True) for index in range(count)
    ]
    for process in processes:
        process.start()
    running = set(range(count))
    heard = time.monotonic()
    while running:
        try:
            message = told.get(timeout=1.0)
        except queue.Empty:
            if time.monotonic() - heard > SILENCE_S_MAX or _dead(processes, running):
                print("a process is stuck or was killed: its last input is above it in the trace", file=sys.stderr)
                break
            continue
        heard = time.monotonic()
        if message is None:
            running.pop()
        else:
            yield message
    for process in processes:
        process.kill()


def _dead(processes: list[SpawnProcess], running: set[int]) -> bool:
    return sum(process.is_alive() for process in processes) < len(running)


def _work(seed: int, numbers: range, told: Any) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
    counts: Counter[str] = Counter()

    def done(number: int, compiled: bool) -> None:
        faulthandler.dump_traceback_later(SILENCE_S_MAX / 2, exit=True)
        counts[f"{KINDS[number % len(KINDS)]} {'compiled' if compiled else 'refused'}"] += 1
        if counts.total() == _REPORT_EVERY:
            told.put(Counter(counts))
            counts.clear()

    for failure in failures(seed, numbers, done):
        told.put(failure)
    told.put(counts)
    told.put(None)
