"""The client of OCI registries: push, pull, tag, and what refers to what (distribution specification 1.1).

    push ──▶ is it there under this name?            ──yes──▶ nothing to do
         ──▶ each blob: there, or mounted, or uploaded          (upload.py)
         ──▶ the manifest, last: what it names is there         (manifests.py)
         ──▶ its subject's list of referrers                    (referrers.py)

Every operation may be repeated. What comes and what goes is held against its digest; sizes, pages and tries have
limits; a registry on this machine is spoken to without TLS, and no other.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Final

from forge_runtime.http import Http, Limits, Reply, Request
from forge_runtime.oci.credentials import Credentials, GivenCredentials
from forge_runtime.oci.exchange import (
    BLOB_UNKNOWN,
    SLOWEST_BYTES_S,
    DigestMismatch,
    Exchange,
    Purpose,
    RegistryAway,
    RegistryRefused,
)
from forge_runtime.oci.image import (
    MANIFEST_TYPE,
    Artifact,
    BadImage,
    Blob,
    Descriptor,
    Manifest,
    decode_manifest,
    hash_of,
)
from forge_runtime.oci.manifests import DOCKER_MANIFEST_TYPE, find_manifest, pull_manifest, push_manifest
from forge_runtime.oci.mirrors import Mirrors
from forge_runtime.oci.reference import Reference
from forge_runtime.oci.referrers import keep_referrer, list_referrers
from forge_runtime.oci.upload import CHUNK_BYTES, Upload
from forgec.plan.digest import digest_of

BLOB_BYTES_MAX: Final = 64 * 1024 * 1024
"""What `get_blob` takes into memory; `download_blob` has no limit but the descriptor's size."""


PUTS_MAX: Final = 4
"""Of one manifest whose blobs the registry had, and then had not."""


