"""The step runner "earthly": the real CLI (`earth`, formerly `earthly`) on its build daemon.

The repository must not steer the CLI: its own `.env`, `.arg` and `.secret` files (the first can set the daemon's
address) are replaced by an empty one, HOME and the configuration file are private to the step, step args pass an
allow-list, and `--strict` forbids LOCALLY, which would run on the worker's host.

Exit codes: 0 success; 2 cancelled; 6 the daemon did not answer; 7 it broke off; 9 privileges are needed; 255 emulation
of a foreign platform; 1 everything else, a failing RUN above all, whose own code stands only in the output.
"""

import os
import posixpath
import re
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_runtime.job import ErrorRecord, JobState, Place
from forge_runtime.process import Program, run_process
from forge_runtime.runner.argument import parse_step_arguments
from forge_runtime.runner.failure import StepFailure, config_failure, step_error, timed_out
from forge_runtime.runner.port import LineSink, StepOutcome, StepRequest

TAIL_LINES: Final = 400
"""Looked through for the reason; the CLI repeats the failure at the end of its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarthlyRunner:
    """`cli` is the program's path; `buildkit_host` (tcp://host:8372) a remote daemon, else the CLI starts its own.

    A host name of 127.0.0.1 or localhost makes the CLI start a container instead of connecting.
    """

    cli: str
    buildkit_host: str | None = None
    groups: Path | None = None
    name: str = "earthly"

    async def run(self, request: StepRequest, output: LineSink) -> StepOutcome:
        watch = _OutputWatch(output)
        try:
            program = self._program(request)
            end = await run_process(program, timeout_s=request.timeout_s, output=watch.take, groups=self.groups)
        except StepFailure as failure:
            await output(failure.error.message)
            return StepOutcome(status=JobState.FAILED, exit_code=failure.exit_code, error=failure.error)
        except OSError as error:
            record = _unavailable(f"{self.cli} cannot be started: {error.strerror}")
            return StepOutcome(status=JobState.FAILED, error=record)
        if end.exit_code is None:
            record = timed_out(request.target, request.project_path, request.timeout_s)
            await output(record.message)
            return StepOutcome(status=JobState.FAILED, error=record)
        return _outcome(request, end.exit_code, watch)

    def _program(self, request: StepRequest) -> Program:
        arguments = parse_step_arguments(request.args)
        if not _TARGET.fullmatch(request.target):
            raise config_failure(f'{request.target[:80]!r} is not a target: write "+name"')
        home = request.scratch / "home"
        home.mkdir(parents=True, exist_ok=True)
        empty = request.scratch / "empty"
        empty.touch()
        config = request.scratch / "config.yml"
        config.write_text("{}\n", encoding="utf-8")
        argv = [self.cli, "--config", str(config), "--ci", "--strict"]
        for kind in ("env", "arg", "secret"):
            argv += [f"--{kind}-file-path", str(empty)]
        if self.buildkit_host:
            argv += ["--buildkit-host", self.buildkit_host]
        argv += [flag for flag in arguments.flags if flag not in argv]
        for name in sorted(request.secrets):
            if _STEERS_CLI.fullmatch(name):
                raise config_failure(f"a secret cannot be called {name}: the build tool reads a variable of that name")
            argv += ["--secret", name]  # without a value, which the CLI then takes from its environment
        project = "." if request.project_path in ("", ".") else f"./{request.project_path}"
        argv += [f"{project}{request.target}", *(f"--{name}={value}" for name, value in arguments.build_args.items())]
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "DOCKER_CONFIG": str(home / ".docker"),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
            "EARTH_FULL_TARGET": "1",
            "EARTHLY_FULL_TARGET": "1",
            "SSH_AUTH_SOCK": "",
            **request.environment,
            **request.secrets,
        }
        return Program(argv=tuple(argv), cwd=request.workspace, environment=environment, mask=request.mask)


@dataclass(slots=True)
class _OutputWatch:
    """Passes lines on and keeps the last ones, where the CLI says what failed."""

    output: LineSink
    last: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    async def take(self, line: str) -> None:
        self.last.append(line)
        await self.output(line)

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The last line that matches."""
        return next((match for line in reversed(self.last) if (match := pattern.search(line))), None)

    def own_words(self) -> str:
        """What the CLI said itself; output of commands has their target and a bar in front, and could say anything."""
        return "\n".join(line for line in self.last if " | " not in line)


