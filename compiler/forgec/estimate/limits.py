"""The run's own time limits, as far as a plan can contradict them. Seconds.

They are kept by dispatchers, workers and the sweeper, which stand above the compiler; a test holds both equal.
"""

from typing import Final

STARTS_MAX: Final = 3
"""Of a job whose worker dies; the last one ends it for good."""

START_ALLOWANCE_S: Final = 60.0
"""What each start may take beyond the job's own limit: checkout, log upload, a dead worker's lease."""

STEP_WAIT_S: Final = 7200.0
WAIT_S: Final = 3600.0
"""That a step, and any other job, may wait for a worker; then it expires, and ends the run."""

DISCOVERY_S: Final = 600.0
ARTIFACT_S: Final = 2700.0
RELEASE_S: Final = 900.0
DEPLOYMENT_S: Final = 600.0
"""Of the jobs that no configuration gives a limit."""
