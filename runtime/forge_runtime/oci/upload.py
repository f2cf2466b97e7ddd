"""Getting a blob into a repository: in one piece or in several, gone on with where a connection broke.

HEAD blob ──200──▶ nothing to do
POST uploads/?mount=..&from=.. ──201──▶ done, the registry had it elsewhere
  └─202─▶ a session: its address changes with each answer
          small: PUT ?digest=.. with all of it
          large: PATCH a chunk, PATCH a chunk, ... PUT ?digest=..
                   └─ no answer ─▶ GET the session: how far it came, or, if it is gone, a new one
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from forge_runtime.http import Body, FileSlice, Limits, Reply, Request
from forge_runtime.oci.exchange import (
    SLOWEST_BYTES_S,
    DigestMismatch,
    Exchange,
    Purpose,
    RegistryAway,
    RegistryRefused,
)
from forge_runtime.oci.image import Blob
from forge_runtime.oci.reference import Reference

CHUNK_BYTES: Final = 16 * 1024 * 1024
"""Up to this size a blob goes in one request: proxies before registries refuse larger ones rather than smaller."""

CHUNK_BYTES_MAX: Final = 1024 * 1024 * 1024
"""A registry may ask for larger chunks than ours (OCI-Chunk-Min-Length), up to here."""

TRIES_MAX: Final = 5
"""Failures of one upload, over all its sessions (contracts 5.4)."""

_GONE: Final = frozenset({404, 416})
"""The registry does not know the session any more, or is elsewhere in it."""

_NO_CHUNKS: Final = frozenset({400, 405})
"""What else registries say that take no chunks (some of Google's do not): then all of it goes in one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Of blobs to one repository."""

    exchange: Exchange
    reference: Reference
    chunk_bytes: int = CHUNK_BYTES

    async def put(self, blob: Blob, mount_from: str | None) -> None:
        """Return when the registry has it. Raises RegistryRefused, DigestMismatch and RegistryAway."""
        if await self.has(blob):
            return
        failures, chunk_bytes = 0, self.chunk_bytes
        while True:
            try:
                session = await self._begin(blob, mount_from)
                if session is not None:
                    await _Session(self, blob, session.url, max(chunk_bytes, session.chunk_bytes_min)).send()
                return
            except RegistryAway:
                failures += 1
                if failures >= TRIES_MAX:
                    raise
            except RegistryRefused as refused:
                failures += 1
                in_chunks = blob.descriptor.size > chunk_bytes
                if failures >= TRIES_MAX or refused.status not in (_GONE | _NO_CHUNKS if in_chunks else _GONE):
                    raise
                chunk_bytes = max(chunk_bytes, blob.descriptor.size)
            await self.exchange.pause(failures)
            if await self.has(blob):  # the last answer was lost, not the blob
                return

    async def has(self, blob: Blob) -> bool:
        """Whether the repository has this content already; one that will not say has it not."""
        digest = blob.descriptor.digest
        request = Request(method="HEAD", url=self.exchange.url(self.reference, f"blobs/{digest}"))
        try:
            reply = await self.exchange.send(self.purpose, request, ok=(200, 404))
        except RegistryRefused as refused:
            if refused.status in (403, 405):  # storage elsewhere whose signed address takes no HEAD
                return False
            raise
        told = reply.headers.get("docker-content-digest", digest)
        if reply.status == 200 and told.startswith("sha256:") and told != digest:
            raise DigestMismatch(f"{self.reference}: the registry says that blob {digest} is {told[:100]}")
        return reply.status == 200

    async def mount(self, digest: str, source: str) -> Reply:
        """201: the blob of another repository is here as well. 202: a session to upload it."""
        url = self.exchange.url(self.reference, f"blobs/uploads/?mount={quote(digest)}&from={quote(source, safe='')}")
        request = Request(method="POST", url=url)
        return await self.exchange.send(Purpose(self.reference, push=True, mount_from=source), request, ok=(201, 202))

    async def _begin(self, blob: Blob, mount_from: str | None) -> "_Begun | None":
        """A session, or None if the blob was mounted."""
        if mount_from is not None and mount_from != self.reference.repository:
            try:
                reply = await self.mount(blob.descriptor.digest, mount_from)
            except RegistryRefused:  # may not read there, or has no mounts: uploading says what else is wrong
                pass
            else:
                return None if reply.status == 201 else self._begun(reply)
        request = Request(method="POST", url=self.exchange.url(self.reference, "blobs/uploads/"))
        return self._begun(await self.exchange.send(self.purpose, request, ok=(202,)))

    def _begun(self, reply: Reply) -> "_Begun":
        wanted = reply.headers.get("oci-chunk-min-length", "")
        least = min(int(wanted), CHUNK_BYTES_MAX) if wanted.isascii() and wanted.isdigit() else 0
        return _Begun(self.next_of(reply), least)

    @property
    def purpose(self) -> Purpose:
        return Purpose(self.reference, push=True)

    def next_of(self, reply: Reply) -> str:
        """Where an upload goes on, as the answer says: anywhere, but then without credentials."""
        location = reply.headers.get("location", "")
        try:
            url = urlsplit(urljoin(reply.url, location))._replace(fragment="").geturl()
        except ValueError:
            url = ""
        if not location or not self.exchange.is_acceptable(self.reference, url):
            raise RegistryRefused(f"{self.reference}: the registry names no address where the upload goes on")
        return url


@dataclass(frozen=True, slots=True)
class _Begun:
    url: str
    chunk_bytes_min: int


@dataclass(slots=True)
class _Session:
    upload: Upload
    blob: Blob
    url: str
    chunk_bytes: int

    async def send(self) -> None:
        size = self.blob.descriptor.size
        if size <= self.chunk_bytes:
            await self._finish(_part(self.blob, 0, size), size)
            return
        offset, failures = 0, 0
        while offset < size:
            length = min(self.chunk_bytes, size - offset)
            try:
                offset = await self._chunk(offset, length)
            except RegistryAway:
                failures += 1
                if failures >= TRIES_MAX:
                    raise
                await self.upload.exchange.pause(failures)
                offset = await self._came_to()
        await self._finish(b"", 0)

    async def _chunk(self, offset: int, length: int) -> int:
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{offset}-{offset + length - 1}"}
        body = _part(self.blob, offset, length)
        request = Request(method="PATCH", url=self.url, headers=headers, body=body)
        reply = await self._ask(request, (202, 201, 204), length)
        self.url = self.upload.next_of(reply)
        end = _end_of(reply)
        if end is not None and end != offset + length:
            raise RegistryRefused(f"{self.upload.reference}: the registry took {end} bytes of {offset + length}", 416)
        return offset + length

    async def _came_to(self) -> int:
        """How much the session has, after an answer was lost."""
        reply = await self.upload.exchange.send(self.upload.purpose, Request(url=self.url), ok=(204, 202, 200))
        if reply.headers.get("location"):
            self.url = self.upload.next_of(reply)
        end = _end_of(reply)
        if end is None or end > self.blob.descriptor.size:
            raise RegistryRefused(f"{self.upload.reference}: the registry does not say how far the upload came", 416)
        return end

    async def _finish(self, body: Body, length: int) -> None:
        digest = self.blob.descriptor.digest
        separator = "&" if "?" in self.url else "?"
        request = Request(
            method="PUT",
            url=f"{self.url}{separator}digest={quote(digest, safe='')}",
            headers={"Content-Type": "application/octet-stream"},
            body=body,
        )
        reply = await self._ask(request, (201, 204), length)
        told = reply.headers.get("docker-content-digest", digest)
        if told.startswith("sha256:") and told != digest:
            raise DigestMismatch(f"{self.upload.reference}: the registry took blob {digest} for {told[:100]}")

    async def _ask(self, request: Request, ok: tuple[int, ...], length: int) -> Reply:
        """Once: what a session got half of must not come again from the start."""
        limits = Limits(attempts_max=1, attempt_s=60 + length / SLOWEST_BYTES_S)
        return await self.upload.exchange.send(self.upload.purpose, request, ok=ok, limits=limits)


def _part(blob: Blob, start: int, length: int) -> Body:
    if isinstance(blob.content, bytes):
        return blob.content[start : start + length]
    return FileSlice(blob.content, start, length)


def _end_of(reply: Reply) -> int | None:
    """How many bytes a session has: `Range: 0-<last>`. Of nothing, registries say `0-0` (or `0--1`)."""
    start, dash, last = reply.headers.get("range", "").removeprefix("bytes=").partition("-")
    if start != "0" or not dash:
        return None
    if last in ("0", "-1"):
        return 0
    return int(last) + 1 if last.isascii() and last.isdigit() and len(last) < 20 else None
