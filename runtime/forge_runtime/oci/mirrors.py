"""Where a registry is asked: at the host that references name, unless another stands in for it.

    registry.example=http://127.0.0.1:5001    what is pushed to registry.example goes to a registry on this machine
    *=http://127.0.0.1:5001                   whatever the registry is called

So a platform on one machine releases what its repositories say, and nothing leaves the machine. Credentials are those
of the host that is asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from forge_runtime.http import is_loopback
from forge_runtime.oci.authorization import host_of
from forge_runtime.oci.reference import REGISTRY

EVERY: Final = "*"

_DOCKER_HUB: Final = {"docker.io": "registry-1.docker.io"}
"""The hub is not asked where its name says; its credentials are kept under its name."""


class BadMirrors(ValueError):
    """The setting is none; the message says which part."""


@dataclass(frozen=True, slots=True)
class Mirrors:
    """`known`: registry, as references name it, to the origin that is asked for it."""

    known: Mapping[str, str] = field(default_factory=dict)

    def origin_of(self, registry: str) -> str:
        """Scheme, host and port. A registry on this machine is asked without TLS, and no other."""
        mirror = self.known.get(registry) or self.known.get(EVERY)
        if mirror is not None:
            return mirror
        scheme = "http" if is_loopback(host_of(registry)) else "https"
        return f"{scheme}://{_DOCKER_HUB.get(registry, registry)}"

    def asked_for(self, registry: str) -> str:
        """The host, and maybe port, whose credentials are shown."""
        mirror = self.known.get(registry) or self.known.get(EVERY)
        return registry if mirror is None else urlsplit(mirror).netloc


def parse_mirrors(text: str) -> Mirrors:
    """`host=url,host=url`, with `*` for every host; nothing for an empty text. Raises BadMirrors."""
    known: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        registry, equals, url = entry.partition("=")
        if not equals or not (registry == EVERY or REGISTRY.fullmatch(registry)):
            raise BadMirrors(f'"{entry[:100]}" is not a registry, "=" and the address that stands in for it')
        if registry in known:
            raise BadMirrors(f"there are two addresses for {registry}")
        known[registry] = _origin(registry, url)
    return Mirrors(known)


def _origin(registry: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        raise BadMirrors(f"what stands in for {registry} is not an address") from None
    if "@" in parts.netloc:
        raise BadMirrors(f"the address for {registry} holds a password: put it into the file of credentials")
    if parts.path.rstrip("/") or parts.query or parts.fragment or not host or port == 0:
        raise BadMirrors(f"the address for {registry} is more or less than a scheme, a host and a port")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise BadMirrors(f"the address for {registry} must begin with https://, or be of this machine")
    return f"{parts.scheme}://{parts.netloc}"
