"""Blocking work beside the event loop, which ends before whoever asked for it goes on."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from forge_runtime.process import settle

_T = TypeVar("_T")


async def in_thread(work: Callable[[threading.Event], _T]) -> _T:
    """Cancelled, the work is told to stop (by the event it is given) and awaited, so that nothing writes later."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await settle(task)
        raise
