"""What says something about a manifest: SBOMs, attestations, signatures, each a manifest with that one as `subject`.

A registry that knows of referrers lists them itself. For one that does not, clients keep the list under a tag that is
made of the subject's digest (`sha256-<hex>`, distribution specification 1.1). No registry compares before it writes, so
two writers may undo each other:

    we       read   write          pause   read: missing, so write   pause   read: there
    others   read         write            pause   read: there

Tasks of one process take turns. Between processes, who has written waits for those who had read before, and looks. One
who takes longer than the pause from reading to writing still wins; then the next push of the same referrer repairs it.
"""

import asyncio
from dataclasses import replace
from typing import Final
from urllib.parse import quote, urljoin
from weakref import WeakValueDictionary

import msgspec

from forge_runtime.http import Reply, Request
from forge_runtime.oci.exchange import Exchange, Purpose, RegistryAway, RegistryRefused
from forge_runtime.oci.image import INDEX_TYPE, BadImage, Descriptor, Index, decode_index
from forge_runtime.oci.manifests import pull_manifest, push_manifest
from forge_runtime.oci.reference import Reference
from forgec.plan.digest import canonical_json

PAGES_MAX: Final = 50
REFERRERS_MAX: Final = 10_000
WRITES_MAX: Final = 5


async def list_referrers(exchange: Exchange, subject: Reference, artifact_type: str | None) -> tuple[Descriptor, ...]:
    """Of one type, or all; `subject` is pinned. Raises RegistryRefused, RegistryAway."""
    found = await _listed(exchange, subject, artifact_type)
    if found is None:
        found = (await _tagged(exchange, subject)).manifests
    return tuple(one for one in found if artifact_type in (None, one.artifact_type))


async def keep_referrer(exchange: Exchange, subject: Reference, referrer: Descriptor) -> None:
    """See to it that the referrer is found, where the registry did not say that it lists it."""
    listed = await _listed(exchange, subject, None)
    if listed is not None and _has(listed, referrer):
        return
    tag = _tag_of(subject)
    async with _TURNS.setdefault((asyncio.get_running_loop(), tag), asyncio.Lock()):
        for written in range(WRITES_MAX):
            index = await _tagged(exchange, subject)
            if _has(index.manifests, referrer):
                return
            more = msgspec.structs.replace(index, manifests=(*index.manifests, referrer))
            await push_manifest(exchange, tag, INDEX_TYPE, canonical_json(more))
            await exchange.pause(written)
        if not _has((await _tagged(exchange, subject)).manifests, referrer):
            raise RegistryAway(f"{tag}: other writers undid what was written {WRITES_MAX} times")


async def _listed(exchange: Exchange, subject: Reference, artifact_type: str | None) -> tuple[Descriptor, ...] | None:
    """What the registry itself lists; None where it does not know of referrers."""
    query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    url: str | None = exchange.url(subject, f"referrers/{subject.digest}{query}")
    found: list[Descriptor] = []
    for _ in range(PAGES_MAX):
        if url is None:
            return tuple(found)
        reply = await exchange.send(
            Purpose(subject), Request(url=url, headers={"Accept": INDEX_TYPE}), ok=(200, 404, 405)
        )
        if reply.status != 200 or "json" not in reply.headers.get("content-type", ""):
            return None
        found += _index(subject, reply.body).manifests
        if len(found) > REFERRERS_MAX:
            break
        url = _next(exchange, subject, reply)
    raise RegistryRefused(
        f"{subject}: its list of referrers is longer than {PAGES_MAX} pages or {REFERRERS_MAX} entries"
    )


async def _tagged(exchange: Exchange, subject: Reference) -> Index:
    pulled = await pull_manifest(exchange, _tag_of(subject))
    if pulled is None:
        return Index(schema_version=2, media_type=INDEX_TYPE, manifests=())
    return _index(_tag_of(subject), pulled.data)


def _index(reference: Reference, data: bytes) -> Index:
    try:
        return decode_index(data)
    except BadImage as error:
        raise RegistryRefused(f"{reference}: {error}") from None


def _tag_of(subject: Reference) -> Reference:
    """The algorithm and the hex digits, cut as the specification says."""
    assert subject.digest is not None, "a subject is pinned"
    algorithm, _, encoded = subject.digest.partition(":")
    return replace(subject, tag=f"{algorithm[:32]}-{encoded[:64]}", digest=None)


def _has(descriptors: tuple[Descriptor, ...], referrer: Descriptor) -> bool:
    return any(one.digest == referrer.digest for one in descriptors)


def _next(exchange: Exchange, subject: Reference, reply: Reply) -> str | None:
    """The next page, if there is one and it is of this registry."""
    for link in reply.headers.get("link", "").split(","):
        target, _, parameters = link.strip().partition(">")
        if target.startswith("<") and 'rel="next"' in parameters.replace("rel=next", 'rel="next"'):
            try:
                url = urljoin(reply.url, target[1:])
            except ValueError as error:
                raise RegistryRefused(
                    f"{subject}: its list of referrers goes on at an address that is none ({target[1:101]!r}): {error}"
                ) from None
            if not exchange.is_home(subject, url):
                raise RegistryRefused(f"{subject}: its list of referrers goes on at another server")
            return url
    return None


_TURNS: Final[WeakValueDictionary[tuple[asyncio.AbstractEventLoop, Reference], asyncio.Lock]] = WeakValueDictionary()
"""Of all clients of this process, for each list; gone when nobody waits for it."""
