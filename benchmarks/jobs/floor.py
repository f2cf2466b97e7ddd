"""What the medium takes: a job as one message and one record, each stored and confirmed, and nobody who does it.

`python -m benchmarks.jobs.floor trips|burst NUMBER RATE`
"""

import asyncio
import os
import sys
import uuid
from typing import Final

from nats.js.api import KeyValueConfig, RetentionPolicy, StreamConfig

from benchmarks.jobs.pace import measure
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.settings import read_bus_settings

JOB: Final = b"x" * 700
"""About as long as a job's message."""

IN_FLIGHT: Final = 64


async def prepare(bus: JetStreamBus) -> None:
    stream = StreamConfig(name="floor", subjects=["floor.>"], retention=RetentionPolicy.WORK_QUEUE)
    await bus.connection.jetstream.add_stream(stream)
    await bus.connection.jetstream.create_key_value(KeyValueConfig(bucket="floor", history=5))


async def main(kind: str, number: int, rate: float) -> None:
    bus = await connect(read_bus_settings(os.environ))
    try:
        jetstream = bus.connection.jetstream
        records = await jetstream.key_value("floor")
        turn = asyncio.Semaphore(IN_FLIGHT)

        async def carry(_index: int) -> None:
            async with turn:
                await jetstream.publish(f"floor.{uuid.uuid4()}", JOB)
                await records.put(str(uuid.uuid4()), JOB)

        await measure(carry, kind, number, rate)
    finally:
        await bus.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
