"""A release image as others read it: Flux by its own client, from our registry and from Debian's."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.conformance.flux.puller import pull, puller, version
from tests.conformance.oci.registries import docker_registry
from tests.go_tool import Unavailable
from tests.judge import Judged
from tests.registry_server import serving
from tests.runtime.render.samples import resource

from forge_api.registry.app import create_registry
from forge_runtime.http import Http
from forge_runtime.oci.image import LAYER_TAR_GZIP_TYPE
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.render.files import render_files
from forge_runtime.render.image import RESOURCES_TYPE, ReleaseContent, ReleaseImages, release_image

SHA = "ab" * 20
RESOURCES = (
    resource("Deployment", "web", api_version="apps/v1", spec={"replicas": 2, "text": "a: b\n# c\n", "odd": "yes"}),
    resource("Service", "web", spec={"ports": [{"port": 80}]}),
)


@pytest.fixture(params=["ours", "docker-registry"])
def host(request: pytest.FixtureRequest, tmp_path: Path, judged: Judged) -> Iterator[str]:
    if request.param == "ours":
        with serving(create_registry(tmp_path / "images")) as ours:
            yield ours
        return
    try:
        with docker_registry(tmp_path) as debians:
            yield debians
    except Unavailable as reason:
        judged.absent("docker-registry", str(reason))


@pytest.fixture(autouse=True)
def flux(judged: Judged) -> None:
    try:
        puller()
    except Unavailable as reason:
        judged.absent("flux", str(reason))


@pytest.mark.parametrize("layer_type", [LAYER_TAR_GZIP_TYPE, RESOURCES_TYPE])
@pytest.mark.parametrize("named", ["tag", "digest"])
async def test_flux_extracts_the_resources_and_tells_where_they_come_from(
    host: str, named: str, layer_type: str, judged: Judged, tmp_path: Path
) -> None:
    content = ReleaseContent(
        repository="acme/shop",
        project="web",
        project_path="web",
        commit_sha=SHA,
        committed_at="2026-03-01T12:00:00.000Z",
        files=render_files(RESOURCES),
    )
    reference = ReleaseImages(registry=host).name("acme/shop", "web").tagged("42")
    async with Http.open() as http:
        pushed = await RegistryClient(http).push(reference, release_image(content, layer_type))
    asked = reference if named == "tag" else reference.tagged("42").at(pushed.digest)

    pulled = await asyncio.to_thread(pull, str(asked), tmp_path / "pulled")

    files = {path.name: yaml.safe_load(path.read_text()) for path in (tmp_path / "pulled").iterdir()}
    assert files == {"deployment-web.yaml": RESOURCES[0].document, "service-web.yaml": RESOURCES[1].document}
    assert pulled.digest.endswith(pushed.digest)
    assert (pulled.revision, pulled.created) == (SHA, "2026-03-01T12:00:00.000Z")
    judged("flux", version(), "release images pulled and extracted", 1)


async def test_flux_finds_nothing_where_there_is_no_release(host: str, tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        await asyncio.to_thread(pull, f"{host}/acme/shop/none:1", tmp_path / "pulled")
