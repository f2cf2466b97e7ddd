"""Getting an image out of the container engine on this machine, where the build CLI puts what SAVE IMAGE names.

    build CLI --image --> engine's own store, by the image's name --> `image save` --> OCI archive

The CLI has no other way to give an image away but to push it. The store is shared by all that use the engine: two
builds of one image name would meet there, so a worker makes one image at a time, and takes it out at once.

What the engine had before the build stays as it was, whatever names the Earthfile chooses. The names are looked up
before and after: one that was not there is removed, one that points to the same image still (a build from a warm cache
makes the identical one) is left alone, and one that the CLI took from another image is given back to it.
"""

import asyncio
import logging
import re
import shutil
import tarfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from forge_runtime.folder import machine_failed
from forge_runtime.process import Program, run_process, settle

ENGINES: Final = ("docker", "podman")

ENGINE_LIMIT_S: Final = 10.0
"""For the engine to say that it is there."""

SAVE_LIMIT_S: Final = 600.0

_log = logging.getLogger(__name__)


class ImageUnavailable(Exception):
    """An image cannot be had; the message says why and what to do. `away`: another try may help."""

    def __init__(self, message: str, *, away: bool = False) -> None:
        super().__init__(message)
        self.away = away


class ImageExporter(Protocol):
    """One image at a time: `alone` is held from before the build until the image is out.

    Images are named as the CLI names them, by its own word: what an Earthfile's commands print must not come here.
    """

    def alone(self) -> AbstractAsyncContextManager[None]: ...

    async def check(self, scratch: Path) -> None:
        """What the engine has before anything is built. Raises ImageUnavailable where there is no engine."""
        ...

    async def export(self, image: str, archive: Path) -> None:
        """Write the image as an OCI archive, and forget it. Raises ImageUnavailable."""
        ...

    async def forget(self, image: str, scratch: Path) -> None:
        """Leave the image's name in the engine as it was at the check."""
        ...


@dataclass(slots=True)
class EngineImages:
    """By the command line of Docker (25 or newer, whose archives are OCI layouts too) or Podman."""

    environment: Mapping[str, str]
    which: Callable[[str], str | None] = shutil.which
    groups: Path | None = None
    _one: asyncio.Lock = field(default_factory=asyncio.Lock)
    _had: Mapping[str, str] = field(default_factory=dict)
    """Ids by full names, at the check."""

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._one:
            yield

    async def check(self, scratch: Path) -> None:
        self._had = await self._held(await self._engine(scratch), scratch)

    async def export(self, image: str, archive: Path) -> None:
        if not _IMAGE_NAME.fullmatch(image):
            raise ImageUnavailable(f"{image[:80]!r} is not the name of an image that can be taken out")
        program, scratch = await self._engine(archive.parent), archive.parent
        try:
            name = self._name_of(image, await self._held(program, scratch))
            if name is None:
                raise ImageUnavailable(f"{program} does not have the image {image}, or several of that name", away=True)
            save = ("image", "save", *_form(program), "-o", str(archive), name)
            code, said = await self._run(program, *save, cwd=scratch, limit_s=SAVE_LIMIT_S)
        finally:  # or it stays there for good
            await settle(asyncio.ensure_future(self.forget(image, scratch)))
        if code != 0:
            raise ImageUnavailable(f"{program} cannot save the image {image}: {said}", away=True)
        await asyncio.to_thread(_check_archive, archive, image)

    async def forget(self, image: str, scratch: Path) -> None:
        try:
            program = await self._engine(scratch)
            held = await self._held(program, scratch)
        except (ImageUnavailable, OSError) as error:
            _log.warning("an image stays in the container engine", extra={"image": image, "why": str(error)})
            return
        name = self._name_of(image, held)
        if name is None or held[name] == self._had.get(name):
            return
        await self._run(program, "image", "rm", name, cwd=scratch)
        if name in self._had:
            await self._run(program, "image", "tag", self._had[name], name, cwd=scratch)

    def _name_of(self, image: str, held: Mapping[str, str]) -> str | None:
        """The engine's name for it. Podman may have two for one: then that which is new, or moved to another image."""
        names = [name for name in held if _full_name(name) == _full_name(image)]
        new = [name for name in names if held[name] != self._had.get(name)] or names
        return new[0] if len(new) == 1 else None

    async def _held(self, program: str, scratch: Path) -> Mapping[str, str]:
        """Ids of all images, by their names."""
        lines: list[str] = []
        form = ("--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
        code, said = await self._run(program, "image", "ls", *form, cwd=scratch, lines=lines)
        if code != 0:
            raise ImageUnavailable(f"{program} does not tell which images it has: {said}", away=True)
        pairs = [line.partition(" ") for line in lines]
        return {name: image_id for name, _, image_id in pairs if image_id and _IMAGE_NAME.fullmatch(name)}

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

    async def _run(
        self,
        program: str,
        *args: str,
        cwd: Path,
        limit_s: float = ENGINE_LIMIT_S,
        lines: list[str] | None = None,
    ) -> tuple[int, str]:
        """Exit code (124 for the time limit) and the last line that was printed; `lines` takes all of them."""
        last = ""

        async def take(line: str) -> None:
            nonlocal last
            last = line.strip()[:300] or last
            if lines is not None:
                lines.append(line.strip())

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


def _full_name(image: str) -> str:
    """Docker shortens names, Podman does not, and calls what has no registry "localhost"."""
    path, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:
        path, tag = image, "latest"
    for implied in ("localhost/", "docker.io/", "library/"):
        path = path.removeprefix(implied)
    return f"{path}:{tag}"


def _check_archive(archive: Path, image: str) -> None:
    try:
        with tarfile.open(archive) as tar:
            names = set(tar.getnames())
    except (OSError, tarfile.TarError) as error:
        raise ImageUnavailable(f"the archive of the image {image} cannot be read: {error}", away=True) from None
    if not {"oci-layout", "index.json"} <= names:
        raise ImageUnavailable(f"the archive of the image {image} is no OCI layout: Docker 25 or newer writes one")


_IMAGE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,254}")
