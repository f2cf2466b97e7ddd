"""What a registry wants to see before it answers: a password, or a token that another server gives for it.

    request ──▶ 401, WWW-Authenticate: Bearer realm="https://auth.example/token",service="registry.example"
    token   ──▶ GET the realm, for that service and one scope; with our credentials for *this registry*
    request ──▶ again, with the token; it is kept for its scope until shortly before it expires

The registry chooses the realm, so it decides who sees the credentials that are meant for it, and it could ask for them
itself. It cannot choose plain http, nor a server on this machine unless it is on this machine too.
"""

import asyncio
import base64
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode, urlsplit
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from forge_runtime.http import Http, HttpRefused, Limits, Request, is_loopback
from forge_runtime.mask import Mask
from forge_runtime.oci.credentials import Credential, Credentials

TOKEN_BYTES_MAX: Final = 64 * 1024
"""Tokens with many scopes pass 10 kB now and then; headers of that size are refused by servers anyway."""

LIFETIME_S: Final = 60.0
"""Of a token that does not say how long it lives (token specification of the distribution project)."""

LIFETIME_S_MAX: Final = 3600.0
CHALLENGE_CHARS_MAX: Final = 8192
TOKENS_MAX: Final = 1000
"""One for each repository and kind of access; a worker that runs for months forgets those that expired."""

SECRETS_MAX: Final = 256
"""Those shown last are masked: what a server sends back, it was shown in the same exchange."""
CLIENT_ID: Final = "catalyst-forge"


class Unauthorised(Exception):
    """The registry cannot be satisfied: it wants what we have not, or asks in a way that we do not answer."""


@dataclass(frozen=True, slots=True)
class _Bearer:
    realm: str
    service: str


@dataclass(frozen=True, slots=True)
class _Token:
    value: str = field(repr=False)
    until: float


class _TokenReply(Struct, frozen=True):
    token: str = ""
    access_token: str = ""
    expires_in: float = LIFETIME_S


class Authorization:
    """Of all registries that one client speaks to."""

    def __init__(self, http: Http, credentials: Credentials, clock: Callable[[], float] = time.monotonic) -> None:
        self._http = http
        self._credentials = credentials
        self._secrets: deque[str] = deque(maxlen=SECRETS_MAX)
        self._clock = clock
        self._wanted: dict[str, _Bearer | None] = {}
        self._tokens: dict[tuple[str, str], _Token] = {}
        self._asking: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def masked(self, text: str) -> str:
        """Without any secret that was shown lately."""
        return Mask(self._secrets).text(text)

    async def headers(self, registry: str, scope: str) -> Mapping[str, str]:
        """What this registry is known to want; nothing where it has not asked. Raises as `challenged` does."""
        async with self._turn(registry, scope):
            if registry not in self._wanted:
                return {}
            bearer = self._wanted[registry]
            if bearer is None:
                return self._basic(registry)
            token = self._tokens.get((registry, scope))
            if token is None or token.until <= self._clock():
                token = self._keep(registry, scope, await self._fetch(registry, bearer, scope.split()))
            return {"Authorization": f"Bearer {token.value}"}

    async def challenged(self, registry: str, scope: str, challenge: str, shown: Mapping[str, str]) -> None:
        """The registry refused what it was `shown` and says what it wants: what `headers` gives from now on.

        Raises Unauthorised, and what the http client raises where a token server is away, and BadCredentials.
        """
        async with self._turn(registry, scope):
            schemes = parse_challenge(challenge)
            if "bearer" in schemes:
                bearer = self._bearer(registry, schemes["bearer"])
                scopes = dict.fromkeys(scope.split() + schemes["bearer"].get("scope", "").split())
                self._wanted[registry] = bearer
                self._keep(registry, scope, await self._fetch(registry, bearer, scopes))
            elif "basic" in schemes:
                if shown:
                    raise Unauthorised(f"{registry} does not accept the user and the password that it was given")
                self._wanted[registry] = None
                self._basic(registry)
            else:
                raise Unauthorised(f"{registry} wants to know who asks in a way that is not known here")

    def _turn(self, registry: str, scope: str) -> asyncio.Lock:
        """One token is asked for once, whoever waits for it; and nobody waits for the token server of another."""
        return self._asking.setdefault((registry, scope), asyncio.Lock())

    def _keep(self, registry: str, scope: str, token: _Token) -> _Token:
        if len(self._tokens) >= TOKENS_MAX:
            self._tokens = {key: kept for key, kept in self._tokens.items() if kept.until > self._clock()}
        self._tokens[registry, scope] = token
        return token

    def _hide(self, *secrets: str | None) -> None:
        self._secrets.extend(secret for secret in secrets if secret and secret not in self._secrets)

    def _basic(self, registry: str) -> Mapping[str, str]:
        credential = self._credential(registry)
        if credential is None or credential.refresh_token is not None:
            raise Unauthorised(f"{registry} wants a user and a password, and none are configured for it")
        return {"Authorization": self._basic_value(credential)}

    def _basic_value(self, credential: Credential) -> str:
        encoded = base64.b64encode(f"{credential.user}:{credential.password}".encode()).decode()
        self._hide(encoded)
        return f"Basic {encoded}"

    def _credential(self, registry: str) -> Credential | None:
        credential = self._credentials.of(registry)
        if credential is not None:
            self._hide(credential.password, credential.refresh_token)
        return credential

    def _bearer(self, registry: str, parameters: Mapping[str, str]) -> _Bearer:
        realm = parameters.get("realm", "")
        try:
            host = urlsplit(realm).hostname or ""
        except ValueError:
            host = ""
        if not host:
            raise Unauthorised(f"{registry} names no address where its tokens are given")
        if is_loopback(host) and not is_loopback(host_of(registry)):
            raise Unauthorised(f"{registry} sends us to a server on this machine for its tokens")
        return _Bearer(realm, parameters.get("service", ""))

    async def _fetch(self, registry: str, bearer: _Bearer, scopes: Iterable[str]) -> _Token:
        credential = self._credential(registry)
        if credential is not None and credential.refresh_token is not None:
            request = _refresh(bearer, scopes, credential.refresh_token)
        else:
            shown = {} if credential is None else {"Authorization": self._basic_value(credential)}
            request = _ask(bearer, scopes, shown)
        failure: Unauthorised
        try:
            # A redirect would be followed with the refresh token in the body, so it is taken for an answer.
            ok = (200,) if request.body is None else (200, 307, 308)
            reply = await self._http.send(request, ok=ok, limits=Limits(bytes_max=TOKEN_BYTES_MAX))
        except HttpRefused as refused:
            failure = Unauthorised(f"no token from the token server of {registry}: {refused}")
        else:
            return self._read(registry, reply.body)
        raise failure

    def _read(self, registry: str, body: bytes) -> _Token:
        try:
            answer = msgspec.json.decode(body, type=_TokenReply)
        except (msgspec.MsgspecError, RecursionError):
            answer = _TokenReply()  # the error would quote the token
        value = answer.token or answer.access_token
        if not _TOKEN.fullmatch(value):
            raise Unauthorised(f"what the token server of {registry} answers is no token")
        self._hide(value)
        lifetime_s = min(max(0.0, answer.expires_in), LIFETIME_S_MAX)
        return _Token(value, self._clock() + 0.9 * lifetime_s)


