"""Tracking images: the shape that the specification writes, one image for one outcome, and everything that it holds
found by asking what refers to it."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from tests.registry_server import serving
from tests.runtime.oci.clients import PASSWORD, Opened, opened

from forge_api.registry.app import create_registry
from forge_runtime.oci.image import Descriptor
from forge_runtime.oci.reference import BadReference, Reference
from forge_runtime.oci.tracking import (
    Document,
    Tracking,
    named_below,
    push_referrers,
    push_tracking,
    tracking_reference,
)

COMMIT = "c" * 40
SBOM = Document(kind="sbom", media_type="application/vnd.syft+json", data=b'{"bill":1}')
PROOF = Document(
    kind="attestation",
    media_type="application/vnd.in-toto+json",
    data=b'{"made":"today"}',
    predicate="https://slsa.dev/provenance/v1",
)
SIGNATURE = Document(kind="signature", media_type="application/vnd.dsse.envelope.v1+json", data=b'{"sig":1}')
TRACKING = Tracking(
    source="https://github.com/acme/shop",
    commit_sha=COMMIT,
    title="web/image",
    metadata={"artifact": {"name": "image"}, "published_locations": []},
    documents=(SBOM, PROOF),
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with serving(create_registry(tmp_path, PASSWORD)) as found:
        yield found


@pytest.fixture
async def it(host: str) -> AsyncIterator[Opened]:
    async with opened(host) as found:
        yield found


def place(it: Opened) -> Reference:
    return tracking_reference(it.host, "Acme/Shop", "web", "image", COMMIT)


def digests(descriptors: tuple[Descriptor, ...]) -> set[str]:
    return {one.digest for one in descriptors}


def test_the_image_is_what_the_specification_writes_and_what_image_tools_read() -> None:
    document = json.loads(replace(TRACKING, documents=(SBOM, PROOF, SIGNATURE)).artifact().encoded())

    assert document["artifactType"] == "application/vnd.forge.artifact.v1"
    assert document["config"]["mediaType"] == "application/vnd.forge.artifact.metadata.v1+json"
    assert [
        (layer["mediaType"], layer["annotations"]["org.catalyst-forge.layer.type"]) for layer in document["layers"]
    ] == [
        ("application/vnd.forge.artifact.metadata.v1+json", "metadata"),
        ("application/vnd.syft+json", "sbom"),
        ("application/vnd.in-toto+json", "attestation"),
        ("application/vnd.dsse.envelope.v1+json", "signature"),
    ]
    assert document["layers"][0]["digest"] == document["config"]["digest"]
    assert document["layers"][2]["annotations"]["in-toto.io/predicate-type"] == "https://slsa.dev/provenance/v1"
    assert document["annotations"] == {
        "org.opencontainers.image.title": "web/image",
        "org.opencontainers.image.revision": COMMIT,
        "org.opencontainers.image.source": "https://github.com/acme/shop",
    }


def test_it_lies_below_the_registry_under_the_names_in_lower_case() -> None:
    reference = tracking_reference("registry.example:5000", "Acme/Shop", "web", "Image", COMMIT)

    assert str(reference) == f"registry.example:5000/acme/shop/web/image:sha-{COMMIT}"
    assert str(named_below("ghcr.io/acme/", "Acme/Shop", "web")) == "ghcr.io/acme/acme/shop/web"
    for registry in ("", "acme", "https://registry.example", "registry.example/", "registry.example/../x", "-"):
        with pytest.raises(BadReference):
            named_below(registry, "acme/shop", "web")
    with pytest.raises(BadReference, match="not a repository"):
        named_below("registry.example", "acme/shop", "we b")


async def test_a_retry_with_other_times_keeps_what_is_there(it: Opened) -> None:
    first = await push_tracking(it.client, place(it), TRACKING)
    later = replace(TRACKING, documents=(SBOM, replace(PROOF, data=b'{"made":"tomorrow"}')))

    again = await push_tracking(it.client, place(it), later)

    assert (first.pushed, again.pushed, again.digest) == (True, False, first.digest)
    assert again.manifest == first.manifest
    assert len(await it.client.referrers(first.pinned)) == 2


async def test_another_outcome_moves_the_tag(it: Opened) -> None:
    first = await push_tracking(it.client, place(it), TRACKING)
    published = replace(TRACKING, metadata={**TRACKING.metadata, "published_locations": [{"publisher": "docs"}]})

    second = await push_tracking(it.client, place(it), published)

    assert second.pushed
    found = await it.client.resolve(place(it))
    assert found is not None
    assert found.digest == second.digest != first.digest
    assert await it.client.get_manifest(first.pinned) == first.manifest, "the first stays under its digest"


async def test_an_image_that_lacks_a_kind_of_document_is_replaced_and_one_that_has_more_is_not(it: Opened) -> None:
    bare = await push_tracking(it.client, place(it), replace(TRACKING, documents=(PROOF,)))
    signed = await push_tracking(it.client, place(it), replace(TRACKING, documents=(SBOM, PROOF, SIGNATURE)))
    without = await push_tracking(it.client, place(it), replace(TRACKING, documents=()))

    assert (signed.pushed, without.pushed) == (True, False)
    assert bare.digest != signed.digest == without.digest
    assert len(await it.client.referrers(signed.pinned)) == 3


async def test_what_an_earlier_push_left_undone_is_done_with_its_own_documents(it: Opened) -> None:
    first = await push_tracking(it.client, place(it), TRACKING)
    before = await it.client.referrers(first.pinned)
    async with httpx2.AsyncClient(base_url=f"http://{it.host}", auth=("forge", PASSWORD)) as raw:
        for one in before:
            reply = await raw.delete(f"/v2/{first.pinned.repository}/manifests/{one.digest}")
            assert reply.status_code == 202
    assert await it.client.referrers(first.pinned) == ()

    other_times = replace(TRACKING, documents=(SBOM, replace(PROOF, data=b'{"made":"tomorrow"}')))
    await push_tracking(it.client, place(it), other_times)

    assert digests(await it.client.referrers(first.pinned)) == digests(before)


async def test_documents_are_attached_to_a_published_image_as_well(it: Opened) -> None:
    image = await it.client.push(it.reference(), TRACKING.artifact())
    pinned = it.reference().at(image.digest)

    attached = await push_referrers(it.client, pinned, image, (SBOM, PROOF))

    assert digests(await it.client.referrers(pinned)) == digests(attached)
    (found,) = await it.client.referrers(pinned, SBOM.media_type)
    manifest = await it.client.get_manifest(it.reference(None).at(found.digest))
    assert manifest is not None
    assert await it.client.get_blob(it.reference(), manifest.layers[0]) == SBOM.data
    assert found.annotations == {"org.catalyst-forge.layer.type": "sbom"}
