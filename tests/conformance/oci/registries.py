"""Registries that others wrote, and programs that look at ours: Debian's where it has them, else built with Go.

The programs of `judge/` take a minute to build on two cores; the usual run uses what is there, or what can be had in
little time, and `make conformance` builds them.
"""

import functools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.go_tool import Unavailable, built
from tests.judge import cases
from tests.nats_server import free_port
from tests.registry_server import process

SOURCE: Final = Path(__file__).with_name("judge")
SIGNED: Final = Path(__file__).with_name("signed")
SIGNED_TAGS: Final = ("containers_image_openpgp", "containers_image_fulcio_stub", "containers_image_rekor_stub")
"""Without C libraries, and without what keyless signatures need."""

PACKAGES: Final = {
    "registry": ".",
    "conformance": "github.com/opencontainers/distribution-spec/conformance",
    "oras": "oras.land/oras/cmd/oras",
}
BUILD_LIMIT_S: Final = 600
BUILD_LIMIT_USUAL_S: Final = 20


def program(name: str) -> Path:
    """One of `PACKAGES`, or `signed`. Raises Unavailable."""
    found = _built(name == "signed")
    if isinstance(found, Unavailable):
        raise found
    return found / name


@functools.cache
def version(name: str) -> str:
    """The version of the module that a program comes from, as go.mod pins it."""
    command = ["go", "list", "-m", "-f", "{{.Version}}", _MODULES[name]]
    source = SIGNED if name == "signed" else SOURCE
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip().removeprefix("v")


@contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    """Debian's package: distribution 2.8, which knows of no referrers."""
    found = shutil.which("docker-registry")
    if found is None:
        raise Unavailable("Debian's package docker-registry is not installed")
    port = free_port()
    configuration = folder / "registry.yml"
    configuration.write_text(
        f"""
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: "{folder / "images"}"}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""
    )
    with process([found, "serve", configuration], port, folder / "registry.log") as host:
        yield host


@contextmanager
def go_containerregistry(folder: Path) -> Iterator[str]:
    """The one in memory that go-containerregistry ships; it lists referrers, by the type of their config."""
    port = free_port()
    with process([program("registry"), f"127.0.0.1:{port}"], port, folder / "registry.log") as host:
        yield host


@functools.cache
def _built(signed: bool) -> Path | Unavailable:
    limit_s = cases(BUILD_LIMIT_USUAL_S, full=BUILD_LIMIT_S)
    try:
        if signed:
            return built("oci-signed", SIGNED, {"signed": "."}, limit_s=limit_s, tags=SIGNED_TAGS)
        return built("oci", SOURCE, PACKAGES, limit_s=limit_s)
    except Unavailable as error:
        return error if limit_s == BUILD_LIMIT_S else Unavailable(f"{error}; make conformance takes its time for it")


_MODULES: Final = {
    "registry": "github.com/google/go-containerregistry",
    "conformance": "github.com/opencontainers/distribution-spec/conformance",
    "oras": "oras.land/oras",
    "signed": "go.podman.io/image/v5",
}
