"""A registry of crates as Cargo's documentation describes it: web API, sparse index, downloads. cargo is its judge."""

import hashlib
import json
import struct
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from forge_runtime.publish.crate import index_path


class Crates:
    """`token` opens the API; a `private` registry asks for it everywhere. `published` is what it was told, in order."""

    def __init__(self, token: str, *, private: bool = False) -> None:
        self.token = token
        self.private = private
        self.index: dict[str, list[dict[str, Any]]] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.published: list[dict[str, Any]] = []
        self.lost_answers = 0
        self.refusal: str | None = None
        self.app = Starlette(
            routes=[
                Route("/index/config.json", self._config),
                Route("/index/{path:path}", self._versions),
                Route("/api/v1/crates/new", self._publish, methods=["PUT"]),
                Route("/dl/{name}/{version}", self._download),
            ]
        )

    async def _config(self, request: Request) -> Response:
        if self._shut(request):
            return Response(status_code=401)
        base = f"{request.url.scheme}://{request.url.netloc}"
        document: dict[str, Any] = {"dl": f"{base}/dl/{{crate}}/{{version}}", "api": base}
        return JSONResponse(document | ({"auth-required": True} if self.private else {}))

    async def _versions(self, request: Request) -> Response:
        if self._shut(request):
            return Response(status_code=401)
        found = self.index.get(request.path_params["path"])
        if found is None:
            return Response(status_code=404)
        return PlainTextResponse("".join(json.dumps(each) + "\n" for each in found))

    async def _publish(self, request: Request) -> Response:
        if request.headers.get("authorization") != self.token:
            return _errors("this token is not valid", 403)
        body = await request.body()
        (size,) = struct.unpack_from("<I", body)
        told = json.loads(body[4 : 4 + size])
        (length,) = struct.unpack_from("<I", body, 4 + size)
        crate = body[8 + size :]
        assert len(crate) == length
        if self.refusal is not None:
            return _errors(self.refusal, 200)
        key = (told["name"], told["vers"])
        if key in self.files:
            return _errors(f"crate version `{told['vers']}` is already uploaded", 400)
        self.files[key] = crate
        self.published.append(told)
        self.index.setdefault(index_path(told["name"]), []).append(_entry(told, crate))
        if self.lost_answers:
            self.lost_answers -= 1
            return Response(status_code=502)
        return JSONResponse({"warnings": {"invalid_categories": [], "invalid_badges": [], "other": []}})

    async def _download(self, request: Request) -> Response:
        if self._shut(request):
            return Response(status_code=401)
        return Response(self.files[request.path_params["name"], request.path_params["version"]])

    def _shut(self, request: Request) -> bool:
        return self.private and request.headers.get("authorization") != self.token


_SAME = ("features", "optional", "default_features", "target", "kind", "registry")


def _errors(detail: str, status: int) -> Response:
    return JSONResponse({"errors": [{"detail": detail}]}, status)


def _entry(told: dict[str, Any], crate: bytes) -> dict[str, Any]:
    """The line of the index, whose names differ from those of the API."""
    dependencies = [
        {
            "name": each.get("explicit_name_in_toml") or each["name"],
            "req": each["version_req"],
            "package": each["name"] if each.get("explicit_name_in_toml") else None,
            **{key: each.get(key) for key in _SAME},
        }
        for each in told["deps"]
    ]
    return {
        "name": told["name"],
        "vers": told["vers"],
        "deps": dependencies,
        "cksum": hashlib.sha256(crate).hexdigest(),
        "features": told["features"],
        "yanked": False,
    }
