"""When to try again: (class of the failure, attempt) -> Retry(after_s) | Stop. Pure; randomness is an argument."""

from dataclasses import dataclass
from typing import Final

ATTEMPTS_MAX: Final = 5
DELAY_S_MAX: Final = 60.0
RETRIED_CLASS: Final = "infra"
"""The one class that another try may cure: a step that fails, or a limit that passes, does so again."""


@dataclass(frozen=True, slots=True)
class Retry:
    after_s: float


@dataclass(frozen=True, slots=True)
class Stop:
    """Trying again would change nothing, or was tried often enough."""


def after_failure(error_class: str, attempt: int, jitter: float, attempts_max: int = ATTEMPTS_MAX) -> Retry | Stop:
    """What to do after the `attempt`-th try (from 1) failed. `jitter` in [0, 1) keeps many from returning at once."""
    if error_class != RETRIED_CLASS or attempt >= attempts_max:
        return Stop()
    return Retry(backoff_s(attempt - 1, jitter))


def backoff_s(failures_before: int, jitter: float, longest_s: float = DELAY_S_MAX) -> float:
    """1, 2, 4 ... 60 s, unless the longest is another, and up to a second more."""
    return min(longest_s, 2.0 ** min(failures_before, 10)) + jitter
