"""Images as values: blobs, the manifest that ties them together, and archives of which equal files give equal bytes.

Nothing here speaks to a registry. An `Artifact` is made of blobs whose digests are known; its manifest is canonical
JSON, and an archive holds no time, no user and no order but that of names. So the same content has the same digest
whenever and wherever it is made, and a push that is repeated finds everything there. (Compressed bytes are zlib's:
another version of zlib may give others, of the same content.)
"""

import hashlib
import io
import os
import re
import tarfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from forge_runtime.folder import machine_failed, open_plain
from forgec.plan.digest import canonical_json, digest_of

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"
LAYER_TAR_GZIP_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"

MANIFEST_BYTES_MAX: Final = 4 * 1024 * 1024
"""What the distribution specification asks registries to take at least, and no client should exceed."""

CONFIG_BYTES_MAX: Final = 4 * 1024 * 1024
"""Ours hold metadata of one release; what is read into memory has a limit."""

_CHUNK_BYTES: Final = 1024 * 1024

MediaType = Annotated[
    str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\Z")
]
Digest = Annotated[str, Meta(pattern=r"\A[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]{1,255}\Z")]
"""The grammar of all digests; `hash_of` says which can be verified."""


class BadImage(ValueError):
    """What a registry or a caller gave is no image, or a larger one than we handle."""


