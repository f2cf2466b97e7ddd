"""What is known of an artifact besides itself: what is in it, how it was made, who signs that, and where it went.

    examine    bill of materials (missing: a warning), provenance, signature       before it is published
    attach     beside an image, where that was published
    track      all of it in a tracking image                                        after

A signature that cannot be made stops the artifact before anybody gets it.
"""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from forge_runtime.job import PublishedLocation, Sbom
from forge_runtime.oci.exchange import RegistryRefused
from forge_runtime.oci.image import Blob
from forge_runtime.oci.reference import Reference
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.oci.tracking import (
    LAYER_ANNOTATION,
    Document,
    Tracked,
    Tracking,
    push_referrers,
    push_tracking,
    tracking_reference,
)
from forge_runtime.produce.archive import ArchiveRefused, unpack
from forge_runtime.produce.product import Archive, Binary, Container, Product, outputs_of
from forge_runtime.runner.port import LineSink
from forge_runtime.supply.provenance import (
    PREDICATE_TYPE,
    STATEMENT_MEDIA_TYPE,
    Build,
    Subject,
    provenance_statement,
    public_address,
)
from forge_runtime.supply.sbom import MEDIA_TYPES, Format, Kind, NoBill, Scanned, scan
from forge_runtime.supply.sign import (
    ENVELOPE_MEDIA_TYPE,
    SIGNATURE_BYTES_MAX,
    SIGNATURES_MAX,
    Signer,
    sign_envelope,
    sign_image,
    signature_reference,
)
from forge_runtime.thread import in_thread

SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An artifact and how it came to be. `build.artifact` is its name."""

    product: Product
    build: Build
    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedArtifact:
    uri: str
    digest: str
    sbom: Sbom | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """`registry` is where tracking images go: a host, maybe with the beginning of a path. No signer: nothing is signed,
    and the log says so. `syft` is the program, where it is another than the one that is found."""

    client: RegistryClient
    registry: str
    signer: Signer | None = None
    bill: Format = "syft-json"
    syft: Path | None = None

    async def examine(self, made: Made, folder: Path, say: LineSink) -> tuple[Document, ...]:
        """The documents about it. `folder` is for what is written on the way. Raises SigningFailed."""
        documents = []
        try:
            scanned = await in_thread(lambda stop: _scanned(made, folder / "contents", stop))
            bill = await scan(scanned, self.bill, folder / "scan", syft=self.syft)
        except (NoBill, ArchiveRefused) as warning:
            await say(f"warning: no bill of materials: {warning}")
        else:
            documents.append(Document(kind="sbom", media_type=bill.media_type, data=bill.data))
        subject = Subject(name=made.product.path.name, digest=made.product.digest)
        if isinstance(made.product, Container):
            subject = Subject(name=made.build.artifact, digest=made.product.digest)
        statement = provenance_statement((subject,), made.build)
        documents.append(
            Document(kind="attestation", media_type=STATEMENT_MEDIA_TYPE, data=statement, predicate=PREDICATE_TYPE)
        )
        if self.signer is None:
            await say("the provenance is not signed: this worker has no key")
        else:
            envelope = await asyncio.to_thread(sign_envelope, STATEMENT_MEDIA_TYPE, statement, self.signer)
            documents.append(Document(kind="signature", media_type=ENVELOPE_MEDIA_TYPE, data=envelope))
        return tuple(documents)

    async def track(
        self, made: Made, documents: tuple[Document, ...], locations: tuple[PublishedLocation, ...]
    ) -> TrackedArtifact:
        """Raises RegistryRefused, RegistryAway, BadImage and BadReference."""
        build = made.build
        reference = tracking_reference(self.registry, build.repository, made.project, build.artifact, build.commit_sha)
        tracking = Tracking(
            source=public_address(build.clone_url),
            commit_sha=build.commit_sha,
            title=f"{made.project}/{build.artifact}",
            metadata=_metadata(made, locations),
            documents=documents,
        )
        tracked = await push_tracking(self.client, reference, tracking)
        if self.signer is not None:
            await sign_there(self.client, tracked.pinned, self.signer)
        return TrackedArtifact(uri=str(reference), digest=tracked.digest, sbom=_sbom(tracked))

    async def outputs(self, uri: Reference) -> Mapping[str, Any]:
        """What an earlier job knew of the artifact that this tracking image, named by its digest, is of.

        Nothing where it is not there. Raises RegistryRefused and RegistryAway.
        """
        manifest = await self.client.get_manifest(uri)
        if manifest is None:
            return {}
        metadata = msgspec.json.decode(await self.client.get_blob(uri, manifest.config))
        found = metadata.get("outputs") if isinstance(metadata, dict) else None
        return found if isinstance(found, dict) else {}


async def attach(
    client: RegistryClient, image: Reference, documents: tuple[Document, ...], signer: Signer | None
) -> None:
    """Documents and a signature for an image that is in a registry, named by its digest; of each kind one.

    Raises SigningFailed, RegistryRefused and RegistryAway.
    """
    subject = await client.resolve(image)
    if subject is None:
        raise RegistryRefused(f"{image}: what was pushed there is not there", 404)
    there = {each.artifact_type for each in await client.referrers(image)}
    missing = tuple(document for document in documents if document.media_type not in there)
    await push_referrers(client, image, subject, missing)
    if signer is not None:
        await sign_there(client, image, signer)


async def sign_there(client: RegistryClient, image: Reference, signer: Signer) -> None:
    """Add our signature to those that an image has, as cosign 2 finds them. Raises as `attach` does.

    What is too large for one is left out: anybody who may push there may have put it there, and we would load it.
    """
    place = signature_reference(image)
    found = await client.get_manifest(place)
    there = found.layers if found is not None else ()
    layers = [layer for layer in there if layer.size <= SIGNATURE_BYTES_MAX][:SIGNATURES_MAX]
    others = [Blob(descriptor=layer, content=await client.get_blob(place, layer)) for layer in layers]
    await client.push(place, sign_image(image, signer, tuple(others)))


def _metadata(made: Made, locations: tuple[PublishedLocation, ...]) -> dict[str, Any]:
    """The same whenever the same was made and went to the same places: no times, no run, no messages."""
    build = made.build
    return {
        "schema_version": SCHEMA_VERSION,
        "repository": build.repository,
        "project": made.project,
        "project_path": build.project_path,
        "commit_sha": build.commit_sha,
        "artifact": {"name": build.artifact, "type": build.artifact_type},
        "outputs": outputs_of(made.product),
        "published_locations": [
            {
                "publisher": location.publisher,
                "status": location.status,
                "uri": location.uri,
                "metadata": location.metadata,
            }
            for location in locations
        ],
    }


def _scanned(made: Made, contents: Path, stop: threading.Event) -> Scanned:
    """What syft looks at: of an archive its files, since syft knows few archives by what they are called."""
    product = made.product
    kind: Kind = "file"
    path, name = product.path, made.build.artifact
    match product:
        case Container():
            kind = "oci-dir"
        case Binary():
            name = product.executable
        case Archive():
            unpack(product.path, contents, stop)
            kind, path = "dir", contents
    return Scanned(kind=kind, path=path, name=name, version=made.build.commit_sha)


def _sbom(tracked: Tracked) -> Sbom | None:
    """Of what the image holds, which an earlier push may have made."""
    for layer in tracked.manifest.layers:
        if layer.annotations.get(LAYER_ANNOTATION) == "sbom":
            form = next((form for form, kind in MEDIA_TYPES.items() if kind == layer.media_type), layer.media_type)
            return Sbom(format=form, digest=layer.digest)
    return None