def _outcome(request: StepRequest, exit_code: int, watch: _OutputWatch) -> StepOutcome:
    if exit_code == 0:
        return StepOutcome(status=JobState.SUCCEEDED, exit_code=0)
    if exit_code == 2:
        record = step_error("CANCELLED", "cancelled", f"{request.target} of {request.project_path} was cancelled")
        return StepOutcome(status=JobState.CANCELLED, error=record)
    if exit_code == 1 and (lost := next((text for text in _INFRA_TEXTS if text in watch.own_words()), None)):
        return StepOutcome(status=JobState.FAILED, error=_unavailable(f"the build daemon was lost: {lost}"))
    if exit_code in _UNAVAILABLE:
        return StepOutcome(status=JobState.FAILED, error=_unavailable(_UNAVAILABLE[exit_code]))
    if exit_code in _CONFIG:
        record = step_error("CONFIG_INVALID", "config", f"{request.target}: {_CONFIG[exit_code]}")
        return StepOutcome(status=JobState.FAILED, error=record)
    if exit_code < 0:
        return StepOutcome(status=JobState.FAILED, error=_unavailable(f"the CLI was killed by signal {-exit_code}"))
    return _step_failed(request, exit_code, watch)


def _step_failed(request: StepRequest, exit_code: int, watch: _OutputWatch) -> StepOutcome:
    """The failing command's own exit code and place, as far as the output tells them."""
    code = int(match[1]) if (match := watch.find(_RUN_EXIT_CODE)) else exit_code
    record = step_error(
        "STEP_FAILED",
        "user",
        f"{request.target} of {request.project_path} failed with exit code {code}",
        location=_place(request, watch.find(_ERROR_PLACE)),
        context={"target": request.target},
    )
    return StepOutcome(status=JobState.FAILED, exit_code=code, error=record)


def _place(request: StepRequest, match: re.Match[str] | None) -> Place | None:
    if match is None:
        return None
    file = match[1] if "/" in match[1] else posixpath.join(request.project_path, match[1])
    return Place(file=posixpath.normpath(file), line=int(match[2]), column=int(match[3]))


def _unavailable(message: str) -> ErrorRecord:
    return step_error("RUNNER_UNAVAILABLE", "infra", message)


_TARGET: Final = re.compile(r"\+[A-Za-z][A-Za-z0-9._-]*")
_STEERS_CLI: Final = re.compile(
    r"(?:EARTH|EARTHLY|BUILDKIT|DOCKER|FORGE|LD|GIT_CONFIG)_.*|PATH|HOME|LANG|TMPDIR|NO_COLOR|TRACEPARENT|SSL_CERT_.*"
    r"|(?i:https?_proxy|no_proxy|all_proxy)|SSH_AUTH_SOCK|GIT_(?:SSH|SSH_COMMAND|EXEC_PATH|ASKPASS|PROXY_COMMAND)|GO[A-Z]+"
)
"""Names of secrets share the CLI's environment with what steers it."""

_RUN_EXIT_CODE: Final = re.compile(r"did not complete successfully\. Exit code (\d{1,3})\b")
_ERROR_PLACE: Final = re.compile(r"\bERROR ([^\s:|]+):(\d{1,9}):(\d{1,9})")

_UNAVAILABLE: Final = {
    6: "the build daemon did not answer",
    7: "the build daemon broke off",
}

_CONFIG: Final = {
    9: "the Earthfile asks for privileges (RUN --privileged, WITH DOCKER), which this platform does not give",
    255: "emulating a foreign platform failed: build for the runner's own platform",
}

_INFRA_TEXTS: Final = (
    "buildkitd did not respond",
    "transport is closing",
    "failed to list workers: Unavailable",
    "error reading from server: EOF",
    "no active sessions",
    "inconsistent graph state",
)
"""Failures of the daemon or of the way to it that end with exit code 1."""
