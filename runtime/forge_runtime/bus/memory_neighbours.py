"""Handing jobs over within one process: who takes what is offered, by pool and worker."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from forge_runtime.bus.port import OFFER_S, Delivery, Take
from forge_runtime.subject import WorkQueue, worker_token


class MemoryNeighbours:
    """A Neighbours, for all workers of a server."""

    def __init__(self) -> None:
        self._takers: Final[dict[tuple[str, str], Take]] = {}

    @asynccontextmanager
    async def joined(self, worker: str, queues: Sequence[WorkQueue], take: Take) -> AsyncIterator["MemoryNeighbours"]:
        takers = {(queue.pool, worker_token(worker)): take for queue in queues}
        self._takers.update(takers)
        try:
            yield self
        finally:
            for place in takers:
                self._takers.pop(place, None)

    async def offer(self, worker: str, queue: WorkQueue, delivery: Delivery) -> bool:
        take = self._takers.get((queue.pool, worker_token(worker)))
        if take is None:
            return False
        with suppress(TimeoutError):
            async with asyncio.timeout(OFFER_S):
                return await take(queue, delivery)
        return False
