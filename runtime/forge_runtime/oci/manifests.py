"""Manifests in a repository, by tag or digest. Their bytes are what they are: compared first, read afterwards."""

import re
from dataclasses import dataclass
from typing import Final

from forge_runtime.http import Limits, Reply, Request
from forge_runtime.oci.exchange import DigestMismatch, Exchange, Purpose, RegistryRefused
from forge_runtime.oci.image import (
    INDEX_TYPE,
    MANIFEST_BYTES_MAX,
    MANIFEST_TYPE,
    BadImage,
    Descriptor,
    hash_of,
)
from forge_runtime.oci.reference import DIGEST, Reference
from forgec.plan.digest import digest_of

DOCKER_MANIFEST_TYPE: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX_TYPE: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

_ACCEPT: Final = ", ".join((MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_INDEX_TYPE))
_LIMITS: Final = Limits(bytes_max=MANIFEST_BYTES_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A manifest or an index as it lies there; `data` has the digest of `descriptor`."""

    descriptor: Descriptor
    data: bytes


async def pull_manifest(exchange: Exchange, reference: Reference) -> Pulled | None:
    """None if there is none. Raises DigestMismatch, RegistryRefused, RegistryAway."""
    request = Request(url=_url(exchange, reference), headers={"Accept": _ACCEPT})
    reply = await exchange.send(Purpose(reference), request, ok=(200, 404), limits=_LIMITS)
    if reply.status == 404:
        return None
    told = reply.headers.get("docker-content-digest")
    digest = reference.digest or told or digest_of(reply.body)
    for expected in filter(None, (reference.digest, told)):
        _verify(reference, expected, reply.body)
    return Pulled(
        descriptor=_descriptor(reference, _type_of(reply), digest, len(reply.body)),
        data=reply.body,
    )


async def find_manifest(exchange: Exchange, reference: Reference) -> Descriptor | None:
    """What a tag points to, or None. The registry's word for it: only `pull_manifest` verifies."""
    request = Request(method="HEAD", url=_url(exchange, reference), headers={"Accept": _ACCEPT})
    reply = await exchange.send(Purpose(reference), request, ok=(200, 404, 405))
    if reply.status == 404:
        return None
    digest, size = reply.headers.get("docker-content-digest", ""), reply.headers.get("content-length", "")
    if reply.status == 405 or not DIGEST.fullmatch(digest) or not re.fullmatch(r"[0-9]{1,12}", size):
        pulled = await pull_manifest(exchange, reference)
        return pulled.descriptor if pulled else None
    if reference.digest and digest != reference.digest:
        raise DigestMismatch(f"{reference}: the registry says that this is {digest}")
    return _descriptor(reference, _type_of(reply), digest, int(size))


async def push_manifest(exchange: Exchange, reference: Reference, media_type: str, data: bytes) -> Reply:
    """Under its digest where the reference has one, else under its tag. Raises as `pull_manifest` does."""
    digest = digest_of(data)
    request = Request(method="PUT", url=_url(exchange, reference), headers={"Content-Type": media_type}, body=data)
    reply = await exchange.send(Purpose(reference, push=True), request, ok=(201,))
    told = reply.headers.get("docker-content-digest", digest)
    if told.startswith("sha256:") and told != digest:
        raise DigestMismatch(f"{reference}: the registry took manifest {digest} for {told[:100]}")
    return reply


def _verify(reference: Reference, expected: str, data: bytes) -> None:
    try:
        hashed = hash_of(expected)
    except BadImage as error:
        raise DigestMismatch(f"{reference}: {error}") from None
    hashed.update(data)
    if hashed.hexdigest() != expected.partition(":")[2]:
        raise DigestMismatch(f"{reference}: the registry gave other bytes than those of {expected}")


def _url(exchange: Exchange, reference: Reference) -> str:
    return exchange.url(reference, f"manifests/{reference.identifier}")


def _type_of(reply: Reply) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip()


def _descriptor(reference: Reference, media_type: str, digest: str, size: int) -> Descriptor:
    if not re.fullmatch(r"[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]*", media_type, re.ASCII):
        raise RegistryRefused(f"{reference}: the registry does not say what type this manifest has")
    return Descriptor(media_type=media_type, digest=digest, size=size)
