"""Container images as files: an OCI layout, or what `docker save` writes, as a layout whose blobs are all checked.

oci-layout, index.json, blobs/sha256/<hex>      the OCI image layout, in a directory or in a tar
manifest.json, <hex>.json, <hex>/layer.tar      Docker's archive, of one image; its layers are packed anew
"""

import gzip
import hashlib
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from forge_runtime.oci.image import (
    MANIFEST_BYTES_MAX,
    MANIFEST_TYPE,
    BadImage,
    Descriptor,
    Index,
    Manifest,
    decode_index,
    decode_manifest,
    hash_of,
)
from forge_runtime.produce.archive import CHUNK_BYTES, unpack
from forge_runtime.produce.product import Container, ProducerFailed
from forge_runtime.thread import go_on
from forgec.plan.digest import canonical_json

IMAGES_MAX: Final = 64
LAYERS_MAX: Final = 512

INDEXES: Final = frozenset(
    {"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"}
)
MANIFESTS: Final = frozenset({MANIFEST_TYPE, "application/vnd.docker.distribution.manifest.v2+json"})
"""As OCI and as Docker name them; their fields are the same."""

_NAMES: Final = ("io.containerd.image.name", "org.opencontainers.image.ref.name")


def read_image(saved: Path, into: Path, stop: threading.Event) -> Container:
    """The one image in a tar or directory, as a layout in a directory at `into`. Raises ProducerFailed and Stopped."""
    layout = saved
    if not saved.is_dir():
        unpack(saved, into, stop)
        layout = into
    try:
        if not (layout / "index.json").is_file():
            layout = _from_docker(layout, into.with_name(f"{into.name}-oci"), stop)
        return _checked(layout, stop)
    except BadImage as error:
        raise ProducerFailed(f"the target's image is none: {error}") from None


@dataclass(slots=True)
class LayoutWalk:
    """The blobs of a layout on the way down from its index, each checked once. Raises BadImage and Stopped."""

    layout: Path
    stop: threading.Event
    blobs: dict[str, Descriptor] = field(default_factory=dict)
    manifests: dict[str, Descriptor] = field(default_factory=dict)
    first: Manifest | None = None
    followed: int = 0

    def follow(self, descriptor: Descriptor) -> None:
        """A manifest, and what it is made of; children come before what names them."""
        if descriptor.digest in self.manifests:
            return
        self.followed += 1
        if self.followed > IMAGES_MAX:
            raise BadImage(f"it is made of more than {IMAGES_MAX} manifests")
        data = self._read(descriptor)
        if descriptor.media_type in INDEXES:
            for child in decode_index(data).manifests:
                self.follow(child)
        elif descriptor.media_type in MANIFESTS:
            manifest = decode_manifest(data)
            if len(manifest.layers) > LAYERS_MAX:
                raise BadImage(f"it has more than {LAYERS_MAX} layers")
            for blob in (manifest.config, *manifest.layers):
                self._check(blob)
                self.blobs[blob.digest] = blob
            self.first = self.first or manifest
        else:
            raise BadImage(f"it has a manifest of the unknown type {descriptor.media_type}")
        self.manifests[descriptor.digest] = descriptor

    def _read(self, descriptor: Descriptor) -> bytes:
        if descriptor.size > MANIFEST_BYTES_MAX:
            raise BadImage(f"its manifest is larger than {MANIFEST_BYTES_MAX} bytes")
        self._check(descriptor)
        return blob_path(self.layout, descriptor.digest).read_bytes()

    def _check(self, descriptor: Descriptor) -> None:
        """That the blob is there, and is what its descriptor says."""
        if descriptor.digest in self.blobs:
            return
        path = blob_path(self.layout, descriptor.digest)
        if path.is_symlink() or not path.is_file():
            raise BadImage(f"it lacks {descriptor.digest}")
        if path.stat().st_size != descriptor.size or not _is(path, descriptor.digest, self.stop):
            raise BadImage(f"{descriptor.digest} holds something else")


def blob_path(layout: Path, digest: str) -> Path:
    """Where a layout has a blob. BadImage where the digest is none that can be verified."""
    hash_of(digest)
    algorithm, _, encoded = digest.partition(":")
    return layout / "blobs" / algorithm / encoded


def top_of(layout: Path) -> Descriptor:
    """What the layout's index names: one image, or one index of its platforms. BadImage where it is not one."""
    index = decode_index(_bounded(layout / "index.json"))
    if len(index.manifests) != 1:
        raise BadImage(f"it is {len(index.manifests)} images where one is expected")
    return index.manifests[0]


