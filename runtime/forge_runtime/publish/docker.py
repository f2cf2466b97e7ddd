"""The publisher "docker": a container image to a registry, byte for byte as it was built, under its tags.

A binary or an archive goes there as an artifact of one layer, which is the file under its own name.

    registry/namespace/project              where the artifact is called like its project
    registry/namespace/project_artifact     else: no project's name holds `_`, so no two artifacts meet

Bill of materials, provenance and signature of an image lie beside it, where tools ask what refers to it.

Without `tags` it gets one: the release's tag, or `sha-<commit>` on a branch. A tag moves to what was built last; what
must not move names the digest.
"""

import asyncio
import re
import threading
from dataclasses import dataclass, field, replace
from typing import Final

from forge_runtime.http import Http
from forge_runtime.oci.exchange import RegistryRefused
from forge_runtime.oci.image import Artifact, Blob, Descriptor, file_blob
from forge_runtime.oci.reference import Reference, repository_of
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.produce.evidence import attach
from forge_runtime.produce.image import LayoutWalk, blob_path, top_of
from forge_runtime.produce.product import Archive, Binary, Container
from forge_runtime.publish.port import Publication, Published, PublishRefused
from forge_runtime.publish.registry import StandIns, registry_of
from forge_runtime.thread import in_thread

TAGS_MAX: Final = 20

_ARCHIVE_TYPES: Final = {
    "tar.gz": "application/gzip",
    "tar.bz2": "application/x-bzip2",
    "zip": "application/zip",
    "tar": "application/x-tar",
}


@dataclass(frozen=True, slots=True)
class DockerPublisher:
    http: Http
    stand_ins: StandIns = field(default_factory=StandIns)

    async def publish(self, publication: Publication) -> Published:
        product = publication.product
        host, namespace = publication.settings["registry"], publication.settings["namespace"]
        notes: tuple[str, ...] = ()
        async with registry_of(self.http, self.stand_ins, publication, host) as client:
            references = _references(publication, host, namespace)
            if isinstance(product, Container):
                digest = product.digest
                unchanged = await _all_there(client, references, digest)
                if not unchanged:
                    await _push_image(client, references, product)
                notes = await _attach(client, references[0].at(digest), publication)
            else:
                artifact = await asyncio.to_thread(_artifact, product)
                digest = artifact.descriptor().digest
                unchanged = await _all_there(client, references, digest)
                for reference in () if unchanged else references:
                    await client.push(reference, artifact)
        first = references[0]
        metadata = {
            "registry": host,
            "namespace": namespace,
            "repository": first.repository.removeprefix(f"{namespace.lower()}/"),
            "tag": first.tag,
            "digest": digest,
        }
        return Published(uri=str(first), metadata=metadata, unchanged=unchanged, notes=notes)


async def _attach(client: RegistryClient, image: Reference, publication: Publication) -> tuple[str, ...]:
    """What to tell if the registry has no room for documents: they lie in the tracking image as well."""
    try:
        await attach(client, image, publication.documents, publication.signer)
    except RegistryRefused as error:
        return (f"warning: no documents beside the image: {error}",)
    return ()


def _artifact(product: Binary | Archive) -> Artifact:
    """The file alone, so that the same file is the same artifact whichever commit it came from."""
    kind, layer = "binary", "application/octet-stream"
    if isinstance(product, Archive):
        kind, layer = "archive", _ARCHIVE_TYPES[product.format]
    title = {"org.opencontainers.image.title": product.path.name}
    return Artifact(artifact_type=f"application/vnd.forge.{kind}.v1", layers=(file_blob(layer, product.path, title),))


def _references(publication: Publication, host: str, namespace: str) -> list[Reference]:
    """One for each tag."""
    project, artifact = publication.project, publication.artifact
    name = project if project.lower() == artifact.lower() else f"{project}_{artifact}"
    tags = publication.fields.get("tags") or [re.sub(r"[^A-Za-z0-9._-]", "-", publication.version)]
    if len(tags) > TAGS_MAX:
        raise PublishRefused(f"an image gets at most {TAGS_MAX} tags")
    untagged = Reference(registry=host, repository=repository_of(namespace, name))
    return [replace(untagged, tag=tag) for tag in dict.fromkeys(tags)]


async def _all_there(client: RegistryClient, references: list[Reference], digest: str) -> bool:
    for reference in references:
        there = await client.resolve(reference)
        if there is None or there.digest != digest:
            return False
    return True


async def _push_image(client: RegistryClient, references: list[Reference], product: Container) -> None:
    """Blobs, then the manifests that name them, then the tags."""
    layout = product.path
    top, walk = await in_thread(lambda stop: _walked(product, stop))
    untagged = references[0]
    for descriptor in walk.blobs.values():
        await client.put_blob(untagged, Blob(descriptor=descriptor, content=blob_path(layout, descriptor.digest)))
    for descriptor in walk.manifests.values():
        data = await asyncio.to_thread(blob_path(layout, descriptor.digest).read_bytes)
        named = references if descriptor.digest == top.digest else [untagged.at(descriptor.digest)]
        for reference in named:
            await client.put_manifest(reference, descriptor.media_type, data)


def _walked(product: Container, stop: threading.Event) -> tuple[Descriptor, LayoutWalk]:
    top = top_of(product.path)
    walk = LayoutWalk(product.path, stop)
    walk.follow(top)
    return top, walk