class Descriptor(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What something is, how large, and its digest."""

    media_type: MediaType
    digest: Digest
    size: Annotated[int, Meta(ge=0)]
    annotations: dict[str, str] = {}
    artifact_type: str | None = None
    urls: tuple[str, ...] = ()
    data: str | None = None
    platform: dict[str, Any] | None = None

    @property
    def plain(self) -> "Descriptor":
        """Type, digest and size alone, as a subject is named."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=self.size)


class Manifest(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An image manifest as it lies in the registry."""

    schema_version: int
    media_type: str = ""
    artifact_type: str | None = None
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}

    @property
    def type(self) -> str:
        """What kind of artifact it is: its own word, else its config's type."""
        return self.artifact_type or self.config.media_type


class Index(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An image index: manifests by their descriptors. Lists of referrers have this form."""

    schema_version: int
    media_type: str = ""
    manifests: tuple[Descriptor, ...]
    artifact_type: str | None = None
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Content with its descriptor; a Path is a file that must not change until it is pushed."""

    descriptor: Descriptor
    content: bytes | Path


EMPTY: Final = Blob(
    descriptor=Descriptor(media_type=EMPTY_TYPE, digest=digest_of(b"{}"), size=2),
    content=b"{}",
)
"""What the image specification prescribes where there is no content to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """What is pushed as one. `subject` is the manifest that it says something about, if any."""

    artifact_type: str | None = None
    config: Blob = EMPTY
    layers: tuple[Blob, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    subject: Descriptor | None = None

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Each content once, the config first."""
        return tuple({blob.descriptor.digest: blob for blob in (self.config, *(self.layers or (EMPTY,)))}.values())

    def manifest(self) -> Manifest:
        """BadImage where the image specification forbids it."""
        if self.config.descriptor.media_type == EMPTY_TYPE and not self.artifact_type:
            raise BadImage("an artifact with the empty config must say its own type")
        if self.config.descriptor.size > CONFIG_BYTES_MAX:
            raise BadImage(f"the config has {self.config.descriptor.size} bytes, the limit is {CONFIG_BYTES_MAX}")
        return Manifest(
            schema_version=2,
            media_type=MANIFEST_TYPE,
            artifact_type=self.artifact_type,
            config=self.config.descriptor,
            # A manifest should have a layer (image specification 1.1): where there is none to have, the empty one.
            layers=tuple(blob.descriptor for blob in self.layers) or (EMPTY.descriptor,),
            subject=self.subject.plain if self.subject else None,
            annotations=dict(self.annotations),
        )

    def encoded(self) -> bytes:
        """The manifest's bytes, the same for the same artifact."""
        data = canonical_json(self.manifest())
        if len(data) > MANIFEST_BYTES_MAX:
            raise BadImage(f"the manifest has {len(data)} bytes, the limit is {MANIFEST_BYTES_MAX}")
        return data

    def descriptor(self) -> Descriptor:
        """Of the manifest, as an index or a subject names it."""
        data = self.encoded()
        return Descriptor(media_type=MANIFEST_TYPE, digest=digest_of(data), size=len(data))


def blob_of(media_type: str, data: bytes, annotations: Mapping[str, str] | None = None) -> Blob:
    """Content in memory."""
    return Blob(descriptor=_described(media_type, digest_of(data), len(data), annotations), content=data)


def json_blob(
    media_type: str, document: Mapping[str, Any] | Struct, annotations: Mapping[str, str] | None = None
) -> Blob:
    """A document as canonical JSON."""
    return blob_of(media_type, canonical_json(document), annotations)


def file_blob(media_type: str, path: Path, annotations: Mapping[str, str] | None = None) -> Blob:
    """A plain file's content, read once for its digest; BadImage where it is none. OSError as this machine has it."""
    hashed, size = hashlib.sha256(), 0
    with _opened(path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            hashed.update(chunk)
            size += len(chunk)
    return Blob(descriptor=_described(media_type, f"sha256:{hashed.hexdigest()}", size, annotations), content=path)


def hash_of(digest: str) -> "hashlib._Hash":
    """The hash that a digest is verified with; BadImage for an algorithm that we cannot compute."""
    algorithm, _, encoded = digest.partition(":")
    length = _HEX_DIGITS.get(algorithm)
    if length is None or not re.fullmatch(f"[a-f0-9]{{{length}}}", encoded):
        raise BadImage(f'"{digest[:100]}" is no digest that can be verified (sha256, sha512)')
    return hashlib.new(algorithm)


def decode_manifest(data: bytes) -> Manifest:
    """BadImage where it is none."""
    return _decoded(data, Manifest, "an image manifest")


def decode_index(data: bytes) -> Index:
    """BadImage where it is none."""
    return _decoded(data, Index, "an image index")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A file of an archive: `name` is relative, its parts joined by slashes."""

    name: str
    content: bytes | Path
    executable: bool = False


def tar_gzip(files: Iterable[Packed]) -> bytes:
    """The archive in memory; equal files in any order give equal bytes. BadImage for a name that leads elsewhere."""
    buffer = io.BytesIO()
    write_tar_gzip(files, buffer)
    return buffer.getvalue()


def write_tar_gzip(files: Iterable[Packed], into: IO[bytes]) -> None:
    """The same into a file, whatever its size. A content that is a Path is read when its turn comes."""
    ordered = sorted(files, key=lambda file: file.name.encode())
    _check_names([file.name for file in ordered])
    with _Gzip(into) as compressed, tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for file in ordered:
            _add(tar, file)


def _add(tar: tarfile.TarFile, file: Packed) -> None:
    entry = tarfile.TarInfo(file.name)  # mtime, uid and gid are 0, and user and group have no name
    entry.mode = 0o755 if file.executable else 0o644
    if isinstance(file.content, bytes):
        entry.size = len(file.content)
        tar.addfile(entry, io.BytesIO(file.content))
        return
    with _opened(file.content) as content:
        entry.size = os.fstat(content.fileno()).st_size
        tar.addfile(entry, content)


def _opened(path: Path) -> IO[bytes]:
    """A plain file alone: builds of a repository made it, and a link or a pipe of theirs would lead elsewhere."""
    try:
        return open_plain(path)
    except OSError as error:
        if machine_failed(error):
            raise
        raise BadImage(f"cannot read {path.name!r} as a plain file: {error.strerror}") from None


def _check_names(names: Sequence[str]) -> None:
    known: set[str] = set()
    for name in names:
        parts = name.split("/")
        if "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in parts):
            raise BadImage(f"{name[:100]!r} is not the name of a file within an archive")
        if name in known or any("/".join(parts[:depth]) in known for depth in range(1, len(parts))):
            raise BadImage(f"{name[:100]!r} is in the archive twice, or below a file of it")
        known.add(name)


class _Gzip(io.RawIOBase):
    """A gzip stream with a header of ours: no name, no time, no system, whichever version of Python writes it."""

    def __init__(self, into: IO[bytes]) -> None:
        self._into = into
        self._deflate = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
        self._crc = self._size = 0
        into.write(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._crc = zlib.crc32(data, self._crc)
        self._size += len(data)
        self._into.write(self._deflate.compress(data))
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._into.write(self._deflate.flush())
            self._into.write(self._crc.to_bytes(4, "little") + (self._size % 2**32).to_bytes(4, "little"))
        super().close()


def _described(media_type: str, digest: str, size: int, annotations: Mapping[str, str] | None) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest, size=size, annotations=dict(annotations or {}))


T = TypeVar("T", Manifest, Index)


def _decoded(data: bytes, kind: type[T], what: str) -> T:
    if len(data) > MANIFEST_BYTES_MAX:
        raise BadImage(f"{what} of {len(data)} bytes, the limit is {MANIFEST_BYTES_MAX}")
    try:
        decoded = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadImage(f"this is not {what}: {error}") from None
    if decoded.schema_version != 2:
        raise BadImage(f"{what} of schema version {decoded.schema_version}, where 2 is known")
    return decoded


_HEX_DIGITS: Final = {"sha256": 64, "sha512": 128}
