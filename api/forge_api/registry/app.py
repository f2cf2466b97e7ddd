"""The registry's HTTP side: the distribution specification 1.1, over a `Store`.

    GET HEAD PUT DELETE  /v2/<name>/manifests/<tag or digest>     GET  /v2/<name>/tags/list?n=&last=
    GET HEAD DELETE      /v2/<name>/blobs/<digest>                GET  /v2/<name>/referrers/<digest>?artifactType=
    POST                 /v2/<name>/blobs/uploads/[?mount=&from=] [?digest=]
    GET PATCH PUT DELETE /v2/<name>/blobs/uploads/<id>

`create_registry` gives an ASGI application. It listens nowhere by itself, and is meant for loopback.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import quote
from weakref import WeakValueDictionary

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from forge_api.registry.access import Access, Mode
from forge_api.registry.faults import Fault, Faulty
from forge_api.registry.manifests import Reading, Refused, checked_digest, checked_name, checked_tag, reading_of
from forge_api.registry.store import Store, StoredManifest
from forge_runtime.oci.image import INDEX_TYPE, MANIFEST_BYTES_MAX

BLOB_BYTES_MAX: Final = 8 * 1024**3
PAGE_MAX: Final = 1000
WRITE_BYTES: Final = 1024 * 1024

_log = logging.getLogger(__name__)

_PATH: Final = re.compile(
    r"/v2/(?P<name>.+)/(?:manifests/(?P<manifest>[^/]+)|blobs/uploads/(?P<upload>[^/]*)|blobs/(?P<blob>[^/]+)"
    r"|tags/(?P<tags>list)|referrers/(?P<subject>[^/]+))"
)
_RANGE: Final = re.compile(r"(?:bytes[ =])?([0-9]{1,15})-([0-9]{1,15})(?:/.*)?")


def create_registry(
    directory: Path,
    token: str | None = None,
    *,
    mode: Mode = "basic",
    deletes: bool = True,
    faults: Sequence[Fault] = (),
) -> ASGIApp:
    """Images in `directory`, for whoever knows the token; with `faults` it misbehaves as networks and servers do."""
    registry = Registry(Store(directory), Access(token, mode), deletes=deletes)
    return Faulty(registry, faults) if faults else registry


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to a repository: `value` is the tag, the digest or the upload that its path ends with."""

    request: Request
    name: str
    value: str

    @property
    def pinned(self) -> bool:
        """The value is a digest; no tag has a colon."""
        return ":" in self.value


