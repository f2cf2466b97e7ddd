"""Which publisher a type names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from forge_runtime.http import Http, is_loopback
from forge_runtime.oci.authorization import host_of
from forge_runtime.publish.crate import CratePublisher
from forge_runtime.publish.cue import CuePublisher
from forge_runtime.publish.docker import DockerPublisher
from forge_runtime.publish.docs import DocsPublisher
from forge_runtime.publish.github import API_URL, GithubPublisher
from forge_runtime.publish.port import Publication, Published, Publisher, PublishRefused
from forge_runtime.publish.pypi import PypiPublisher
from forge_runtime.publish.registry import StandIns


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherPlaces:
    """What no repository says: GitHub's API (another for an Enterprise Server), where S3 is (None: AWS), the buckets
    for docs that this worker's own role may be used for, and registries that stand in for others.

    `this_machine`: repositories may name addresses here, as in tests. Else what listens here is no business of theirs.
    """

    github_api: str = API_URL
    s3_endpoint: str | None = None
    docs_buckets: Collection[str] = ()
    stand_ins: StandIns = field(default_factory=StandIns)
    this_machine: bool = False


def publishers(http: Http, places: PublisherPlaces | None = None) -> Mapping[str, Publisher]:
    """By the type that `.forge/repo.cue` gives them."""
    where = places or PublisherPlaces()
    docs = DocsPublisher(where.s3_endpoint, where.docs_buckets)
    named: dict[str, Publisher] = {
        "crate": CratePublisher(http),
        "cue": CuePublisher(http, where.stand_ins),
        "docker": DockerPublisher(http, where.stand_ins),
        "pypi": PypiPublisher(http),
    }
    if not where.this_machine:
        named = {name: _Elsewhere(publisher) for name, publisher in named.items()}
    return {**named, "docs": docs, "github": GithubPublisher(http, where.github_api), "s3": docs}


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """A publisher whose address the repository names: not on this machine."""

    publisher: Publisher

    async def publish(self, publication: Publication) -> Published:
        for name in ("registry", "repository"):
            address = str(publication.settings.get(name) or "")
            netloc = address.rpartition("://")[2].partition("/")[0].rpartition("@")[2]
            if is_loopback(host_of(netloc)):
                raise PublishRefused(f"{name} {netloc} is on the worker's own machine, where nothing is published")
        return await self.publisher.publish(publication)
