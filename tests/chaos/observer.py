"""What is seen of a trial while it runs: when each job began, was handed back, and ended.

Seen by core NATS, so something may be missed while the server is away. It paces the faults and measures how long a
recovery took; no verdict is built on it.
"""

import asyncio
import enum
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Final

from forge_runtime.job import JobRecord, JobState

STALL_S: Final = 10.0
"""When nothing ends for so long, what is due next is done at once: a fault may be what work waits for."""


class Sight(enum.Enum):
    BEGAN = "began"
    BACK = "back in the queue"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Change:
    """`attempt` tells attempts apart, `at` is time.monotonic()."""

    sight: Sight
    worker: str | None
    attempt: str | None
    at: float


@dataclass(slots=True)
class Observer:
    ended: set[str] = field(default_factory=set)
    _changes: defaultdict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    _end_seen: asyncio.Event = field(default_factory=asyncio.Event)

    def see(self, job_id: str, sight: Sight, worker: str | None = None, attempt: str | None = None) -> None:
        changes = self._changes[job_id]
        last = changes[-1] if changes else None
        if last is not None and (last.sight is Sight.ENDED or (last.sight, last.attempt) == (sight, attempt)):
            return  # a renewal, or the same told again, or late
        changes.append(Change(sight, worker, attempt, time.monotonic()))
        if sight is Sight.ENDED and job_id not in self.ended:
            self.ended.add(job_id)
            self._end_seen.set()

    def see_record(self, record: JobRecord) -> None:
        sights = {JobState.QUEUED: Sight.BACK, JobState.LEASED: Sight.BEGAN}
        sight = sights.get(record.state, Sight.ENDED)
        self.see(record.job.job_id, sight, record.worker, record.attempt_nonce)

    async def until_ended(self, number: int) -> None:
        """Wait until so many jobs have ended, or none for 10 s."""
        while len(self.ended) < number:
            self._end_seen.clear()
            try:
                async with asyncio.timeout(STALL_S):
                    await self._end_seen.wait()
            except TimeoutError:
                return

    def held_by(self, worker: str) -> set[str]:
        """The jobs that a worker has begun and nobody has seen the end of."""
        return {
            job_id
            for job_id, changes in self._changes.items()
            if changes[-1].sight is Sight.BEGAN and changes[-1].worker == worker
        }

    def next_change_s(self, job_id: str, after: float) -> float | None:
        """How long after a moment the job was begun anew, handed back or ended; None if never."""
        return next((change.at - after for change in self._changes[job_id] if change.at > after), None)

    def standstill_s(self, begin: float, end: float) -> float:
        """The longest time without a job's end, of those that overlap this span."""
        ends = sorted(
            change.at for changes in self._changes.values() for change in changes if change.sight is Sight.ENDED
        )
        return max((after - before for before, after in pairwise(ends) if before < end and begin < after), default=inf)
