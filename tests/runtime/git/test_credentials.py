"""Credentials of git hosts over HTTPS: who gets them, and that nobody sees them."""

import logging
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from tests.git_https import Behaviour, GitServer, serve_repositories
from tests.git_repository import commit_all, git, new_repository

from forge_runtime.git.cache import GitCache
from forge_runtime.git.credentials import DirectoryCredentials
from forge_runtime.git.error import AccessRefused

pytestmark = [
    pytest.mark.skipif(
        shutil.which("openssl") is None
        or subprocess.run(["git", "http-backend"], capture_output=True, check=False).returncode == 1,
        reason="needs openssl and git http-backend",
    ),
    pytest.mark.usefixtures("real_git"),
]

PASSWORD = "s3cr3t-%41'\"\\n word"
LOGIN = ("forge bot", PASSWORD)


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = new_repository(tmp_path / "served" / "shop")
    (root / "file").write_text("first\n")
    commit_all(root)
    return root


@pytest.fixture
def server(origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    with serve(origin, tmp_path / "server", Behaviour(login=LOGIN)) as running:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(running.certificate))
        yield running


def serve(
    origin: Path, scratch: Path, behaviour: Behaviour, address: str = "127.0.0.1"
) -> AbstractContextManager[GitServer]:
    return serve_repositories(origin.parent, scratch, behaviour=behaviour, address=address)


def give(root: Path, server: GitServer, login: tuple[str, str] = LOGIN) -> DirectoryCredentials:
    """As Kubernetes mounts them, with a line break at the end as editors leave it."""
    folder = root / server.host.replace(":", "_")
    folder.mkdir(parents=True)
    (folder / "username").write_text(login[0] + "\n")
    (folder / "password").write_text(login[1] + "\n")
    return DirectoryCredentials(root)


async def read_file(cache: GitCache, server: GitServer, origin: Path, into: Path) -> str:
    async with cache.checkout(f"{server.url}/shop/.git", git(origin, "rev-parse", "main"), into) as root:
        return (root / "file").read_text()


async def test_repository_is_given_to_whoever_has_the_password(server: GitServer, origin: Path, tmp_path: Path) -> None:
    cache = GitCache(tmp_path / "cache", credentials=give(tmp_path / "credentials", server))

    assert await read_file(cache, server, origin, tmp_path / "work") == "first\n"


async def test_password_is_in_no_argument_no_environment_no_file_and_no_log(
    server: GitServer,
    origin: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    watched = tmp_path / "watched"
    real = shutil.which("git")
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "git"
    wrapper.write_text(f'#!/bin/sh\n{{ printf "%s\\n" "$@"; env; }} >> {watched}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    cache = GitCache(tmp_path / "cache", credentials=give(tmp_path / "credentials", server))

    async with cache.checkout(f"{server.url}/shop/.git", git(origin, "rev-parse", "main"), tmp_path / "work"):
        written = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
        kept = b"".join(path.read_bytes() for path in written)

    assert "fetch" in watched.read_text()
    assert PASSWORD not in watched.read_text()
    assert b"s3cr3t" not in kept
    assert "s3cr3t" not in caplog.text


async def test_wrong_password_is_told_with_host_and_folder_but_without_its_value(
    server: GitServer, origin: Path, tmp_path: Path
) -> None:
    credentials = give(tmp_path / "credentials", server, ("forge bot", "wr0ng"))

    with pytest.raises(AccessRefused) as caught:
        await read_file(GitCache(tmp_path / "cache", credentials=credentials), server, origin, tmp_path / "work")

    message = str(caught.value)
    assert f"{server.host} refuses the credentials in {tmp_path}/credentials/" in message
    assert "wr0ng" not in message
    assert (caught.value.error_class, caught.value.retryable) == ("config", False)
    assert not list((tmp_path / "cache" / "building").iterdir())


@pytest.mark.parametrize("directory", [True, False])
async def test_host_without_credentials_is_told_where_they_belong(
    server: GitServer, origin: Path, tmp_path: Path, directory: bool
) -> None:
    credentials = DirectoryCredentials(tmp_path / "credentials") if directory else None

    with pytest.raises(AccessRefused, match="username and password"):
        await read_file(GitCache(tmp_path / "cache", credentials=credentials), server, origin, tmp_path / "work")

    assert server.authorizations == [None]


async def test_unusable_password_is_told_by_its_file(server: GitServer, origin: Path, tmp_path: Path) -> None:
    credentials = give(tmp_path / "credentials", server, ("forge bot", "two\nl1nes"))

    with pytest.raises(AccessRefused, match="password are not one line of text") as caught:
        await read_file(GitCache(tmp_path / "cache", credentials=credentials), server, origin, tmp_path / "work")

    assert "l1nes" not in str(caught.value)


async def test_password_without_a_user_is_told_by_the_file_that_is_missing(
    server: GitServer, origin: Path, tmp_path: Path
) -> None:
    credentials = give(tmp_path / "credentials", server)
    [folder] = (tmp_path / "credentials").iterdir()
    (folder / "username").unlink()

    with pytest.raises(AccessRefused, match="username cannot be read"):
        await read_file(GitCache(tmp_path / "cache", credentials=credentials), server, origin, tmp_path / "work")


async def test_redirect_to_another_host_carries_no_credentials(
    server: GitServer, origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    credentials = give(tmp_path / "credentials", server)
    with serve(origin, tmp_path / "other", Behaviour(login=("x", "y")), "127.0.0.2") as other:
        both = tmp_path / "authorities"
        both.write_text(server.certificate.read_text() + other.certificate.read_text())
        monkeypatch.setenv("GIT_SSL_CAINFO", str(both))
        server.behaviour.redirect = other.url

        with pytest.raises(AccessRefused):
            await read_file(GitCache(tmp_path / "cache", credentials=credentials), server, origin, tmp_path / "work")

        assert other.requests
        assert not any(other.authorizations)
        assert any(server.authorizations)


async def test_redirect_to_an_unencrypted_server_is_not_followed(
    server: GitServer, origin: Path, tmp_path: Path
) -> None:
    credentials = give(tmp_path / "credentials", server)
    server.behaviour.redirect = "http://127.0.0.1:9"

    with pytest.raises(Exception, match=r"Protocol .http. (not supported or )?disabled"):
        await read_file(GitCache(tmp_path / "cache", credentials=credentials), server, origin, tmp_path / "work")
