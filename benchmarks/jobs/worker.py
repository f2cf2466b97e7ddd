"""A worker of the runtime whose jobs do nothing: `python -m benchmarks.jobs.worker NAME SLOTS FOLDER`.

Everything but the handler is what `forge_runtime.worker` runs: lease, beats, cancel flag, log, record, events.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

from forge_runtime import subject
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.jetstream import connect
from forge_runtime.envelope import address_of
from forge_runtime.job import Job, JobState, JobType
from forge_runtime.ledger import Ledger
from forge_runtime.settings import read_bus_settings
from forge_runtime.telemetry import configure_logging
from forge_runtime.watch import watch_flags
from forge_runtime.worker.execution import Bench
from forge_runtime.worker.handler import JobContext, Outcome
from forge_runtime.worker.loop import Worker

PATIENCE_S: Final = 600.0
GRACE_S: Final = 10.0


LASTING_S: Final = 0.05
LASTING: Final = "lasting"
"""The projects whose jobs last so long."""

HELD: Final = "held"
"""The projects whose jobs keep their first worker busy until it dies."""


class Nothing:
    """A Handler."""

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        project = address_of(job).project
        if project.startswith(LASTING):
            await asyncio.sleep(LASTING_S)
        if context.attempt == 1 and project.startswith(HELD):
            await asyncio.sleep(job.limits.start_to_close_s)
        return Outcome(status=JobState.SUCCEEDED)


async def main(name: str, slots: int, folder: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bus = await connect(read_bus_settings(os.environ))
    bench = Bench(
        worker=name,
        bus=bus,
        ledger=Ledger(bus, PATIENCE_S),
        watch=watch_flags(bus),
        blob=DirectoryBlob(folder / "objects"),
        handlers={JobType.CI: Nothing()},
        scratch=folder / name,
    )
    try:
        queues = [subject.queue_of(JobType.CI)]
        await Worker(bench=bench, queues=queues, slots=slots, grace_s=GRACE_S).serve(stop)
    finally:
        await bus.close()


if __name__ == "__main__":
    configure_logging("worker")
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
