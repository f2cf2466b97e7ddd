"""The step runner "earthly": the real CLI (`earth`, formerly `earthly`) on one of a pool of build daemons.

    request -> lease of a daemon -> CLI -> how it ended
                  ^                          | the daemon was lost, and another one may be used
                  '--------------------------'  once

What the CLI is told is in `earthly_command.py`, what its end means in `earthly_outcome.py`. Without daemons the CLI
starts one of its own, by Docker or Podman.
"""

import asyncio
import errno
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from forge_runtime.folder import machine_failed, remove_folder
from forge_runtime.job import JobState
from forge_runtime.process import run_process
from forge_runtime.runner import tree
from forge_runtime.runner.cli import Cli, CliBroken, CliProbe
from forge_runtime.runner.earthly_command import CliSite, base_environment, check_request, invocation
from forge_runtime.runner.earthly_events import own_words
from forge_runtime.runner.earthly_manifest import read_failure
from forge_runtime.runner.earthly_outcome import CliEnd, OutputWatch, cli_end, unavailable
from forge_runtime.runner.failure import StepFailure, config_failure, step_error, timed_out
from forge_runtime.runner.image import ImageExporter, ImageUnavailable
from forge_runtime.runner.pool import Lease, NoDaemon, RunnerPool
from forge_runtime.runner.port import LineSink, StepOutcome, StepRequest
from forge_runtime.thread import in_thread

