"""Assets of GitHub releases, at a server that speaks GitHub's REST API."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.registry_server import serving
from tests.runtime.publish.github_server import Github
from tests.runtime.publish.things import COMMIT, SECRET, binary_of, image_layout, publication_of

from forge_runtime.http import Http
from forge_runtime.publish.credential import Credential
from forge_runtime.publish.github import GithubPublisher
from forge_runtime.publish.port import Publication, PublishAway, Published, PublishRefused

SETTINGS = {"repository": "acme/tools"}


@pytest.fixture
def github() -> Github:
    return Github(SECRET)


@pytest.fixture
def url(github: Github) -> Iterator[str]:
    with serving(github.app) as address:
        yield f"http://{address}"


async def publish(http: Http, url: str, publication: Publication) -> Published:
    return await GithubPublisher(http, url).publish(publication)


async def test_an_asset_is_uploaded_to_the_release_of_the_tag(
    http: Http, url: str, github: Github, tmp_path: Path
) -> None:
    publication = publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=SETTINGS)

    published = await publish(http, url, publication)

    release = github.release("tidy/v1.2.0")
    assert github.content[1] == (tmp_path / "tidy").read_bytes()
    assert published == Published(
        uri="https://github.example/download/1/tidy",
        metadata={
            "release_url": release["html_url"],
            "asset_name": "tidy",
            "download_url": "https://github.example/download/1/tidy",
        },
    )
    assert (release["target_commitish"], release["prerelease"]) == (COMMIT, False)


async def test_publishing_twice_uploads_once(http: Http, url: str, github: Github, tmp_path: Path) -> None:
    product = binary_of(tmp_path / "tidy")
    first = await publish(http, url, publication_of(product, tmp_path, settings=SETTINGS))

    second = await publish(http, url, publication_of(product, tmp_path, settings=SETTINGS))

    assert second.unchanged
    assert (second.uri, second.metadata) == (first.uri, first.metadata)
    assert github.uploads == 1


async def test_another_file_of_the_same_name_is_refused_and_stays(
    http: Http, url: str, github: Github, tmp_path: Path
) -> None:
    await publish(http, url, publication_of(binary_of(tmp_path / "a" / "tidy", b"#!one"), tmp_path, settings=SETTINGS))

    other = binary_of(tmp_path / "b" / "tidy", b"#!two")
    with pytest.raises(PublishRefused, match="another tidy already"):
        await publish(http, url, publication_of(other, tmp_path, settings=SETTINGS))

    assert list(github.content.values()) == [b"#!one"]


async def test_the_asset_is_called_as_the_project_says(http: Http, url: str, github: Github, tmp_path: Path) -> None:
    fields = {"asset_name": "tidy-linux-amd64"}
    publication = publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=SETTINGS, fields=fields)

    published = await publish(http, url, publication)

    assert published.metadata["asset_name"] == "tidy-linux-amd64"


async def test_a_push_of_a_branch_makes_a_prerelease_named_after_the_commit(
    http: Http, url: str, github: Github, tmp_path: Path
) -> None:
    settings = {"owner": "acme", "repo": "elsewhere"}

    publication = publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=settings, git_tag=None)
    await publish(http, url, publication)

    release = github.release("tidy-0123456789ab")
    assert release["prerelease"]
    assert release["target_commitish"] == "main"  # the commit is of another repository


async def test_an_upload_that_broke_off_is_cleared_away_and_repeated(
    http: Http, url: str, github: Github, tmp_path: Path
) -> None:
    github.breaking = 1

    published = await publish(http, url, publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=SETTINGS))

    assert [asset["state"] for asset in github.release("tidy/v1.2.0")["assets"]] == ["uploaded"]
    assert published.metadata["asset_name"] == "tidy"


async def test_answers_that_get_lost_make_no_second_release_and_no_second_asset(
    http: Http, url: str, github: Github, tmp_path: Path
) -> None:
    github.lost_answers = 2

    published = await publish(http, url, publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=SETTINGS))

    assert len(github.releases) == len(github.content) == 1
    assert published.uri == "https://github.example/download/1/tidy"


async def test_an_asset_on_the_second_page_is_found(http: Http, url: str, github: Github, tmp_path: Path) -> None:
    product = binary_of(tmp_path / "zz")
    await publish(http, url, publication_of(binary_of(tmp_path / "first"), tmp_path, settings=SETTINGS))
    for number in range(120):
        github.add_asset(1, f"asset-{number}", b"x")
    github.add_asset(1, "zz", product.path.read_bytes())

    published = await publish(http, url, publication_of(product, tmp_path, settings=SETTINGS))

    assert published.unchanged


async def test_an_old_asset_without_a_digest_is_read_back_and_compared(
    http: Http, url: str, github: Github, tmp_path: Path
) -> None:
    github.without_digests = True
    product = binary_of(tmp_path / "tidy", b"#!one")
    await publish(http, url, publication_of(product, tmp_path, settings=SETTINGS))

    assert (await publish(http, url, publication_of(product, tmp_path, settings=SETTINGS))).unchanged
    other = binary_of(tmp_path / "b" / "tidy", b"#!six")
    with pytest.raises(PublishRefused, match="another tidy already"):
        await publish(http, url, publication_of(other, tmp_path, settings=SETTINGS))


async def test_a_token_that_is_not_believed_is_refused_without_being_shown(
    http: Http, url: str, github: Github, tmp_path: Path
) -> None:
    github.token = "another"
    publication = publication_of(
        binary_of(tmp_path / "tidy"), tmp_path, settings=SETTINGS, credential=Credential(SECRET)
    )

    with pytest.raises(PublishRefused, match="401"):
        await publish(http, url, publication)


async def test_a_rate_limit_passes(http: Http, url: str, github: Github, tmp_path: Path) -> None:
    github.busy = True

    with pytest.raises(PublishAway, match="rate limit"):
        await publish(http, url, publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=SETTINGS))


async def test_an_address_for_uploads_that_is_none_is_refused(
    http: Http, url: str, github: Github, tmp_path: Path
) -> None:
    github.upload_host = "http://[x"

    with pytest.raises(PublishRefused, match="sends uploads to an address that is none"):
        await publish(http, url, publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=SETTINGS))


async def test_the_token_goes_to_no_other_host(http: Http, url: str, github: Github, tmp_path: Path) -> None:
    github.upload_host = "http://127.0.0.2:9"

    with pytest.raises(PublishRefused, match=r"sends uploads to 127\.0\.0\.2:9"):
        await publish(http, url, publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=SETTINGS))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"credential": None}, "made with a token"),
        ({"fields": {"asset_name": "ti dy"}}, "would rename"),
        ({"fields": {"asset_name": ".tidy"}}, "would rename"),
    ],
    ids=["no credentials", "a space in the name", "a dot before the name"],
)
async def test_what_github_would_not_take_so_is_refused_before_it_is_asked(
    http: Http, tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    publication = publication_of(binary_of(tmp_path / "t"), tmp_path, settings=SETTINGS, **change)

    with pytest.raises(PublishRefused, match=reason):
        await publish(http, "http://127.0.0.1:9", publication)  # where nobody answers


async def test_images_do_not_go_to_github(http: Http, url: str, tmp_path: Path) -> None:
    image = image_layout(tmp_path / "image", {"a": b"layer"})

    with pytest.raises(PublishRefused, match="no container images"):
        await publish(http, url, publication_of(image, tmp_path, settings=SETTINGS))
