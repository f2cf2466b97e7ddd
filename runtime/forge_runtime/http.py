"""HTTP as every client here speaks it: bounded, tried again where that may help, and secrets for one origin only.

    request -> 2xx (or what the caller takes for an answer)      Reply
            -> a redirect                                        followed; another origin gets no secret headers
            -> 429, 5xx, no connection, a broken answer          tried again, then HttpAway
            -> anything else                                     HttpRefused: trying again changes nothing

Servers are not trusted: what they send is bounded in size and time, they cannot redirect from https to http, and their
words come into messages short and printable. An address is https, unless its host is this machine or is named.
"""

import asyncio
import hashlib
import ipaddress
import random
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Final, TypeVar

import httpx2

from forge_runtime.retry import ATTEMPTS_MAX, DELAY_S_MAX, RETRIED_CLASS, Retry, after_failure

ATTEMPT_S: Final = 60.0
"""For one attempt with all its redirects; transfers of files get more from their callers."""

SILENCE_S: Final = 30.0
"""For a connection, and between two pieces of an answer."""

REPLY_BYTES_MAX: Final = 4 * 1024 * 1024
REDIRECTS_MAX: Final = 5
WORDS_CHARS_MAX: Final = 300
CHUNK_BYTES: Final = 256 * 1024

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD: Final = frozenset({307, 308})

T = TypeVar("T")


class HttpAway(Exception):
    """No usable answer, however often it was asked; another time may help."""


class HttpRefused(Exception):
    """The server's answer stands. `status` is 0 where the answer is not one that HTTP allows, or that we follow."""

    def __init__(self, message: str, status: int = 0, body: bytes = b"") -> None:
        super().__init__(message)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class FileSlice:
    """`size_bytes` of a file from `start`, as the body of a request."""

    path: Path
    start: int
    size_bytes: int


Body = bytes | FileSlice | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`headers` by lower-case names. `url` is where the answer came from, after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Downloaded:
    reply: Reply
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to ask for. `secret_headers` go to the origin of `url` alone, whatever redirects there are: a redirect that
    leads away and back again goes without. So does a `body`, which is not sent to another origin at all."""

    method: str = "GET"
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    secret_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Body = None

    def __str__(self) -> str:
        """Without the query, where presigned addresses have their signature, and without what stands before an "@"."""
        scheme, separator, rest = self.url.partition("?")[0].partition("://")
        authority, slash, path = rest.partition("/")
        return f"{self.method} {scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"[:WORDS_CHARS_MAX]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Ask once (`attempts_max=1`) for what must not happen twice. `bytes_max` is the answer's."""

    attempts_max: int = ATTEMPTS_MAX
    attempt_s: float = ATTEMPT_S
    bytes_max: int = REPLY_BYTES_MAX


