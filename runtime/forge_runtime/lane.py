"""Lanes: which of a pool's jobs are looked at first, so that a large run does not starve a small one. Pure.

    rank of the job      lane     of four free slots
    0                    first    two look here first
    1 ... 31             early    one
    32 ...               main     one

A job's rank is how many of its run's jobs for the same pool come before it in the plan. Whose lane is empty looks into
the others, so nothing waits while a slot is free; and no lane waits for ever, however many new runs there are. Within a
lane, first come, first served: that is equal shares for large runs, because each may have only so many jobs submitted
at a time, and the next one goes to the end of the line (`window_of`).
"""

import enum
from typing import Final

RUN_WINDOW: Final = 256
"""Jobs that one run may have submitted and not ended. More than any pool has slots, so that a run that is alone fills
them all; and a twentieth of what the queue of tasks takes, so that large runs leave room for others."""

EARLY_JOBS: Final = 32
"""What a run of a few projects has: most runs never see the main lane."""


class Lane(enum.StrEnum):
    FIRST = "first"
    EARLY = "early"
    MAIN = "main"


TURNS: Final = (Lane.FIRST, Lane.MAIN, Lane.FIRST, Lane.EARLY)
"""Where one free slot after another looks first. With FIRST in every second place a new run's first job starts within
two job lengths, even where there is a single slot."""


def lane_of(rank: int) -> Lane:
    if rank == 0:
        return Lane.FIRST
    return Lane.EARLY if rank < EARLY_JOBS else Lane.MAIN


def window_of(dispatchers: int) -> int:
    """What each of a run's dispatchers may have submitted, if so many go together."""
    return max(1, RUN_WINDOW // dispatchers)
