"""The publisher "pypi": Python distributions to an index, by the upload API that PyPI and its kin speak.

An archive is a wheel or a source distribution by itself, or holds some and nothing else (`dist/`). What the index has
already is asked of its simple API, JSON or HTML; where that tells no sha256, the file is read back.

    repository    https://upload.pypi.org/legacy/           files to    POST repository
                  https://index.example/root/               listed at   repository/simple/
"""

import base64
import hashlib
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urldefrag, urljoin, urlsplit

from msgspec import Struct

from forge_runtime.http import FileSlice, Http, Reply, Request
from forge_runtime.produce.archive import CHUNK_BYTES, unpack
from forge_runtime.produce.image import digest_of_file
from forge_runtime.produce.product import Archive, ProducerFailed
from forge_runtime.publish.asking import Asking, Refused, decoded
from forge_runtime.publish.distribution import (
    Distribution,
    NoDistribution,
    is_distribution,
    normalised,
    read_distribution,
)
from forge_runtime.publish.port import Publication, Published, PublishRefused
from forge_runtime.thread import go_on, in_thread

PUBLIC_URL: Final = "https://upload.pypi.org/legacy/"
TOKEN_USER: Final = "__token__"  # noqa: S105  # what PyPI calls the user of every token
FILES_MAX: Final = 50
LIST_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of one project's files: the largest on the public index are some MiB."""

_KNOWN: Final = {
    "https://upload.pypi.org/legacy": "https://pypi.org/simple",
    "https://test.pypi.org/legacy": "https://test.pypi.org/simple",
}
"""Where those two list what they take elsewhere."""

_JSON: Final = "application/vnd.pypi.simple.v1+json"
_ACCEPT: Final = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"


@dataclass(frozen=True, slots=True)
class PypiPublisher:
    http: Http

    async def publish(self, publication: Publication) -> Published:
        files = await in_thread(lambda stop: _distributions(publication, stop))
        index = _Index(self.http, publication)
        unchanged = True
        for file in files:
            unchanged = await index.put(file) and unchanged
        first = files[0]
        metadata = {"index_url": index.simple_url, "package_name": first.name, "version": first.version}
        return Published(uri=index.page_of(first), metadata=metadata, unchanged=unchanged)


class _Listed(Struct, frozen=True):
    filename: str
    url: str
    hashes: dict[str, str] = {}


class _Listing(Struct, frozen=True):
    files: tuple[_Listed, ...] = ()


class _Index:
    """One index, and who we are there."""

    def __init__(self, http: Http, publication: Publication) -> None:
        repository = publication.settings.get("repository") or PUBLIC_URL
        base = repository.rstrip("/")
        self._upload_url = base.removesuffix("/simple") + "/"
        self.simple_url = _KNOWN.get(base, f"{base.removesuffix('/simple')}/simple") + "/"
        self._asking = Asking(http)
        self._scratch = publication.scratch
        self._secret: dict[str, str] = {}
        if publication.credential is not None:
            login = publication.credential.login(TOKEN_USER)
            self._secret = {
                "Authorization": f"Basic {base64.b64encode(f'{login.user}:{login.password}'.encode()).decode()}"
            }

    def page_of(self, file: Distribution) -> str:
        if self.simple_url == "https://pypi.org/simple/":
            return f"https://pypi.org/project/{normalised(file.name)}/{file.version}/"
        return f"{self.simple_url}{normalised(file.name)}/#{file.path.name}"

    async def put(self, file: Distribution) -> bool:
        """True where the index had this file already."""
        digest = (await in_thread(lambda stop: digest_of_file(file.path, stop))).removeprefix("sha256:")
        if await self._has(file, digest):
            return True
        body = self._scratch / "upload"
        boundary = secrets.token_hex(16)
        size = await in_thread(lambda stop: _write_form(file, digest, boundary, body, stop))
        request = Request(
            method="POST",
            url=self._upload_url,
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
            secret_headers=self._secret,
            body=FileSlice(body, 0, size),
        )
        try:
            await self._asking.send(request, size_bytes=size)
        except Refused as refused:
            # An answer that was lost makes the second try find the first one's file.
            if refused.status not in (400, 409) or not await self._has(file, digest):
                raise
        return False

    async def _has(self, file: Distribution, digest: str) -> bool:
        """PublishRefused where the index has another file of this name."""
        url = f"{self.simple_url}{normalised(file.name)}/"
        request = Request(url=url, headers={"Accept": _ACCEPT}, secret_headers=self._secret)
        reply = await self._asking.send(request, ok=(200, 404), reply_max=LIST_BYTES_MAX)
        if reply.status == 404:
            return False
        for listed in _listed(reply):
            if listed.filename != file.path.name:
                continue
            there = listed.hashes.get("sha256") or await self._digest_there(reply.url, listed.url, file)
            if there == digest:
                return True
            raise PublishRefused(
                f"{self.simple_url} has another {file.path.name} already (sha256 {there}, ours is {digest}); "
                "files of an index are not replaced: release a new version"
            )
        return False

    async def _digest_there(self, page: str, address: str, file: Distribution) -> str:
        try:
            url = urljoin(page, address)
            is_home = urlsplit(url)[:2] == urlsplit(self.simple_url)[:2]
        except ValueError as error:
            raise PublishRefused(
                f"{page} has {file.path.name} at an address that is none ({address[:100]!r}): {error}"
            ) from None
        request = Request(url=url, secret_headers=self._secret if is_home else {})
        digest = await self._asking.digest_of(request, self._scratch / "there", file.path.stat().st_size)
        return digest.removeprefix("sha256:")


