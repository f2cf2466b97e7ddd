"""Files that a step leaves for later phases of its run: kept as an archive, and laid over their checkouts.

    step --AS LOCAL--> folder --> archive --> object store, artifact-staging/<run>/<project>/<phase>/<step>-<digest>
                                     |
                     the job's record: key, size, SHA-256
                                     |
    later phase, any worker -------- '--> checked --> unpacked aside --> laid over the project's directory

The record names the archive, so what a repeated or a lost attempt has stored is never taken for it. Equal files give an
equal archive. It is a repository's own, so it is unpacked as untrusted: plain files alone, within the project, limited.
"""

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from forge_runtime.blob import GET_BYTES_MAX, Blob
from forge_runtime.job import CiPayload, Job, ResultReference
from forge_runtime.oci.image import BadImage, Packed, write_tar_gzip
from forge_runtime.runner import tree
from forge_runtime.thread import go_on, in_thread
from forge_runtime.worker.handler import Results

FILES_MAX: Final = 10_000
BYTES_MAX: Final = 256 * 1024 * 1024
"""Of one step's files. Larger things are artifacts: those are published, these are gone after a day."""

ARCHIVE_BYTES_MAX: Final = GET_BYTES_MAX

CONFIGURATION: Final = (".forge", ".git", "Earthfile")
"""What decides what runs, here and in projects below: no step changes it for another."""

_SUFFIX: Final = ".tar.gz"


class OutputsRefused(Exception):
    """A step's files cannot be kept, or laid over a checkout; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Raises OutputsRefused for what is the repository's fault, and BlobUnavailable or ResultLost for what is not."""

    blob: Blob

    async def keep(self, job: Job, payload: CiPayload, folder: Path, archive: Path) -> ResultReference | None:
        """Store what a step left in `folder`, by way of the file `archive`; None if that is nothing."""
        packed = await in_thread(lambda stop: _packed(folder, archive, stop))
        if packed is None:
            return None
        name = f"{payload.step.name}-{packed.sha256.removeprefix('sha256:')[:16]}{_SUFFIX}"
        key = f"artifact-staging/{job.run_id}/{payload.project}/{payload.phase}/{name}"
        await self.blob.put(key, archive, cls="staging")
        return ResultReference(key=key, sha256=packed.sha256, size=packed.size)

    async def lay(self, payload: CiPayload, results: Results, workspace: Path, scratch: Path) -> Sequence[str]:
        """Put what earlier steps left where they would have left it; says of each step how many files those were."""
        told = []
        for number, earlier in enumerate(payload.earlier):
            archive = await results.outputs(payload.project, earlier)
            if archive is None:
                continue
            place = _Place(aside=scratch / f"{number:04}", workspace=workspace, project=payload.project_path)
            try:
                count = await in_thread(partial(_laid, archive, place))
            except (tree.PathRefused, tarfile.TarError, EOFError) as reason:
                raise OutputsRefused(f"files of {earlier.phase}/{earlier.step} cannot be used: {reason}") from None
            told.append(f"in the checkout from {earlier.phase}/{earlier.step}: {count} file{'s' if count > 1 else ''}")
        return told


async def left_out(payload: CiPayload, results: Results) -> Sequence[str]:
    """What a runner that has no use for them says of the files that earlier steps left."""
    left = [earlier for earlier in payload.earlier if await results.left(payload.project, earlier) is not None]
    return [
        f"not in the checkout: what {earlier.phase}/{earlier.step} saved AS LOCAL on a worker with another runner"
        for earlier in left
    ]


def _packed(folder: Path, archive: Path, stop: threading.Event) -> "_Archive | None":
    files: list[Packed] = []
    size = 0
    for path in _files(folder):
        go_on(stop)
        name = path.relative_to(folder).as_posix()
        if _decides(name):
            raise OutputsRefused(
                f"the step saves {name[:200]!r} AS LOCAL: later phases get none of {', '.join(CONFIGURATION)}"
            )
        size += path.stat().st_size
        executable = path.stat().st_mode & 0o100 > 0
        files.append(Packed(name=name, content=path.resolve(), executable=executable))
        if len(files) > FILES_MAX or size > BYTES_MAX:
            raise OutputsRefused(
                f"the step saves more than {FILES_MAX} files or {BYTES_MAX} bytes AS LOCAL: make it an artifact"
            )
    if not files:
        return None
    try:
        with _Archive(archive, stop) as packed:
            write_tar_gzip(files, packed)
    except BadImage as reason:
        raise OutputsRefused(f"what the step saves AS LOCAL cannot be kept: {reason}") from None
    return packed


class _Archive(io.BufferedWriter):
    """A file that is written once, within limits: the packing ends where it is too large, or nobody waits for it."""

    def __init__(self, path: Path, stop: threading.Event) -> None:
        super().__init__(io.FileIO(path, "w"))
        self.size = 0
        self._stop = stop
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def write(self, data: Any) -> int:
        go_on(self._stop)
        self.size += len(data)
        if self.size > ARCHIVE_BYTES_MAX:
            raise OutputsRefused(
                f"what the step saves AS LOCAL has more than {ARCHIVE_BYTES_MAX} bytes packed: make it an artifact"
            )
        self._hash.update(data)
        return super().write(data)


def _decides(name: str) -> bool:
    """Whether a file would be, or lie below, what decides what runs; some disks do not tell letters' cases apart."""
    return not _CONFIGURATION.isdisjoint(part.casefold() for part in name.split("/"))


def _files(folder: Path) -> Iterator[Path]:
    """Plain files; a link to one counts as the file. The runner has seen to it that links stay inside."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path
        elif path.is_symlink():
            raise OutputsRefused(f"{path.relative_to(folder).as_posix()!r} is a link to no file: save files AS LOCAL")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """`aside` is where an archive is unpacked first; the project's directory is relative to the checkout."""

    aside: Path
    workspace: Path
    project: str


def _laid(archive: bytes, place: _Place, stop: threading.Event) -> int:
    aside, project = place.aside, place.workspace / place.project
    if not project.resolve().is_relative_to(place.workspace.resolve()):
        raise tree.PathRefused(f"{place.project!r} is a link that leads out of the repository")
    aside.mkdir(parents=True)
    count = size = 0
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        for member in tar:
            count, size = count + 1, size + member.size
            go_on(stop)
            if count > FILES_MAX or size > BYTES_MAX:
                raise tree.PathRefused(f"there are more than {FILES_MAX} of them, or {BYTES_MAX} bytes")
            if not member.isreg() or member.name.startswith("/"):
                raise tree.PathRefused(f"{member.name[:100]!r} is no plain file within a directory")
            if _decides(member.name):
                raise tree.PathRefused(f"{member.name[:100]!r} decides what runs, which no step does for another")
            tar.extract(member, aside, filter="data")
    tree.clone(aside, project, stop=stop)
    return count


_CONFIGURATION: Final = frozenset(name.casefold() for name in CONFIGURATION)
