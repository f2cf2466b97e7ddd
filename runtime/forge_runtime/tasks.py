"""Ending asyncio tasks that belong to us, for good."""

import asyncio
from typing import Any


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel and await; what a task raises on its way out is dropped, since nobody waits for its result any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
