"""GitHub's releases as its REST documentation describes them (2022-11-28): tags, assets with digests, and their traps.

- a release is found by its tag unless it is a draft; making one of a tag that has one is 422 already_exists
- an asset's name is unique in its release: 422 already_exists
- an upload that breaks off leaves an asset in the state `starter`
- lists come in pages
"""

import hashlib
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Github:
    """One repository. `token` opens it; uploads in `breaking` are taken and end with 502."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.releases: list[dict[str, Any]] = []
        self.content: dict[int, bytes] = {}
        self.asked: list[str] = []
        self.breaking = 0
        self.without_digests = False
        self.lost_answers = 0
        self.upload_host: str | None = None
        self.busy = False
        repository = "/repos/{owner}/{repo}"
        self.app = Starlette(
            routes=[
                Route(f"{repository}/releases/tags/{{tag:path}}", self._by_tag),
                Route(f"{repository}/releases", self._make, methods=["POST"]),
                Route(f"{repository}/releases/{{id:int}}/assets", self._list),
                Route(f"{repository}/releases/assets/{{id:int}}", self._delete, methods=["DELETE"]),
                Route(f"{repository}/releases/assets/{{id:int}}", self._download),
                Route("/uploads/{id:int}", self._upload, methods=["POST"]),
            ]
        )

    @property
    def uploads(self) -> int:
        return sum(line.startswith("POST /uploads/") for line in self.asked)

    def release(self, tag: str) -> dict[str, Any]:
        return next(release for release in self.releases if release["tag_name"] == tag)

    def _let_in(self, request: Request) -> Response | None:
        self.asked.append(f"{request.method} {request.url.path}")
        if self.busy:
            return JSONResponse({"message": "You have exceeded a secondary rate limit."}, 403)
        if request.headers.get("authorization") == f"Bearer {self.token}":
            return None
        return JSONResponse({"message": f"Bad credentials {request.headers.get('authorization')}"}, 401)

    async def _by_tag(self, request: Request) -> Response:
        if refused := self._let_in(request):
            return refused
        tag = request.path_params["tag"]
        found = [each for each in self.releases if each["tag_name"] == tag and not each["draft"]]
        return JSONResponse(found[0]) if found else JSONResponse({"message": "Not Found"}, 404)

    async def _make(self, request: Request) -> Response:
        if refused := self._let_in(request):
            return refused
        wanted = await request.json()
        tag = wanted["tag_name"]
        if any(release["tag_name"] == tag for release in self.releases):
            problem = {"resource": "Release", "code": "already_exists", "field": "tag_name"}
            return JSONResponse({"message": "Validation Failed", "errors": [problem]}, 422)
        number = len(self.releases) + 1
        host = self.upload_host or f"{request.url.scheme}://{request.url.netloc}"
        made = {
            "id": number,
            "tag_name": tag,
            "target_commitish": wanted.get("target_commitish", "main"),
            "prerelease": wanted.get("prerelease", False),
            "draft": False,
            "html_url": f"https://github.example/{request.path_params['owner']}/releases/tag/{tag}",
            "upload_url": f"{host}/uploads/{number}{{?name,label}}",
            "assets": [],
        }
        self.releases.append(made)
        return self._answer(made)

    async def _list(self, request: Request) -> Response:
        if refused := self._let_in(request):
            return refused
        size, page = int(request.query_params.get("per_page", 30)), int(request.query_params.get("page", 1))
        assets = self.releases[request.path_params["id"] - 1]["assets"]
        return JSONResponse(assets[(page - 1) * size : page * size])

    async def _delete(self, request: Request) -> Response:
        if refused := self._let_in(request):
            return refused
        for release in self.releases:
            release["assets"] = [each for each in release["assets"] if each["id"] != request.path_params["id"]]
        return Response(status_code=204)

    async def _download(self, request: Request) -> Response:
        if refused := self._let_in(request):
            return refused
        assert request.headers["accept"] == "application/octet-stream"
        return Response(self.content[request.path_params["id"]])

    async def _upload(self, request: Request) -> Response:
        if refused := self._let_in(request):
            return refused
        data, name = await request.body(), request.query_params["name"]
        assets = self.releases[request.path_params["id"] - 1]["assets"]
        if any(asset["name"] == name for asset in assets):
            problem = {"resource": "ReleaseAsset", "code": "already_exists", "field": "name"}
            return JSONResponse({"message": "Validation Failed", "errors": [problem]}, 422)
        asset = self.add_asset(request.path_params["id"], name, data)
        if self.breaking:
            self.breaking -= 1
            asset |= {"state": "starter", "size": 0, "digest": None}
            return JSONResponse({"message": "Server Error"}, 502)
        return self._answer(asset)

    def add_asset(self, release: int, name: str, data: bytes) -> dict[str, Any]:
        number = len(self.content) + 1
        self.content[number] = data
        asset = {
            "id": number,
            "name": name,
            "state": "uploaded",
            "size": len(data),
            "digest": None if self.without_digests else f"sha256:{hashlib.sha256(data).hexdigest()}",
            "browser_download_url": f"https://github.example/download/{release}/{name}",
        }
        self.releases[release - 1]["assets"].append(asset)
        return asset

    def _answer(self, document: dict[str, Any]) -> Response:
        """201, or, where answers get lost, what a broken proxy says after the work was done."""
        if self.lost_answers:
            self.lost_answers -= 1
            return JSONResponse({"message": "Bad Gateway"}, 502)
        return JSONResponse(document, 201)
