"""How a runner says that a step did not succeed: an error record, and for the way there one exception."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from forge_runtime.job import ERROR_MESSAGE_CHARS_MAX, ErrorRecord, Place

COMPONENT: Final = "worker.tasks"


class StepFailure(Exception):
    """Ends a step: the record says why, `exit_code` is the failing command's own, where there was one."""

    def __init__(self, error: ErrorRecord, exit_code: int | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.exit_code = exit_code


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


def config_failure(message: str, location: Place | None = None) -> StepFailure:
    """Something in the repository has to change before the step can run."""
    return StepFailure(step_error("CONFIG_INVALID", "config", message, location=location))
