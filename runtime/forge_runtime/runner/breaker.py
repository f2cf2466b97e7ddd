"""Whether a build daemon may be given work: a circuit breaker that probes close again, never a step. Pure.

             3 probes in a row fail, it says that it drains, or a step loses it
    closed ------------------------------------------------------------------> open
       ^                                                                         |
       '------------------ a probe succeeds, and its pause is over --------------'

A daemon that loses steps while its probes succeed (it answers, and breaks builds) is left alone for longer each time.
"""

import enum
from dataclasses import dataclass, replace
from typing import Final

PROBES_FAILED_MAX: Final = 3

PAUSE_S: Final = 5.0
PAUSE_S_MAX: Final = 300.0


class Probe(enum.StrEnum):
    """What a probe found. DRAINING: it answers, and wants no new work."""

    HEALTHY = "healthy"
    DRAINING = "draining"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """`open_until` is None while closed, else when a probe may close it. A daemon that was never probed is open."""

    open_until: float | None = 0.0
    probes_failed: int = 0
    losses: int = 0
    """Steps that lost the daemon since the last one that did not."""

    @property
    def closed(self) -> bool:
        return self.open_until is None


def probed(breaker: Breaker, probe: Probe, now: float) -> Breaker:
    match probe:
        case Probe.HEALTHY:
            over = breaker.open_until is None or now >= breaker.open_until
            return replace(breaker, open_until=None if over else breaker.open_until, probes_failed=0)
        case Probe.DRAINING:
            return replace(breaker, open_until=max(now, breaker.open_until or now), probes_failed=0)
        case Probe.FAILED:
            failed = breaker.probes_failed + 1
            if failed < PROBES_FAILED_MAX and breaker.closed:
                return replace(breaker, probes_failed=failed)
            return replace(breaker, open_until=max(now, breaker.open_until or now), probes_failed=failed)


def lost(breaker: Breaker, now: float) -> Breaker:
    """A step lost the daemon."""
    pause_s = min(PAUSE_S_MAX, PAUSE_S * 2.0 ** min(breaker.losses, 10))
    return replace(breaker, open_until=max(now + pause_s, breaker.open_until or 0.0), losses=breaker.losses + 1)


def served(breaker: Breaker) -> Breaker:
    """A step had the daemon to its end."""
    return replace(breaker, losses=0)
