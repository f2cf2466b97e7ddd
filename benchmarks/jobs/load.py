"""The dispatcher's part: `python -m benchmarks.jobs.load trips|burst NUMBER RATE [PROJECT]`.

Each job goes the dispatcher's own way (`forge_runtime.submit`): record, message, hints, the record's end.
"""

import asyncio
import os
import sys
import time
import uuid
from typing import Final

from benchmarks.jobs.pace import measure
from forge_runtime.bus.jetstream import connect
from forge_runtime.envelope import Envelope
from forge_runtime.job import Git, Job, JobState
from forge_runtime.ledger import Ledger
from forge_runtime.run import RunRecord
from forge_runtime.settings import read_bus_settings
from forge_runtime.submit import Submitter
from forge_runtime.watch import watch_run
from forgec.plan.model import PlanStep, Task

PATIENCE_S: Final = 60.0


async def main(kind: str, number: int, rate: float, project: str) -> None:
    bus = await connect(read_bus_settings(os.environ))
    run = new_run()
    jobs = jobs_of(run, number, project)
    try:
        async with watch_run(bus, run.run_id) as watch:
            submitter = Submitter(Ledger(bus, PATIENCE_S), watch)

            async def carry(index: int) -> None:
                record = await submitter.bring_to_end(jobs[index])
                assert record.state is JobState.SUCCEEDED, record

            await measure(carry, kind, number, rate)
    finally:
        await bus.close()


def new_run() -> RunRecord:
    return RunRecord(
        run_id=str(uuid.uuid4()),
        repository="local/sample",
        clone_url="file:///nowhere",
        commit_sha="0" * 40,
        git=Git(),
        trigger_type="manual",
        deadline_at=time.time() + 3600,
    )


def jobs_of(run: RunRecord, number: int, project: str) -> list[Job]:
    envelope = Envelope(run, time.time())
    step = PlanStep(name="nothing", action="earthly", target="+nothing", timeout_s=60)
    names = (f"{project}-{index:05}" for index in range(number))
    return [envelope.ci_job("test", Task(project=name, path=name, waves=()), step) for name in names]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else "p"))
