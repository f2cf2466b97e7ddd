"""The handler port: one type of job as a function of (job, context) that gives an outcome.

A handler knows nothing of queues, records or leases. It is cancelled like any task when its work must stop, and ends
its children before it returns; what it raises is a bug, what it expects to go wrong is an outcome.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from forge_runtime.git.error import GitError
from forge_runtime.job import (
    ERROR_MESSAGE_CHARS_MAX,
    ArtifactData,
    ArtifactResult,
    EarlierStep,
    ErrorRecord,
    Job,
    JobState,
    ResultReference,
    new_error,
    utc_text,
)
from forge_runtime.log import StepLog
from forge_runtime.span import Trace
from forgec.diagnostic import ForgeError, Severity
from forgec.render.record import error_record
from forgec.render.text import render_text

DIAGNOSTICS_CHARS_MAX: Final = 64 * 1024
"""Of the text in the error record, which travels in records and events; the log has all of it."""


class Documents(Protocol):
    """Where plans and discovery documents are kept, by digest."""

    async def put(self, digest: str, data: bytes) -> None: ...


class Results(Protocol):
    """What earlier jobs of the run came to."""

    async def artifact(self, result: ArtifactResult) -> ArtifactData:
        """An artifact job's result, wherever it lies."""
        ...

    async def left(self, project: str, earlier: EarlierStep) -> ResultReference | None:
        """Where the archive lies that an earlier step left for later phases, if it left one."""
        ...

    async def outputs(self, project: str, earlier: EarlierStep) -> bytes | None:
        """That archive."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobContext:
    """What an attempt is given.

    `attempt` counts the starts of the job, from 1. `component` names us in error records ("worker.tasks").
    What is written to `log` is sent to whoever looks on, and stored when the attempt ends, however it ends.
    """

    worker: str
    component: str
    attempt: int
    folder: Path
    documents: Documents
    results: Results
    log: StepLog
    clock: Callable[[], float]
    trace: Trace = field(default_factory=Trace)

    @property
    def scratch(self) -> Path:
        """The attempt's own directory, removed afterwards; made when it is first asked for.

        A job that wants none has none: making and removing one holds up the worker's other slots for milliseconds
        where the disk is busy.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder


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


async def refused(error: ForgeError, context: JobContext, code: str | None = None) -> Outcome:
    """What is wrong with a repository's files. The first error is the job's, by its own code or `code`; all of them are
    in the log and beside it."""
    text = render_text(error.diagnostics, color=False)
    for line in text.splitlines():
        await context.log.write(line)
    first = next(each for each in error.diagnostics if each.severity is Severity.ERROR)
    record = msgspec.convert(error_record(first), ErrorRecord)
    record = msgspec.structs.replace(
        record,
        code=code or record.code,
        message=record.message[:ERROR_MESSAGE_CHARS_MAX],
        timestamp=utc_text(context.clock()),
        context={**record.context, "diagnostics": text[:DIAGNOSTICS_CHARS_MAX]},
    )
    return Outcome(status=JobState.FAILED, error=record)


def git_failure(error: GitError, context: JobContext) -> Outcome:
    """A commit that cannot be had, as every handler that needs one tells it."""
    return failed(error.code, error.error_class, str(error), context)
