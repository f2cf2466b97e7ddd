"""The publisher "crate": a Rust crate to a registry, by the web API and the sparse index that cargo speaks.

    GET {index}/config.json                       where the API is
    GET {index}/{prefix}/{name}                   our version with our checksum: nothing to do
    PUT {api}/api/v1/crates/new                   length, JSON, length, the .crate

Versions of a crate are never replaced: registries refuse it, and so does this.
"""

import re
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from forge_runtime.http import FileSlice, Http, Reply, Request
from forge_runtime.produce.archive import CHUNK_BYTES
from forge_runtime.produce.product import Archive, ProducerFailed
from forge_runtime.publish.asking import Asking, Refused, decoded
from forge_runtime.publish.cargo import PUBLIC_INDEX, Crate, NoCrate, plain_index, read_crate
from forge_runtime.publish.port import Publication, Published, PublishRefused
from forge_runtime.thread import go_on, in_thread

INDEX_BYTES_MAX: Final = 16 * 1024 * 1024
"""One crate's versions: a line of a few hundred bytes each."""

_NONE: Final = frozenset({404, 410, 451})
"""What an index says of a crate that it does not have."""


@dataclass(frozen=True, slots=True)
class CratePublisher:
    http: Http

    async def publish(self, publication: Publication) -> Published:
        product = publication.product
        if not isinstance(product, Archive):
            raise PublishRefused(f"a registry of crates takes archives, and artifact {publication.artifact} is none")
        registry = _Registry(self.http, publication)
        try:
            crate = await in_thread(lambda stop: read_crate(product.path, registry.index, stop))
        except (NoCrate, ProducerFailed) as error:
            raise PublishRefused(str(error)) from None
        config = await registry.config()
        checksum = product.digest.removeprefix("sha256:")
        unchanged = await registry.has(crate, checksum)
        if not unchanged:
            await registry.put(config, crate, product, checksum)
        metadata = {
            "index_url": registry.index,
            "package_name": crate.name,
            "version": crate.version,
            "checksum": checksum,
        }
        return Published(uri=_address(registry, config, crate, checksum), metadata=metadata, unchanged=unchanged)


class _Config(Struct, frozen=True, rename="kebab"):
    dl: str
    api: str | None = None
    auth_required: bool = False


class _Version(Struct, frozen=True):
    vers: str
    cksum: str


class _Detail(Struct, frozen=True):
    detail: str = ""


class _Answer(Struct, frozen=True):
    errors: tuple[_Detail, ...] = ()


class _Registry:
    """One registry, and who we are there."""

    def __init__(self, http: Http, publication: Publication) -> None:
        self.index = plain_index(publication.settings.get("registry") or PUBLIC_INDEX)
        self._asking = Asking(http)
        self._scratch = publication.scratch
        if publication.credential is None:
            raise PublishRefused('a crate is published with a token: give the publisher "credentials"')
        self._secret = {"Authorization": publication.credential.token()}
        self._for_index: Mapping[str, str] = {}

    async def config(self) -> _Config:
        url = f"{self.index}/config.json"
        reply = await self._read(url, ok=(200, 401))
        if reply.status == 401:  # a private registry: everything is asked with the token, as cargo does
            self._for_index = self._secret
            reply = await self._read(url, ok=(200,))
        config: _Config = decoded(reply, _Config)
        if config.auth_required:
            self._for_index = self._secret
        return config

    async def has(self, crate: Crate, checksum: str) -> bool:
        """PublishRefused where the registry has another crate of this name and version."""
        reply = await self._read(f"{self.index}/{index_path(crate.name)}", ok=(200, *_NONE))
        if reply.status in _NONE:
            return False
        for line in reply.body.splitlines():
            try:
                there = msgspec.json.decode(line, type=_Version)
            except msgspec.MsgspecError:
                continue  # of a form that is newer than this reader; cargo passes over it, too
            if _plain(there.vers) != _plain(crate.version):
                continue
            if there.vers == crate.version and there.cksum == checksum:
                return True
            raise PublishRefused(
                f"{self.index} has another {crate.name} {there.vers} already (sha256 {there.cksum}, ours is "
                f"{checksum}); versions of crates are not replaced: release a new one"
            )
        return False

    async def put(self, config: _Config, crate: Crate, product: Archive, checksum: str) -> None:
        if config.api is None:
            raise PublishRefused(f"{self.index} takes no crates: its config.json names no API")
        body = self._scratch / "upload"
        size = await in_thread(lambda stop: _write_body(crate.metadata, product.path, body, stop))
        request = Request(
            method="PUT",
            url=f"{config.api.rstrip('/')}/api/v1/crates/new",
            headers={"Content-Type": "application/octet-stream", "Accept": "application/json"},
            secret_headers=self._secret,
            body=FileSlice(body, 0, size),
        )
        try:
            answer: _Answer = decoded(await self._asking.send(request, size_bytes=size), _Answer)
        except Refused:
            # An answer that was lost makes the second try find the first one's crate.
            if not await self.has(crate, checksum):
                raise
            return
        if answer.errors:  # a registry may refuse with 200
            raise PublishRefused(f"{request}: {'; '.join(error.detail for error in answer.errors)[:500]}")

    async def _read(self, url: str, ok: tuple[int, ...]) -> Reply:
        request = Request(url=url, headers={"Accept": "application/json"}, secret_headers=self._for_index)
        return await self._asking.send(request, ok=ok, reply_max=INDEX_BYTES_MAX)


def index_path(name: str) -> str:
    """Where an index has a crate."""
    lower = name.lower()
    return f"{_prefix(lower)}/{lower}"


def _prefix(name: str) -> str:
    if len(name) <= 2:
        return str(len(name))
    return f"3/{name[0]}" if len(name) == 3 else f"{name[:2]}/{name[2:4]}"


def _plain(version: str) -> str:
    """An index has a version once, whatever build it was."""
    return version.partition("+")[0]


def _address(registry: _Registry, config: _Config, crate: Crate, checksum: str) -> str:
    """Where people find the crate, or else where cargo downloads it."""
    if registry.index == PUBLIC_INDEX:
        return f"https://crates.io/crates/{crate.name}/{crate.version}"
    markers = {
        "crate": crate.name,
        "version": quote(crate.version),
        "prefix": _prefix(crate.name),
        "lowerprefix": _prefix(crate.name.lower()),
        "sha256-checksum": checksum,
    }
    template = config.dl if "{" in config.dl else f"{config.dl}/{{crate}}/{{version}}/download"
    return re.sub(r"\{([a-z0-9-]+)\}", lambda found: markers.get(found[1], found[0]), template)


def _write_body(metadata: Mapping[str, Any], crate: Path, into: Path, stop: threading.Event) -> int:
    described = msgspec.json.encode(metadata)
    with into.open("wb") as body, crate.open("rb") as file:
        body.write(struct.pack("<I", len(described)) + described)
        body.write(struct.pack("<I", crate.stat().st_size))
        while chunk := file.read(CHUNK_BYTES):
            go_on(stop)
            body.write(chunk)
        return body.tell()
