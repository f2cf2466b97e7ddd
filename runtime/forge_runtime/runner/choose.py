"""Which step runner a worker uses."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forge_runtime.meter import Unmetered
from forge_runtime.runner.cli import CLI_NAMES, find_cli
from forge_runtime.runner.earthly import EarthlyRunner
from forge_runtime.runner.earthly_command import telemetry_of
from forge_runtime.runner.endpoint import BadEndpoint, parse_endpoints
from forge_runtime.runner.host import HostRunner
from forge_runtime.runner.image import EngineImages
from forge_runtime.runner.pool import RunnerPool, UpGauge
from forge_runtime.runner.port import StepRunner
from forge_runtime.settings import BUILDKIT_LEASES, RunnerSetting, TlsFiles


class RunnerRefused(Exception):
    """The setting cannot be followed; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSurroundings:
    """`engine` is the platform's ("argo", "local"); `which` finds a program on PATH; `environ` is the worker's own.

    `buildkit_hosts` are the addresses of build daemons, separated by commas; `buildkit_tls` the files for all of them;
    `buildkit_leases` how many steps of this worker each takes at once.
    """

    engine: str
    buildkit_hosts: str = ""
    buildkit_tls: TlsFiles | None = None
    buildkit_leases: int = BUILDKIT_LEASES
    docker_config: Path | None = None
    groups: Path | None = None
    gauge: UpGauge = field(default_factory=Unmetered)
    which: Callable[[str], str | None] = shutil.which
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)


def choose_runner(setting: RunnerSetting, surroundings: RunnerSurroundings) -> StepRunner:
    """`auto` is earthly where its CLI is installed, else host.

    On a cluster (engine "argo") host is refused: commands of any repository would run with the worker's rights.
    """
    cli = find_cli(surroundings.which)
    if setting == "earthly" and cli is None:
        raise RunnerRefused(f"runner is earthly, but neither {' nor '.join(CLI_NAMES)} is on PATH: install the CLI")
    if setting != "host" and cli is not None:
        return _earthly(cli, surroundings)
    if surroundings.engine == "argo":
        raise RunnerRefused(
            "runner host runs commands with the worker's rights and is refused when the engine is argo: "
            "install the earthly CLI in the worker's image and set runner to earthly"
        )
    return HostRunner(groups=surroundings.groups)


def _earthly(cli: str, surroundings: RunnerSurroundings) -> EarthlyRunner:
    try:
        endpoints = parse_endpoints(
            surroundings.buildkit_hosts, tls=surroundings.buildkit_tls, leases_max=surroundings.buildkit_leases
        )
    except BadEndpoint as error:
        raise RunnerRefused(str(error)) from None
    environ = surroundings.environ
    engine = {name: environ[name] for name in ("PATH", "HOME", "DOCKER_HOST", "XDG_RUNTIME_DIR") if name in environ}
    return EarthlyRunner(
        cli=cli,
        pool=RunnerPool(endpoints, surroundings.gauge) if endpoints else None,
        images=EngineImages(environment=engine, which=surroundings.which, groups=surroundings.groups),
        groups=surroundings.groups,
        telemetry=telemetry_of(environ),
        docker_config=surroundings.docker_config,
    )
