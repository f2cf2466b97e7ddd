"""A step for the earthly runner: its request, its output, and the fake CLI that it calls."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.earthly.fakes import FakeCli

from forge_runtime.mask import Mask
from forge_runtime.meter import Unmetered
from forge_runtime.runner.affinity import Load
from forge_runtime.runner.breaker import Probe
from forge_runtime.runner.earthly import EarthlyRunner
from forge_runtime.runner.endpoint import Endpoint, parse_endpoints
from forge_runtime.runner.image import ImageExporter
from forge_runtime.runner.pool import RunnerPool
from forge_runtime.runner.port import StepOutcome, StepRequest
from forge_runtime.runner.probe import Seen

DAEMON = "tcp://builder:8372"


class Healthy:
    """A watcher that finds its daemon well, always."""

    def __init__(self, _endpoint: Endpoint, load: Load | None = None) -> None:
        self._load = load

    async def look(self) -> Seen:
        return Seen(probe=Probe.HEALTHY, load=self._load)

    async def close(self) -> None:
        return None


@dataclass
class EarthlyStep:
    root: Path
    cli: FakeCli
    lines: list[str] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    hosts: str = DAEMON
    images: ImageExporter | None = None
    telemetry: Mapping[str, str] = field(default_factory=dict)
    wanted: Mapping[str, Any] = field(default_factory=dict)
    printed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with the first line."""

    def run(self, *args: str, project: str = "libs/x", timeout_s: float = 30) -> StepOutcome:
        return asyncio.run(self.start(*args, project=project, timeout_s=timeout_s))

    async def start(self, *args: str, project: str = "libs/x", timeout_s: float = 30) -> StepOutcome:
        request = StepRequest(
            workspace=self.root / "workspace",
            project_path=project,
            target="+test",
            args=args,
            scratch=self.root / "scratch",
            timeout_s=timeout_s,
            environment={"FORGE_RUN_ID": "run-1"},
            secrets=self.secrets,
            mask=Mask(self.secrets.values()),
            affinity="repo/x",
            **self.wanted,
        )
        endpoints = parse_endpoints(self.hosts)
        runner = EarthlyRunner(
            cli=str(self.cli.program),
            pool=RunnerPool(endpoints, Unmetered(), watch=Healthy) if endpoints else None,
            images=self.images,
            telemetry=self.telemetry,
        )
        async with runner.serving():
            return await runner.run(request, self._take)

    async def _take(self, line: str) -> None:
        self.lines.append(line)
        self.printed.set()

    @property
    def argv(self) -> Sequence[str]:
        argv: Sequence[str] = self.cli.called["argv"]
        return argv
