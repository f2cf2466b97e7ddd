"""Ending asyncio tasks that belong to us, for good."""

import asyncio
from typing import Any


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel and await; what a task raises on its way out is dropped, since nobody waits for its result any more."""
    under_way = [task for task in tasks if task.cancel()]
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # or asyncio would report it as one that nobody looked at
    if under_way:
        await asyncio.gather(*under_way, return_exceptions=True)
