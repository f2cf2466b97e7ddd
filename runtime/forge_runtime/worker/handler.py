"""The handler port: one type of job as a function of (job, context) that gives an outcome.

A handler knows nothing of queues, records or leases. It is cancelled like any task when its work must stop, and ends
its children before it returns; what it raises is a bug, what it expects to go wrong is an outcome.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from forge_runtime.git.command import GitError
from forge_runtime.job import ArtifactData, ArtifactResult, ErrorRecord, Job, JobState, new_error
from forge_runtime.log import StepLog
from forge_runtime.span import Trace


class Documents(Protocol):
    """Where plans and discovery documents are kept, by digest."""

    async def put(self, digest: str, data: bytes) -> None: ...


class Results(Protocol):
    """What earlier jobs of the run came to."""

    async def artifact(self, result: ArtifactResult) -> ArtifactData:
        """An artifact job's result, wherever it lies."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What an attempt is given. `scratch` is its own empty directory, removed afterwards.

    `attempt` counts the starts of the job, from 1. `component` names us in error records ("worker.tasks").
    What is written to `log` is sent to whoever looks on, and stored when the attempt ends, however it ends.
    """

    worker: str
    component: str
    attempt: int
    scratch: Path
    documents: Documents
    results: Results
    log: StepLog
    clock: Callable[[], float]
    trace: Trace = field(default_factory=Trace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the work ended: succeeded, failed with an error, or cancelled. An error of class "infra" may be retried."""

    status: JobState
    data: Struct | None = None
    exit_code: int | None = None
    error: ErrorRecord | None = None


class Handler(Protocol):
    async def handle(self, job: Job, context: JobContext) -> Outcome: ...


def failed(code: str, error_class: str, message: str, context: JobContext) -> Outcome:
    """An outcome for what went wrong around the work itself."""
    error = new_error(code, error_class, message, component=context.component, now=context.clock())
    return Outcome(status=JobState.FAILED, error=error)


def git_failure(error: GitError, context: JobContext) -> Outcome:
    """A commit that cannot be had, as every handler that needs one tells it."""
    return failed(error.code, error.error_class, str(error), context)