USUAL: Final = Limits()
SUCCESS: Final = frozenset({200, 201, 202, 204})


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """Use as `async with Http.open() as http`; one for as long as possible, since it keeps connections."""

    client: httpx2.AsyncClient
    plain_hosts: Collection[str] = ()
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = field(default=random.random)

    @staticmethod
    @asynccontextmanager
    async def open(
        *,
        plain_hosts: Collection[str] = (),
        verify: ssl.SSLContext | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> AsyncIterator["Http"]:
        """`plain_hosts` may be asked without TLS. The environment's proxies and credentials are not used."""
        client = httpx2.AsyncClient(
            verify=verify or True,
            transport=transport,
            timeout=SILENCE_S,
            trust_env=False,
            # What one identity was given must not go with another's questions, nor to another port.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": "catalyst-forge", "Accept-Encoding": "identity"},
        )
        async with client:
            yield Http(client=client, plain_hosts=plain_hosts)

    async def send(self, request: Request, *, ok: Collection[int] = SUCCESS, limits: Limits = USUAL) -> Reply:
        """An answer of one of the statuses in `ok`; a redirect that is among them is not followed.

        Raises HttpRefused and HttpAway.
        """

        async def take(response: httpx2.Response) -> Reply:
            return _reply(response, await _bounded(response, limits.bytes_max))

        return await self._try(request, take, ok, limits)

    async def download(self, request: Request, into: Path, limits: Limits) -> Downloaded:
        """The body of a 200 as a file, written anew by each attempt; what it should be is the caller's to compare.

        Raises HttpRefused and HttpAway, and OSError where the file cannot be written.
        """

        async def take(response: httpx2.Response) -> Downloaded:
            size_bytes, digest = 0, hashlib.sha256()
            with await asyncio.to_thread(into.open, "wb") as file:
                async for chunk in response.aiter_raw(CHUNK_BYTES):
                    size_bytes += len(chunk)
                    _check_size(response, size_bytes, limits.bytes_max)
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
            return Downloaded(_reply(response, b""), size_bytes, digest.hexdigest())

        return await self._try(request, take, (200,), limits)

    async def _try(
        self, request: Request, take: Callable[[httpx2.Response], Awaitable[T]], ok: Collection[int], limits: Limits
    ) -> T:
        attempt = 1
        while True:
            least_s = 0.0
            try:
                async with asyncio.timeout(limits.attempt_s):
                    return await self._once(request, take, ok)
            except TimeoutError:
                why = f"no whole answer within {limits.attempt_s:g} s"
            except _TryAgain as again:
                why, least_s = str(again), again.after_s
            except httpx2.LocalProtocolError:  # its words may quote what was to be sent
                raise HttpRefused(f"{request}: this cannot be said in HTTP") from None
            except httpx2.TransportError as error:
                why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            match after_failure(RETRIED_CLASS, attempt, self.jitter(), limits.attempts_max):
                case Retry(after_s):
                    await self.wait(max(after_s, least_s))
                    attempt += 1
                case _:
                    raise HttpAway(f"{request}: {why} ({attempt} {'try' if attempt == 1 else 'tries'})")

    async def _once(self, request: Request, take: Callable[[httpx2.Response], Awaitable[T]], ok: Collection[int]) -> T:
        first = url = _parsed(request, request.url)
        secret = request.secret_headers
        for _ in range(REDIRECTS_MAX + 1):
            self._check(request, first, url)
            if _origin(url) != _origin(first):
                secret = {}
            async with self._sent(request, url, secret) as response:
                status = response.status_code
                if status in ok:
                    return await take(response)
                if status in _REDIRECTS and (status in _KEEP_METHOD or request.method in ("GET", "HEAD")):
                    url = _parsed(request, response.headers.get("location", ""), url)
                    continue
                body = await _bounded(response, REPLY_BYTES_MAX)
                answer = f"{status} {response.reason_phrase}{_words(body)}"
                if status == 429 or status >= 500:
                    raise _TryAgain(answer, _retry_after_s(response.headers.get("retry-after")))
                raise HttpRefused(f"{request}: {answer}", status, body)
        raise HttpRefused(f"{request}: more than {REDIRECTS_MAX} redirects")

    def _check(self, request: Request, first: httpx2.URL, url: httpx2.URL) -> None:
        if url.userinfo:
            raise HttpRefused(f"{request.method} to {url.host}: an address must not hold a password")
        plain = url.scheme == "http" and (is_loopback(url.host) or url.host in self.plain_hosts)
        if not url.host or not (url.scheme == "https" or plain):
            raise HttpRefused(f"{request}: {_shown(url)} is neither https nor on this machine")
        if first.scheme == "https" and url.scheme != "https":
            raise HttpRefused(f"{request}: redirects from https to {_shown(url)}")
        if request.body is not None and _origin(url) != _origin(first):
            raise HttpRefused(f"{request}: redirects what is sent to another server, {_shown(url)}")
        if is_loopback(url.host) and not is_loopback(first.host):
            raise HttpRefused(f"{request}: redirects to this machine, {_shown(url)}")

    @asynccontextmanager
    async def _sent(
        self, request: Request, url: httpx2.URL, secret_headers: Mapping[str, str]
    ) -> AsyncIterator[httpx2.Response]:
        headers = {**request.headers, **secret_headers}
        for name, value in headers.items():
            if not (value.isascii() and value.isprintable()):
                raise HttpRefused(f"{request}: the value of the header {name} has characters that a header cannot have")
        content: bytes | AsyncIterator[bytes] | None
        if isinstance(request.body, FileSlice):
            headers["Content-Length"] = str(request.body.size_bytes)
            content = _read(request.body)
        else:
            content = request.body
        built = self.client.build_request(request.method, url, headers=headers, content=content)
        response = await self.client.send(built, stream=True, follow_redirects=False)
        try:
            yield response
        finally:
            await response.aclose()


class _TryAgain(Exception):
    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


def is_loopback(host: str) -> bool:
    """Whether a host as an address names it is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _parsed(request: Request, text: str, base: httpx2.URL | None = None) -> httpx2.URL:
    try:
        return httpx2.URL(text) if base is None else base.join(text)
    except (httpx2.InvalidURL, ValueError):
        kind = "the address" if base is None else "the address that it redirects to"
        raise HttpRefused(f"{request}: {kind} is not one") from None


def _shown(url: httpx2.URL) -> str:
    """Neither query nor password."""
    return f"{url.scheme}://{url.netloc.decode()}{url.path}"[:WORDS_CHARS_MAX]


async def _read(part: FileSlice) -> AsyncIterator[bytes]:
    left = part.size_bytes
    with await asyncio.to_thread(part.path.open, "rb") as file:
        await asyncio.to_thread(file.seek, part.start)
        while left > 0:
            chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, left))
            if not chunk:
                raise OSError(f"{part.path} is shorter than it was")
            left -= len(chunk)
            yield chunk


async def _bounded(response: httpx2.Response, bytes_max: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw(CHUNK_BYTES):
        body += chunk
        _check_size(response, len(body), bytes_max)
    return bytes(body)


def _check_size(response: httpx2.Response, size_bytes: int, bytes_max: int) -> None:
    if size_bytes > bytes_max:
        url = response.request.url.copy_with(query=None)
        raise HttpRefused(f"{response.request.method} {url}: the answer is longer than {bytes_max} bytes")


def _reply(response: httpx2.Response, body: bytes) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(status=response.status_code, headers=headers, body=body, url=str(response.url))


def _words(body: bytes) -> str:
    """The server's own words, fit for a message."""
    text = " ".join(body[: 4 * WORDS_CHARS_MAX].decode(errors="replace").split())
    printable = "".join(character if character.isprintable() else "?" for character in text)
    return f": {printable[:WORDS_CHARS_MAX]}" if printable else ""


def _retry_after_s(value: str | None) -> float:
    """Seconds or a date; at most as long as we ever wait by ourselves."""
    if value is None:
        return 0.0
    if value.isascii() and value.isdigit():
        return min(float(value), DELAY_S_MAX)
    try:
        at = parsedate_to_datetime(value)
        return min(max(0.0, at.timestamp() - time.time()), DELAY_S_MAX)
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return (url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme))