def host_of(registry: str) -> str:
    """Without the port."""
    return registry.rpartition(":")[0] if re.search(r":[0-9]+\Z", registry) else registry


def parse_challenge(header: str) -> dict[str, dict[str, str]]:
    """The schemes of a WWW-Authenticate header, lower-case, each with its parameters; what is no challenge is left."""
    schemes: dict[str, dict[str, str]] = {}
    current: dict[str, str] | None = None
    place, header = 0, header[:CHALLENGE_CHARS_MAX]
    while place < len(header):
        if current is not None and (parameter := _PARAMETER.match(header, place)):
            quoted, plain = parameter["quoted"], parameter["plain"]
            current[parameter["name"].lower()] = re.sub(r"\\(.)", r"\1", quoted) if plain is None else plain
            place = parameter.end()
        elif scheme := _SCHEME.match(header, place):
            current = schemes.setdefault(scheme["name"].lower(), {})
            place = scheme.end()
        else:
            break
    return schemes


def _ask(bearer: _Bearer, scopes: Iterable[str], shown: Mapping[str, str]) -> Request:
    query = urlencode([("service", bearer.service), *(("scope", scope) for scope in scopes)], quote_via=quote)
    separator = "&" if "?" in bearer.realm else "?"
    return Request(url=f"{bearer.realm}{separator}{query}", secret_headers=shown)


def _refresh(bearer: _Bearer, scopes: Iterable[str], refresh_token: str) -> Request:
    form = {
        "grant_type": "refresh_token",
        "service": bearer.service,
        "scope": " ".join(scopes),
        "client_id": CLIENT_ID,
        "refresh_token": refresh_token,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Request(method="POST", url=bearer.realm, headers=headers, body=urlencode(form).encode())


_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_SCHEME: Final = re.compile(rf"[\s,]*(?P<name>{_NAME})(?=\s|,|\Z)")
_PARAMETER: Final = re.compile(rf'[\s,]*(?P<name>{_NAME})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s,"]+))')
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,65536}")
