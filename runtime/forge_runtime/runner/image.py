"""Getting an image out of the container engine on this machine, where the build CLI puts what SAVE IMAGE names.

    build CLI --image --> engine's own store, by the image's name --> `image save` --> OCI archive

The CLI has no other way to give an image away but to push it. The store is shared by all that use the engine: two
builds of one image name would meet there, so a worker makes one image at a time, and takes it out at once.
"""

import asyncio
import re
import shutil
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from forge_runtime.process import Program, run_process, settle
from forge_runtime.runner.failure import machine_failed

ENGINES: Final = ("docker", "podman")

ENGINE_LIMIT_S: Final = 10.0
"""For the engine to say that it is there."""

SAVE_LIMIT_S: Final = 600.0


class ImageUnavailable(Exception):
    """An image cannot be had; the message says why and what to do. `away`: another try may help."""

    def __init__(self, message: str, *, away: bool = False) -> None:
        super().__init__(message)
        self.away = away


class ImageExporter(Protocol):
    """One image at a time: `alone` is held from before the build until the image is out."""

    def alone(self) -> AbstractAsyncContextManager[None]: ...

    async def check(self, scratch: Path) -> None:
        """Raises ImageUnavailable where there is no engine, before anything is built for it."""
        ...

    async def export(self, image: str, archive: Path) -> None:
        """Write the image as an OCI archive, and forget it in the engine. Raises ImageUnavailable."""
        ...


@dataclass(slots=True)
class EngineImages:
    """By the command line of Docker (25 or newer, whose archives are OCI layouts too) or Podman."""

    environment: Mapping[str, str]
    which: Callable[[str], str | None] = shutil.which
    groups: Path | None = None
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._one:
            yield

    async def check(self, scratch: Path) -> None:
        await self._engine(scratch)

    async def export(self, image: str, archive: Path) -> None:
        if not _IMAGE_NAME.fullmatch(image):
            raise ImageUnavailable(f"{image[:80]!r} is not the name of an image that can be taken out")
        program = await self._engine(archive.parent)
        save = ("image", "save", *_form(program), "-o", str(archive), image)
        try:
            code, said = await self._run(program, *save, cwd=archive.parent, limit_s=SAVE_LIMIT_S)
        finally:  # or it stays there for good
            remove = self._run(program, "image", "rm", image, cwd=archive.parent, limit_s=ENGINE_LIMIT_S)
            await settle(asyncio.ensure_future(remove))
        if code != 0:
            raise ImageUnavailable(f"{program} cannot save the image {image}: {said}", away=True)
        await asyncio.to_thread(_check_archive, archive, image)

    async def _engine(self, scratch: Path) -> str:
        """The first program whose engine answers."""
        found = [path for name in ENGINES if (path := self.which(name))]
        reasons = []
        for program in found:
            code, said = await self._run(program, "version", "--format", "{{.Server.Version}}", cwd=scratch)
            if code == 0:
                return program
            reasons.append(f"{program}: {said}")
        why = "; ".join(reasons) or f"neither {' nor '.join(ENGINES)} is installed"
        raise ImageUnavailable(
            f"no container engine on this worker, which the build tool needs to hand out an image ({why}): "
            "give the worker one, or build the image as an artifact"
        )

    async def _run(self, program: str, *args: str, cwd: Path, limit_s: float = ENGINE_LIMIT_S) -> tuple[int, str]:
        """Exit code (124 for the time limit) and the last line that was printed."""
        last = ""

        async def take(line: str) -> None:
            nonlocal last
            last = line.strip()[:300] or last

        call = Program(argv=(program, *args), cwd=cwd, environment=self.environment)
        try:
            end = await run_process(call, timeout_s=limit_s, output=take, groups=self.groups)
        except OSError as error:
            if machine_failed(error):
                raise
            return 127, f"cannot be started: {error.strerror}"
        return (124, f"no answer within {limit_s:g} s") if end.exit_code is None else (end.exit_code, last)


def _form(program: str) -> tuple[str, ...]:
    """Podman writes Docker's form unless asked; Docker writes both into one archive."""
    return ("--format", "oci-archive") if Path(program).name == "podman" else ()


def _check_archive(archive: Path, image: str) -> None:
    try:
        with tarfile.open(archive) as tar:
            names = set(tar.getnames())
    except (OSError, tarfile.TarError) as error:
        raise ImageUnavailable(f"the archive of the image {image} cannot be read: {error}", away=True) from None
    if not {"oci-layout", "index.json"} <= names:
        raise ImageUnavailable(f"the archive of the image {image} is no OCI layout: Docker 25 or newer writes one")


_IMAGE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}")
