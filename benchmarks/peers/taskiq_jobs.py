"""A job through taskiq-nats, with results kept: `... taskiq_jobs trips|burst NUMBER RATE CHECK_S`.

The worker is taskiq's own: `taskiq worker benchmarks.peers.taskiq_jobs:broker`. The server is NATS_URL, its token in
the file NATS_CREDENTIALS; CHECK_S is how often the asker looks for the result, 0.2 s unless told otherwise.
"""

import asyncio
import os
import sys
from pathlib import Path

from benchmarks.jobs.pace import measure
from taskiq_nats import NATSObjectStoreResultBackend, PullBasedJetStreamBroker

_SERVER = {"servers": os.environ["NATS_URL"], "token": Path(os.environ["NATS_CREDENTIALS"]).read_text().strip()}
broker = PullBasedJetStreamBroker(**_SERVER, queue="taskiq").with_result_backend(
    NATSObjectStoreResultBackend(**_SERVER)
)


@broker.task(task_name="nothing")
async def nothing(number: int) -> int:
    return number


async def main(kind: str, number: int, rate: float, check_s: float) -> None:
    await broker.startup()

    async def carry(index: int) -> None:
        task = await nothing.kiq(index)
        result = await task.wait_result(check_interval=check_s, timeout=60)
        assert result.return_value == index

    try:
        await measure(carry, kind, number, rate)
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
