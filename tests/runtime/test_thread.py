"""Blocking work beside the event loop."""

import asyncio
import gc
import threading
from typing import Any

import pytest

from forge_runtime.thread import go_on, in_thread


async def test_work_that_is_cancelled_ends_first_and_nothing_is_logged_of_it() -> None:
    begun, ended = threading.Event(), threading.Event()
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: logged.append(context))

    def work(stop: threading.Event) -> None:
        begun.set()
        stop.wait(60)
        ended.set()
        go_on(stop)

    task = asyncio.create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert ended.is_set()
    gc.collect()
    assert logged == []
