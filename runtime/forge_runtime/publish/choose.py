"""Which publisher a type names."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from forge_runtime.http import Http
from forge_runtime.publish.crate import CratePublisher
from forge_runtime.publish.cue import CuePublisher
from forge_runtime.publish.docker import DockerPublisher
from forge_runtime.publish.docs import DocsPublisher
from forge_runtime.publish.github import API_URL, GithubPublisher
from forge_runtime.publish.port import Publisher
from forge_runtime.publish.pypi import PypiPublisher
from forge_runtime.publish.registry import StandIns


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherPlaces:
    """What no repository says: GitHub's API (another for an Enterprise Server), where S3 is (None: AWS), the buckets
    for docs that this worker's own role may be used for, and registries that stand in for others."""

    github_api: str = API_URL
    s3_endpoint: str | None = None
    docs_buckets: Collection[str] = ()
    stand_ins: StandIns = field(default_factory=StandIns)


def publishers(http: Http, places: PublisherPlaces | None = None) -> Mapping[str, Publisher]:
    """By the type that `.forge/repo.cue` gives them."""
    where = places or PublisherPlaces()
    docs = DocsPublisher(where.s3_endpoint, where.docs_buckets)
    return {
        "crate": CratePublisher(http),
        "cue": CuePublisher(http, where.stand_ins),
        "docker": DockerPublisher(http, where.stand_ins),
        "docs": docs,
        "github": GithubPublisher(http, where.github_api),
        "pypi": PypiPublisher(http),
        "s3": docs,
    }
