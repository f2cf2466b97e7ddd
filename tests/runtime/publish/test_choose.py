"""Publishers by the types that repositories name, and where none of them goes."""

from pathlib import Path

import pytest
from tests.runtime.publish.things import binary_of, publication_of

from forge_runtime.http import Http
from forge_runtime.publish.choose import PublisherPlaces, publishers
from forge_runtime.publish.port import PublishAway, PublishRefused


async def test_every_type_of_a_repository_has_its_publisher(http: Http) -> None:
    assert sorted(publishers(http)) == ["crate", "cue", "docker", "docs", "github", "pypi", "s3"]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("docker", {"registry": "127.0.0.1:5000", "namespace": "a"}),
        ("docker", {"registry": "localhost", "namespace": "a"}),
        ("docker", {"registry": "[::1]:5000", "namespace": "a"}),
        ("cue", {"registry": "127.0.0.1:5000/modules"}),
        ("pypi", {"repository": "http://127.0.0.1:8080/"}),
        ("pypi", {"repository": "http://user@localhost:8080/"}),
        ("crate", {"registry": "sparse+http://127.0.0.2:8080/index/"}),
    ],
)
async def test_what_listens_on_the_workers_machine_is_no_business_of_repositories(
    http: Http, tmp_path: Path, kind: str, settings: dict[str, str]
) -> None:
    publication = publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=settings)

    with pytest.raises(PublishRefused, match="on the worker's own machine"):
        await publishers(http)[kind].publish(publication)


async def test_an_operator_may_allow_it(http: Http, tmp_path: Path) -> None:
    settings = {"registry": "127.0.0.1:9", "namespace": "a"}
    publication = publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=settings, credential=None)

    with pytest.raises(PublishAway):
        await publishers(http, PublisherPlaces(this_machine=True))["docker"].publish(publication)
