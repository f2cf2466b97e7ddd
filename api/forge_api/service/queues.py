"""How deep the work queues are: asked of the bus at one place, here, for metrics."""

import asyncio
from typing import Final

from forge_api.service.platform import BACKGROUND_PATIENCE_S, Platform
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.subject import QUEUES

PERIOD_S: Final = 10.0
"""Scrapers come every 15 to 60 s; a look at all queues is a request each."""


async def run_queue_watch(platform: Platform) -> None:
    """Look now and every 10 s."""
    while True:
        await measure_queues(platform)
        await asyncio.sleep(PERIOD_S)


async def measure_queues(platform: Platform) -> None:
    """One look; raises BusUnavailable, and then there are no numbers rather than old ones."""
    bus = platform.ledger(BACKGROUND_PATIENCE_S).bus
    try:
        for queue in QUEUES:
            platform.metrics.queue(queue.pool, await bus.queue_depth(queue))
    except BusUnavailable:
        platform.metrics.forget_queues()
        raise
