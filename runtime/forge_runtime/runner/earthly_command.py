"""How the build CLI is called for a step: arguments, environment, configuration. Pure but for the files it is given.

The repository must not steer the CLI, which reads much by itself: `.env`, `.arg` and `.secret` of the directory it runs
in, its configuration below HOME, Docker's credentials, an SSH agent, and some fifty variables. Each is closed:

| what | how |
|---|---|
| `.env` (may set any of the CLI's variables) | `--env-file-path` of an empty file **and** the variable ENV_FILE |
| `.arg`, `.secret` | `--arg-file-path`, `--secret-file-path` of an empty file |
| configuration, HOME | private to the step: `--config`, HOME |
| Docker's credentials | DOCKER_CONFIG of the step; empty unless the worker has a file for steps |
| SSH agent | `--ssh-auth-sock=` |
| LOCALLY, which would run on the worker | `--strict` |
| other variables | the environment is made anew |

The variable is needed since the CLI looks for `--env-file-path` with a parser that knows no `--secret` and no
`--platform`: where one of them is on the command line it gives up, and loads `.env` after all (seen with a build of
August 2026, after 0.8.18; the source of 0.8.16 reads the same).
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from forge_runtime.process import Program
from forge_runtime.runner.argument import StepArguments, parse_step_arguments
from forge_runtime.runner.cli import Cli
from forge_runtime.runner.endpoint import Endpoint
from forge_runtime.runner.failure import config_failure
from forge_runtime.runner.port import StepRequest
from forgec.discovery.model import RESERVED_SECRET_NAME

CONNECT_LIMIT_S: Final = 10
"""How long the CLI waits for its daemon; its own default is 60. The pool has seen it answer moments before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CliSite:
    """With what a call is made: the program, the daemon (None: the CLI's own), variables for the CLI's spans, and the
    folder of Docker's configuration for registries, if the worker has one for steps."""

    cli: Cli
    endpoint: Endpoint | None
    telemetry: Mapping[str, str] = field(default_factory=dict, repr=False)
    docker_config: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """A call of the CLI. It writes `manifest` if it can, artifacts below `artifacts` if it was asked for them, and what
    happens to `events`, a pipe, if it was asked for an image."""

    program: Program = field(repr=False)
    manifest: Path
    artifacts: Path
    events: Path | None


def check_request(request: StepRequest) -> StepArguments:
    """What must be refused before anything starts. Raises StepFailure (config)."""
    arguments = parse_step_arguments(request.args)
    if not _TARGET.fullmatch(request.target):
        raise config_failure(f'{request.target[:80]!r} is not a target: write "+name"')
    for name in sorted(request.secrets):
        if RESERVED_SECRET_NAME.fullmatch(name):
            raise config_failure(f"a secret cannot be called {name}: a variable of that name steers the build tool")
        if "\0" in request.secrets[name]:
            raise config_failure(f"the secret {name} has a NUL, which no variable can hold: encode it (base64)")
    return arguments


def invocation(site: CliSite, request: StepRequest, folder: Path) -> Invocation:
    """The call, with its files made below `folder`, which is empty. Raises StepFailure (config), OSError."""
    arguments = check_request(request)
    home = folder / "home"
    home.mkdir(parents=True)
    empty = folder / "empty"
    empty.touch()
    config = folder / "config.yml"
    config.write_text(_configuration(site.endpoint), encoding="utf-8")
    manifest, artifacts = folder / "manifest.json", folder / "artifacts"
    events = folder / "events.json" if request.save_image is not None else None  # JSON by its ending
    argv = [site.cli.path, "--config", str(config), "--ci", "--strict"]
    for kind in ("env", "arg", "secret"):
        argv += [f"--{kind}-file-path", str(empty)]
    argv += ["--ssh-auth-sock=", "--logstream-debug-manifest-file", str(manifest)]
    if events is not None:
        argv += ["--logstream-debug-file", str(events)]
    if site.endpoint is not None:  # always as a flag: from the configuration it is ignored where there is no Docker
        argv += ["--buildkit-host", site.endpoint.address]
    argv += [flag for flag in arguments.flags if flag not in argv]
    for name in sorted(request.secrets):
        argv += ["--secret", name]  # without a value, which the CLI then takes from its environment
    argv += [*_wanted(request, artifacts), *(f"--{name}={value}" for name, value in arguments.build_args.items())]
    environment = {
        **base_environment(home, site.docker_config),
        **site.cli.variables({"ENV_FILE": str(empty), "FULL_TARGET": "1"}),
        **site.telemetry,
        **request.environment,
        **request.secrets,
    }
    program = Program(argv=tuple(argv), cwd=request.workspace, environment=environment, mask=request.mask, legible=True)
    return Invocation(program=program, manifest=manifest, artifacts=artifacts, events=events)


def base_environment(home: Path, docker_config: Path | None = None) -> dict[str, str]:
    """Of the worker's own environment no more than where programs and the container engine are."""
    return {
        **{name: value for name in ("DOCKER_HOST", "XDG_RUNTIME_DIR") if (value := os.environ.get(name))},
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "DOCKER_CONFIG": str(docker_config or home / ".docker"),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "SSH_AUTH_SOCK": "",
    }


def telemetry_of(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the worker's environment the CLI needs to send its own spans where the worker sends its."""
    return {name: value for name, value in environ.items() if _TELEMETRY.fullmatch(name)}


def _wanted(request: StepRequest, artifacts: Path) -> list[str]:
    project = "." if request.project_path in ("", ".") else f"./{request.project_path}"
    target = f"{project}{request.target}"
    if request.save_to is not None:
        return ["--artifact", f"{target}/*", f"{artifacts}/"]
    if request.save_image is not None:
        return ["--image", target]
    return [target]


def _configuration(endpoint: Endpoint | None) -> str:
    """JSON, which is YAML. The CLI asks for TLS unless it is told not to."""
    settings: dict[str, Any] = {"buildkit_restart_timeout_s": CONNECT_LIMIT_S}
    if endpoint is None:  # the CLI starts a daemon of its own, which takes its time
        return "{}\n"
    settings["tls_enabled"] = endpoint.tls is not None
    if endpoint.tls is not None:
        files = {"tlsca": endpoint.tls.ca, "tlscert": endpoint.tls.cert, "tlskey": endpoint.tls.key}
        settings |= {key: str(path.absolute()) for key, path in files.items()}
    return json.dumps({"global": settings}) + "\n"


_TARGET: Final = re.compile(r"\+[A-Za-z][A-Za-z0-9._-]*")

_TELEMETRY: Final = re.compile(r"OTEL_(?:EXPORTER_OTLP_.*|(?:TRACES|METRICS|LOGS)_EXPORTER|SDK_DISABLED)")
