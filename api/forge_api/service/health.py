"""Whether this process can serve: each part by name, and what is wrong with it."""

import asyncio
from typing import Final

from forge_api.problem import Problem
from forge_api.service.platform import Platform
from forge_api.wire import Readiness
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.subject import run_key

PROBE_S: Final = 2.0
_NO_RUN: Final = run_key("00000000-0000-0000-0000-000000000000")


async def readiness(platform: Platform) -> Readiness:
    parts = {
        "database": await _database(platform),
        "nats": await _bus(platform),
        "process": "draining" if platform.draining else "ok",
    }
    return Readiness(ready=all(state == "ok" for state in parts.values()), parts=parts)


async def _database(platform: Platform) -> str:
    try:
        async with asyncio.timeout(PROBE_S):
            await platform.database.ping()
    except (Problem, TimeoutError):
        return "does not answer"
    return "ok"


async def _bus(platform: Platform) -> str:
    if platform.bus is None:
        return "not connected yet"
    try:
        async with asyncio.timeout(PROBE_S):
            await platform.bus.runs.get(_NO_RUN)
    except (BusUnavailable, TimeoutError):
        return "does not answer"
    return "ok"
