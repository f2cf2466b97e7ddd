"""One question to a registry and its answer: addresses, credentials, and what failures are called.

    RegistryRefused    the answer stands: denied, not found, too large, not what OCI registries say
      DigestMismatch   content and digest differ, on the way there or back
    RegistryAway       no usable answer, however often it was asked

Credentials go to the registry itself and to no other origin, wherever it redirects or says that an upload goes on. The
client's messages show none of them, even where a server sends them back.
"""

import logging
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from forge_runtime.http import (
    SUCCESS,
    USUAL,
    WORDS_CHARS_MAX,
    Downloaded,
    Http,
    HttpAway,
    HttpRefused,
    Limits,
    Reply,
    Request,
    is_loopback,
)
from forge_runtime.oci.authorization import Authorization, Unauthorised
from forge_runtime.oci.credentials import BadCredentials, Credentials
from forge_runtime.oci.mirrors import Mirrors
from forge_runtime.oci.reference import Reference

BLOB_UNKNOWN: Final = "MANIFEST_BLOB_UNKNOWN"

SLOWEST_BYTES_S: Final = 128 * 1024
"""A transfer may take as long as it would at this pace, and a minute more."""

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

T = TypeVar("T")

_log = logging.getLogger(__name__)


class RegistryRefused(Exception):
    """`status` is HTTP's, 0 where there was none; `codes` are the registry's own words (`DENIED`), if it has some."""

    def __init__(self, message: str, status: int = 0, codes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.codes = codes


class DigestMismatch(RegistryRefused):
    """What a registry holds, or says that it holds, is not what its digest says."""


class RegistryAway(Exception):
    """Another time may help."""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a question is about, and what must be allowed for it: reading there, maybe writing, reading elsewhere."""

    reference: Reference
    push: bool = False
    mount_from: str | None = None

    @property
    def scope(self) -> str:
        """As tokens are asked for (token specification of the distribution project), separated by spaces."""
        own = f"repository:{self.reference.repository}:{'pull,push' if self.push else 'pull'}"
        return own if self.mount_from is None else f"{own} repository:{self.mount_from}:pull"


class Exchange:
    """Of one client with all its registries."""

    def __init__(self, http: Http, credentials: Credentials, mirrors: Mirrors) -> None:
        self.http = http
        self._mirrors = mirrors
        self._authorization = Authorization(http, credentials)

    def url(self, reference: Reference, rest: str) -> str:
        """`rest` comes after the repository's path."""
        return f"{self._mirrors.origin_of(reference.registry)}/v2/{reference.repository}/{rest}"

    async def send(
        self, purpose: Purpose, request: Request, *, ok: Collection[int] = SUCCESS, limits: Limits = USUAL
    ) -> Reply:
        """The answer, after saying who we are where that is asked. Raises RegistryRefused and RegistryAway."""
        reference, scope = purpose.reference, purpose.scope
        home = self.is_home(reference, request.url)
        for first in (True, False):
            shown = await self._authorized(reference, scope) if home else {}
            asked = replace(request, secret_headers=shown)
            reply = await self._translated(reference, self.http.send(asked, ok={*ok, 401}, limits=limits))
            if reply.status != 401 or 401 in ok:
                self._log_warning(reference, reply)
                return reply
            if not (first and home and self.is_home(reference, reply.url)):
                break
            challenge = reply.headers.get("www-authenticate", "")
            await self._translated(
                reference,
                self._authorization.challenged(self._mirrors.asked_for(reference.registry), scope, challenge, shown),
            )
        raise self._refused(reference, HttpRefused(f"{request}: 401, who asks is not accepted", 401, reply.body))

    async def download(self, reference: Reference, url: str, into: Path, limits: Limits) -> Downloaded:
        """A body as a file. Raises RegistryRefused and RegistryAway, and OSError where it cannot be written."""
        # The question with HEAD is where credentials are asked for; a redirect is an answer to it, since an address
        # that is signed for GET takes no HEAD.
        head = Request(method="HEAD", url=url)
        await self.send(Purpose(reference), head, ok={200, *_REDIRECTS})
        shown = await self._authorized(reference, Purpose(reference).scope)
        return await self._translated(
            reference, self.http.download(Request(url=url, secret_headers=shown), into, limits)
        )

    def is_home(self, reference: Reference, url: str) -> bool:
        """Whether an address is of the registry's own origin, the only one that sees credentials."""
        return _origin(url) == _origin(self._mirrors.origin_of(reference.registry))

    def is_acceptable(self, reference: Reference, url: str) -> bool:
        """Whether a registry may send us there to go on: not to this machine, unless it is here itself."""
        scheme, host, _ = _origin(url)
        if is_loopback(host) and not is_loopback(_origin(self._mirrors.origin_of(reference.registry))[1]):
            return False
        return scheme == "https" or (scheme == "http" and is_loopback(host))

    async def pause(self, failures: int) -> None:
        """Before another try at something of several questions."""
        await self.http.wait(min(30.0, 0.5 * 2.0**failures) * (0.5 + self.http.jitter()))

    async def _authorized(self, reference: Reference, scope: str) -> Mapping[str, str]:
        registry = self._mirrors.asked_for(reference.registry)
        return await self._translated(reference, self._authorization.headers(registry, scope))

    async def _translated(self, reference: Reference, asking: Awaitable[T]) -> T:
        failure: Exception
        try:
            return await asking
        except HttpRefused as refused:
            failure = self._refused(reference, refused)
        except (Unauthorised, BadCredentials) as unauthorised:
            failure = RegistryRefused(
                self._authorization.masked(f"{reference}: {unauthorised}"), 401, ("UNAUTHORIZED",)
            )
        except HttpAway as away:
            failure = RegistryAway(self._authorization.masked(f"{reference}: {away}"))
        # Raised here and not in the handlers: what was said before they masked it is not kept in the chain.
        raise failure

    def _refused(self, reference: Reference, refused: HttpRefused) -> RegistryRefused:
        codes = _codes(refused.body)
        # Where a blob is missing, some registries call the manifest's own digest invalid as well.
        kind = DigestMismatch if "DIGEST_INVALID" in codes and BLOB_UNKNOWN not in codes else RegistryRefused
        return kind(self._authorization.masked(f"{reference}: {refused}"), refused.status, codes)

    def _log_warning(self, reference: Reference, reply: Reply) -> None:
        """Warnings are for people (distribution specification): they change nothing."""
        if text := reply.headers.get("warning"):
            printable = "".join(character if character.isprintable() else "?" for character in text[:WORDS_CHARS_MAX])
            _log.warning(
                "the registry warns",
                extra={"registry": reference.registry, "warning": self._authorization.masked(printable)},
            )


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return (parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme))
    except ValueError:
        return ("", "", None)


class _Error(Struct, frozen=True):
    code: str = ""


class _Errors(Struct, frozen=True):
    errors: tuple[_Error, ...] = ()


def _codes(body: bytes) -> tuple[str, ...]:
    """Of an error body, if it is one as the distribution specification has it."""
    try:
        errors = msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.MsgspecError, RecursionError):
        return ()
    return tuple(error.code[:64] for error in errors[:16])
