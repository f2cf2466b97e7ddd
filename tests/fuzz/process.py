"""The processes of a campaign, and what they tell: failures as they are found, counts from time to time."""

import faulthandler
import multiprocessing
import queue
import resource
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from tests.fuzz.campaign import Failure, failures, make_input
from tests.fuzz.corpus import KINDS

SILENCE_S_MAX: Final = 120.0
"""A process that says nothing for so long is stuck where no signal reaches it."""

_MEMORY_BYTES_MAX: Final = 2 * 1024**3
_REPORT_EVERY: Final = 200


def messages(seed: int, numbers: range, count: int) -> Iterator[Failure | Counter[str]]:
    """What the processes tell, until the last has ended; a process that is stuck or dies is a failure of its input."""
    context = multiprocessing.get_context("spawn")
    told: Any = context.Queue()
    shares = [numbers[index::count] for index in range(count)]
    current: Any = context.Array("q", [share.start for share in shares], lock=False)
    processes = [
        context.Process(target=_work, args=(seed, share, told, current, index), daemon=True)
        for index, share in enumerate(shares)
    ]
    for process in processes:
        process.start()
    running = count
    heard = time.monotonic()
    while running:
        try:
            message = told.get(timeout=1.0)
        except queue.Empty:
            ended = sum(not process.is_alive() for process in processes)
            if ended > count - running or time.monotonic() - heard > SILENCE_S_MAX:
                yield from _lost(seed, processes, [int(number) for number in current])
                break
            continue
        heard = time.monotonic()
        if message is None:
            running -= 1
        else:
            yield message
    for process in processes:
        process.kill()


def _lost(seed: int, processes: Sequence[SpawnProcess], current: Sequence[int]) -> Iterator[Failure]:
    dead = [process.exitcode not in (0, None) for process in processes]
    for process, number, died in zip(processes, current, dead, strict=True):
        if died or (process.exitcode is None and not any(dead)):
            what = f"its process ended with {process.exitcode}" if died else "no word for minutes"
            kind, data = make_input(seed, number)
            yield Failure(number=number, kind=kind, data=data, what=what)


def _work(seed: int, numbers: range, told: Any, current: Any, index: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
    counts: Counter[str] = Counter()

    def done(number: int, compiled: bool) -> None:
        faulthandler.dump_traceback_later(SILENCE_S_MAX / 2, exit=True)
        current[index] = number + numbers.step
        counts[f"{KINDS[number % len(KINDS)]} {'compiled' if compiled else 'refused'}"] += 1
        if counts.total() == _REPORT_EVERY:
            told.put(Counter(counts))
            counts.clear()

    for failure in failures(seed, numbers, done):
        told.put(failure)
    faulthandler.cancel_dump_traceback_later()
    told.put(counts)
    told.put(None)
