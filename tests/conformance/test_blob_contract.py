"""One contract for both object stores; S3 through real HTTP servers on this machine.

Two servers stand for S3, since neither checks everything: moto keeps tags of uploads in parts and lifecycle rules, and
refuses parts that are too small; MiniStack refuses links that have expired or were signed by somebody else. Whether a
rule deletes anything, only S3 itself could show.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.s3_server import s3_server

from forge_runtime.blob import (
    PART_BYTES,
    BadObjectStore,
    Blob,
    BlobUnavailable,
    DirectoryBlob,
    S3Blob,
    lifecycle_rules,
    open_blob,
    s3_client,
)

KEY = "pipeline-runs/run-1/logs/test/web/unit.log"


@pytest.fixture(scope="module")
def signing_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as url:
        yield url


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


@pytest.fixture
def s3(aws_endpoint: str) -> S3Blob:
    return bucket_of(aws_endpoint)


@pytest.fixture
def signing(signing_endpoint: str) -> S3Blob:
    return bucket_of(signing_endpoint)


def bucket_of(endpoint: str) -> S3Blob:
    client = s3_client(endpoint_url=endpoint, region="us-east-1")
    client.create_bucket(Bucket="forge")
    for found in client.list_objects_v2(Bucket="forge").get("Contents", []):
        client.delete_object(Bucket="forge", Key=found["Key"])
    return S3Blob("forge", client)


@pytest.fixture(params=["directory", "s3", "signing"])
def blob(request: pytest.FixtureRequest, tmp_path: Path) -> Blob:
    if request.param == "directory":
        return DirectoryBlob(tmp_path / "objects")
    store: S3Blob = request.getfixturevalue(request.param)
    return store


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


def test_an_object_is_written_new_once(blob: Blob) -> None:
    async def scenario() -> tuple[bool, bool, bytes | None]:
        first = await blob.put_new(KEY, b"one", cls="log")
        second = await blob.put_new(KEY, b"second", cls="log")
        return first, second, await blob.get(KEY)

    assert asyncio.run(scenario()) == (True, False, b"one")


def test_of_many_who_write_an_object_new_one_succeeds(blob: Blob) -> None:
    async def scenario() -> tuple[list[bool], bytes | None]:
        writers = (blob.put_new(KEY, b"%d" % number, cls="log") for number in range(20))
        return await asyncio.gather(*writers), await blob.get(KEY)

    wrote, kept = asyncio.run(scenario())

    assert wrote.count(True) == 1
    assert kept == b"%d" % wrote.index(True)


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


def test_a_large_file_is_uploaded_in_parts_and_carries_its_class(s3: S3Blob, aws_endpoint: str, tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"0123456789abcdef" * (PART_BYTES // 16) + b"the rest")

    asyncio.run(s3.put(KEY, file, cls="staging"))

    client = s3_client(endpoint_url=aws_endpoint, region="us-east-1")
    assert client.head_object(Bucket="forge", Key=KEY)["ETag"].endswith('-2"')
    assert client.get_object_tagging(Bucket="forge", Key=KEY)["TagSet"] == [{"Key": "forge-class", "Value": "staging"}]
    assert asyncio.run(s3.get(KEY)) == file.read_bytes()


def test_a_bucket_takes_the_lifecycle_rules_and_each_class_has_one(s3: S3Blob, aws_endpoint: str) -> None:
    client = s3_client(endpoint_url=aws_endpoint, region="us-east-1")

    client.put_bucket_lifecycle_configuration(Bucket="forge", LifecycleConfiguration=lifecycle_rules())

    rules = client.get_bucket_lifecycle_configuration(Bucket="forge")["Rules"]
    by_class = {rule["Filter"]["Tag"]["Value"]: rule["Expiration"]["Days"] for rule in rules if "Expiration" in rule}
    assert by_class == {"log": 90, "result": 7, "staging": 1}
    assert [rule["AbortIncompleteMultipartUpload"] for rule in rules if "Expiration" not in rule] == [
        {"DaysAfterInitiation": 2}
    ]


@pytest.mark.parametrize("change", ["later", "signature", "key"])
def test_a_link_that_expired_or_was_changed_opens_nothing(signing: S3Blob, change: str) -> None:
    async def scenario() -> str:
        await signing.put(KEY, b"line\n", cls="log")
        await signing.put(f"{KEY}x", b"another\n", cls="log")
        return await signing.url(KEY, -1 if change == "later" else 900)

    url = asyncio.run(scenario())
    match change:
        case "signature":
            url = re.sub("Signature=.", lambda found: f"Signature={'1' if found[0][-1] == '0' else '0'}", url)
        case "key":
            url = url.replace("unit.log?", "unit.logx?")

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url, timeout=10)
    assert caught.value.code == 403


def test_an_object_store_is_named_by_a_bucket_or_a_directory(aws_endpoint: str, s3: S3Blob, tmp_path: Path) -> None:
    stores = [open_blob(f"s3://forge?region=us-east-1&endpoint={aws_endpoint}"), open_blob(str(tmp_path / "objects"))]

    async def scenario(store: Blob) -> bytes | None:
        await store.put(KEY, b"kept", cls="log")
        return await store.get(KEY)

    assert [asyncio.run(scenario(store)) for store in stores] == [b"kept", b"kept"]
    assert (tmp_path / "objects" / KEY).is_file()
    assert asyncio.run(s3.get(KEY)) == b"kept"


@pytest.mark.parametrize("text", ["s3://", "s3://Bucket", "s3://bucket/prefix", "s3://bucket?regoin=x", "gs://bucket"])
def test_what_names_no_object_store_is_refused(text: str) -> None:
    with pytest.raises(BadObjectStore, match="neither s3://"):
        open_blob(text)


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


def test_what_a_killed_writer_left_is_removed_a_day_later(tmp_path: Path) -> None:
    root, source = tmp_path / "objects", tmp_path / "source"
    os.mkfifo(source)
    program = (
        "import asyncio; from pathlib import Path; from forge_runtime.blob import DirectoryBlob; "
        f"asyncio.run(DirectoryBlob(Path({str(root)!r})).put({KEY!r}, Path({str(source)!r}), cls='log'))"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as writer:
        end = _reader_came(source, writer)  # its own file is made by then
        writer.kill()
    os.close(end)
    (left,) = (path for path in root.rglob("*") if path.is_file())

    open_blob(str(root))
    assert left.exists()
    os.utime(left, (time.time() - 25 * 3600,) * 2)
    open_blob(str(root))

    assert not left.exists()


def test_an_object_that_the_disk_cannot_name_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()

    with pytest.raises(BlobUnavailable, match="cannot delete"):
        asyncio.run(DirectoryBlob(tmp_path / "objects").delete("x" * 1000))


def _reader_came(fifo: Path, reader: subprocess.Popen[bytes]) -> int:
    """The end to write to, as soon as the process reads."""
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert reader.poll() is None, "it ended early"
            time.sleep(0.01)
