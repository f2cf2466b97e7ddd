"""What the end of the build CLI means: its exit code, its manifest and its words, as an outcome with a failure class.

| exit code | meaning |
|---|---|
| 0 | success |
| 1 | everything else, a failing RUN above all, whose own code stands in the manifest or in the output |
| 2 | cancelled; not by us, since nobody reads how a step ended that we stopped |
| 6, 7 | the daemon did not answer, or broke off |
| 9 | privileges are needed |
| 255 | emulation of a foreign platform failed |

Only what the infrastructure did is tried again, so a doubt is the user's failure: words count only where the CLI says
them itself, and not where a command printed them.
"""

import posixpath
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from forge_runtime.job import ErrorRecord, JobState, Place
from forge_runtime.process import Piece
from forge_runtime.runner.earthly_manifest import Failed, exit_code_in
from forge_runtime.runner.failure import COMMAND_CHARS_MAX, short, step_error
from forge_runtime.runner.port import LineSink, StepOutcome, StepRequest

TAIL_LINES: Final = 400
"""Looked through for the reason; the CLI repeats the failure at the end of its output."""

_BAR: Final = " | "
"""Between the name of a target and what one of its commands printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CliEnd:
    """`elsewhere`: another daemon may do better. `daemon_lost`: it is to blame for certain, by the CLI's exit code or
    the kind of failure, and not by words alone, which might quote the repository's."""

    outcome: StepOutcome
    elsewhere: bool = False
    daemon_lost: bool = False


@dataclass(slots=True)
class OutputWatch:
    """Passes lines on and keeps the last ones, where the CLI says what failed."""

    output: LineSink
    last: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    async def take(self, line: str) -> None:
        self.last.append(line)
        await self.output(line)

    def own_words(self) -> list[str]:
        """What the CLI said itself; output of commands has a target and a bar in front, and could say anything.

        Of a line that was cut or overwritten, the rest has no bar and is no word of the CLI.
        """
        return [line for line in self.last if _BAR not in line and not isinstance(line, Piece)]

    def place(self) -> re.Match[str] | None:
        return next((match for line in reversed(self.last) if (match := _ERROR_PLACE.search(line))), None)

    def exit_code(self) -> int | None:
        return next((code for line in reversed(self.last) if (code := exit_code_in(line)) is not None), None)


def cli_end(request: StepRequest, exit_code: int, failed: Failed | None, watch: OutputWatch) -> CliEnd:
    """`failed` is None where there is no manifest."""
    if exit_code == 0:
        return CliEnd(outcome=StepOutcome(status=JobState.SUCCEEDED, exit_code=0))
    if exit_code < 0:
        error = unavailable(f"the build CLI was killed by signal {-exit_code}")  # by something on this machine
        return CliEnd(outcome=_failure(error))
    if exit_code in _LOST:
        return _lost(_LOST[exit_code] + _told(failed), certain=exit_code != _CANCELLED)
    if exit_code in _CONFIG:
        return _refused(request, _CONFIG[exit_code])
    if failed is not None and failed.kind in _KINDS:
        return _KINDS[failed.kind](request, failed)
    if words := _infrastructure_words(failed, watch):
        return _lost(f"the build daemon was lost: {words}", certain=False)
    if failed is None and any(_LIMITED in line for line in watch.own_words()):
        return _registry_limits(request, Failed(kind="RATE_LIMITED", message=""))
    return _step_failed(request, failed, watch, exit_code)


def unavailable(message: str) -> ErrorRecord:
    return step_error("RUNNER_UNAVAILABLE", "infra", message)


def _lost(message: str, *, certain: bool) -> CliEnd:
    return CliEnd(outcome=_failure(unavailable(message)), elsewhere=True, daemon_lost=certain)


def _refused(request: StepRequest, why: str, failed: Failed | None = None) -> CliEnd:
    message = f"{request.target} of {request.project_path}: {why}"
    location = _place(request, failed)
    return CliEnd(outcome=_failure(step_error("CONFIG_INVALID", "config", message, location=location)))


def _step_failed(request: StepRequest, failed: Failed | None, watch: OutputWatch | None, exit_code: int) -> CliEnd:
    """The failing command's own exit code and place, as far as manifest or output tell them."""
    code, location, command = exit_code, _place(request, failed), None
    if failed is not None and failed.kind == "NONZERO_EXIT":
        code, command = failed.exit_code or code, failed.command
    elif watch is not None:
        code = watch.exit_code() or code
        location = location or _matched_place(request, watch.place())
    doing = f"{short(command)}, in " if command else ""
    where = f"{location.file}:{location.line}: " if location else ""
    context = {"target": request.target} | ({"command": command[:COMMAND_CHARS_MAX]} if command else {})
    message = f"{where}{doing}{request.target} of {request.project_path} failed with exit code {code}"
    if failed is not None and failed.kind in ("OTHER", "UNKNOWN") and failed.message:
        message += f": {short(failed.message)}"
    error = step_error("STEP_FAILED", "user", message, location=location, context=context)
    return CliEnd(outcome=StepOutcome(status=JobState.FAILED, exit_code=code, error=error))


