"""One contract for both object stores; S3 through a real HTTP server on this machine.

moto's server stands for S3. It takes any signature and serves expired links, so these tests prove neither signatures
nor expiry of links, and no lifecycle rule: that needs S3 itself. Here a link is only checked for what it says.
"""

import asyncio
import urllib.request
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from forge_runtime.blob import Blob, BlobUnavailable, DirectoryBlob, S3Blob, s3_client

KEY = "pipeline-runs/run-1/logs/test/web/unit.log"


@pytest.fixture
def s3(aws_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Blob:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    client = s3_client(endpoint_url=aws_endpoint, region="us-east-1")
    client.create_bucket(Bucket="forge")
    return S3Blob("forge", client)


@pytest.fixture(params=["directory", "s3"])
def blob(request: pytest.FixtureRequest, tmp_path: Path) -> Blob:
    if request.param == "directory":
        return DirectoryBlob(tmp_path / "objects")
    s3: S3Blob = request.getfixturevalue("s3")
    return s3


def test_what_was_put_is_read_again_and_replaced_by_a_second_put(blob: Blob) -> None:
    async def scenario() -> tuple[bytes | None, bytes | None]:
        await blob.put(KEY, b"one", cls="log")
        first = await blob.get(KEY)
        await blob.put(KEY, b"second", cls="log")
        return first, await blob.get(KEY)

    assert asyncio.run(scenario()) == (b"one", b"second")


def test_a_file_is_stored_by_its_content(blob: Blob, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1_000_000)

    async def scenario() -> bytes | None:
        await blob.put(KEY, file, cls="staging")
        return await blob.get(KEY)

    assert asyncio.run(scenario()) == file.read_bytes()
    assert file.exists()


def test_a_part_of_an_object_can_be_read(blob: Blob) -> None:
    async def scenario() -> list[bytes | None]:
        await blob.put(KEY, b"0123456789", cls="log")
        return [
            await blob.get(KEY, start=3, length_max=4),
            await blob.get(KEY, start=8),
            await blob.get(KEY, start=10),
            await blob.get(KEY, start=99),
            await blob.get(KEY, length_max=0),
        ]

    assert asyncio.run(scenario()) == [b"3456", b"89", b"", b"", b""]


def test_an_empty_object_is_there_and_empty(blob: Blob) -> None:
    async def scenario() -> tuple[bool, bytes | None]:
        await blob.put(KEY, b"", cls="log")
        return await blob.exists(KEY), await blob.get(KEY)

    assert asyncio.run(scenario()) == (True, b"")


def test_a_missing_object_is_none_and_can_be_deleted(blob: Blob) -> None:
    key = "pipeline-runs/run-1/results/ci/no-such.json"

    async def scenario() -> tuple[bytes | None, bool]:
        await blob.delete(key)
        return await blob.get(key), await blob.exists(key)

    assert asyncio.run(scenario()) == (None, False)


def test_a_deleted_object_is_gone(blob: Blob) -> None:
    async def scenario() -> tuple[bool, bool]:
        await blob.put(KEY, b"x", cls="result")
        before = await blob.exists(KEY)
        await blob.delete(KEY)
        return before, await blob.exists(KEY)

    assert asyncio.run(scenario()) == (True, False)


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "a/../b", "a//b", "a/", ".", "a/.hidden", "a\nb", "a b", "x" * 1025]
)
def test_what_is_no_key_is_refused(blob: Blob, key: str) -> None:
    with pytest.raises(ValueError, match="not an object key"):
        asyncio.run(blob.put(key, b"x", cls="log"))


def test_a_link_leads_to_the_object(blob: Blob) -> None:
    async def scenario() -> str:
        await blob.put(KEY, b"line\n", cls="log")
        return await blob.url(KEY, 900)

    with urllib.request.urlopen(asyncio.run(scenario()), timeout=10) as response:
        assert response.read() == b"line\n"


def test_s3_objects_carry_their_class_and_type(s3: S3Blob, aws_endpoint: str) -> None:
    asyncio.run(s3.put(KEY, b"line\n", cls="log"))

    client = s3_client(endpoint_url=aws_endpoint, region="us-east-1")
    tags = client.get_object_tagging(Bucket="forge", Key=KEY)["TagSet"]
    assert tags == [{"Key": "forge-class", "Value": "log"}]
    assert client.head_object(Bucket="forge", Key=KEY)["ContentType"] == "text/plain; charset=utf-8"


def test_s3_links_are_signed_with_version_4_and_say_when_they_expire(s3: S3Blob) -> None:
    query = parse_qs(urlsplit(asyncio.run(s3.url(KEY, 900))).query)

    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Expires"] == ["900"]


def test_a_bucket_that_is_not_there_is_unavailable(aws_endpoint: str, s3: S3Blob) -> None:
    missing = S3Blob("no-such-bucket", s3_client(endpoint_url=aws_endpoint, region="us-east-1"))

    with pytest.raises(BlobUnavailable, match="no-such-bucket"):
        asyncio.run(missing.put(KEY, b"x", cls="log"))
    with pytest.raises(BlobUnavailable, match="no-such-bucket"):
        asyncio.run(missing.get(KEY))


def test_an_unwritable_directory_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("a file where the directory should be")

    with pytest.raises(BlobUnavailable, match="cannot write"):
        asyncio.run(DirectoryBlob(tmp_path / "objects").put(KEY, b"x", cls="log"))


def test_a_failed_write_leaves_the_old_object_and_no_traces(tmp_path: Path) -> None:
    blob = DirectoryBlob(tmp_path / "objects")
    asyncio.run(blob.put(KEY, b"old", cls="log"))

    with pytest.raises(BlobUnavailable):
        asyncio.run(blob.put(KEY, tmp_path / "no-such-file", cls="log"))

    assert asyncio.run(blob.get(KEY)) == b"old"
    assert [path.name for path in (tmp_path / "objects" / KEY).parent.iterdir()] == ["unit.log"]
