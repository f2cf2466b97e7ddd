"""The publisher "github": a binary or archive as an asset of the GitHub release of this tag.

    GET  /repos/{owner}/{repo}/releases/tags/{tag}            404: POST /repos/{owner}/{repo}/releases
    GET  /repos/{owner}/{repo}/releases/{id}/assets           there with our digest: nothing to do
    POST {upload_url}?name={asset_name}                       another of the same name: refused

A push of a branch has no tag: it gets a prerelease named `<project>-<commit>`. Several artifacts of one release may
come here at the same time, so whoever finds that another made the release takes that one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Struct

from forge_runtime.http import FileSlice, Http, Request
from forge_runtime.produce.product import Archive, Binary
from forge_runtime.publish.asking import Asking, Refused, decoded
from forge_runtime.publish.port import Publication, PublishAway, Published, PublishRefused

API_URL: Final = "https://api.github.com"
API_VERSION: Final = "2022-11-28"
PAGE: Final = 100
PAGES_MAX: Final = 10
"""GitHub allows 1000 assets in a release."""

UPLOADS_MAX: Final = 3
"""An upload that breaks off leaves an empty asset, which is deleted before the next."""

ASSET_BYTES_MAX: Final = 2 * 1024**3 - 1
"""GitHub: each file in a release must be under 2 GiB."""


class _Asset(Struct, frozen=True):
    id: int
    name: str
    state: str
    size: int
    browser_download_url: str
    digest: str | None = None


class _Release(Struct, frozen=True):
    id: int
    tag_name: str
    html_url: str
    upload_url: str


class _Problem(Struct, frozen=True):
    code: str = ""


class _Problems(Struct, frozen=True):
    errors: tuple[_Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class GithubPublisher:
    http: Http
    api_url: str = API_URL

    async def publish(self, publication: Publication) -> Published:
        return await _Upload(self, publication).publish()


class _Upload:
    """One asset on its way."""

    def __init__(self, publisher: GithubPublisher, publication: Publication) -> None:
        product = publication.product
        if not isinstance(product, Binary | Archive):
            raise PublishRefused("a GitHub release takes binaries and archives, no container images")
        if product.size > ASSET_BYTES_MAX:
            raise PublishRefused(f"a GitHub release takes files under 2 GiB, and {product.path.name} is larger")
        if publication.credential is None:
            raise PublishRefused('a GitHub release is made with a token: give the publisher "credentials"')
        self._asking = Asking(publisher.http)
        self._publication = publication
        self._product = product
        self._name = publication.fields.get("asset_name") or product.path.name
        if not _is_plain(self._name):
            raise PublishRefused(
                f'GitHub would rename an asset called "{self._name[:100]}": give an asset_name of letters, digits, '
                "dots, dashes and underscores"
            )
        self._repository = _repository(publication.settings)
        self._base = f"{publisher.api_url.rstrip('/')}/repos/{self._repository}"
        self._api_url = publisher.api_url
        self._secret = {"Authorization": f"Bearer {publication.credential.token()}"}

    async def publish(self) -> Published:
        release = await self._release()
        for _ in range(UPLOADS_MAX):
            for asset in await self._assets(release):
                if asset.name.lower() != self._name.lower():
                    continue
                if asset.state == "uploaded":
                    await self._check_same(asset)
                    return self._published(release, asset, unchanged=True)
                await self._ask("DELETE", f"{self._base}/releases/assets/{asset.id}", ok=(204, 404))
            uploaded = await self._send(release)
            if uploaded is not None:
                await self._check_same(uploaded)
                return self._published(release, uploaded, unchanged=False)
        raise PublishRefused(f"GitHub took {self._name} {UPLOADS_MAX} times and does not have it")

    async def _release(self) -> _Release:
        publication = self._publication
        tag = publication.git_tag or f"{publication.project}-{publication.commit_sha[:12]}"
        found = await self._of_tag(tag)
        if found is not None:
            return found
        wanted: dict[str, Any] = {"tag_name": tag, "name": tag}
        if publication.git_tag is None:
            wanted |= {"prerelease": True, "make_latest": "false"}
        if self._repository.lower() == publication.repository.lower():
            wanted["target_commitish"] = publication.commit_sha
        try:
            return await self._made(wanted)
        except Refused as refused:
            if not _exists_already(refused):
                raise
        found = await self._of_tag(tag)
        if found is None:
            raise PublishRefused(f"GitHub has a release {tag} that is a draft, or hidden: publish or delete it")
        return found

    async def _of_tag(self, tag: str) -> _Release | None:
        reply = await self._ask("GET", f"{self._base}/releases/tags/{quote(tag, safe='')}", ok=(200, 404))
        return None if reply.status == 404 else decoded(reply, _Release)

    async def _made(self, wanted: Mapping[str, Any]) -> _Release:
        body = msgspec.json.encode(wanted)
        made: _Release = decoded(await self._ask("POST", f"{self._base}/releases", ok=(201,), body=body), _Release)
        return made

    async def _assets(self, release: _Release) -> list[_Asset]:
        found: list[_Asset] = []
        for page in range(1, PAGES_MAX + 1):
            url = f"{self._base}/releases/{release.id}/assets?per_page={PAGE}&page={page}"
            part: tuple[_Asset, ...] = decoded(await self._ask("GET", url, ok=(200,)), tuple[_Asset, ...])
            found += part
            if len(part) < PAGE:
                break
        return found

    async def _send(self, release: _Release) -> _Asset | None:
        """None where GitHub has something of this name by now."""
        product = self._product
        url = f"{self._upload_url(release)}?name={quote(self._name)}"
        body = FileSlice(product.path, 0, product.size)
        try:
            reply = await self._ask("POST", url, ok=(201,), body=body, size_bytes=product.size)
        except Refused as refused:
            if not _exists_already(refused):
                raise
            return None
        asset: _Asset = decoded(reply, _Asset)
        return asset

    def _upload_url(self, release: _Release) -> str:
        """GitHub says where uploads go; that has to be GitHub too, since our token goes there."""
        url = release.upload_url.partition("{")[0]
        api = urlsplit(self._api_url)
        try:
            there = urlsplit(url)
        except ValueError as error:
            raise PublishRefused(
                f"{self._base} sends uploads to an address that is none ({url[:100]!r}): {error}"
            ) from None
        allowed = {api.netloc, f"uploads.{api.netloc.removeprefix('api.')}"}
        if there.scheme != api.scheme or there.netloc not in allowed:
            raise PublishRefused(f"{self._base} sends uploads to {there.netloc[:100]}, which is not {api.netloc}")
        return url

    async def _check_same(self, asset: _Asset) -> None:
        """By the digest that GitHub gives; an asset from before June 2025 has none, and is read back."""
        product = self._product
        digest = asset.digest
        if digest is None and asset.size == product.size:
            headers = {"Accept": "application/octet-stream", "X-GitHub-Api-Version": API_VERSION}
            url = f"{self._base}/releases/assets/{asset.id}"
            request = Request(url=url, headers=headers, secret_headers=self._secret)
            digest = await self._asking.digest_of(request, self._publication.scratch / "there", product.size)
        if digest != product.digest:
            raise PublishRefused(
                f"the release has another {asset.name} already ({digest or f'{asset.size} bytes'}, ours is "
                f"{product.digest}); assets are not replaced: release a new version"
            )

    async def _ask(
        self, method: str, url: str, *, ok: tuple[int, ...], body: bytes | FileSlice | None = None, size_bytes: int = 0
    ) -> Any:
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
        if body is not None:
            headers["Content-Type"] = "application/json" if isinstance(body, bytes) else "application/octet-stream"
        request = Request(method=method, url=url, headers=headers, secret_headers=self._secret, body=body)
        try:
            return await self._asking.send(request, ok=ok, size_bytes=size_bytes)
        except Refused as refused:
            if refused.status == 403 and b"rate limit" in refused.body.lower():
                raise PublishAway(str(refused)) from None  # GitHub says this with 403 as well as with 429
            raise

    def _published(self, release: _Release, asset: _Asset, *, unchanged: bool) -> Published:
        metadata = {
            "release_url": release.html_url,
            "asset_name": asset.name,
            "download_url": asset.browser_download_url,
        }
        return Published(uri=asset.browser_download_url, metadata=metadata, unchanged=unchanged)


def _repository(settings: Mapping[str, Any]) -> str:
    whole = settings.get("repository") or f"{settings.get('owner')}/{settings.get('repo')}"
    return "/".join(quote(part, safe="") for part in whole.split("/"))


def _is_plain(name: str) -> bool:
    allowed = name.isascii() and all(character.isalnum() or character in "._-" for character in name)
    return allowed and bool(name) and not name.startswith(".") and not name.endswith(".")


def _exists_already(refused: Refused) -> bool:
    if refused.status != 422:
        return False
    try:
        problems = msgspec.json.decode(refused.body, type=_Problems)
    except msgspec.MsgspecError:
        return False
    return any(problem.code == "already_exists" for problem in problems.errors)
