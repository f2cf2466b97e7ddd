"""The producer "earthly": a target of the project's Earthfile is run, and what it saves is the artifact.

binary       SAVE ARTIFACT of one file that a system can execute
archive      SAVE ARTIFACT of one archive, or of one directory, which is packed here
container    SAVE IMAGE
"""

import asyncio
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, ValidationError, convert

from forge_runtime.job import ErrorRecord, JobState
from forge_runtime.mask import Mask
from forge_runtime.produce.archive import format_of, pack, read_archive
from forge_runtime.produce.executable import read_executable
from forge_runtime.produce.image import digest_of_file, read_image
from forge_runtime.produce.product import Archive, Binary, ProducerFailed, Product
from forge_runtime.produce.saved import only_file, top_entry
from forge_runtime.runner.port import LineSink, StepOutcome, StepRequest, StepRunner
from forge_runtime.thread import in_thread

CONTAINER: Final = "container"


class _Target(Struct, frozen=True):
    target: str
    args: tuple[str, ...] = ()


class _Producer(Struct, frozen=True):
    earthly: _Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """What to make, of a checkout that this job alone uses. `scratch` is an empty directory; the product lies there.

    `name` and `type` are the artifact's, `producer` what the project says of it; `affinity` see StepRequest.
    """

    name: str
    type: str
    producer: Mapping[str, Any]
    workspace: Path
    project_path: str
    scratch: Path
    timeout_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    mask: Mask = field(default_factory=Mask, repr=False)
    affinity: str = ""


class TargetFailed(Exception):
    """The target itself did not succeed; `outcome` is the runner's, its error told with its command's place."""

    def __init__(self, outcome: StepOutcome, error: ErrorRecord) -> None:
        super().__init__(error.message)
        self.outcome = outcome
        self.error = error


@dataclass(frozen=True, slots=True)
class EarthlyProducer:
    runner: StepRunner

    async def produce(self, production: Production, output: LineSink) -> Product:
        """Raises ProducerFailed, TargetFailed, and OSError where the machine cannot."""
        try:
            target = convert(production.producer, _Producer).earthly
        except ValidationError as error:
            raise ProducerFailed(f"the artifact's producer cannot be read: {error}") from None
        saved = production.scratch / "saved"
        await self._run(production, target, saved, output)
        product = production.scratch / "product"
        product.mkdir()
        match production.type:
            case "binary":
                return await in_thread(lambda stop: _binary(saved, stop))
            case "archive":
                return await in_thread(lambda stop: _archive(saved, product / f"{production.name}.tar.gz", stop))
            case "container":
                return await in_thread(lambda stop: read_image(saved, product / "image", stop))
            case other:
                raise ProducerFailed(f'there are no artifacts of the type "{other}"')

    async def _run(self, production: Production, target: _Target, saved: Path, output: LineSink) -> None:
        step = production.scratch / "step"
        step.mkdir(parents=True)
        is_image = production.type == CONTAINER
        request = StepRequest(
            workspace=production.workspace,
            project_path=production.project_path,
            target=target.target,
            args=target.args,
            scratch=step,
            timeout_s=production.timeout_s,
            environment=production.environment,
            mask=production.mask,
            affinity=production.affinity,
            save_to=None if is_image else saved,
            save_image=saved if is_image else None,
        )
        outcome = await self.runner.run(request, output)
        if outcome.status is not JobState.SUCCEEDED:
            assert outcome.error is not None
            raise TargetFailed(outcome, outcome.error)
        if not await asyncio.to_thread(os.path.lexists, saved):
            what = "no image: name it with SAVE IMAGE" if is_image else "nothing: name it with SAVE ARTIFACT"
            raise ProducerFailed(f"{target.target} saved {what}")


def _binary(saved: Path, stop: threading.Event) -> Binary:
    entry = only_file(saved, stop)
    with entry.path.open("rb") as file:
        found = read_executable(file)
    if found is None:
        raise ProducerFailed(
            f"the target saved {entry.name}, which is no executable (ELF, Mach-O, PE, or a script that begins with #!)"
        )
    return Binary(
        path=entry.path,
        executable=entry.path.name,
        arch=found.arch,
        os=found.os,
        size=entry.size,
        digest=digest_of_file(entry.path, stop),
        static=found.static,
    )


def _archive(saved: Path, packed: Path, stop: threading.Event) -> Archive:
    """An archive as it is, or a directory in one that is named after the artifact."""
    entry = top_entry(saved, stop)
    path = entry.path
    if entry.is_directory:
        path = packed
        if pack(entry.path, packed, stop) == 0:
            raise ProducerFailed(f"the target saved {entry.name}, a directory without any file")
    kind = format_of(path)
    names: set[str] = set()
    for member in read_archive(path, stop):
        names.add(member.name)
        for _ in member.chunks():  # to the end, so that what is damaged is found out here
            pass
    if kind is None or not names:
        raise ProducerFailed(f"the target saved {entry.name}, an archive without any file")
    return Archive(
        path=path,
        format=kind,
        size=path.stat().st_size,
        digest=digest_of_file(path, stop),
        entries=len(names),
        content_type=content_type_of(path.name, names),
    )


def content_type_of(file: str, names: set[str]) -> str | None:
    """What the files of an archive are together, as far as one sees it."""
    if file.endswith(".whl"):
        return "python-wheel"
    if file.endswith(".crate"):
        return "rust-crate"
    if "cue.mod/module.cue" in names:
        return "cue-module"
    if any(name.count("/") == 1 and name.endswith("/PKG-INFO") for name in names):
        return "python-sdist"
    return "npm-package" if "package/package.json" in names else None
