"""Pointers over HTTPS, against git's own server, and with a password that it asks for."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.git_https import GitServer, serve_repositories
from tests.git_repository import git
from tests.runtime.gitops.origin import install_hook, new_origin, pointers, update

from forge_runtime.gitops.writer import GitOpsDenied, GitOpsMisconfigured, GitOpsRepository, PointerWriter

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None
    or subprocess.run(["git", "http-backend"], capture_output=True, check=False).returncode == 1,
    reason="needs openssl and git http-backend",
)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    return new_origin(tmp_path / "served" / "gitops.git")


@pytest.fixture
def server(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    with serve_repositories(origin.parent, tmp_path) as running:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(running.certificate))
        yield running


def writer(server: GitServer, folder: Path, name: str = "gitops.git") -> PointerWriter:
    return PointerWriter(GitOpsRepository(clone_url=f"{server.url}/{name}"), folder)


async def test_two_writers_over_https_lose_nothing(server: GitServer, origin: Path, tmp_path: Path) -> None:
    writers = [writer(server, tmp_path / f"writer-{n}") for n in range(2)]

    async with asyncio.timeout(60):
        await asyncio.gather(*(writers[n % 2].put(update(n, f"project-{n}")) for n in range(6)))

    assert sorted(pointers(origin)) == [f"project-{n}" for n in range(6)]


async def test_hook_behind_https_is_told_in_its_words(server: GitServer, origin: Path, tmp_path: Path) -> None:
    install_hook(origin, "update", "echo 'frozen until Monday' >&2; exit 1")

    with pytest.raises(GitOpsDenied, match="frozen until Monday"):
        await writer(server, tmp_path / "writer").put(update(1))


async def test_server_that_takes_no_pushes_is_for_people(server: GitServer, origin: Path, tmp_path: Path) -> None:
    git(origin, "config", "http.receivepack", "false")

    with pytest.raises(
        GitOpsMisconfigured, match=r"127\.0\.0\.1:\d+ does not give .* to us: the worker has no credentials"
    ):
        await writer(server, tmp_path / "writer").put(update(1))


async def test_repository_that_the_server_does_not_know_is_for_people(server: GitServer, tmp_path: Path) -> None:
    with pytest.raises(GitOpsMisconfigured, match="not found"):
        await writer(server, tmp_path / "writer", "none.git").put(update(1))
