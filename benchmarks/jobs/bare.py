"""A job by hand over nats-py: message, lease, result and acknowledgement, each stored and confirmed, and nothing else.

`python -m benchmarks.jobs.bare worker SLOTS | trips|burst NUMBER RATE`. The least that a job carried by another process
can write if two workers shall not do it and its result shall outlive both ends. Nobody renews a lease, retries,
cancels, tells of a job's beginning, limits a time or says what went wrong. The server is NATS_URL, its token in the
file NATS_CREDENTIALS.
"""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, KeyValueConfig, RetentionPolicy, StreamConfig
from nats.js.kv import KeyValue

from benchmarks.jobs.floor import IN_FLIGHT, JOB
from benchmarks.jobs.pace import measure

STREAM: Final = "bare"
WORKERS: Final = "workers"
LEASES: Final = "bare-leases"
RESULTS: Final = "bare-results"
PULL_S: Final = 5.0
ANSWER_S: Final = 60.0


async def prepare(jetstream: JetStreamContext) -> None:
    await jetstream.add_stream(StreamConfig(name=STREAM, subjects=["bare.>"], retention=RetentionPolicy.WORK_QUEUE))
    await jetstream.add_consumer(STREAM, ConsumerConfig(durable_name=WORKERS, ack_wait=30))
    for bucket in (LEASES, RESULTS):
        await jetstream.create_key_value(KeyValueConfig(bucket=bucket))


async def work(slots: int) -> None:
    async with _connected(*_server()) as client:
        jetstream = client.jetstream()
        leases, results = await jetstream.key_value(LEASES), await jetstream.key_value(RESULTS)
        await asyncio.gather(*(_slot(jetstream, leases, results) for _ in range(slots)))


async def _slot(jetstream: JetStreamContext, leases: KeyValue, results: KeyValue) -> None:
    queue = await jetstream.pull_subscribe_bind(consumer=WORKERS, stream=STREAM)
    while True:
        try:
            [message] = await queue.fetch(1, timeout=PULL_S)
        except nats.errors.TimeoutError:
            continue
        key = message.subject.rpartition(".")[2]
        await leases.create(key, JOB)
        await results.put(key, JOB)
        await message.ack_sync()


async def ask(kind: str, number: int, rate: float) -> None:
    async with _connected(*_server()) as client:
        jetstream = client.jetstream()
        results = await (await jetstream.key_value(RESULTS)).watchall(ignore_deletes=True)
        ends: dict[str, asyncio.Future[None]] = {}
        turn = asyncio.Semaphore(IN_FLIGHT)

        async def hear() -> None:
            async for entry in results:
                if entry is not None and (end := ends.pop(entry.key, None)) is not None:
                    end.set_result(None)

        async def carry(_index: int) -> None:
            key = str(uuid.uuid4())
            ends[key] = end = asyncio.get_running_loop().create_future()
            async with turn:
                await jetstream.publish(f"bare.{key}", JOB)
            async with asyncio.timeout(ANSWER_S):
                await end

        hearing = asyncio.create_task(hear())
        try:
            await measure(carry, kind, number, rate)
        finally:
            hearing.cancel()


@asynccontextmanager
async def _connected(url: str, token: str) -> AsyncIterator[Client]:
    client = await nats.connect(url, token=token)
    try:
        yield client
    finally:
        await client.close()


def _server() -> tuple[str, str]:
    return os.environ["NATS_URL"], Path(os.environ["NATS_CREDENTIALS"]).read_text().strip()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        asyncio.run(work(int(sys.argv[2])))
    else:
        asyncio.run(ask(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
