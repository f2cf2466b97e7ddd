"""How jobs are asked for, the same for every contender. Standard library alone: peers have an environment of their own.

    trips   a job every 1/RATE s, whatever became of those before; each is timed from when it was due
    single  one job after another: each is asked for when the one before has ended
    burst   all at once; timed until the end of the last one is known

What was measured is one JSON object on stdout, with how many jobs raised what instead of ending.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

Carry = Callable[[int], Awaitable[None]]
"""Brings the job of this number to its end; returns when the asker knows it, and raises for any other end."""


async def measure(carry: Carry, kind: str, number: int, rate: float) -> None:
    match kind:
        case "trips":
            measured = await _trips(carry, number, rate)
        case "single":
            measured = await _single(carry, number)
        case _:
            measured = await _burst(carry, number)
    print(json.dumps(measured), flush=True)


async def _trips(carry: Carry, number: int, rate: float) -> dict[str, Any]:
    """Open loop: a slow answer does not put off the next question, so it cannot hide the waiting that it causes."""
    loop = asyncio.get_running_loop()
    began = loop.time() + 0.1

    async def trip(index: int) -> float:
        due = began + index / rate
        await asyncio.sleep(due - loop.time())
        await carry(index)
        return loop.time() - due

    ends = await asyncio.gather(*map(trip, range(number)), return_exceptions=True)
    return _timed(ends)


async def _single(carry: Carry, number: int) -> dict[str, Any]:
    """Closed loop: the machine never falls asleep between two questions, and no question waits for another."""
    loop = asyncio.get_running_loop()
    ends: list[float | Exception] = []
    for index in range(number):
        began = loop.time()
        try:
            await carry(index)
            ends.append(loop.time() - began)
        except Exception as error:
            ends.append(error)
    return _timed(ends)


async def _burst(carry: Carry, number: int) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    began = loop.time()
    ends = await asyncio.gather(*map(carry, range(number)), return_exceptions=True)
    return {"wall_s": loop.time() - began, "failed": _failed(ends)}


def _timed(ends: Sequence[float | BaseException]) -> dict[str, Any]:
    return {"trips_s": [end for end in ends if not isinstance(end, BaseException)], "failed": _failed(ends)}


def _failed(ends: Sequence[object]) -> dict[str, int]:
    return Counter(type(end).__name__ for end in ends if isinstance(end, BaseException))
