"""How a runner says that a step did not succeed: an error record, and for the way there one exception."""

import errno
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from forge_runtime.job import ERROR_MESSAGE_CHARS_MAX, ErrorRecord, Place
from forgec.source import Span

COMPONENT: Final = "worker.tasks"

COMMAND_CHARS_MAX: Final = 2000
"""Of the command in an error's context."""


class StepFailure(Exception):
    """Ends a step: the record says why, `exit_code` is the failing command's own, where there was one."""

    def __init__(self, error: ErrorRecord, exit_code: int | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.exit_code = exit_code


def cannot_be_started(error: OSError) -> bool:
    """Whether a command names no program, or cannot be handed over: the repository's fault, and not this machine's."""
    return error.errno in _NOT_STARTED


def step_error(
    code: str,
    error_class: str,
    message: str,
    *,
    location: Place | None = None,
    context: Mapping[str, Any] | None = None,
) -> ErrorRecord:
    """A record of now; only what the infrastructure did may be tried again."""
    return ErrorRecord(
        code=code,
        error_class=error_class,
        message=message[:ERROR_MESSAGE_CHARS_MAX],
        component=COMPONENT,
        retryable=error_class == "infra",
        timestamp=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        location=location,
        context=dict(context or {}),
    )


def config_failure(message: str) -> StepFailure:
    """Something in the repository has to change before the step can run."""
    return StepFailure(step_error("CONFIG_INVALID", "config", message))


def refused(message: str, span: Span) -> StepFailure:
    """A config failure at a place."""
    return StepFailure(step_error("CONFIG_INVALID", "config", f"{span}: {message}", location=_place(span)))


def command_failed(command: str, exit_code: int, span: Span, target: str) -> StepFailure:
    """A command of the recipe exited with something else than 0."""
    hint = " (command not found: what an image would bring has to be installed on this machine)"
    error = step_error(
        "STEP_FAILED",
        "user",
        f"{span}: {short(command)} exited with {exit_code}{hint if exit_code == 127 else ''}",
        location=_place(span),
        context={"command": command[:COMMAND_CHARS_MAX], "target": target},
    )
    return StepFailure(error, exit_code)


def timed_out(target: str, project: str, timeout_s: float, span: Span | None = None) -> ErrorRecord:
    """The step ran into its time limit, in the command at `span` where that is known."""
    message = f"{target} of {project} ran longer than {timeout_s:g} s"
    if span:
        message = f"{span}: {message}, at last in {short(span.text)}"
    location = _place(span) if span else None
    return step_error("STEP_TIMEOUT", "timeout", message, location=location, context={"target": target})


def short(text: str) -> str:
    """For messages: one line, at most 200 characters."""
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _place(span: Span) -> Place:
    position = span.position
    return Place(file=span.source.name, line=position.line, column=position.column)


_NOT_STARTED: Final = frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.ENOEXEC,
        errno.E2BIG,
        errno.ENOTDIR,
        errno.ENAMETOOLONG,
        errno.ELOOP,
    }
)
