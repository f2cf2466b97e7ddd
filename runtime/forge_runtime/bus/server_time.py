"""Times as a NATS server writes them, and what it says the time is."""

import json
from datetime import datetime
from typing import Any

import nats.js.errors

from forge_runtime.bus.connection import OPERATION_LIMIT_S, Connection
from forge_runtime.bus.port import BusUnavailable


def unix_s(timestamp: str) -> float:
    """RFC 3339 with nanoseconds, of which `datetime` takes six digits."""
    moment, _, fraction = timestamp.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{moment}.{fraction[:6]:0<6}+00:00").timestamp()


async def read_time(connection: Connection, stream: str) -> float:
    """The server tells it with what it knows of a stream, of one that whoever asks may look at."""
    async with connection.limit("ask for the time"):
        answer = await connection.client.request(f"$JS.API.STREAM.INFO.{stream}", timeout=OPERATION_LIMIT_S)
        info: dict[str, Any] = json.loads(answer.data)
        if "error" in info:
            nats.js.errors.APIError.from_error(info["error"])  # raises
    if "ts" not in info:
        raise BusUnavailable(f"{connection.url} does not say what time it is; nats-server does so from 2.10 on")
    return unix_s(info["ts"])
