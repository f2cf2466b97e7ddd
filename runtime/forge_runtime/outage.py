"""Bus operations that outlive an outage: every write to the bus may be repeated, so repeating is all it takes."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from forge_runtime.bus.port import Bus, BusUnavailable, NotAllowed
from forge_runtime.retry import backoff_s

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def ride_out(operation: Callable[[], Awaitable[T]], *, limit_s: float, bus: Bus | None = None) -> T:
    """The operation's result, tried again with backoff; BusUnavailable when the bus stays away for `limit_s`.

    NotAllowed at once. With `bus` it is tried as soon as a lost connection is there again.
    """
    give_up_at = time.monotonic() + limit_s
    failures = 0
    while True:
        try:
            return await operation()
        except NotAllowed:
            raise
        except BusUnavailable as unavailable:
            delay_s = backoff_s(failures, random.random())  # noqa: S311 - spreads load, guards nothing
            if time.monotonic() + delay_s > give_up_at:
                raise
            failures += 1
            _log.warning("bus unavailable, trying again", extra={"delay_s": round(delay_s, 1), "why": str(unavailable)})
            if bus is None:
                await asyncio.sleep(delay_s)
            elif await bus.reconnected(delay_s):
                failures = 0