RETRY_PAUSE_S: Final = 1.0
"""At most, before the second daemon: many steps may have lost the first one in the same moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EarthlyRunner:
    """`telemetry` are variables for the CLI's own spans; `docker_config` is a folder whose `config.json` it may use
    for registries. Without `pool` the CLI looks after its daemon itself."""

    cli: str
    pool: RunnerPool | None = None
    images: ImageExporter | None = None
    groups: Path | None = None
    telemetry: Mapping[str, str] = field(default_factory=dict, repr=False)
    docker_config: Path | None = None
    name: str = "earthly"
    keeps_outputs: bool = False
    _probe: CliProbe = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_probe", CliProbe(self.cli))

    def serving(self) -> AbstractAsyncContextManager[None]:
        return self.pool.serving() if self.pool is not None else nullcontext()

    async def run(self, request: StepRequest, output: LineSink) -> StepOutcome:
        """The time limit is the CLI's: waiting for a daemon does not count."""
        try:
            outcome = await self._run(request, output)
        except StepFailure as failure:
            outcome = StepOutcome(status=JobState.FAILED, exit_code=failure.exit_code, error=failure.error)
        except (NoDaemon, CliBroken) as reason:
            outcome = StepOutcome(status=JobState.FAILED, error=unavailable(str(reason)))
        if outcome.error is not None:
            await output(request.mask.text(outcome.error.message))
        return outcome

    async def _run(self, request: StepRequest, output: LineSink) -> StepOutcome:
        check_request(request)
        cli = await self._probe.cli(base_environment(request.scratch), request.scratch)
        async with self._images_ready(request):
            first = await self._attempt(cli, request, output, request.scratch / "attempt-1")
            if not (first.end.elsewhere and self.pool is not None and self.pool.usable(apart=first.daemon)):
                return first.end.outcome
            why = first.end.outcome.error.message if first.end.outcome.error is not None else ""
            await output(request.mask.text(f"{why}; trying once more on another daemon than {first.daemon}"))
            await asyncio.sleep(random.uniform(0, RETRY_PAUSE_S))  # noqa: S311 - spreads load, guards nothing
            rest = replace(request, timeout_s=max(1.0, request.timeout_s - first.took_s))
            second = await self._attempt(cli, rest, output, request.scratch / "attempt-2", apart=first.daemon)
        return second.end.outcome

    async def _attempt(
        self, cli: Cli, request: StepRequest, output: LineSink, folder: Path, *, apart: str | None = None
    ) -> "_Attempt":
        async with self._lease(request, apart) as lease:
            endpoint = lease.endpoint if lease is not None else None
            site = CliSite(cli=cli, endpoint=endpoint, telemetry=self.telemetry, docker_config=self.docker_config)
            began = time.monotonic()
            end = await self._call(site, request, output, folder)
            if lease is not None:
                lease.lost = end.daemon_lost
        daemon = endpoint.name if endpoint is not None else None
        return _Attempt(end=end, daemon=daemon, took_s=time.monotonic() - began)

    @asynccontextmanager
    async def _lease(self, request: StepRequest, apart: str | None) -> AsyncIterator[Lease | None]:
        if self.pool is None:
            yield None
            return
        async with self.pool.lease(request.affinity or request.project_path, apart=apart) as lease:
            yield lease

    async def _call(self, site: CliSite, request: StepRequest, output: LineSink, folder: Path) -> CliEnd:
        watch = OutputWatch(output)
        try:
            call = invocation(site, request, folder)
            with own_words(call.events) as words:
                end = await run_process(
                    call.program, timeout_s=request.timeout_s, output=watch.take, groups=self.groups
                )
        except OSError as error:
            if error.errno == errno.E2BIG:
                message = f"the arguments and secrets of {request.target} are together more than a program can be given"
                raise config_failure(message) from None
            where = f"{error.filename}: " if error.filename else ""
            message = f"{self.cli} cannot be started: {where}{error.strerror}"
            return CliEnd(outcome=StepOutcome(status=JobState.FAILED, error=unavailable(message)))
        if end.exit_code is None:
            error_record = timed_out(request.target, request.project_path, request.timeout_s)
            return CliEnd(outcome=StepOutcome(status=JobState.FAILED, error=error_record))
        ended = cli_end(request, end.exit_code, read_failure(call.manifest), watch)
        if end.exit_code == 0:
            await self._give(request, words.images, call.artifacts)
        return ended

    async def _give(self, request: StepRequest, images: Sequence[str], artifacts: Path) -> None:
        """What the request wants besides success. Raises StepFailure."""
        if request.save_to is not None:
            await _save(request, artifacts, request.save_to)
        if request.save_image is not None and self.images is not None:
            if len(images) != 1:
                for image in images:
                    await self.images.forget(image, request.scratch)
                found = ", ".join(images[:5]) or "none"
                raise config_failure(f"{request.target} has to give one image by SAVE IMAGE; it gives: {found}")
            try:
                await self.images.export(images[0], request.save_image)
            except ImageUnavailable as reason:
                raise _image_failure(reason) from None

    @asynccontextmanager
    async def _images_ready(self, request: StepRequest) -> AsyncIterator[None]:
        if request.save_image is None:
            yield
            return
        if self.images is None:
            raise config_failure(f"{request.target} is wanted as an image, which this worker is not set up for")
        async with self.images.alone():
            try:
                await self.images.check(request.scratch)
            except ImageUnavailable as reason:
                raise _image_failure(reason) from None
            yield


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """How the CLI ended, on which daemon, and after how long."""

    end: CliEnd
    daemon: str | None
    took_s: float


async def _save(request: StepRequest, artifacts: Path, folder: Path) -> None:
    def move(stop: threading.Event) -> None:
        for name in _own_folders(artifacts):
            remove_folder(artifacts / name)
        tree.clone_closed(artifacts, folder, stop=stop)

    try:
        await in_thread(move)
    except tree.PathRefused as reason:
        raise config_failure(f"the artifacts of {request.target} cannot be saved: {reason}") from None
    except OSError as error:
        if machine_failed(error):
            raise
        raise config_failure(f"the artifacts of {request.target} cannot be saved: {error.strerror}") from None


def _own_folders(artifacts: Path) -> list[str]:
    """The CLI's own folders for `AS LOCAL`, which it writes beside what it was asked for."""
    names = [path.name for path in artifacts.iterdir() if path.is_dir() and not path.is_symlink()]
    return [name for name in names if _OWN_FOLDER.fullmatch(name)]


def _image_failure(reason: ImageUnavailable) -> StepFailure:
    if reason.away:
        return StepFailure(unavailable(str(reason)))
    return StepFailure(step_error("CONFIG_INVALID", "config", str(reason)))


_OWN_FOLDER: Final = re.compile(r"index-[A-Za-z0-9]{32}")
