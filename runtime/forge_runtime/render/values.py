"""What deployment resources may say of artifacts: `<artifact>.<field>`, `<artifact>.publishers.<publisher>.<field>`.

what its producer tells      digest, size, arch, ... ; never where it lay on the worker's disk
publishers.<publisher>       what each publisher tells that did not fail, and `uri`
uri                          that of the primary publisher
image                        of a container: where the primary publisher put it, pinned by its digest
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from forge_runtime.job import ArtifactData, PublishedLocation
from forge_runtime.oci.reference import BadReference, parse_reference
from forgec.discovery.model import Artifact, with_primary

Failure = tuple[str, PublishedLocation]
"""An artifact's name, and where it should have been."""

_OF_THE_WORKER: Final = frozenset({"location_type", "path"})


def artifact_values(artifact: Artifact, data: ArtifactData) -> dict[str, Any]:
    """By name; a container's are what the registry has of it."""
    published = {each.publisher: {**each.metadata, "uri": each.uri} for each in present(data.published_locations)}
    values = {name: value for name, value in data.outputs.items() if name not in _OF_THE_WORKER}
    uri = primary_uri(artifact, data)
    home = published.get(_primary(artifact) or "", {})
    image = _pinned(uri, home.get("digest") or values.get("digest")) if artifact.type == "container" else None
    known = {"uri": uri, "image": image}
    return {**values, **{name: value for name, value in known.items() if value is not None}, "publishers": published}


def primary_uri(artifact: Artifact, data: ArtifactData) -> str | None:
    """Where the artifact is at home; None where its primary publisher failed, or where it has none."""
    primary = _primary(artifact)
    return next((each.uri for each in present(data.published_locations) if each.publisher == primary), None)


def present(locations: Sequence[PublishedLocation]) -> list[PublishedLocation]:
    return [location for location in locations if not location.failed]


def failures(artifacts: Mapping[str, ArtifactData]) -> list[Failure]:
    """The publications that failed."""
    return [
        (name, location) for name, data in artifacts.items() for location in data.published_locations if location.failed
    ]


def _primary(artifact: Artifact) -> str | None:
    publishers = with_primary(artifact).publishers
    return next((name for name, fields in publishers.items() if fields.get("primary") is True), None)


def _pinned(uri: str | None, digest: object) -> str | None:
    """Without its tag, which a digest makes meaningless, and which not every client takes beside one."""
    if uri is None or not isinstance(digest, str):
        return None
    try:
        reference = parse_reference(uri)
        return str(parse_reference(f"{reference.name}@{digest}"))
    except BadReference:
        return None
