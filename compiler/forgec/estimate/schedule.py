"""How long a run takes with so many workers: what dispatchers and workers do, played through event by event.

A stage starts the pods of its units in their order, as many at once as a workflow may have. A pod submits the first
wave of each of its tasks, and a task's next wave when the last job of the one before has ended. Submitted jobs wait in
their pool's queue, first in, first out; a worker that is free takes the next. The next stage starts when all has ended.

Nothing fails, nothing is tried again, and pods, checkouts and messages cost no time.
"""

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from forgec.estimate.work import Job, Pool, Stage, Waves


@dataclass(frozen=True, slots=True)
class Wait:
    """Of a submitted job for a worker."""

    job: Job
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`busy`: the part of their time, 0 to 1, in which the workers of steps have work; `waits` in order of starts."""

    workers: int
    makespan_s: float
    busy: float
    waits: tuple[Wait, ...]

    @property
    def longest_wait(self) -> Wait:
        return max(self.waits, key=lambda wait: wait.seconds)


def simulate(stages: Sequence[Stage], *, workers: int, pods_max: int) -> Schedule:
    """With `workers` for each pool, one job at a time each, and `pods_max` pods at once; both at least 1."""
    clock = 0.0
    waits: list[Wait] = []
    for stage in stages:
        play = _Play(stage, workers=workers, pods_max=pods_max, now=clock)
        clock = play.until_the_end()
        waits += play.waits
    jobs = (job for stage in stages for waves in stage.tasks() for wave in waves for job in wave)
    work_s = sum(job.duration_s for job in jobs if job.pool == "tasks")
    busy = work_s / (workers * clock) if clock else 0.0
    return Schedule(workers=workers, makespan_s=clock, busy=busy, waits=tuple(waits))


@dataclass(slots=True)
class _Unit:
    tasks_left: int


@dataclass(slots=True)
class _Task:
    """`left`: jobs of the wave that is under way."""

    unit: _Unit
    waves: Iterator[tuple[Job, ...]]
    left: int = 0


@dataclass(frozen=True, slots=True, order=True)
class _End:
    """Of a job; ends at one time come in the order of the starts."""

    at: float
    order: int
    pool: Pool = field(compare=False)
    task: _Task = field(compare=False)


class _Play:
    """One stage."""

    def __init__(self, stage: Stage, *, workers: int, pods_max: int, now: float) -> None:
        self.waits: list[Wait] = []
        self._now = now
        self._units = iter(stage.units)
        self._free: dict[Pool, int] = dict.fromkeys(("discovery", "tasks", "artifacts", "releases"), workers)
        self._queues: dict[Pool, deque[tuple[float, Job, _Task]]] = {pool: deque() for pool in self._free}
        self._running: list[_End] = []
        for _ in range(pods_max):
            self._start_unit()

    def until_the_end(self) -> float:
        """The time at which the last job ends."""
        self._start_jobs()
        while self._running:
            ended = heapq.heappop(self._running)
            self._now = ended.at
            self._free[ended.pool] += 1
            ended.task.left -= 1
            if not ended.task.left:
                self._advance(ended.task)
            self._start_jobs()
        return self._now

    def _start_unit(self) -> None:
        tasks: tuple[Waves, ...] = next(self._units, ())
        unit = _Unit(len(tasks))
        for waves in tasks:
            self._advance(_Task(unit, iter(waves)))

    def _advance(self, task: _Task) -> None:
        """Submit the task's next wave; after the last one its pod may end and make room for another."""
        wave = next(task.waves, ())
        task.left = len(wave)
        for job in wave:
            self._queues[job.pool].append((self._now, job, task))
        if not wave:
            task.unit.tasks_left -= 1
            if not task.unit.tasks_left:
                self._start_unit()

    def _start_jobs(self) -> None:
        for pool, queue in self._queues.items():
            while queue and self._free[pool]:
                submitted_at, job, task = queue.popleft()
                self._free[pool] -= 1
                self.waits.append(Wait(job, self._now - submitted_at))
                end = _End(self._now + job.duration_s, len(self.waits), pool, task)
                heapq.heappush(self._running, end)
