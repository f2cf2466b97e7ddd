"""The publisher "cue": a CUE module to an OCI registry, as `cue mod publish` puts it there and `cue` finds it.

    registry/<prefix>/<module path without its major>:<version>
      config   application/vnd.cue.module.v1+json       {}
      layer 1  application/zip                          the module's files
      layer 2  application/vnd.cue.modulefile.v1        cue.mod/module.cue

The version is the release's tag. A push of a branch gets `v<major>.0.0-0.g<commit>`, which comes before every version,
so that nobody gets it who did not ask for it. A version that is there with other files is never replaced: others have
its checksum.
"""

import re
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_runtime.http import Http
from forge_runtime.oci.image import Artifact, blob_of, file_blob
from forge_runtime.oci.reference import Reference, repository_of
from forge_runtime.produce.archive import unpack
from forge_runtime.produce.product import Archive, ProducerFailed
from forge_runtime.publish.port import Publication, Published, PublishRefused
from forge_runtime.publish.registry import StandIns, registry_of
from forge_runtime.thread import go_on, in_thread

MODULE_TYPE: Final = "application/vnd.cue.module.v1+json"
MODULE_FILE_TYPE: Final = "application/vnd.cue.modulefile.v1"
ZIP_TYPE: Final = "application/zip"

MODULE_FILE: Final = "cue.mod/module.cue"
MODULE_FILE_BYTES_MAX: Final = 16 * 1024 * 1024
ZIP_BYTES_MAX: Final = 500 * 1024 * 1024
"""Limits of CUE's own module archives (package mod/modzip)."""

_MODULE: Final = re.compile(r'^module:\s*"(?P<path>[^"@\\]+)@(?P<major>v(?:0|[1-9]\d*))"', re.MULTILINE)
_NUMBER: Final = r"(?:0|[1-9]\d*)"
_IDENTIFIER: Final = rf"(?:{_NUMBER}|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION: Final = re.compile(rf"(?P<major>v{_NUMBER})\.{_NUMBER}\.{_NUMBER}(?:-{_IDENTIFIER}(?:\.{_IDENTIFIER})*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Module:
    path: str
    major: str
    file: bytes
    archive: Path


@dataclass(frozen=True, slots=True)
class CuePublisher:
    http: Http
    stand_ins: StandIns = field(default_factory=StandIns)

    async def publish(self, publication: Publication) -> Published:
        module = await in_thread(lambda stop: _module(publication, stop))
        version = _version(publication, module)
        host, _, prefix = publication.settings["registry"].partition("/")
        async with registry_of(self.http, self.stand_ins, publication, host) as client:
            repository = repository_of(*filter(None, (prefix.strip("/"), module.path)))
            reference = Reference(registry=host, repository=repository, tag=version)
            artifact = await in_thread(lambda _stop: _artifact(module))  # half a gigabyte at most, hashed in seconds
            digest = artifact.descriptor().digest
            there = await client.resolve(reference)
            if there is not None and there.digest != digest:
                raise PublishRefused(
                    f"{reference} is there already with other files ({there.digest}, ours is {digest}); "
                    "versions of modules are not replaced: release a new one"
                )
            if there is None:
                await client.push(reference, artifact)
        metadata = {
            "registry": publication.settings["registry"],
            "module": f"{module.path}@{module.major}",
            "version": version,
            "digest": digest,
        }
        return Published(uri=str(reference), metadata=metadata, unchanged=there is not None)


def _version(publication: Publication, module: _Module) -> str:
    if publication.git_tag is None:
        return f"{module.major}.0.0-0.g{publication.commit_sha[:12]}"
    version = publication.version
    match = _VERSION.fullmatch(version)
    if match is None:
        raise PublishRefused(f'the tag {version} is no version of a CUE module, which is like "v1.2.3"')
    if match["major"] != module.major:
        raise PublishRefused(
            f"the tag {version} and the module {module.path}@{module.major} have different major versions"
        )
    return version


def _module(publication: Publication, stop: threading.Event) -> _Module:
    product = publication.product
    if not isinstance(product, Archive):
        raise PublishRefused(f"a CUE module is an archive, and artifact {publication.artifact} is none")
    root = publication.scratch / "module"
    try:
        files = {path.relative_to(root).as_posix(): path for path in unpack(product.path, root, stop)}
    except ProducerFailed as error:
        raise PublishRefused(str(error)) from None
    if MODULE_FILE not in files:
        raise PublishRefused(f"the archive holds no {MODULE_FILE}: save the directory that the module begins in")
    file = files[MODULE_FILE]
    if file.stat().st_size > MODULE_FILE_BYTES_MAX:
        raise PublishRefused(f"{MODULE_FILE} is larger than {MODULE_FILE_BYTES_MAX} bytes")
    text = file.read_bytes()
    found = _MODULE.search(text.decode("utf-8", errors="replace"))
    if found is None:
        raise PublishRefused(f'{MODULE_FILE} names no module with its major version, like module: "example.com/x@v1"')
    archive = publication.scratch / "module.zip"
    _write_zip(files, archive, stop)
    return _Module(path=found["path"], major=found["major"], file=text, archive=archive)


def _write_zip(files: dict[str, Path], into: Path, stop: threading.Event) -> None:
    """The module's own files in the order of their names; other modules below it are theirs."""
    nested = {name[: -len(MODULE_FILE)] for name in files if name.endswith(f"/{MODULE_FILE}")}
    size = 0
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, path in sorted(files.items()):
            if name.startswith(tuple(nested)) or (name.startswith("cue.mod/") and name != MODULE_FILE):
                continue
            go_on(stop)
            size += path.stat().st_size
            if size > ZIP_BYTES_MAX:
                raise PublishRefused(f"the module's files are larger than {ZIP_BYTES_MAX} bytes")
            info = zipfile.ZipInfo(name)  # of 1 January 1980
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, path.read_bytes(), compresslevel=9)


def _artifact(module: _Module) -> Artifact:
    return Artifact(
        config=blob_of(MODULE_TYPE, b"{}"),
        layers=(file_blob(ZIP_TYPE, module.archive), blob_of(MODULE_FILE_TYPE, module.file)),
    )