def _listed(reply: Reply) -> Iterable[_Listed]:
    if reply.headers.get("content-type", "").partition(";")[0].strip() == _JSON:
        listing: _Listing = decoded(reply, _Listing)
        return listing.files
    parser = _Links()
    try:
        parser.feed(reply.body.decode("utf-8", errors="replace"))
    except AssertionError as error:  # what html.parser raises for a declaration that it does not know
        raise PublishRefused(f"{reply.url.partition('?')[0]}: the answer is no list of files: {error}") from None
    return parser.found


class _Links(HTMLParser):
    """The anchors of a simple page: `<a href="../../packages/tidy-1.0.tar.gz#sha256=...">`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[_Listed] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = next((value for name, value in attrs if name == "href" and value), None)
        if tag != "a" or href is None:
            return
        try:
            url, fragment = urldefrag(href)
            name = unquote(urlsplit(url).path.rpartition("/")[2])
        except ValueError:
            return  # an address that is none leads to no file
        hashes = {name: values[0] for name, values in parse_qs(fragment).items()}
        self.found.append(_Listed(filename=name, url=url, hashes=hashes))


def _distributions(publication: Publication, stop: threading.Event) -> list[Distribution]:
    product = publication.product
    if not isinstance(product, Archive):
        raise PublishRefused(f"an index takes Python distributions, and artifact {publication.artifact} is no archive")
    try:
        if is_distribution(product.path.name) and product.content_type in ("python-wheel", "python-sdist"):
            return [read_distribution(product.path, stop)]
        files = unpack(product.path, publication.scratch / "files", stop)
        found = [read_distribution(path, stop) for path in files[:FILES_MAX]]
    except (NoDistribution, ProducerFailed) as error:
        raise PublishRefused(str(error)) from None
    names = {(normalised(each.name), each.version) for each in found}
    if len(names) != 1 or len(files) > FILES_MAX:
        raise PublishRefused(
            f"the archive holds distributions of {len(names)} versions where those of one are expected"
        )
    return sorted(found, key=lambda each: each.path.name)


def _write_form(file: Distribution, digest: str, boundary: str, into: Path, stop: threading.Event) -> int:
    """The form as it goes out, with the file in it; returns its size."""
    blake = hashlib.blake2b(digest_size=32)
    with file.path.open("rb") as source:
        while chunk := source.read(CHUNK_BYTES):
            go_on(stop)
            blake.update(chunk)
    fields = [
        (":action", "file_upload"),
        ("protocol_version", "1"),
        ("filetype", file.filetype),
        ("pyversion", file.pyversion),
        ("sha256_digest", digest),
        ("blake2_256_digest", blake.hexdigest()),
        *file.fields,
    ]
    with into.open("wb") as form:
        for name, value in fields:
            form.write(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
        disposition = f'Content-Disposition: form-data; name="content"; filename="{file.path.name}"'
        form.write(f"--{boundary}\r\n{disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode())
        with file.path.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                go_on(stop)
                form.write(chunk)
        form.write(f"\r\n--{boundary}--\r\n".encode())
        return form.tell()
