"""Where a worker pulls from, and which of it gives nothing: told when that begins and when all give again.

A bus that is not connected is no failure of a queue: whoever pulls waits for it, and the connection says so itself.
"""

import logging
from typing import Final, NamedTuple

from forge_runtime.lane import Lane
from forge_runtime.subject import WorkQueue

OK: Final = "ok"

_log = logging.getLogger(__name__)


class Source(NamedTuple):
    queue: WorkQueue
    lane: Lane


class Sources:
    """Read by threads as well."""

    def __init__(self) -> None:
        self._failing: dict[Source, str] = {}

    def state(self) -> str:
        """ "ok", or what the first that fails says."""
        return next(iter(tuple(self._failing.values())), OK)

    def failed(self, source: Source, error: Exception) -> None:
        if not self._failing:
            _log.warning("no jobs from a queue", extra={"stream": source.queue.stream, "why": str(error)})
        self._failing[source] = str(error)

    def answered(self, source: Source) -> None:
        if self._failing.pop(source, None) is not None and not self._failing:
            _log.info("jobs from all queues again")
