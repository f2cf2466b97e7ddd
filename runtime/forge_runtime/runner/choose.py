"""Which step runner a worker uses."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forge_runtime.runner.earthly import EarthlyRunner
from forge_runtime.runner.host import HostRunner
from forge_runtime.runner.port import StepRunner
from forge_runtime.settings import RunnerSetting

CLI_NAMES: Final = ("earth", "earthly")
"""The CLI's present and its former name."""


class RunnerRefused(Exception):
    """The setting cannot be followed; the message says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSurroundings:
    """`engine` is the platform's ("argo", "local"); `which` finds a program on PATH."""

    engine: str
    buildkit_host: str | None = None
    groups: Path | None = None
    which: Callable[[str], str | None] = shutil.which


def choose_runner(setting: RunnerSetting, surroundings: RunnerSurroundings) -> StepRunner:
    """`auto` is earthly where its CLI is installed, else host.

    On a cluster (engine "argo") host is refused: commands of any repository would run with the worker's rights.
    """
    cli = next((path for name in CLI_NAMES if (path := surroundings.which(name))), None)
    if setting == "earthly" and cli is None:
        raise RunnerRefused(f"runner is earthly, but neither {' nor '.join(CLI_NAMES)} is on PATH: install the CLI")
    if setting != "host" and cli is not None:
        return EarthlyRunner(cli=cli, buildkit_host=surroundings.buildkit_host, groups=surroundings.groups)
    if surroundings.engine == "argo":
        raise RunnerRefused(
            "runner host runs commands with the worker's rights and is refused when the engine is argo: "
            "install the earthly CLI in the worker's image and set runner to earthly"
        )
    return HostRunner(groups=surroundings.groups)
