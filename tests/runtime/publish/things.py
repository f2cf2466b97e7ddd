"""Products to publish, and publications of them."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from forge_runtime.http import Http
from forge_runtime.produce.product import Archive, Binary, Container, Product
from forge_runtime.publish.credential import Credential
from forge_runtime.publish.port import Publication

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SECRET = "s3cr3t-of-the-publisher"


def binary_of(path: Path, data: bytes = b"#!/bin/sh\necho hello\n") -> Binary:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return Binary(
        path=path,
        executable=path.name,
        arch="any",
        os="any",
        size=len(data),
        digest=sha256(data),
        static=False,
    )


def archive_of(path: Path, kind: str = "tar.gz", content_type: str | None = None) -> Archive:
    data = path.read_bytes()
    return Archive(path=path, format=kind, size=len(data), digest=sha256(data), entries=1, content_type=content_type)


def publication_of(product: Product, folder: Path, **given: Any) -> Publication:
    """Of artifact "cli" of project "tidy", of a tag unless told otherwise."""
    scratch = folder / f"scratch-{len(list(folder.glob('scratch-*')))}"
    scratch.mkdir(parents=True)
    fields: dict[str, Any] = {
        "artifact": "cli",
        "project": "tidy",
        "repository": "Acme/Tools",
        "commit_sha": COMMIT,
        "git_tag": "tidy/v1.2.0",
        "settings": {},
        "fields": {},
        "credential": Credential(SECRET),
    }
    return Publication(product=product, scratch=scratch, **(fields | given))


def image_layout(folder: Path, layers: Mapping[str, bytes], *, platforms: int = 1) -> Container:
    """An OCI layout of an image, or of an index of several."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    sizes: dict[str, int] = {}

    def put(data: bytes) -> str:
        digest = sha256(data)
        (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        sizes[digest] = len(data)
        return digest

    def described(media_type: str, digest: str) -> dict[str, Any]:
        return {"mediaType": media_type, "digest": digest, "size": sizes[digest]}

    kind = "application/vnd.oci.image."
    manifests, configs = [], []
    for number in range(platforms):
        contents = {"type": "layers", "diff_ids": [sha256(data) for data in layers.values()]}
        config = put(json.dumps({"architecture": f"arch{number}", "os": "linux", "rootfs": contents}).encode())
        configs.append(config)
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{kind}manifest.v1+json",
            "config": described(f"{kind}config.v1+json", config),
            "layers": [described(f"{kind}layer.v1.tar", put(data)) for data in layers.values()],
        }
        digest = put(json.dumps(manifest, indent=3).encode())  # not canonical: its bytes have to stay
        manifests.append(described(f"{kind}manifest.v1+json", digest))
    top = manifests[0]
    if platforms > 1:
        index = {"schemaVersion": 2, "mediaType": f"{kind}index.v1+json", "manifests": manifests}
        top = described(f"{kind}index.v1+json", put(json.dumps(index).encode()))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return Container(
        path=folder,
        image_ref="",
        image_id=configs[0],
        digest=top["digest"],
        size=sum(sizes.values()),
        layers=len(layers),
    )


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@asynccontextmanager
async def impatient_http() -> AsyncIterator[Http]:
    """A client that does not wait between its tries."""

    async def at_once(_delay_s: float) -> None:
        return None

    async with Http.open() as http:
        yield Http(client=http.client, wait=at_once, jitter=lambda: 0.0)