class Registry:
    """One ASGI application. What blocks runs in threads."""

    def __init__(self, store: Store, access: Access, *, deletes: bool) -> None:
        self._store = store
        self._access = access
        self._deletes = deletes
        self._appending: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "served without lifespan and websockets"
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Refused as refused:
            response = refused.response()
        except ClientDisconnect:
            return
        except OSError as error:
            _log.error("the registry cannot use its directory: %s", error)
            response = Refused(503, "UNAVAILABLE", "the registry cannot read or write now").response()
        response.headers["Docker-Distribution-API-Version"] = "registry/2.0"
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path: str = request.scope["path"]  # of a URL, line breaks would be left out
        if path == "/token":
            return self._access.give(request)
        found = _PATH.fullmatch(path)
        name = checked_name(found["name"]) if found else None
        action = "pull" if request.method in ("GET", "HEAD") else "pull,push"
        challenge = self._access.challenge(request, name, action)
        if challenge is not None:
            raise Refused(401, "UNAUTHORIZED", "this registry wants to know who asks", {"WWW-Authenticate": challenge})
        if path in ("/v2", "/v2/"):
            return JSONResponse({})
        if found is None or name is None:
            raise Refused(404, "UNSUPPORTED", "no such address")
        kind = found.lastgroup or ""
        value = found[kind]
        handler = self._handlers().get((kind, request.method))
        if handler is None or (request.method == "DELETE" and kind != "upload" and not self._deletes):
            raise Refused(405, "UNSUPPORTED", f"{request.method} is not for this address")
        return await handler(Asked(request, name, value))

    def _handlers(self) -> "dict[tuple[str, str], Callable[[Asked], Awaitable[Response]]]":
        return {
            ("manifest", "GET"): self._get_manifest,
            ("manifest", "HEAD"): self._get_manifest,
            ("manifest", "PUT"): self._put_manifest,
            ("manifest", "DELETE"): self._delete_manifest,
            ("blob", "GET"): self._get_blob,
            ("blob", "HEAD"): self._get_blob,
            ("blob", "DELETE"): self._delete_blob,
            ("upload", "POST"): self._begin,
            ("upload", "GET"): self._came_to,
            ("upload", "PATCH"): self._append,
            ("upload", "PUT"): self._finish,
            ("upload", "DELETE"): self._cancel,
            ("tags", "GET"): self._list_tags,
            ("subject", "GET"): self._list_referrers,
        }

    # Manifests

    async def _get_manifest(self, asked: Asked) -> Response:
        found = await self._manifest(asked)
        # To HEAD, the server sends all but the body.
        return Response(found.data, media_type=found.media_type, headers={"Docker-Content-Digest": found.digest})

    async def _put_manifest(self, asked: Asked) -> Response:
        data = await _body(asked.request, MANIFEST_BYTES_MAX)
        tag = None if asked.pinned else checked_tag(asked.value)
        digest = checked_digest(asked.value) if asked.pinned else None
        reading = reading_of(data, asked.request.headers.get("content-type", ""), digest)
        headers = {
            "Location": f"/v2/{asked.name}/manifests/{reading.digest}",
            "Docker-Content-Digest": reading.digest,
        }
        if reading.subject is not None:
            headers["OCI-Subject"] = reading.subject
        await asyncio.to_thread(self._keep, asked.name, reading, data, tag)
        return Response(status_code=201, headers=headers)

    def _keep(self, name: str, reading: Reading, data: bytes, tag: str | None) -> None:
        """What it names must be here; its name comes last."""
        for digest in reading.blobs:
            if self._store.blob(name, digest) is None:
                raise Refused(404, "MANIFEST_BLOB_UNKNOWN", f"the manifest names blob {digest}, which is not here")
        for digest in reading.manifests:
            if self._store.manifest(name, digest) is None:
                raise Refused(404, "MANIFEST_BLOB_UNKNOWN", f"the index names manifest {digest}, which is not here")
        if reading.subject is not None:
            self._store.put_referrer(name, reading.subject, reading.digest, reading.as_referrer())
        stored = StoredManifest(digest=reading.digest, media_type=reading.media_type, data=data)
        self._store.put_manifest(name, stored, tag)

    async def _delete_manifest(self, asked: Asked) -> Response:
        if not asked.pinned:
            if not await asyncio.to_thread(self._store.remove_tag, asked.name, checked_tag(asked.value)):
                raise Refused(404, "MANIFEST_UNKNOWN", f"there is no tag {asked.value}")
            return Response(status_code=202)
        found = await self._manifest(asked)
        subject = reading_of(found.data, found.media_type, found.digest).subject
        await asyncio.to_thread(self._store.remove_manifest, asked.name, found.digest, subject)
        return Response(status_code=202)

    async def _manifest(self, asked: Asked) -> StoredManifest:
        value = checked_digest(asked.value) if asked.pinned else checked_tag(asked.value)
        found = await asyncio.to_thread(self._store.manifest, asked.name, value)
        if found is None:
            raise Refused(404, "MANIFEST_UNKNOWN", f"{asked.name} has no manifest {value}")
        return found

    async def _list_tags(self, asked: Asked) -> Response:
        if not await asyncio.to_thread(self._store.has_repository, asked.name):
            raise Refused(404, "NAME_UNKNOWN", f"there is no repository {asked.name}")
        query = asked.request.query_params
        page = min(int(query["n"]), PAGE_MAX) if re.fullmatch(r"[0-9]{1,9}", query.get("n", "")) else PAGE_MAX
        tags = [tag for tag in await asyncio.to_thread(self._store.tags, asked.name) if tag > query.get("last", "")]
        headers = {}
        if len(tags) > page > 0:
            more = f"/v2/{asked.name}/tags/list?n={page}&last={quote(tags[page - 1], safe='')}"
            headers["Link"] = f'<{more}>; rel="next"'
        return JSONResponse({"name": asked.name, "tags": tags[:page]}, headers=headers)

    async def _list_referrers(self, asked: Asked) -> Response:
        found = await asyncio.to_thread(self._store.referrers, asked.name, checked_digest(asked.value))
        wanted = asked.request.query_params.get("artifactType")
        listed = [one for one in map(msgspec.json.decode, found) if wanted in (None, one.get("artifactType"))]
        headers = {} if wanted is None else {"OCI-Filters-Applied": "artifactType"}
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": listed}
        return JSONResponse(index, headers=headers, media_type=INDEX_TYPE)

    # Blobs

    async def _get_blob(self, asked: Asked) -> Response:
        digest = checked_digest(asked.value)
        path = await asyncio.to_thread(self._store.blob, asked.name, digest)
        if path is None:
            raise Refused(404, "BLOB_UNKNOWN", f"{asked.name} has no blob {digest}")
        span = _RANGE.fullmatch(asked.request.headers.get("range", ""))
        if span is not None and int(span[1]) > int(span[2]):
            raise Refused(416, "SIZE_INVALID", "a range begins before it ends")
        return FileResponse(path, media_type="application/octet-stream", headers={"Docker-Content-Digest": digest})

    async def _delete_blob(self, asked: Asked) -> Response:
        if not await asyncio.to_thread(self._store.unlink_blob, asked.name, checked_digest(asked.value)):
            raise Refused(404, "BLOB_UNKNOWN", f"{asked.name} has no blob {asked.value}")
        return Response(status_code=202)

    # Uploads

    async def _begin(self, asked: Asked) -> Response:
        if asked.value:
            raise Refused(405, "UNSUPPORTED", "an upload begins without an id")
        query = asked.request.query_params
        if "mount" in query and "from" in query:
            digest = checked_digest(query["mount"])
            if await self._mounted(asked, digest, checked_name(query["from"])):
                return _created(asked.name, digest)
        upload = await asyncio.to_thread(self._store.begin_upload, asked.name)
        if "digest" in query:
            return await self._finish(replace(asked, value=upload))
        return Response(status_code=202, headers=_session(asked.name, upload, 0))

    async def _mounted(self, asked: Asked, digest: str, source: str) -> bool:
        if not self._access.allows(asked.request, source, "pull"):
            return False
        if await asyncio.to_thread(self._store.blob, source, digest) is None:
            return False
        await asyncio.to_thread(self._store.link_blob, asked.name, digest)
        return True

    async def _came_to(self, asked: Asked) -> Response:
        size = await asyncio.to_thread(_size, await self._upload(asked))
        return Response(status_code=204, headers=_session(asked.name, asked.value, size))

    async def _append(self, asked: Asked) -> Response:
        async with await self._alone(asked):
            size = await self._take(asked, await self._upload(asked))
        return Response(status_code=202, headers=_session(asked.name, asked.value, size))

    async def _finish(self, asked: Asked) -> Response:
        digest = checked_digest(asked.request.query_params.get("digest", ""))
        async with await self._alone(asked):
            await self._take(asked, await self._upload(asked))
            whole = await asyncio.to_thread(self._store.finish_upload, asked.name, asked.value, digest)
        if not whole:
            raise Refused(400, "DIGEST_INVALID", f"the content does not have the digest {digest}")
        return _created(asked.name, digest)

    async def _cancel(self, asked: Asked) -> Response:
        async with await self._alone(asked):
            await self._upload(asked)
            await asyncio.to_thread(self._store.end_upload, asked.value)
        return Response(status_code=204)

    async def _alone(self, asked: Asked) -> asyncio.Lock:
        """What is asked of one upload is done one after the other; the lock is there while somebody wants it."""
        await self._upload(asked)
        return self._appending.setdefault(asked.value, asyncio.Lock())

    async def _upload(self, asked: Asked) -> Path:
        path = await asyncio.to_thread(self._store.upload, asked.name, asked.value)
        if path is None:
            raise Refused(404, "BLOB_UPLOAD_UNKNOWN", "there is no such upload, or it is over")
        return path

    async def _take(self, asked: Asked, path: Path) -> int:
        """Append what comes; a connection that breaks leaves what had come, for the client to go on from."""
        size = await asyncio.to_thread(_size, path)
        if given := asked.request.headers.get("content-range"):
            span = _RANGE.fullmatch(given)
            if span is None or int(span[1]) != size or int(span[2]) < size:
                headers = _session(asked.name, asked.value, size)
                raise Refused(416, "BLOB_UPLOAD_INVALID", f"the upload has {size} bytes so far", headers)
        pending = bytearray()
        try:
            async for chunk in asked.request.stream():
                pending += chunk
                if size + len(pending) > BLOB_BYTES_MAX:
                    raise Refused(413, "SIZE_INVALID", f"a blob has at most {BLOB_BYTES_MAX} bytes here")
                if len(pending) >= WRITE_BYTES:
                    size += await asyncio.to_thread(_extend, path, bytes(pending))
                    pending.clear()
        finally:
            if pending:
                size += await asyncio.to_thread(_extend, path, bytes(pending))
        return size


async def _body(request: Request, bytes_max: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise Refused(413, "SIZE_INVALID", f"a manifest has at most {bytes_max} bytes")
    return bytes(body)


def _created(name: str, digest: str) -> Response:
    headers = {"Location": f"/v2/{name}/blobs/{digest}", "Docker-Content-Digest": digest}
    return Response(status_code=201, headers=headers)


def _session(name: str, upload: str, size: int) -> dict[str, str]:
    """Where the upload goes on. Of nothing the range is `0-0`, as other registries have it."""
    return {
        "Location": f"/v2/{name}/blobs/uploads/{upload}",
        "Range": f"0-{max(0, size - 1)}",
        "Docker-Upload-UUID": upload,
    }


def _size(path: Path) -> int:
    return path.stat().st_size


def _extend(path: Path, data: bytes) -> int:
    with path.open("ab") as file:
        return file.write(data)
