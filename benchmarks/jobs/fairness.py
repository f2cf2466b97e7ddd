"""Two runs in one pool: `python -m benchmarks.jobs.fairness fairness NUMBER 0 lanes|one`.

The large run goes its way; when its first jobs have ended, the new one comes. What is printed is how long the new run's
jobs waited for their starts, in job lengths, in the order in which they began.
"""

import asyncio
import json
import os
import sys
from typing import Final

from msgspec.structs import replace

from benchmarks.jobs.load import PATIENCE_S, jobs_of, new_run
from benchmarks.jobs.worker import LASTING, LASTING_S
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.port import Bus
from forge_runtime.job import Job, JobRecord, JobState
from forge_runtime.lane import RUN_WINDOW, lane_of
from forge_runtime.ledger import Ledger
from forge_runtime.settings import read_bus_settings
from forge_runtime.submit import Submitter
from forge_runtime.tasks import end_tasks
from forge_runtime.watch import watch_run

LARGE_RUN: Final = 2500
NEW_RUN: Final = 5
UNDER_WAY: Final = 16
"""Jobs of the large run that have ended when the new one comes. Without a window, all others are queued by then."""


async def main(number: int, *, lanes: bool) -> None:
    bus = await connect(read_bus_settings(os.environ))
    window = RUN_WINDOW if lanes else number
    queued = asyncio.Event()
    large = asyncio.create_task(_run(bus, _jobs(number, lanes=lanes), window, queued))
    try:
        await asyncio.wait({large, asyncio.create_task(queued.wait())}, return_when=asyncio.FIRST_COMPLETED)
        records = await _run(bus, _jobs(NEW_RUN, lanes=lanes), window)
    finally:
        await end_tasks(large)
        await bus.close()
    waits = sorted((record.started_at or 0.0) - record.submitted_at for record in records)
    print(json.dumps({"waits": [wait / LASTING_S for wait in waits]}), flush=True)


async def _run(bus: Bus, jobs: list[Job], window: int, queued: asyncio.Event | None = None) -> list[JobRecord]:
    """The records of a run's jobs; `queued` is set when as many are submitted as may be, and some have ended."""
    ended = 0
    async with watch_run(bus, jobs[0].run_id) as watch:
        ledger = Ledger(bus, PATIENCE_S)
        submitter = Submitter(ledger, watch, window)

        async def carry(job: Job) -> JobRecord:
            nonlocal ended
            record = await submitter.bring_to_end(job)
            assert record.state is JobState.SUCCEEDED, record
            ended += 1
            if queued is not None and ended >= UNDER_WAY and submitter.submitting == 0:
                queued.set()
            return record

        return await asyncio.gather(*map(carry, jobs))


def _jobs(number: int, *, lanes: bool) -> list[Job]:
    jobs = jobs_of(new_run(), number, LASTING)
    return [replace(job, lane=lane_of(rank)) for rank, job in enumerate(jobs)] if lanes else jobs


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[2]), lanes=sys.argv[4] == "lanes"))
