"""A build daemon: where it is, how one may talk to it, and how much of it one may take."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from forge_runtime.settings import BUILDKIT_LEASES, TlsFiles

ENDPOINTS_MAX: Final = 100

_THIS_MACHINE: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class BadEndpoint(ValueError):
    """A daemon's address cannot be used; the message says why and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`address` is tcp://host:port, as the CLI takes it; without `tls` the connection is in the clear."""

    address: str
    tls: TlsFiles | None = None
    leases_max: int = BUILDKIT_LEASES

    @property
    def name(self) -> str:
        """host:port, for people and metrics."""
        return self.address.removeprefix("tcp://")

    @property
    def host(self) -> str:
        return urlsplit(self.address).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.address).port or 0


def parse_endpoints(
    text: str, *, tls: TlsFiles | None = None, leases_max: int = BUILDKIT_LEASES
) -> tuple[Endpoint, ...]:
    """Addresses separated by commas or blanks, each once. Raises BadEndpoint, which quotes the address that is wrong.

    The CLI takes 127.0.0.1, ::1 and localhost for a daemon of its own: it starts a container there, and does not
    connect. So they are refused; the machine's name, or 127.0.0.2, connects.
    """
    addresses = tuple(dict.fromkeys(re.split(r"[\s,]+", text.strip()))) if text.strip() else ()
    if len(addresses) > ENDPOINTS_MAX:
        raise BadEndpoint(f"{len(addresses)} build daemons are named; at most {ENDPOINTS_MAX} can be watched")
    if not 1 <= leases_max <= 1000:
        raise BadEndpoint(f"a build daemon takes 1 to 1000 steps at once, not {leases_max}")
    for address in addresses:
        _check(address)
    return tuple(Endpoint(address=address, tls=tls, leases_max=leases_max) for address in addresses)


def _check(address: str) -> None:
    wanted = "write tcp://host:port, for example tcp://buildkitd-0.buildkitd:8372"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadEndpoint(f"{address[:80]!r} is no address of a build daemon: {wanted}") from None
    extra = parts.path or parts.query or parts.fragment or parts.username is not None
    if parts.scheme != "tcp" or not host or not port or extra:
        raise BadEndpoint(f"{address[:80]!r} is no address of a build daemon: {wanted}")
    if host in _THIS_MACHINE:
        raise BadEndpoint(
            f"{address[:80]!r}: the build tool starts a container of its own for this host instead of connecting; "
            "write the machine's name, or another of its addresses (127.0.0.2)"
        )
