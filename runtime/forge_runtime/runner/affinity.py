"""Which build daemon a step goes to: the one that has its cache, unless that one has too much to do. Pure.

    key --rank--> b  d  a  c          each key has an order of its own (rendezvous hashing)
                  |
                  b below its bound? -- yes -> b
                                     `- no --> whichever has least to do; equals by the key's order

The order of a key depends on the names alone, so nothing is remembered and every worker comes to the same one. When a
daemon leaves, only the keys that it was first for move, each to its own second, and they return when it does.

The bound is 1.25 times the mean number of leases (Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with Bounded
Loads", 2016), at least 2: two steps of one project at once are worth a warm cache.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BALANCE: Final = 1.25

TOGETHER_MIN: Final = 2


@dataclass(frozen=True, slots=True)
class Load:
    """What the daemon says of itself, all of its clients together. Only the build tool's own daemon does."""

    running: int = 0
    running_max: int = 0
    waiting: int = 0

    @property
    def share(self) -> float:
        return self.running / self.running_max if self.running_max > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A daemon that may be used. `leases` are ours that run there now."""

    name: str
    leases: int
    leases_max: int
    load: Load | None = None

    @property
    def full(self) -> bool:
        return self.leases >= self.leases_max

    @property
    def waiting(self) -> int:
        return self.load.waiting if self.load is not None else 0


def rank(key: str, names: Sequence[str]) -> list[str]:
    """The names in the key's own order."""
    return sorted(names, key=lambda name: _weight(key, name), reverse=True)


def bound(candidates: Sequence[Candidate]) -> int:
    """How many leases the first in a key's order may have, the new one included."""
    leases = sum(candidate.leases for candidate in candidates) + 1
    return max(TOGETHER_MIN, math.ceil(BALANCE * leases / len(candidates)))


def choose(key: str, candidates: Sequence[Candidate]) -> str | None:
    """The daemon for a step; None if all are full."""
    free = [candidate for candidate in candidates if not candidate.full]
    if not free:
        return None
    order = rank(key, [candidate.name for candidate in candidates])
    first = next((candidate for candidate in free if candidate.name == order[0]), None)
    calm = min(candidate.waiting for candidate in free)
    if first is not None and first.leases < bound(candidates) and (first.waiting == 0 or first.waiting <= calm):
        return first.name
    return min(free, key=lambda candidate: (_business(candidate), order.index(candidate.name))).name


def _business(candidate: Candidate) -> tuple[int, float, float]:
    share = candidate.load.share if candidate.load is not None else 0.0
    return candidate.waiting, candidate.leases / candidate.leases_max, share


def _weight(key: str, name: str) -> bytes:
    return hashlib.blake2b(f"{key}\0{name}".encode(), digest_size=16).digest()
