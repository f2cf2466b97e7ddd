"""The dispatcher, submitting jobs with a short lease: `python -m tests.chaos.dispatcher_process run --run ...`.

A lease's length is part of a job, and the envelope that makes jobs knows only the 30 s of real time.
"""

import sys

from msgspec.structs import replace
from tests.chaos.schedule import LEASE_S

from forge_runtime import dispatcher
from forge_runtime.envelope import Envelope
from forge_runtime.job import Job
from forgec.plan.model import PlanStep, Task


class ShortLeases(Envelope):
    def ci_job(self, phase: str, task: Task, step: PlanStep) -> Job:
        job = super().ci_job(phase, task, step)
        return replace(job, limits=replace(job.limits, heartbeat_s=LEASE_S))


if __name__ == "__main__":
    dispatcher.Envelope = ShortLeases
    sys.exit(dispatcher.main())
