"""What a worker's settings make of its handlers."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from forge_runtime.blob import DirectoryBlob
from forge_runtime.git.cache import GitCache
from forge_runtime.job import JobType
from forge_runtime.oci.image import LAYER_TAR_GZIP_TYPE
from forge_runtime.render.image import RESOURCES_TYPE
from forge_runtime.runner.host import HostRunner
from forge_runtime.settings import BadSettings, read_worker_settings
from forge_runtime.worker.artifact import ArtifactHandler
from forge_runtime.worker.release import ReleaseHandler
from forge_runtime.worker.trade import Tools, handlers_of


async def made_of(environ: Mapping[str, str], folder: Path) -> tuple[str, str]:
    """The form of bills, and the media type of a release's layer."""
    required = {
        "FORGE_DATA_DIR": str(folder),
        "FORGE_API_URL": "http://127.0.0.1:1",
        "FORGE_API_TOKEN_FILE": str(folder / "token"),
        "FORGE_REGISTRY": "127.0.0.1:1",
        "FORGE_GITOPS_URL": "https://git.example/pointers",
    }
    environ = required | dict(environ)
    tools = Tools(
        cache=GitCache(folder / "cache"),
        runner=HostRunner(),
        blob=DirectoryBlob(folder / "objects"),
        own=folder / "own",
    )
    async with handlers_of(("artifacts", "releases"), tools, read_worker_settings(environ), environ) as handlers:
        artifact, release = handlers[JobType.ARTIFACT], handlers[JobType.RELEASE]
        assert isinstance(artifact, ArtifactHandler)
        assert isinstance(release, ReleaseHandler)
        return artifact._evidence.bill, release._images.layer_type


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, ("syft-json", LAYER_TAR_GZIP_TYPE)),
        ({"FORGE_SBOM": "spdx-json"}, ("spdx-json", LAYER_TAR_GZIP_TYPE)),
        ({"FORGE_RELEASE_LAYER": "forge"}, ("syft-json", RESOURCES_TYPE)),
    ],
)
async def test_form_of_bills_and_type_of_layers_are_settings(
    tmp_path: Path, environ: Mapping[str, str], expected: tuple[str, str]
) -> None:
    assert await made_of(environ, tmp_path) == expected


@pytest.mark.parametrize("name", ["FORGE_SBOM", "FORGE_RELEASE_LAYER"])
async def test_setting_that_is_no_choice_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadSettings, match=name):
        await made_of({name: "other"}, tmp_path)
