"""What goes wrong and when: a list of faults that depends on a seed and a size alone. Pure.

A fault is due when so many jobs have ended, not at a time: then all of them happen while there is work, on a fast
machine and on a slow one. Everything about the seed's chance is decided here; two trials of one seed differ only in how
the operating system schedules them.
"""

import enum
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

LEASE_S: Final = 3.0
"""Instead of 30 s, here and as the queue's ack wait: a tenth of real time, so that a trial takes minutes."""

SKEW_ALLOWED_S: Final = 5.0
"""Between the clocks of two machines. Here that is longer than a lease, so it is a harder trial than in real time."""


class Kind(enum.StrEnum):
    KILL_WORKER = "kill worker"
    KILL_DISPATCHER = "kill dispatcher"
    KILL_SERVER = "kill server"
    PAUSE_SERVER = "pause server"
    CUT_SERVER_OFF = "cut server off"
    ISOLATE_SERVER = "isolate server"
    PAUSE_WORKER = "pause worker"
    FILL_DISK = "fill disk of worker"
    JUMP_CLOCK = "jump clock of worker"
    CANCEL_RUN = "cancel run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`victim` picks among those that live when it is due, modulo their number. `amount` is in seconds: how long a
    process stays away or a disk full, by how much a clock jumps."""

    after_jobs: int
    kind: Kind
    victim: int
    amount_s: float

    def __str__(self) -> str:
        return f"after {self.after_jobs:4} jobs: {self.kind} {self.victim} ({self.amount_s:+.1f} s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of a trial. Each unit is carried by one dispatcher and has `tasks` of four jobs, in two waves.

    `cancelled_runs` come on top, and are not counted in `jobs`: how many of theirs are ever made is left to chance.
    """

    name: str
    runs: int
    cancelled_runs: int = 0
    units: int
    tasks: int
    workers: int
    slots: int
    faults: Mapping[Kind, int]
    limit_s: float

    @property
    def jobs_a_run(self) -> int:
        return self.units * self.tasks * len(WAVES) * len(WAVES[0])

    @property
    def jobs(self) -> int:
        return self.runs * self.jobs_a_run


WAVES: Final = (("lint", "unit"), ("build", "integration"))
"""The steps of every task: those of a wave go on together, and begin when the wave before has ended."""

SMALL: Final = Size(
    name="small",
    runs=1,
    units=3,
    tasks=25,
    workers=3,
    slots=5,
    faults={
        Kind.KILL_WORKER: 5,
        Kind.KILL_DISPATCHER: 2,
        Kind.KILL_SERVER: 1,
        Kind.PAUSE_WORKER: 1,
        Kind.FILL_DISK: 1,
        Kind.JUMP_CLOCK: 1,
    },
    limit_s=100,
)

NIGHTLY: Final = Size(
    name="nightly",
    runs=5,
    cancelled_runs=1,
    units=3,
    tasks=25,
    workers=4,
    slots=5,
    faults={
        Kind.KILL_WORKER: 32,
        Kind.KILL_DISPATCHER: 12,
        Kind.KILL_SERVER: 6,
        Kind.PAUSE_WORKER: 4,
        Kind.FILL_DISK: 1,
        Kind.JUMP_CLOCK: 2,
        Kind.CANCEL_RUN: 1,
    },
    limit_s=900,
)

CLUSTER: Final = Size(
    name="cluster",
    runs=2,
    cancelled_runs=1,
    units=3,
    tasks=25,
    workers=3,
    slots=5,
    faults={
        Kind.KILL_WORKER: 8,
        Kind.KILL_DISPATCHER: 4,
        Kind.KILL_SERVER: 3,
        Kind.PAUSE_SERVER: 1,
        Kind.CUT_SERVER_OFF: 2,
        Kind.ISOLATE_SERVER: 2,
        Kind.PAUSE_WORKER: 1,
        Kind.CANCEL_RUN: 1,
    },
    limit_s=600,
)
"""Where "the server" is the one of three that leads."""

SERVER_KINDS: Final = (Kind.KILL_SERVER, Kind.PAUSE_SERVER, Kind.CUT_SERVER_OFF, Kind.ISOLATE_SERVER)

ELECTION_S: Final = 9.0
"""A server that hears nothing of its leader calls for a new one after 4 to 9 s."""

SIZES: Final = {size.name: size for size in (SMALL, NIGHTLY, CLUSTER)}


def make_schedule(seed: int, size: Size) -> list[Fault]:
    """The faults in the order in which they are due."""
    chance = random.Random(f"{seed} {size.name}")
    kinds = [kind for kind, number in size.faults.items() for _ in range(number)]
    chance.shuffle(kinds)
    first, last = _SPAN
    jumps = _jumps(chance)
    return [
        Fault(
            after_jobs=int((first + (last - first) * (index + chance.random()) / len(kinds)) * size.jobs),
            kind=kind,
            victim=chance.randrange(1000),
            amount_s=next(jumps) if kind is Kind.JUMP_CLOCK else round(chance.uniform(*_AMOUNTS_S[kind]), 1),
        )
        for index, kind in enumerate(kinds)
    ]


def count(schedule: Sequence[Fault]) -> dict[str, int]:
    """Faults by kind, in the order of the kinds."""
    counts = Counter(fault.kind for fault in schedule)
    return {kind.value: counts[kind] for kind in Kind if counts[kind]}


def _jumps(chance: random.Random) -> Iterator[float]:
    """First one far beyond what is allowed for, then one within, and so on; to both sides."""
    while True:
        yield round(chance.choice((-1, 1)) * chance.uniform(2, 6) * LEASE_S, 1)
        yield round(chance.uniform(-SKEW_ALLOWED_S, SKEW_ALLOWED_S), 1)


_SPAN: Final = (0.02, 0.85)
"""The share of ended jobs at which faults are due: from when work flows to while much of it is still to do."""

_AMOUNTS_S: Final = {
    Kind.KILL_WORKER: (0.0, 2.0),
    Kind.KILL_DISPATCHER: (0.0, 1.0),
    Kind.KILL_SERVER: (0.0, 2.0),
    Kind.PAUSE_SERVER: (2 * LEASE_S, 5 * LEASE_S),
    Kind.CUT_SERVER_OFF: (1.1 * ELECTION_S, 1.7 * ELECTION_S),
    Kind.ISOLATE_SERVER: (1.1 * ELECTION_S, 1.7 * ELECTION_S),
    Kind.PAUSE_WORKER: (1.4 * LEASE_S, 2.5 * LEASE_S),
    Kind.CANCEL_RUN: (0.0, 0.0),
    Kind.FILL_DISK: (2 * LEASE_S, 3 * LEASE_S),
}