class RegistryClient:
    """One for as long as possible: it keeps tokens. Its methods raise RegistryRefused, DigestMismatch (which is one),
    RegistryAway, and BadImage where what is to be pushed is none."""

    def __init__(
        self,
        http: Http,
        credentials: Credentials | None = None,
        *,
        mirrors: Mirrors | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._exchange = Exchange(http, credentials or GivenCredentials(), mirrors or Mirrors())
        self._chunk_bytes = chunk_bytes

    async def push(self, reference: Reference, artifact: Artifact, *, mount_from: str | None = None) -> Descriptor:
        """Under its tag, or by digest alone where it has none; the manifest's descriptor.

        `mount_from` is a repository of the same registry where its blobs may lie already.
        """
        descriptor = artifact.descriptor()
        if reference.digest not in (None, descriptor.digest):
            raise BadImage(f"{reference} names another digest than that of the manifest, {descriptor.digest}")
        named = reference.tagged(reference.tag) if reference.tag else reference.at(descriptor.digest)
        there = await self.resolve(named)
        listed = None
        if there is None or there.digest != descriptor.digest:
            listed = (await self._put(named, artifact, mount_from)).headers.get("oci-subject")
        if artifact.subject is not None and listed != artifact.subject.digest:
            await self._keep(reference.at(artifact.subject.digest), artifact, descriptor)
        return descriptor

    async def resolve(self, reference: Reference) -> Descriptor | None:
        """What the name points to, as the registry says; None if it is not there."""
        return await find_manifest(self._exchange, reference)

    async def get_manifest(self, reference: Reference) -> Manifest | None:
        """Verified; None if it is not there. An index of several images is refused."""
        pulled = await pull_manifest(self._exchange, reference)
        if pulled is None:
            return None
        if pulled.descriptor.media_type not in (MANIFEST_TYPE, DOCKER_MANIFEST_TYPE):
            raise RegistryRefused(f"{reference}: this is {pulled.descriptor.media_type}, not one image")
        try:
            return decode_manifest(pulled.data)
        except BadImage as error:
            raise RegistryRefused(f"{reference}: {error}") from None

    async def put_blob(self, reference: Reference, blob: Blob, *, mount_from: str | None = None) -> None:
        """Nothing to do where it is there."""
        await Upload(exchange=self._exchange, reference=reference, chunk_bytes=self._chunk_bytes).put(blob, mount_from)

    async def put_manifest(self, reference: Reference, media_type: str, data: bytes) -> None:
        """A manifest or an index that others made, as it is; what it names must be there. Nothing to do where it is."""
        there = await self.resolve(reference)
        if there is None or there.digest != digest_of(data):
            await push_manifest(self._exchange, reference, media_type, data)

    async def mount(self, reference: Reference, digest: str, source: str) -> bool:
        """Whether the registry took a blob over from another repository of its own; if not, it must be uploaded."""
        upload = Upload(exchange=self._exchange, reference=reference, chunk_bytes=self._chunk_bytes)
        return (await upload.mount(digest, source)).status == 201

    async def get_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """Verified content of at most BLOB_BYTES_MAX."""
        if descriptor.size > BLOB_BYTES_MAX:
            raise RegistryRefused(
                f"{reference}: blob {descriptor.digest} has {descriptor.size} bytes, too many to hold"
            )
        request = Request(url=self._blob_url(reference, descriptor))
        limits = Limits(bytes_max=descriptor.size, attempt_s=60 + descriptor.size / SLOWEST_BYTES_S)
        reply = await self._exchange.send(Purpose(reference), request, ok=(200,), limits=limits)
        hashed = _hash(reference, descriptor.digest)
        hashed.update(reply.body)
        _compare(reference, descriptor, len(reply.body), hashed.hexdigest())
        return reply.body

    async def download_blob(self, reference: Reference, descriptor: Descriptor, into: Path) -> None:
        """Verified content as a file; there is none where it is not what it should be."""
        hashed = _hash(reference, descriptor.digest)
        limits = Limits(bytes_max=descriptor.size, attempt_s=60 + descriptor.size / SLOWEST_BYTES_S)
        try:
            got = await self._exchange.download(reference, self._blob_url(reference, descriptor), into, limits)
            digest = got.sha256 if hashed.name == "sha256" else await asyncio.to_thread(_file_digest, into, hashed.name)
            _compare(reference, descriptor, got.size_bytes, digest)
        except BaseException:
            await asyncio.to_thread(into.unlink, missing_ok=True)
            raise

    async def tag(self, reference: Reference, new_tag: str) -> Descriptor:
        """Give what `reference` names one more name in its repository; nothing to do where it has it."""
        pulled = await pull_manifest(self._exchange, reference)
        if pulled is None:
            raise RegistryRefused(f"{reference}: there is nothing of this name to be tagged {new_tag}", 404)
        target = reference.tagged(new_tag)
        there = await self.resolve(target)
        if there is None or there.digest != pulled.descriptor.digest:
            await push_manifest(self._exchange, target, pulled.descriptor.media_type, pulled.data)
        return pulled.descriptor

    async def referrers(self, subject: Reference, artifact_type: str | None = None) -> tuple[Descriptor, ...]:
        """What refers to the manifest that `subject` names by its digest."""
        return await list_referrers(self._exchange, subject, artifact_type)

    async def _put(self, named: Reference, artifact: Artifact, mount_from: str | None) -> Reply:
        """The blobs, then the manifest; again if a blob is gone that was there.

        Where somebody else pushes the same, Debian's registry loses sight of a blob for the moment in which it puts
        another's copy in its place.
        """
        failures = 0
        while True:
            for blob in artifact.blobs:
                await self.put_blob(named, blob, mount_from=mount_from)
            try:
                return await push_manifest(self._exchange, named, MANIFEST_TYPE, artifact.encoded())
            except RegistryRefused as refused:
                failures += 1
                if BLOB_UNKNOWN not in refused.codes or failures == PUTS_MAX:
                    raise
            await self._exchange.pause(failures)

    async def _keep(self, subject: Reference, artifact: Artifact, descriptor: Descriptor) -> None:
        manifest = artifact.manifest()
        referrer = Descriptor(
            media_type=descriptor.media_type,
            digest=descriptor.digest,
            size=descriptor.size,
            artifact_type=manifest.type,
            annotations=manifest.annotations,
        )
        await keep_referrer(self._exchange, subject, referrer)

    def _blob_url(self, reference: Reference, descriptor: Descriptor) -> str:
        return self._exchange.url(reference, f"blobs/{descriptor.digest}")


def _hash(reference: Reference, digest: str) -> "hashlib._Hash":
    try:
        return hash_of(digest)
    except BadImage as error:
        raise DigestMismatch(f"{reference}: {error}") from None


def _compare(reference: Reference, descriptor: Descriptor, size_bytes: int, digest: str) -> None:
    if size_bytes < descriptor.size:
        raise RegistryAway(f"{reference}: blob {descriptor.digest} ended after {size_bytes} of {descriptor.size} bytes")
    if digest != descriptor.digest.partition(":")[2]:
        raise DigestMismatch(f"{reference}: the registry gave other bytes than those of blob {descriptor.digest}")


def _file_digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
