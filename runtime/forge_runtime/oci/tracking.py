"""The tracking image of an artifact: what was built from a commit, where it went, what is in it and how it was made.

    <registry>/<owner>/<name>/<project>/<artifact>:sha-<commit>

    manifest  artifactType  vnd.forge.artifact.v1
      config                vnd.forge.artifact.metadata.v1+json         what the specification calls metadata
      layers                the same, as a layer too                    metadata
                            vnd.syft+json or spdx+json                  sbom
                            vnd.in-toto+json                            attestation
                            vnd.dsse.envelope.v1+json                   signature, of the attestation
    referrers of it         each document but the metadata once more    found by tools that ask what refers to an image

The layers are what the specification writes; the config is where image tools look first; blobs lie there once whatever
they are called. A push that is repeated finds the image, if it says the same and has the same kinds of documents: a
bill of materials made anew, or a provenance with another time, does not replace it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from forge_runtime.oci.image import Artifact, Blob, Descriptor, Manifest, blob_of, json_blob
from forge_runtime.oci.reference import REGISTRY, BadReference, Reference, repository_of
from forge_runtime.oci.registry import RegistryClient

TRACKING_TYPE: Final = "application/vnd.forge.artifact.v1"
METADATA_TYPE: Final = "application/vnd.forge.artifact.metadata.v1+json"
LAYER_ANNOTATION: Final = "org.catalyst-forge.layer.type"
PREDICATE_ANNOTATION: Final = "in-toto.io/predicate-type"

Kind = Literal["sbom", "attestation", "signature"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """`predicate` is the type of what an attestation says, for tools that choose by it."""

    kind: Kind
    media_type: str
    data: bytes
    predicate: str | None = None

    def blob(self) -> Blob:
        annotations: dict[str, str] = {LAYER_ANNOTATION: self.kind}
        if self.predicate is not None:
            annotations[PREDICATE_ANNOTATION] = self.predicate
        return blob_of(self.media_type, self.data, annotations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """`metadata` is the same whenever the artifact is built again and goes to the same places: no times, no run."""

    source: str
    commit_sha: str
    title: str
    metadata: Mapping[str, Any]
    documents: tuple[Document, ...] = ()

    def artifact(self) -> Artifact:
        metadata = json_blob(METADATA_TYPE, self.metadata)
        layer = json_blob(METADATA_TYPE, self.metadata, {LAYER_ANNOTATION: "metadata"})
        return Artifact(
            artifact_type=TRACKING_TYPE,
            config=metadata,
            layers=(layer, *(document.blob() for document in self.documents)),
            annotations={
                "org.opencontainers.image.title": self.title,
                "org.opencontainers.image.revision": self.commit_sha,
                "org.opencontainers.image.source": self.source,
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """`pinned` has the digest; `pushed` is false where a complete image was there."""

    pinned: Reference
    manifest: Manifest
    pushed: bool

    @property
    def digest(self) -> str:
        assert self.pinned.digest is not None
        return self.pinned.digest


def tracking_reference(registry: str, repository: str, project: str, artifact: str, commit_sha: str) -> Reference:
    """`registry` is a host, with or without the beginning of a path. BadReference where a name does not fit."""
    return named_below(registry, repository, project, artifact).tagged(f"sha-{commit_sha}")


def named_below(registry: str, *names: str) -> Reference:
    """A repository of these names, below a host and maybe the beginning of a path (`ghcr.io/acme`), without a tag."""
    host, slash, prefix = registry.partition("/")
    if not REGISTRY.fullmatch(host):
        raise BadReference(f'"{registry[:100]}" does not begin with the host of a registry')
    return Reference(registry=host, repository=repository_of(*([prefix.rstrip("/")] if slash else []), *names))


async def push_tracking(client: RegistryClient, reference: Reference, tracking: Tracking) -> Tracked:
    """The image, and its documents as referrers; it may be called again at any point. Raises as the client does."""
    artifact = tracking.artifact()
    there = await client.resolve(reference)
    found = None if there is None else await client.get_manifest(reference.at(there.digest))
    if there is not None and found is not None and _says(found, artifact.manifest()):
        pinned, manifest, pushed = reference.at(there.digest), found, False
    else:
        there = await client.push(reference, artifact)
        pinned, manifest, pushed = reference.at(there.digest), artifact.manifest(), True
    for layer in manifest.layers:
        if layer.annotations.get(LAYER_ANNOTATION) in ("sbom", "attestation", "signature"):
            await _push_referrer(client, pinned, there, layer, tracking)
    return Tracked(pinned=pinned, manifest=manifest, pushed=pushed)


async def push_referrers(
    client: RegistryClient, image: Reference, subject: Descriptor, documents: tuple[Document, ...]
) -> tuple[Descriptor, ...]:
    """The documents as referrers of another image, a container that was published for one."""
    return tuple([await client.push(_untagged(image), referrer_of(one.blob(), subject)) for one in documents])


def referrer_of(blob: Blob, subject: Descriptor) -> Artifact:
    """A manifest of its own that is nothing but this document, about the subject."""
    return Artifact(
        artifact_type=blob.descriptor.media_type,
        layers=(blob,),
        annotations=blob.descriptor.annotations,
        subject=subject,
    )


async def _push_referrer(
    client: RegistryClient, pinned: Reference, subject: Descriptor, layer: Descriptor, tracking: Tracking
) -> None:
    """Of what the image holds: of ours, or of what an earlier push left without its referrers."""
    ours = (document.blob() for document in tracking.documents)
    blob = next((one for one in ours if one.descriptor == layer), None)
    if blob is None:
        blob = Blob(descriptor=layer, content=await client.get_blob(pinned, layer))
    await client.push(_untagged(pinned), referrer_of(blob, subject))


def _says(found: Manifest, ours: Manifest) -> bool:
    """Whether an image holds our metadata, and of each kind of document one of ours if we have one."""
    return (
        found.artifact_type == ours.artifact_type
        and found.config == ours.config
        and found.annotations == ours.annotations
        and _kinds(found) >= _kinds(ours)
    )


def _kinds(manifest: Manifest) -> set[tuple[str | None, str]]:
    return {(layer.annotations.get(LAYER_ANNOTATION), layer.media_type) for layer in manifest.layers}


def _untagged(reference: Reference) -> Reference:
    return Reference(registry=reference.registry, repository=reference.repository)
