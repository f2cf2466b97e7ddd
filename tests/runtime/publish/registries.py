"""Registries that publishers are tried at: Debian's docker-registry, and the platform's own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.nats_server import free_port
from tests.registry_server import process, serving

from forge_api.registry.app import create_registry


@contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    """`127.0.0.1:<port>`, open to everybody."""
    folder.mkdir()
    port = free_port()
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder / 'store'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: error}}\n"
    )
    program = shutil.which("docker-registry")
    assert program is not None
    with process([program, "serve", config], port, folder / "log") as address:
        yield address


@contextmanager
def own_registry(folder: Path, token: str | None = None) -> Iterator[str]:
    """`127.0.0.1:<port>`, for the user "forge" and the token."""
    with serving(create_registry(folder, token)) as address:
        yield address
