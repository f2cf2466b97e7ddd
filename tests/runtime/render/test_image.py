"""The release image, as Argo CD, Flux and the platform read it."""

import io
import json
import tarfile
from typing import Any

import pytest
import yaml
from tests.runtime.render.samples import DIGEST, built, resource

from forge_runtime.oci.image import Artifact
from forge_runtime.oci.reference import BadReference
from forge_runtime.render.files import render_files
from forge_runtime.render.image import RESOURCES_TYPE, ReleaseContent, ReleaseImages, release_image

SHA = "ab" * 20
RESOURCES = (resource("Deployment", "web", spec={"replicas": 2}), resource("Service", "web"))


def content(**changes: Any) -> ReleaseContent:
    fields: dict[str, Any] = {
        "repository": "Acme/shop",
        "project": "web",
        "project_path": "apps/web",
        "commit_sha": SHA,
        "committed_at": "2026-03-01T12:00:00.000Z",
        "files": render_files(RESOURCES),
        "source": "https://git.test/acme/shop",
        "artifacts": {"image": built("image")},
        "uris": {"image": "hub.test/n/web:v1"},
    }
    return ReleaseContent(**{**fields, **changes})


def config_of(image: Artifact) -> dict[str, Any]:
    assert isinstance(image.config.content, bytes)
    document: dict[str, Any] = json.loads(image.config.content)
    return document


def test_one_layer_of_the_common_type_holds_the_resources() -> None:
    image = release_image(content())

    manifest = json.loads(image.encoded())
    assert manifest["artifactType"] == "application/vnd.forge.release.v1"
    assert manifest["config"]["mediaType"] == "application/vnd.forge.release.metadata.v1+json"
    assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/vnd.oci.image.layer.v1.tar+gzip"]
    packed = image.layers[0].content
    assert isinstance(packed, bytes)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        members = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        found = {name: yaml.safe_load(file.read()) for name, file in members.items() if file is not None}
    assert found == {"deployment-web.yaml": RESOURCES[0].document, "service-web.yaml": RESOURCES[1].document}


def test_metadata_names_source_artifacts_and_resources_and_neither_number_nor_time() -> None:
    image = release_image(content())

    config = config_of(image)
    assert config["canonicalId"] == f"Acme/shop/web/{SHA}"
    assert config["artifacts"] == [
        {
            "name": "image",
            "type": "container",
            "trackingUri": "registry.test/acme/shop/web/image:sha-1",
            "trackingDigest": DIGEST,
            "uri": "hub.test/n/web:v1",
        }
    ]
    assert [(each["file"], each["kind"], each["name"]) for each in config["resources"]] == [
        ("deployment-web.yaml", "Deployment", "web"),
        ("service-web.yaml", "Service", "web"),
    ]
    assert config["resourcesDigest"] == image.layers[0].descriptor.digest
    assert sorted(config) == [
        "artifacts",
        "canonicalId",
        "commitSha",
        "committedAt",
        "project",
        "projectPath",
        "repository",
        "resources",
        "resourcesDigest",
        "schemaVersion",
    ]


def test_annotations_are_what_argo_cd_shows() -> None:
    annotations = release_image(content()).annotations

    assert {name.removeprefix("org.opencontainers.image."): text for name, text in annotations.items()} == {
        "title": "web",
        "description": "Deployment resources of web of Acme/shop",
        "version": SHA,
        "revision": SHA,
        "created": "2026-03-01T12:00:00.000Z",
        "source": "https://git.test/acme/shop",
    }


def test_same_release_is_the_same_bytes() -> None:
    first, again = release_image(content()), release_image(content(files=render_files(RESOURCES)))

    assert first.encoded() == again.encoded()
    assert [blob.content for blob in first.blobs] == [blob.content for blob in again.blobs]
    assert first.descriptor() != release_image(content(project_path="elsewhere")).descriptor()


def test_layer_may_be_of_the_platforms_own_type() -> None:
    image = release_image(content(), RESOURCES_TYPE)

    assert [layer.descriptor.media_type for layer in image.layers] == [RESOURCES_TYPE]


def test_release_without_resources_still_has_one_layer() -> None:
    image = release_image(content(files=()))

    packed = image.layers[0].content
    assert isinstance(packed, bytes)
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        assert tar.getmembers() == []


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("registry.test", "registry.test/acme/shop/web"),
        ("127.0.0.1:5000/releases/", "127.0.0.1:5000/releases/acme/shop/web"),
    ],
)
def test_image_is_named_for_repository_and_project_in_lower_case(registry: str, name: str) -> None:
    assert str(ReleaseImages(registry=registry).name("Acme/Shop", "Web")) == name


def test_name_that_registries_do_not_know_is_refused() -> None:
    with pytest.raises(BadReference):
        ReleaseImages(registry="registry.test").name("acme/shop", "we b")
