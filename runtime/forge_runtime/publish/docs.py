"""The publisher "docs": the files of an archive into a bucket, to be served from there.

    s3://bucket/<prefix>/<project>/<version>/...      version: the release's tag, or `sha-<commit>` on a branch

A file that is there with our bytes stays as it is. One with other bytes is replaced only if it is still the one that
was looked at (If-Match), and a new one is only created (If-None-Match), so two publications at once do not mix
unnoticed. Pages called index.html come last: what they link to is there.
"""

import asyncio
import base64
import hashlib
import mimetypes
import posixpath
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from forge_runtime.produce.archive import unpack
from forge_runtime.produce.product import Archive, ProducerFailed
from forge_runtime.publish.port import Publication, PublishAway, Published, PublishRefused
from forge_runtime.thread import go_on, in_thread

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CALLS_MAX: Final = 8
"""At once, of one publication."""

FILE_BYTES_MAX: Final = 1024**3
"""Of one page or picture; larger ones would need uploads in parts."""

CONFLICTS_MAX: Final = 3

_REFUSED: Final = frozenset(
    {
        "AccessDenied",
        "AuthorizationHeaderMalformed",
        "InvalidAccessKeyId",
        "InvalidBucketName",
        "NoSuchBucket",
        "PermanentRedirect",
        "SignatureDoesNotMatch",
        "ExpiredToken",
        "InvalidToken",
        "403",
        "400",
        "301",
    }
)
"""Answers that stay the same until somebody changes the bucket, the role or the publisher's settings."""

_CONFLICT: Final = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_MISSING: Final = frozenset({"404", "NoSuchKey", "NotFound"})

_TYPES: Final = mimetypes.MimeTypes(filenames=())  # not this machine's own tables
_MORE_TYPES: Final = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".md": "text/markdown",
    ".wasm": "application/wasm",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
}


@dataclass(frozen=True, slots=True)
class DocsPublisher:
    """`endpoint_url` is for stores that are not AWS's. `own_buckets` are those that the worker's own role is used for:
    any repository may write to them. Every other one takes credentials."""

    endpoint_url: str | None = None
    own_buckets: Collection[str] = ()

    async def publish(self, publication: Publication) -> Published:
        product = publication.product
        if not isinstance(product, Archive):
            raise PublishRefused(f"a site is made of an archive, and artifact {publication.artifact} is none")
        settings = publication.settings
        if publication.credential is None and settings["bucket"] not in self.own_buckets:
            raise PublishRefused(f'bucket {settings["bucket"]} takes keys: give the publisher "credentials"')
        prefix = settings.get("prefix") or ""
        key = posixpath.join(*filter(None, (prefix.strip("/"), publication.project, publication.version)))
        root = publication.scratch / "files"
        try:
            files = await in_thread(lambda stop: unpack(product.path, root, stop))
        except ProducerFailed as error:
            raise PublishRefused(str(error)) from None
        client = await asyncio.to_thread(_client, publication, self.endpoint_url)
        site = _Site(client, settings["bucket"], key, root)
        pages = [file for file in files if file.name == "index.html"]
        others = [file for file in files if file.name != "index.html"]
        changed = await in_thread(lambda stop: site.put(others, stop) + site.put(pages, stop))
        public = settings.get("public_url") or _own_address(settings, client)
        metadata = {"bucket": settings["bucket"], "key": key, "public_url": f"{public.rstrip('/')}/{quote(key)}/"}
        return Published(uri=f"s3://{settings['bucket']}/{key}/", metadata=metadata, unchanged=changed == 0)