def _command_failed(request: StepRequest, failed: Failed) -> CliEnd:
    return _step_failed(request, failed, None, failed.exit_code or 1)


def _memory_ran_out(request: StepRequest, failed: Failed) -> CliEnd:
    what = short(failed.command or request.target)
    message = f"{request.target} of {request.project_path}: {what} was ended because the build daemon ran out of memory"
    error = step_error("STEP_FAILED", "user", message, location=_place(request, failed))
    return CliEnd(outcome=_failure(error))


def _file_missing(request: StepRequest, failed: Failed) -> CliEnd:
    reason = failed.message.rpartition("failed: ")[2] or "a file is missing"
    what = short(failed.command or request.target)
    message = f"{request.target} of {request.project_path}: {what}: {short(reason)}"
    error = step_error("STEP_FAILED", "user", message, location=_place(request, failed))
    return CliEnd(outcome=_failure(error))


def _cannot_fetch(request: StepRequest, failed: Failed) -> CliEnd:
    """The network or credentials; nothing tells which, and another try costs little."""
    message = f"{request.target} of {request.project_path}: git could not fetch what the Earthfile names{_told(failed)}"
    return CliEnd(outcome=_failure(step_error("GIT_FETCH_FAILED", "infra", message, location=_place(request, failed))))


def _registry_limits(request: StepRequest, failed: Failed) -> CliEnd:
    message = f"{request.target} of {request.project_path}: a registry answers 429, too many requests{_told(failed)}"
    return CliEnd(outcome=_failure(unavailable(message)))


def _not_understood(request: StepRequest, failed: Failed) -> CliEnd:
    return _refused(request, short(failed.message) or "the Earthfile cannot be read", failed)


def _needs_privileges(request: StepRequest, failed: Failed) -> CliEnd:
    return _refused(request, _PRIVILEGES, failed)


def _daemon_gone(_request: StepRequest, failed: Failed) -> CliEnd:
    return _lost("the build daemon was lost" + _told(failed), certain=True)


def _failure(error: ErrorRecord) -> StepOutcome:
    return StepOutcome(status=JobState.FAILED, error=error)


def _told(failed: Failed | None) -> str:
    return f" ({short(failed.message)})" if failed is not None and failed.message else ""


def _infrastructure_words(failed: Failed | None, watch: OutputWatch) -> str | None:
    """With a manifest that names a command, only the CLI's own sentence on it counts."""
    own = [failed.message] if failed is not None and failed.command is None else []
    texts = watch.own_words() if failed is None else own
    return next((words for words in _INFRA_TEXTS for text in texts if words in text), None)


def _place(request: StepRequest, failed: Failed | None) -> Place | None:
    if failed is None or failed.file is None:
        return None
    return Place(file=_in_repository(request, failed.file), line=failed.line, column=failed.column)


def _matched_place(request: StepRequest, match: re.Match[str] | None) -> Place | None:
    if match is None:
        return None
    return Place(file=_in_repository(request, match[1]), line=int(match[2]), column=int(match[3]))


def _in_repository(request: StepRequest, file: str) -> str:
    return posixpath.normpath(file if "/" in file else posixpath.join(request.project_path, file))


_ERROR_PLACE: Final = re.compile(r"\bERROR ([^\s:|]+):(\d{1,9}):(\d{1,9})")

_PRIVILEGES: Final = (
    "the Earthfile asks for privileges (RUN --privileged, WITH DOCKER), which this platform does not give"
)

_CANCELLED: Final = 2

_LOST: Final = {
    _CANCELLED: "the build was cancelled, and not by this platform",
    6: "the build daemon did not answer",
    7: "the build daemon broke off",
}

_CONFIG: Final = {
    9: _PRIVILEGES,
    255: "emulating a foreign platform failed: build for the runner's own platform",
}

_KINDS: Final[dict[str, Callable[[StepRequest, Failed], CliEnd]]] = {
    "NONZERO_EXIT": _command_failed,
    "FILE_NOT_FOUND": _file_missing,
    "SYNTAX": _not_understood,
    "INVALID_PARAM": _not_understood,
    "AUTO_SKIP": _not_understood,
    "NEEDS_PRIVILEGED": _needs_privileges,
    "OOM_KILLED": _memory_ran_out,
    "BUILDKIT_CRASHED": _daemon_gone,
    "CONNECTION_FAILURE": _daemon_gone,
    "GIT": _cannot_fetch,
    "RATE_LIMITED": _registry_limits,
}

_LIMITED: Final = "429 Too Many Requests"

_INFRA_TEXTS: Final = (
    "buildkitd did not respond",
    "transport is closing",
    "failed to list workers: Unavailable",
    "error reading from server: EOF",
    "no active sessions",
    "inconsistent graph state",
)
"""Failures of the daemon or of the way to it that end with exit code 1."""
