"""The dispatcher, submitting jobs with a short lease: `python -m tests.chaos.dispatcher_process run --run ...`.

A lease's length is part of a job, and the envelope that makes jobs knows only the 30 s of real time.
"""

import sys

from msgspec.structs import replace
from tests.chaos.schedule import LEASE_S

from forge_runtime import dispatcher
from forge_runtime.dispatcher import Tasks
from forge_runtime.envelope import Envelope
from forgec.plan.model import Dispatch

_jobs_of = dispatcher.jobs_of


def jobs_with_a_short_lease(part: Dispatch, envelope: Envelope) -> Tasks:
    return [
        [[replace(job, limits=replace(job.limits, heartbeat_s=LEASE_S)) for job in wave] for wave in task]
        for task in _jobs_of(part, envelope)
    ]


if __name__ == "__main__":
    dispatcher.jobs_of = jobs_with_a_short_lease
    sys.exit(dispatcher.main())
