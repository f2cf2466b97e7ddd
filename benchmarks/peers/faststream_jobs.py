"""A job through FastStream over JetStream: `... faststream_jobs worker SLOTS | trips|burst NUMBER RATE`.

The answer comes by a reply to the asker's inbox, as FastStream's request does it: it is not kept anywhere.
The server is NATS_URL, its token in the file NATS_CREDENTIALS.
"""

import asyncio
import os
import sys
from pathlib import Path

from benchmarks.jobs.pace import measure
from faststream import AckPolicy, FastStream
from faststream.nats import JStream, NatsBroker, PullSub
from nats.js.api import ConsumerConfig, RetentionPolicy

JOBS = JStream(name="faststream", subjects=["faststream.>"], retention=RetentionPolicy.WORK_QUEUE)


def _broker() -> NatsBroker:
    token = Path(os.environ["NATS_CREDENTIALS"]).read_text().strip()
    return NatsBroker(os.environ["NATS_URL"], token=token, logger=None)


async def work(slots: int) -> None:
    broker = _broker()

    @broker.subscriber(
        "faststream.job",
        stream=JOBS,
        durable="workers",
        config=ConsumerConfig(ack_wait=30),
        pull_sub=PullSub(batch_size=1, timeout=5.0),
        max_workers=slots,
        ack_policy=AckPolicy.ACK,
    )
    async def nothing(number: int) -> int:
        return number

    await FastStream(broker).run()


async def ask(kind: str, number: int, rate: float) -> None:
    async with _broker() as broker:

        async def carry(index: int) -> None:
            answer = await broker.request(index, "faststream.job", stream=JOBS.name, timeout=60)
            assert await answer.decode() == index

        await measure(carry, kind, number, rate)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        asyncio.run(work(int(sys.argv[2])))
    else:
        asyncio.run(ask(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
