"""Sites into buckets of an S3 server that checks signatures."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.registry_server import serving
from tests.runtime.produce.hostile import tar_of
from tests.runtime.publish.things import archive_of, binary_of, publication_of
from tests.s3_server import s3_server

from forge_runtime.produce.product import Archive
from forge_runtime.publish.credential import Credential
from forge_runtime.publish.docs import DocsPublisher, content_type
from forge_runtime.publish.port import PublishAway, Published, PublishRefused

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES = {"index.html": b"<p>home", "guide/index.html": b"<p>guide", "site.css": b"p {}", "logo.png": b"\x89PNG"}
KEYS = Credential('{"access_key_id": "test", "secret_access_key": "test"}')
SETTINGS = {"bucket": "docs", "region": "us-east-1", "prefix": "/sites/"}
KEY = "sites/tidy/v1.2.0"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture
def bucket(s3: str) -> "S3Client":
    client = boto3.client(
        "s3", endpoint_url=s3, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    if any(each["Name"] == "docs" for each in client.list_buckets()["Buckets"]):
        for each in client.list_objects_v2(Bucket="docs").get("Contents", []):
            client.delete_object(Bucket="docs", Key=each["Key"])
    else:
        client.create_bucket(Bucket="docs")
    return client


def site(folder: Path, files: dict[str, bytes] | None = None) -> Archive:
    folder.mkdir(exist_ok=True)
    return archive_of(tar_of(folder / "site.tar.gz", FILES if files is None else files))


async def publish(s3: str, product: Archive, folder: Path, **given: Any) -> Published:
    fields = {"settings": SETTINGS, "credential": KEYS, **given}
    return await DocsPublisher(s3).publish(publication_of(product, folder, **fields))


async def test_a_site_is_below_its_project_and_version(s3: str, bucket: "S3Client", tmp_path: Path) -> None:
    published = await publish(s3, site(tmp_path / "a"), tmp_path)

    assert published == Published(
        uri=f"s3://docs/{KEY}/",
        metadata={"bucket": "docs", "key": KEY, "public_url": f"https://docs.s3.us-east-1.amazonaws.com/{KEY}/"},
    )
    found = {each["Key"]: each for each in bucket.list_objects_v2(Bucket="docs")["Contents"]}
    assert sorted(found) == sorted(f"{KEY}/{name}" for name in FILES)
    page = bucket.get_object(Bucket="docs", Key=f"{KEY}/guide/index.html")
    assert (page["Body"].read(), page["ContentType"]) == (b"<p>guide", "text/html; charset=utf-8")


async def test_publishing_twice_writes_once(s3: str, bucket: "S3Client", tmp_path: Path) -> None:
    first = await publish(s3, site(tmp_path / "a"), tmp_path)
    written = {each["Key"]: each["LastModified"] for each in bucket.list_objects_v2(Bucket="docs")["Contents"]}

    second = await publish(s3, site(tmp_path / "a"), tmp_path)

    assert (first.unchanged, second.unchanged) == (False, True)
    assert written == {each["Key"]: each["LastModified"] for each in bucket.list_objects_v2(Bucket="docs")["Contents"]}


async def test_what_was_built_anew_replaces_what_was_there(s3: str, bucket: "S3Client", tmp_path: Path) -> None:
    await publish(s3, site(tmp_path / "a"), tmp_path)

    again = await publish(s3, site(tmp_path / "b", {**FILES, "site.css": b"p { color: red }"}), tmp_path)

    assert not again.unchanged
    assert bucket.get_object(Bucket="docs", Key=f"{KEY}/site.css")["Body"].read() == b"p { color: red }"


async def test_two_publications_at_once_do_not_lose_each_others_files(
    s3: str, bucket: "S3Client", tmp_path: Path
) -> None:
    one, other = site(tmp_path / "a"), site(tmp_path / "b", {**FILES, "site.css": b"p { margin: 0 }"})

    await asyncio.gather(publish(s3, one, tmp_path), publish(s3, other, tmp_path))

    assert bucket.get_object(Bucket="docs", Key=f"{KEY}/site.css")["Body"].read() in (b"p {}", b"p { margin: 0 }")


async def test_a_site_has_the_address_that_the_repository_gives_it(s3: str, bucket: "S3Client", tmp_path: Path) -> None:
    settings = {"bucket": "docs", "region": "us-east-1", "public_url": "https://docs.example/"}

    published = await publish(s3, site(tmp_path / "a"), tmp_path, settings=settings, git_tag=None)

    assert published.metadata["public_url"] == "https://docs.example/tidy/sha-0123456789ab/"


async def test_a_bucket_that_is_not_there_is_refused(s3: str, tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="NoSuchBucket"):
        await publish(s3, site(tmp_path / "a"), tmp_path, settings={**SETTINGS, "bucket": "nobodys-bucket"})


@pytest.mark.parametrize(("status", "code"), [(403, "SignatureDoesNotMatch"), (403, "AccessDenied")])
async def test_keys_that_are_not_believed_are_refused_without_being_shown(
    tmp_path: Path, status: int, code: str
) -> None:
    async def refuse(request: Request) -> Response:
        shown = request.headers["authorization"]
        return Response(f"<Error><Code>{code}</Code><Message>{shown}</Message></Error>", status, media_type="text/xml")

    wrong = Credential('{"access_key_id": "test", "secret_access_key": "wr0ng-secret"}')
    app = Starlette(routes=[Route("/{path:path}", refuse, methods=["GET", "HEAD", "PUT"])])
    with serving(app) as address, pytest.raises(PublishRefused) as refused:
        await publish(f"http://{address}", site(tmp_path / "a"), tmp_path, credential=wrong)

    assert "wr0ng" not in str(refused.value)


async def test_the_workers_own_role_is_only_used_for_buckets_that_are_named(
    s3: str, bucket: "S3Client", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    publication = publication_of(site(tmp_path / "a"), tmp_path, settings=SETTINGS, credential=None)

    with pytest.raises(PublishRefused, match="takes keys"):
        await DocsPublisher(s3).publish(publication)
    assert (await DocsPublisher(s3, ("docs",)).publish(publication)).unchanged is False


async def test_a_store_that_does_not_answer_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _s: None)  # botocore waits between its tries

    with pytest.raises(PublishAway):
        await publish("http://127.0.0.1:9", site(tmp_path / "a"), tmp_path)


async def test_only_archives_are_sites(tmp_path: Path) -> None:
    with pytest.raises(PublishRefused, match="made of an archive"):
        await DocsPublisher().publish(publication_of(binary_of(tmp_path / "tidy"), tmp_path, settings=SETTINGS))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.html", "text/html; charset=utf-8"),
        ("A.CSS", "text/css; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("data.json", "application/json"),
        ("logo.svg", "image/svg+xml"),
        ("site.tar.gz", "application/gzip"),
        ("font.woff2", "font/woff2"),
        ("README", "application/octet-stream"),
        ("html", "application/octet-stream"),
    ],
)
def test_files_are_served_as_what_their_names_say(name: str, kind: str) -> None:
    assert content_type(name) == kind