@dataclass(frozen=True, slots=True)
class _Site:
    client: "S3Client"
    bucket: str
    key: str
    root: Path

    def put(self, files: Sequence[Path], stop: threading.Event) -> int:
        """How many were not there as they are now; several at once."""
        with ThreadPoolExecutor(CALLS_MAX, "docs") as pool:
            calls = [pool.submit(self._put, file, stop) for file in files]
            try:
                return sum(call.result() for call in calls)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _put(self, file: Path, stop: threading.Event) -> bool:
        """Whether it was not there."""
        go_on(stop)
        key = f"{self.key}/{file.relative_to(self.root).as_posix()}"
        if file.stat().st_size > FILE_BYTES_MAX:
            raise PublishRefused(f"{key} is larger than {FILE_BYTES_MAX} bytes")
        with file.open("rb") as opened:
            digest = base64.b64encode(hashlib.file_digest(opened, "sha256").digest()).decode()
        for _ in range(CONFLICTS_MAX):
            there = self._there(key)
            if there is not None and there.get("ChecksumSHA256") == digest and _same_type(there, file):
                return False
            condition = {"IfNoneMatch": "*"} if there is None else {"IfMatch": there["ETag"]}
            if self._write(key, file, digest, condition):
                return True
        raise PublishAway(f"s3://{self.bucket}/{key} is being written by somebody else as well")

    def _there(self, key: str) -> Mapping[str, Any] | None:
        answer = _told(
            lambda: self.client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED"), self.bucket
        )
        return answer if isinstance(answer, dict) else None

    def _write(self, key: str, file: Path, digest: str, condition: Mapping[str, str]) -> bool:
        """False where it is not as it was when it was looked at."""

        def write() -> Any:
            with file.open("rb") as body:
                return self.client.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=body,
                    ContentType=content_type(file.name),
                    ChecksumSHA256=digest,
                    **condition,  # type: ignore[arg-type]
                )

        return _told(write, self.bucket) is not _CONFLICTED


def content_type(name: str) -> str:
    """By the end of the name; text is UTF-8."""
    suffix = posixpath.splitext(name)[1].lower()
    guessed, encoding = _TYPES.guess_type(f"a{suffix}")
    found = _MORE_TYPES.get(suffix) or (guessed if encoding is None else "application/gzip")
    if found is None:
        return "application/octet-stream"
    return f"{found}; charset=utf-8" if found.startswith("text/") else found


def _same_type(there: Mapping[str, Any], file: Path) -> bool:
    return bool(there.get("ContentType") == content_type(file.name))


def _own_address(settings: Mapping[str, Any], client: "S3Client") -> str:
    return f"https://{settings['bucket']}.s3.{settings.get('region') or client.meta.region_name}.amazonaws.com"


def _client(publication: Publication, endpoint_url: str | None) -> "S3Client":
    import boto3  # here: 200 ms, and only this publisher needs it
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    keys: Mapping[str, str] = {}
    if publication.credential is not None:
        keys = publication.credential.keys("access_key_id", "secret_access_key", "session_token")
    config = Config(
        connect_timeout=10,
        read_timeout=60,
        retries={"total_max_attempts": 5, "mode": "standard"},
        max_pool_connections=CALLS_MAX,
    )
    try:
        return boto3.client(
            "s3",
            region_name=publication.settings.get("region"),
            endpoint_url=endpoint_url,
            aws_access_key_id=keys.get("access_key_id"),
            aws_secret_access_key=keys.get("secret_access_key"),
            aws_session_token=keys.get("session_token"),
            config=config,
        )
    except (BotoCoreError, ValueError) as error:
        raise PublishRefused(f"bucket {publication.settings['bucket']}: {error}") from None


_CONFLICTED: Final = object()
_ABSENT: Final = object()


def _told(call: Any, bucket: str) -> Any:
    """What a call answers, _ABSENT for what is not there, _CONFLICTED for a condition that does not hold."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError, ParamValidationError

    failure: Exception
    try:
        return call()
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _MISSING:
            return _ABSENT
        if code in _CONFLICT:
            return _CONFLICTED
        message = f"bucket {bucket}: the store answers {code}"
        failure = PublishRefused(message) if code in _REFUSED else PublishAway(message)
    except (NoCredentialsError, NoRegionError, ParamValidationError) as error:
        failure = PublishRefused(f"bucket {bucket}: {error}")
    except BotoCoreError as error:
        failure = PublishAway(f"bucket {bucket}: {error}")
    raise failure
