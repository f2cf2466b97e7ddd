"""Blocking work beside the event loop, which ends before whoever asked for it goes on."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from forge_runtime.process import settle

_T = TypeVar("_T")


class Stopped(Exception):
    """The job was cancelled meanwhile."""


def go_on(stop: threading.Event | None) -> None:
    """Raises Stopped once the job is."""
    if stop is not None and stop.is_set():
        raise Stopped


async def in_thread(work: Callable[[threading.Event], _T]) -> _T:
    """Cancelled, the work is told to stop (by the event it is given) and awaited, so that nothing writes later."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        task.add_done_callback(_ended)
        await settle(task)
        raise


def _ended(task: "asyncio.Task[_T]") -> None:
    """How stopped work ended is for nobody; asyncio would log what nobody asked for."""
    if not task.cancelled():
        task.exception()
