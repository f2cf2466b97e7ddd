"""`python -m forge_api.registry` as a process: it serves, keeps what it has, and says what is wrong with its token."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.nats_server import free_port
from tests.registry_server import leashed, process
from tests.runtime.oci.clients import PASSWORD, opened

from forge_runtime.oci.image import Artifact, blob_of
from forge_runtime.oci.registry import RegistryAway, RegistryRefused

ARTIFACT = Artifact(
    artifact_type="application/vnd.example.v1", layers=(blob_of("application/octet-stream", os.urandom(50_000)),)
)


def artifact(number: int) -> Artifact:
    return Artifact(artifact_type="application/vnd.example.v1", layers=(blob_of("text/plain", b"%d" % number * 3000),))


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(PASSWORD + "\n")
    return path


def command(folder: Path, port: int, token: Path) -> list[str | Path]:
    arguments: list[str | Path] = ["--directory", folder, "--port", str(port), "--token-file", token]
    return [sys.executable, "-m", "forge_api.registry", *arguments]


@contextmanager
def running(folder: Path, port: int, token: Path) -> Iterator[str]:
    with process(command(folder / "images", port, token), port, folder / "log") as host:
        yield host


async def test_what_was_pushed_is_there_after_a_restart(tmp_path: Path, token: Path) -> None:
    port = free_port()
    with running(tmp_path, port, token) as host:
        async with opened(host) as it:
            descriptor = await it.client.push(it.reference(), ARTIFACT)

    with running(tmp_path, port, token) as host:
        async with opened(host) as it:
            assert await it.client.resolve(it.reference()) == descriptor
            assert await it.client.get_blob(it.reference(), ARTIFACT.layers[0].descriptor) == ARTIFACT.layers[0].content
        async with opened(host, "another-token-of-forty-characters-or-more") as it:
            with pytest.raises(RegistryRefused):
                await it.client.resolve(it.reference())

    log = (tmp_path / "log").read_text()
    assert PASSWORD not in log
    assert "Traceback" not in log


async def test_what_the_registry_said_it_has_it_still_has_after_it_was_killed(tmp_path: Path, token: Path) -> None:
    port, taken, killed = free_port(), [], 0
    for start in range(4):
        with leashed(command(tmp_path / "images", port, token), port, tmp_path / "log") as server:
            async with opened(f"127.0.0.1:{port}") as it:
                for found in taken:
                    assert await it.client.get_manifest(it.reference(str(found))) == artifact(found).manifest()
                    for blob in artifact(found).blobs:
                        assert await it.client.get_blob(it.reference(), blob.descriptor) == blob.content
                killer = threading.Timer(0.15 * (start + 1), server.kill)
                killer.start()
                try:
                    for number in range(len(taken), 1000):
                        await it.client.push(it.reference(str(number)), artifact(number))
                        taken.append(number)
                except RegistryAway:
                    killed += 1
                finally:
                    killer.cancel()

    assert killed == 4
    assert len(taken) > 0


def test_a_token_that_others_may_read_or_that_is_short_or_missing_is_refused(tmp_path: Path, token: Path) -> None:
    short = tmp_path / "short"
    short.touch(mode=0o600)
    short.write_text("s3cr3t")
    token.chmod(0o644)

    for path, words in ((token, "chmod 600"), (short, "at least 32"), (tmp_path / "missing", "No such file")):
        done = subprocess.run(
            command(tmp_path / "images", free_port(), path), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 2
        assert words in done.stderr
        assert "s3cr3t" not in done.stderr
        assert "Traceback" not in done.stderr
