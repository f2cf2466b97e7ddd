"""Items of a stream in batches: whatever has arrived since the last batch was taken, without waiting for more."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from forge_runtime.tasks import end_tasks

T = TypeVar("T")


async def batches(items: AsyncIterator[T], most: int) -> AsyncGenerator[list[T]]:
    """At least one item each, and at most so many; as many more are read ahead. Ends, or raises, as `items` does."""
    arrived: asyncio.Queue[T] = asyncio.Queue(most)

    async def read() -> None:
        async for item in items:
            await arrived.put(item)

    reader = asyncio.create_task(read())
    try:
        while True:
            first = asyncio.create_task(arrived.get())
            await asyncio.wait({first, reader}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                await end_tasks(first)
                await reader
                return
            batch = [first.result()]
            while len(batch) < most and not arrived.empty():
                batch.append(arrived.get_nowait())
            yield batch
    finally:
        await end_tasks(reader)