def _checked(layout: Path, stop: threading.Event) -> Container:
    top = top_of(layout)
    walk = LayoutWalk(layout, stop)
    walk.follow(top)
    if walk.first is None:
        raise BadImage("it has no manifest")
    everything = {**walk.blobs, **walk.manifests}
    return Container(
        path=layout,
        image_ref=next((top.annotations[name] for name in _NAMES if name in top.annotations), ""),
        image_id=walk.first.config.digest,
        digest=top.digest,
        size=sum(each.size for each in everything.values()),
        layers=len(walk.first.layers),
    )


class _DockerImage(Struct, frozen=True, rename="pascal"):
    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] | None = None


def _from_docker(archive: Path, layout: Path, stop: threading.Event) -> Path:
    """The layout of the one image of a Docker archive; the same image gives the same bytes."""
    if not (archive / "manifest.json").is_file():
        raise BadImage("it has neither index.json nor manifest.json")
    try:
        images = msgspec.json.decode(_bounded(archive / "manifest.json"), type=tuple[_DockerImage, ...])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadImage(f"manifest.json: {error}") from None
    if len(images) != 1 or len(images[0].layers) > LAYERS_MAX:
        raise BadImage(f"it is {len(images)} images where one is expected, or has more than {LAYERS_MAX} layers")
    image = images[0]
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    kind = "application/vnd.oci.image."
    manifest = Manifest(
        schema_version=2,
        media_type=MANIFEST_TYPE,
        config=_copied(f"{kind}config.v1+json", _inside(archive, image.config), blobs, stop),
        layers=tuple(_packed(f"{kind}layer.v1.tar+gzip", _inside(archive, name), blobs, stop) for name in image.layers),
    )
    data = canonical_json(manifest)
    named = {_NAMES[1]: image.repo_tags[0]} if image.repo_tags else {}
    top = Descriptor(media_type=MANIFEST_TYPE, digest=_put(data, blobs), size=len(data), annotations=named)
    index = Index(schema_version=2, media_type="application/vnd.oci.image.index.v1+json", manifests=(top,))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', encoding="ascii")
    (layout / "index.json").write_bytes(canonical_json(index))
    return layout


def _inside(archive: Path, name: str) -> Path:
    if name.startswith("/") or ".." in name.split("/") or not (archive / name).is_file():
        raise BadImage(f"it lacks {name[:100]!r}")
    return archive / name


def _put(data: bytes, blobs: Path) -> str:
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return f"sha256:{digest}"


def _copied(media_type: str, source: Path, blobs: Path, stop: threading.Event) -> Descriptor:
    digest = digest_of_file(source, stop)
    shutil.copyfile(source, blobs / digest.removeprefix("sha256:"))
    return Descriptor(media_type=media_type, digest=digest, size=source.stat().st_size)


def _packed(media_type: str, source: Path, blobs: Path, stop: threading.Event) -> Descriptor:
    """A layer as registries keep it. One that is packed already is taken as it is."""
    with source.open("rb") as file:
        if file.read(2) == b"\x1f\x8b":
            return _copied(media_type, source, blobs, stop)
    packed = blobs / "unnamed"
    with (
        source.open("rb") as plain,
        packed.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as compressed,
    ):
        while chunk := plain.read(CHUNK_BYTES):
            go_on(stop)
            compressed.write(chunk)
    descriptor = _copied(media_type, packed, blobs, stop)
    packed.unlink()
    return descriptor


def digest_of_file(path: Path, stop: threading.Event | None = None) -> str:
    """`sha256:<hex>` of a file of any size. Raises Stopped."""
    return f"sha256:{_hashed(path, 'sha256', stop)}"


def _is(path: Path, digest: str, stop: threading.Event) -> bool:
    algorithm, _, encoded = digest.partition(":")
    return _hashed(path, algorithm, stop) == encoded


def _hashed(path: Path, algorithm: str, stop: threading.Event | None) -> str:
    hashed = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            go_on(stop)
            hashed.update(chunk)
    return hashed.hexdigest()


def _bounded(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MANIFEST_BYTES_MAX + 1)
    if len(data) > MANIFEST_BYTES_MAX:
        raise BadImage(f"{path.name} is larger than {MANIFEST_BYTES_MAX} bytes")
    return data
