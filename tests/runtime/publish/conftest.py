"""A client, and servers that publishers speak to."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.judge import Judged, version_of
from tests.runtime.publish.registries import docker_registry, own_registry
from tests.runtime.publish.things import impatient_http

from forge_runtime.http import Http


@pytest_asyncio.fixture
async def http() -> AsyncIterator[Http]:
    async with impatient_http() as opened:
        yield opened


@pytest.fixture(params=["docker-registry", "the platform's own"])
def registry(request: pytest.FixtureRequest, tmp_path: Path, judged: Judged) -> Iterator[str]:
    """`127.0.0.1:<port>` of a registry that takes everything."""
    if request.param != "docker-registry":
        with own_registry(tmp_path / "registry") as address:
            yield address
        return
    if shutil.which("docker-registry") is None:
        judged.absent("docker-registry", "it is not installed")
    with docker_registry(tmp_path / "registry") as address:
        judged("docker-registry", version_of("docker-registry", "--version"), "publications", 1)
        yield address
