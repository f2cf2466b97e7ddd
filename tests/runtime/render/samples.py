"""Resources and artifacts for the tests of releases."""

from typing import Any

from forge_runtime.job import ArtifactData, PublishedLocation
from forgec.discovery.model import Artifact, EarthlyProducer, Producer
from forgec.discovery.resources import Resource
from forgec.source import Source

DIGEST = "sha256:" + "1" * 64


def resource(kind: str, name: str, *, api_version: str = "v1", namespace: str | None = None, **rest: Any) -> Resource:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return Resource(
        api_version=api_version,
        kind=kind,
        name=name,
        namespace=namespace,
        document={"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest},
        place=Source("web/.forge/project.cue", "x").span(0, 1),
    )


def artifact(type_: str = "container", **publishers: dict[str, Any]) -> Artifact:
    producer = Producer(earthly=EarthlyProducer(target="+image"))
    return Artifact(type=type_, producer=producer, publishers=publishers)  # type: ignore[arg-type]


def built(name: str, *published: PublishedLocation, **outputs: Any) -> ArtifactData:
    return ArtifactData(
        artifact_name=name,
        type="container",
        tracking_oci_uri=f"registry.test/acme/shop/web/{name}:sha-1",
        tracking_oci_digest=DIGEST,
        outputs=outputs,
        published_locations=published,
    )
