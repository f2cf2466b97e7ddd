"""The git cache over ssh, against a real sshd."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.git_repository import commit_all, git, new_repository
from tests.git_ssh import SSHD, SshServer, serve_ssh
from tests.judge import Judged

from forge_runtime.git.cache import GitCache
from forge_runtime.git.credentials import DirectoryCredentials
from forge_runtime.git.error import AccessRefused


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    root = new_repository(tmp_path / "shop")
    (root / "file").write_text("first\n")
    commit_all(root)
    return root


@pytest.fixture
def server(tmp_path: Path, judged: Judged) -> Iterator[SshServer]:
    if SSHD is None:
        judged.absent("sshd", "Debian's package openssh-server has it")
    with serve_ssh(tmp_path / "ssh") as running:
        version = subprocess.run([SSHD, "-V"], stderr=subprocess.PIPE, text=True, check=False, timeout=10).stderr
        judged("sshd", version.partition(",")[0].removeprefix("OpenSSH_"), "tests of clones over ssh", 1)
        yield running


@pytest.fixture
def folder(tmp_path: Path, server: SshServer) -> Path:
    """The credentials of the server, readable by all as Kubernetes mounts them."""
    folder = tmp_path / "credentials" / server.host.replace(":", "_")
    folder.mkdir(parents=True)
    shutil.copyfile(server.key, folder / "id")
    (folder / "id").chmod(0o644)
    name = "[127.0.0.1]:" + server.host.partition(":")[2]
    (folder / "known_hosts").write_text(f"{name} {server.host_key}\n")
    return folder


async def read_file(cache: GitCache, server: SshServer, origin: Path, into: Path) -> str:
    async with cache.checkout(f"{server.url}{origin}", git(origin, "rev-parse", "main"), into) as root:
        return (root / "file").read_text()


def cache_of(tmp_path: Path) -> GitCache:
    # The name has what ssh reads as a token and as the end of a word.
    return GitCache(tmp_path / "a %h cache", credentials=DirectoryCredentials(tmp_path / "credentials"))


async def test_repository_is_given_to_whoever_has_the_key(
    server: SshServer, folder: Path, origin: Path, tmp_path: Path
) -> None:
    cache = cache_of(tmp_path)

    assert await read_file(cache, server, origin, tmp_path / "work") == "first\n"
    assert not list((tmp_path / "a %h cache" / "building").iterdir())


@pytest.mark.parametrize("known_hosts", ["another's", "none"])
async def test_server_that_is_not_known_is_not_spoken_to(
    server: SshServer, folder: Path, origin: Path, tmp_path: Path, known_hosts: str
) -> None:
    if known_hosts == "none":
        (folder / "known_hosts").unlink()
    else:
        name = "[127.0.0.1]:" + server.host.partition(":")[2]
        key = new_key(tmp_path / "other").with_suffix(".pub").read_text()
        (folder / "known_hosts").write_text(f"{name} {key}")

    with pytest.raises(AccessRefused, match="known_hosts") as caught:
        await read_file(cache_of(tmp_path), server, origin, tmp_path / "work")

    assert server.host in str(caught.value)


async def test_key_that_is_not_let_in_is_told_with_host_and_folder(
    server: SshServer, folder: Path, origin: Path, tmp_path: Path
) -> None:
    other = new_key(tmp_path / "other")
    shutil.copyfile(other, folder / "id")

    with pytest.raises(AccessRefused, match="Permission denied") as caught:
        await read_file(cache_of(tmp_path), server, origin, tmp_path / "work")

    assert str(folder) in str(caught.value)
    assert other.read_text().splitlines()[1] not in str(caught.value)


def new_key(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=60)
    return path
