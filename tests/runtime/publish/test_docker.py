"""Images and files to registries of images."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.registry_server import serving
from tests.runtime.produce.hostile import tar_of
from tests.runtime.publish.registries import own_registry
from tests.runtime.publish.things import SECRET, archive_of, binary_of, image_layout, publication_of

from forge_api.registry.app import create_registry
from forge_api.registry.faults import Answers, Fault
from forge_runtime.http import Http
from forge_runtime.oci.credentials import Credential as Shown
from forge_runtime.oci.credentials import GivenCredentials
from forge_runtime.oci.image import Blob
from forge_runtime.oci.mirrors import parse_mirrors
from forge_runtime.oci.reference import parse_reference
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.oci.tracking import Document
from forge_runtime.produce.product import Product
from forge_runtime.publish.credential import Credential
from forge_runtime.publish.docker import DockerPublisher
from forge_runtime.publish.port import Published, PublishRefused
from forge_runtime.publish.registry import StandIns
from forge_runtime.supply.sign import KeySigner, signature_reference, verify_image

LAYERS = {"one": b"first layer", "two": b"second layer"}


async def publish(http: Http, registry: str, product: Product, folder: Path, **given: object) -> Published:
    settings = {"registry": registry, "namespace": "Acme/Images"}
    publication = publication_of(product, folder, **{"settings": settings, "credential": None, **given})
    return await DockerPublisher(http).publish(publication)


@pytest.mark.parametrize("platforms", [1, 3])
async def test_an_image_arrives_byte_for_byte(http: Http, registry: str, tmp_path: Path, platforms: int) -> None:
    image = image_layout(tmp_path / "image", LAYERS, platforms=platforms)

    published = await publish(http, registry, image, tmp_path)

    assert published == Published(
        uri=f"{registry}/acme/images/tidy_cli:v1.2.0",
        metadata={
            "registry": registry,
            "namespace": "Acme/Images",
            "repository": "tidy_cli",
            "tag": "v1.2.0",
            "digest": image.digest,
        },
    )
    there = await RegistryClient(http).resolve(parse_reference(published.uri))
    assert there is not None
    assert there.digest == image.digest


async def test_publishing_twice_pushes_once(http: Http, registry: str, tmp_path: Path) -> None:
    image = image_layout(tmp_path / "image", LAYERS)

    first = await publish(http, registry, image, tmp_path)
    second = await publish(http, registry, image, tmp_path)

    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.uri == first.uri


async def test_an_image_gets_the_tags_that_the_project_asks_for(http: Http, registry: str, tmp_path: Path) -> None:
    image = image_layout(tmp_path / "image", LAYERS)

    published = await publish(http, registry, image, tmp_path, fields={"tags": ["stable", "1.2"]})

    for tag in ("stable", "1.2"):
        found = await RegistryClient(http).resolve(parse_reference(published.uri).tagged(tag))
        assert found is not None
        assert found.digest == image.digest
    assert published.metadata["tag"] == "stable"


async def test_a_tag_moves_to_what_was_built_last(http: Http, registry: str, tmp_path: Path) -> None:
    await publish(http, registry, image_layout(tmp_path / "one", LAYERS), tmp_path)
    rebuilt = image_layout(tmp_path / "two", {"one": b"another"})

    published = await publish(http, registry, rebuilt, tmp_path)

    there = await RegistryClient(http).resolve(parse_reference(published.uri))
    assert there is not None
    assert there.digest == rebuilt.digest == published.metadata["digest"]


async def test_a_file_is_an_artifact_of_one_layer(http: Http, registry: str, tmp_path: Path) -> None:
    product = binary_of(tmp_path / "tidy")

    first = await publish(http, registry, product, tmp_path, artifact="tidy", git_tag=None)
    second = await publish(http, registry, product, tmp_path, artifact="tidy", git_tag=None)

    client, reference = RegistryClient(http), parse_reference(first.uri)
    assert first.uri == f"{registry}/acme/images/tidy:sha-0123456789ab"
    manifest = await client.get_manifest(reference)
    assert manifest is not None
    (layer,) = manifest.layers
    assert (manifest.type, layer.digest) == ("application/vnd.forge.binary.v1", product.digest)
    assert layer.annotations == {"org.opencontainers.image.title": "tidy"}
    assert await client.get_blob(reference, layer) == product.path.read_bytes()
    assert second.unchanged


async def test_an_archive_says_how_it_is_packed(http: Http, registry: str, tmp_path: Path) -> None:
    archive = archive_of(tar_of(tmp_path / "site.tar.gz", {"a": b"b"}))

    published = await publish(http, registry, archive, tmp_path)

    manifest = await RegistryClient(http).get_manifest(parse_reference(published.uri))
    assert manifest is not None
    assert manifest.type == "application/vnd.forge.archive.v1"
    assert manifest.layers[0].media_type == "application/gzip"


async def test_bill_provenance_and_signature_lie_beside_an_image_once(
    http: Http, registry: str, tmp_path: Path
) -> None:
    image = image_layout(tmp_path / "image", LAYERS)
    documents = (Document(kind="sbom", media_type="application/vnd.syft+json", data=b"{}"),)
    ours, another = (KeySigner(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))

    for signer in (ours, ours, another):
        published = await publish(http, registry, image, tmp_path, documents=documents, signer=signer)

    client, pinned = RegistryClient(http), parse_reference(published.uri).at(image.digest)
    assert [each.artifact_type for each in await client.referrers(pinned)] == ["application/vnd.syft+json"]
    signatures = await client.get_manifest(signature_reference(pinned))
    assert signatures is not None
    blobs = [Blob(descriptor=layer, content=await client.get_blob(pinned, layer)) for layer in signatures.layers]
    assert len(blobs) == 2
    verify_image(pinned, blobs[0], ours.verifier)
    verify_image(pinned, blobs[1], another.verifier)


async def test_a_registry_without_room_for_documents_gets_the_image_alone(http: Http, tmp_path: Path) -> None:
    image = image_layout(tmp_path / "image", LAYERS)
    documents = (Document(kind="sbom", media_type="application/vnd.syft+json", data=b"{}"),)
    fault = Fault(what=Answers(status=415), method="PUT", path="/manifests/sha256", times=100)
    with serving(create_registry(tmp_path / "registry", faults=[fault])) as registry:
        published = await publish(http, registry, image, tmp_path, documents=documents)

    assert published.metadata["digest"] == image.digest
    (note,) = published.notes
    assert "no documents beside the image" in note


async def test_the_publishers_own_login_is_shown(http: Http, tmp_path: Path) -> None:
    image = image_layout(tmp_path / "image", LAYERS)
    with own_registry(tmp_path / "registry", SECRET) as registry:
        published = await publish(http, registry, image, tmp_path, credential=Credential(f"forge:{SECRET}"))

        assert published.metadata["digest"] == image.digest
        with pytest.raises(PublishRefused, match="none are configured"):
            await publish(http, registry, image, tmp_path, credential=None)
        with pytest.raises(PublishRefused) as refused:
            await publish(http, registry, image, tmp_path, credential=Credential("forge:wrong-password"))

    assert "wrong-password" not in str(refused.value)


async def test_a_registry_that_stands_in_is_shown_the_platforms_login_and_no_other(http: Http, tmp_path: Path) -> None:
    image = image_layout(tmp_path / "image", LAYERS)
    settings = {"registry": "registry.example", "namespace": "shop"}
    with own_registry(tmp_path / "registry", SECRET) as registry:
        known = GivenCredentials({registry: Shown(user="forge", password=SECRET)})
        stand_ins = StandIns(mirrors=parse_mirrors(f"*=http://{registry}"), credentials=known)
        publication = publication_of(image, tmp_path, settings=settings, credential=Credential("other:login"))

        published = await DockerPublisher(http, stand_ins).publish(publication)

    assert published.uri == "registry.example/shop/tidy_cli:v1.2.0"


@pytest.mark.parametrize(
    ("settings", "fields", "reason"),
    [
        ({"registry": "registry.example", "namespace": "a//b"}, {}, "is not a repository"),
        ({"registry": "https://x", "namespace": "a"}, {}, "is not a registry"),
        ({"registry": "registry.example", "namespace": "a"}, {"tags": ["a b"]}, "is not a tag"),
        ({"registry": "registry.example", "namespace": "a"}, {"tags": ["a"] * 21}, "at most 20 tags"),
    ],
)
async def test_names_that_are_none_are_refused_before_anything_is_asked(
    http: Http, tmp_path: Path, settings: dict[str, str], fields: dict[str, object], reason: str
) -> None:
    image = image_layout(tmp_path / "image", LAYERS)

    with pytest.raises(PublishRefused, match=reason):
        await publish(http, "unused", image, tmp_path, settings=settings, fields=fields)
