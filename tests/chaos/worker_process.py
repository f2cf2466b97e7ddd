"""A worker of the runtime with work of ours: `python -m tests.chaos.worker_process FOLDER NAME SLOTS`.

Everything but the handler and the clock is what `forge_runtime.worker` runs. The host's clock is wrong by the seconds
in FOLDER/clock/NAME, read anew whenever somebody asks for the time.
"""

import asyncio
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.work import work_of

from forge_runtime import subject
from forge_runtime.blob import DirectoryBlob
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.job import ErrorRecord, Job, JobState, JobType
from forge_runtime.ledger import Ledger
from forge_runtime.process import Program, kill_stale_groups, run_process
from forge_runtime.settings import read_bus_settings
from forge_runtime.telemetry import configure_logging
from forge_runtime.watch import watch_flags
from forge_runtime.worker.execution import Bench
from forge_runtime.worker.handler import JobContext, Outcome
from forge_runtime.worker.loop import Worker

PATIENCE_S: Final = 600.0
GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class HostClock:
    """Unix seconds by a clock that jumps."""

    offset_file: Path

    def __call__(self) -> float:
        try:
            return time.time() + float(self.offset_file.read_text())
        except (FileNotFoundError, ValueError):  # never set, or being written
            return time.time()


@dataclass(frozen=True, slots=True)
class WorkHandler:
    """Carries out a job's work as a child process; `groups` notes it for whoever comes after us."""

    groups: Path

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        work = work_of(job.job_id)
        program = Program(argv=work.argv, cwd=context.scratch, environment={"PATH": "/usr/bin:/bin"})
        limit_s = job.limits.start_to_close_s
        end = await run_process(program, timeout_s=limit_s, output=context.log.write, groups=self.groups)
        if end.exit_code == 0:
            return Outcome(status=JobState.SUCCEEDED, exit_code=0, data=work.result)
        error = ErrorRecord(
            code="STEP_FAILED",
            message=f"exit code {end.exit_code}",
            component=context.component,
            error_class="user",
        )
        return Outcome(status=JobState.FAILED, exit_code=end.exit_code, error=error)


async def main(folder: Path, name: str, slots: int) -> int:
    stop = asyncio.Event()
    closed = asyncio.Event()

    def on_closed(_reason: str) -> None:
        closed.set()
        stop.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    own = folder / "workers" / name
    kill_stale_groups(own / "groups")
    try:
        bus = await connect(read_bus_settings(os.environ), on_closed=on_closed)
    except BusUnavailable:
        return 75
    bench = Bench(
        worker=name,
        bus=bus,
        ledger=Ledger(bus, PATIENCE_S, HostClock(folder / "clock" / name)),
        watch=watch_flags(bus),
        blob=DirectoryBlob(folder / "objects"),
        handlers={JobType.CI: WorkHandler(own / "groups")},
        scratch=own / "scratch",
    )
    queues = [subject.queue_of(JobType.CI)]
    await Worker(bench=bench, queues=queues, slots=slots, grace_s=GRACE_S).serve(stop)
    await bus.close()
    return 75 if closed.is_set() else 0


if __name__ == "__main__":
    configure_logging("worker")
    sys.exit(asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
