"""The release image: metadata as its configuration, and the rendered resources as its only layer. Pure.

    config    application/vnd.forge.release.metadata.v1+json     what the release consists of
    layer     application/vnd.oci.image.layer.v1.tar+gzip        <kind>-<name>.yaml, one for each resource

One layer of that type is what Argo CD takes as an OCI source, and what Flux extracts where it is told nothing else. The
platform's own type may be asked for instead, for readers that look for it.

The same release is the same bytes whenever it is made, so what comes to be known later stays out: its number, its
aliases, when it was made and by which run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from forge_runtime.job import ArtifactData
from forge_runtime.oci.image import LAYER_TAR_GZIP_TYPE, Artifact, Packed, blob_of, json_blob, tar_gzip
from forge_runtime.oci.reference import Reference
from forge_runtime.oci.tracking import named_below
from forge_runtime.render.files import RenderedFile
from forgec.plan.digest import digest_of

ARTIFACT_TYPE: Final = "application/vnd.forge.release.v1"
METADATA_TYPE: Final = "application/vnd.forge.release.metadata.v1+json"
RESOURCES_TYPE: Final = "application/vnd.forge.release.resources.v1.tar+gzip"
"""The layer's type for readers that know the platform and look for its own."""

SCHEMA_VERSION: Final = 1

_OCI: Final = "org.opencontainers.image."


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseImages:
    """Where release images go: `registry` is a host, maybe with a port and a path in front of repositories' names."""

    registry: str
    layer_type: str = LAYER_TAR_GZIP_TYPE

    def name(self, repository: str, project: str) -> Reference:
        """`[registry]/[owner]/[name]/[project]`, in lower case. Raises BadReference."""
        return named_below(self.registry, repository, project)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseContent:
    """All that an image tells. `committed_at` is the commit's time, RFC 3339 UTC; `source` an address without secrets.

    `uris` are the addresses of the artifacts that have one.
    """

    repository: str
    project: str
    project_path: str
    commit_sha: str
    committed_at: str
    files: Sequence[RenderedFile]
    source: str | None = None
    artifacts: Mapping[str, ArtifactData] = field(default_factory=dict)
    uris: Mapping[str, str] = field(default_factory=dict)

    @property
    def canonical_id(self) -> str:
        return f"{self.repository}/{self.project}/{self.commit_sha}"


def release_image(content: ReleaseContent, layer_type: str = LAYER_TAR_GZIP_TYPE) -> Artifact:
    """Raises oci.image.BadImage where it becomes larger than registries take."""
    packed = tar_gzip(Packed(name=file.name, content=file.content) for file in content.files)
    layer = blob_of(layer_type, packed, {f"{_OCI}title": f"{content.project}.tar.gz"})
    return Artifact(
        artifact_type=ARTIFACT_TYPE,
        config=json_blob(METADATA_TYPE, _metadata(content, layer.descriptor.digest)),
        layers=(layer,),
        annotations=_annotations(content),
    )


def _metadata(content: ReleaseContent, layer_digest: str) -> dict[str, Any]:
    return {
        "schemaVersion": SCHEMA_VERSION,
        "canonicalId": content.canonical_id,
        "repository": content.repository,
        "project": content.project,
        "projectPath": content.project_path,
        "commitSha": content.commit_sha,
        "committedAt": content.committed_at,
        "artifacts": [
            {
                "name": name,
                "type": data.type,
                "trackingUri": data.tracking_oci_uri,
                "trackingDigest": data.tracking_oci_digest,
                "uri": content.uris.get(name),
            }
            for name, data in sorted(content.artifacts.items())
        ],
        "resources": [
            {
                "file": file.name,
                "apiVersion": file.resource.api_version,
                "kind": file.resource.kind,
                "name": file.resource.name,
                "namespace": file.resource.namespace,
                "digest": digest_of(file.content),
            }
            for file in content.files
        ],
        "resourcesDigest": layer_digest,
    }


def _annotations(content: ReleaseContent) -> dict[str, str]:
    """What Argo CD and Flux show of an image."""
    annotations = {
        f"{_OCI}title": content.project,
        f"{_OCI}description": f"Deployment resources of {content.project} of {content.repository}",
        f"{_OCI}version": content.commit_sha,
        f"{_OCI}revision": content.commit_sha,
        f"{_OCI}created": content.committed_at,
    }
    return annotations | ({f"{_OCI}source": content.source} if content.source is not None else {})
