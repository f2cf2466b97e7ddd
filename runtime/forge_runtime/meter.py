"""What the runtime tells whoever counts or traces it: ports, so that its core knows no library for either.

Observers must not wait, block or raise: they are called in the middle of the work.
"""

import enum
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from forge_runtime.job import JobRecord


class JobObserver(Protocol):
    """Told by the ledger, which is where records are written, of what this process wrote; each change by its writer."""

    def changed(self, before: JobRecord, after: JobRecord, now: float, /) -> None:
        """A record was changed by compare-and-set; `now` is the writer's clock, unix seconds."""
        ...

    def buried(self, pool: str, /) -> None:
        """A dead letter was written; again, if whoever did so died before he could go on."""
        ...


class SlotState(enum.StrEnum):
    FREE = "free"
    BUSY = "busy"


class CacheResult(enum.StrEnum):
    """What a commit cost: nothing, a fetch into the repository that was there, or a new repository."""

    HIT = "hit"
    FETCH = "fetch"
    CLONE = "clone"


class PushResult(enum.StrEnum):
    """What came of a push to the GitOps repository; `race` is tried again, and so is `failed` for a while."""

    PUSHED = "pushed"
    RACE = "race"
    DENIED = "denied"
    FAILED = "failed"


class Meter(Protocol):
    """Told by a worker what no record says."""

    def slot(self, pool: str, state: SlotState, /) -> AbstractContextManager[None]:
        """A slot is in this state for as long as the block lasts."""
        ...

    def redelivered(self, pool: str, /) -> None:
        """A message was handed out that had been handed out before."""
        ...

    def lease_lost(self, pool: str, /) -> None:
        """An attempt was stopped, or its result refused, because the job is another's."""
        ...

    def offered(self, pool: str, taken: bool, /) -> None:
        """A job that had better be another worker's was offered to it."""
        ...

    def cache_asked(self, result: CacheResult, /) -> None:
        """A commit was asked for from the git cache."""
        ...

    def runner_up(self, runner: str, up: bool, /) -> None:
        """Whether a build daemon may be given steps, each time that changes."""
        ...

    def pointers_pushed(self, result: PushResult, /) -> None:
        """A push to the GitOps repository, of however many pointers."""
        ...


class Unmetered:
    """A Meter of which nobody reads anything."""

    def slot(self, _pool: str, _state: SlotState) -> AbstractContextManager[None]:
        return nullcontext()

    def redelivered(self, _pool: str) -> None:
        return None

    def lease_lost(self, _pool: str) -> None:
        return None

    def offered(self, _pool: str, _taken: bool) -> None:
        return None

    def cache_asked(self, _result: CacheResult) -> None:
        return None

    def runner_up(self, _runner: str, _up: bool) -> None:
        return None

    def pointers_pushed(self, _result: PushResult) -> None:
        return None
