"""The object store: logs, large results and staged artifacts, by key. One protocol, a directory and S3.

Keys are slash-separated names (`pipeline-runs/<run>/logs/<phase>/<project>/<step>.log`). An object is written whole,
and seen whole or not at all. Its class is the tag `forge-class`, by which the bucket's lifecycle rules delete it (see
`lifecycle_rules`). A directory has no such rules, and keeps everything.
"""

import asyncio
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BlobClass = Literal["log", "result", "staging"]

GET_BYTES_MAX: Final = 64 * 1024 * 1024
"""What `get` reads at most unless told otherwise: the largest log."""

KEY_BYTES_MAX: Final = 1024
"""S3's own limit."""

CLASS_TAG: Final = "forge-class"
KEPT_DAYS: Final[Mapping[BlobClass, int]] = {"log": 90, "result": 7, "staging": 1}
ABANDONED_UPLOAD_DAYS: Final = 2
"""Parts of an upload that was never completed are paid for until they are deleted."""

ABANDONED_FILE_S: Final = 24 * 3600.0
"""Since it was written to; no object takes that long."""

S3_CALLS_MAX: Final = 16
"""At once, of one process; each is a thread and a connection."""

PART_BYTES: Final = 8 * 1024 * 1024
"""A file above this is uploaded in parts of it (S3 takes none below 5 MiB, and 10,000 at most)."""


T = TypeVar("T")


class BlobUnavailable(Exception):
    """The store cannot be reached or refuses; trying again later may help."""


class Blob(Protocol):
    """Raises BlobUnavailable where the store fails, and ValueError for a key that is not one."""

    async def put(self, key: str, data: bytes | Path, *, cls: BlobClass) -> None:
        """Write or replace an object; a Path is a file whose content is taken."""

    async def put_new(self, key: str, data: bytes, *, cls: BlobClass) -> bool:
        """Write an object, unless there is one: then False, and it stays as it is. One of many at once succeeds."""

    async def get(self, key: str, *, start: int = 0, length_max: int = GET_BYTES_MAX) -> bytes | None:
        """At most `length_max` bytes from `start`; b"" past the end, None if there is no such object."""

    async def exists(self, key: str) -> bool: ...

    async def delete(self, key: str) -> None:
        """An object that is not there is as good as deleted."""

    async def url(self, key: str, expires_s: int) -> str:
        """Where a person can read the object, for `expires_s` seconds at least."""


class DirectoryBlob:
    """Objects as files below `root`. Written in a directory of their own, synced and renamed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._making = root / ".new"  # it begins with a dot, which no name of a key does

    def sweep(self) -> None:
        """Remove what writers left that were killed: done once, when the store is opened."""
        with suppress(OSError):  # it can wait
            for made in list(self._making.iterdir()):
                with suppress(FileNotFoundError):  # another process sweeps as well
                    if made.stat().st_mtime < time.time() - ABANDONED_FILE_S:
                        made.unlink()

    async def put(self, key: str, data: bytes | Path, *, cls: BlobClass) -> None:  # noqa: ARG002  # no lifecycle rules
        await asyncio.to_thread(self._write, self._path(key), data)

    async def put_new(self, key: str, data: bytes, *, cls: BlobClass) -> bool:  # noqa: ARG002  # as above
        return await asyncio.to_thread(self._write_new, self._path(key), data)

    async def get(self, key: str, *, start: int = 0, length_max: int = GET_BYTES_MAX) -> bytes | None:
        return await asyncio.to_thread(self._read, self._path(key), start, length_max)

    async def exists(self, key: str) -> bool:
        return await asyncio.to_thread(self._path(key).is_file)

    async def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            await asyncio.to_thread(path.unlink)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        except OSError as error:
            raise BlobUnavailable(f"cannot delete {path}: {error.strerror}") from error

    async def url(self, key: str, expires_s: int) -> str:  # noqa: ARG002  # a file does not expire
        return self._path(key).absolute().as_uri()

    def _path(self, key: str) -> Path:
        return self._root / _checked(key)

    def _write(self, path: Path, data: bytes | Path) -> None:
        self._place(path, data, lambda made: made.replace(path))

    def _write_new(self, path: Path, data: bytes) -> bool:
        def place(made: Path) -> bool:
            try:
                path.hardlink_to(made)  # fails where there is one, and shows the whole content at once
            except FileExistsError:
                return False
            finally:
                made.unlink()
            return True

        return self._place(path, data, place)

    def _place(self, path: Path, data: bytes | Path, place: Callable[[Path], T]) -> T:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._making.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._making, delete=False) as file:
                made = Path(file.name)
                try:
                    _fill(file, data)
                    return place(made)
                except BaseException:
                    made.unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise BlobUnavailable(f"cannot write {path}: {error.strerror}") from error

    def _read(self, path: Path, start: int, length_max: int) -> bytes | None:
        try:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(length_max)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            raise BlobUnavailable(f"cannot read {path}: {error.strerror}") from error


class S3Blob:
    """Objects in an S3 bucket; the client's calls block, and run in threads of our own."""

    def __init__(self, bucket: str, client: "S3Client") -> None:
        self._bucket = bucket
        self._client = client
        self._threads = ThreadPoolExecutor(S3_CALLS_MAX, thread_name_prefix="s3")

    async def put(self, key: str, data: bytes | Path, *, cls: BlobClass) -> None:
        place = {"Bucket": self._bucket, "Key": _checked(key)}
        if isinstance(data, Path):
            extra, config = _tagged(cls), _transfer()
            await self._call(self._client.upload_file, Filename=str(data), ExtraArgs=extra, Config=config, **place)
        else:
            await self._call(self._client.put_object, Body=data, **_tagged(cls), **place)

    async def put_new(self, key: str, data: bytes, *, cls: BlobClass) -> bool:
        place = {"Bucket": self._bucket, "Key": _checked(key)}
        try:
            await self._call(self._client.put_object, Body=data, IfNoneMatch="*", **_tagged(cls), **place)
        except _Answered as answered:
            if answered.code in ("PreconditionFailed", "ConditionalRequestConflict"):  # 412; 409: another one is at it
                return False
            raise
        return True

    async def get(self, key: str, *, start: int = 0, length_max: int = GET_BYTES_MAX) -> bytes | None:
        if length_max == 0:
            return b"" if await self.exists(key) else None
        span = f"bytes={start}-{start + length_max - 1}"
        try:
            data: bytes = await self._call(self._read, _checked(key), span)
        except _Answered as answered:
            if answered.code == "NoSuchKey":
                return None
            if answered.code == "InvalidRange":
                return b""
            raise
        return data

    async def exists(self, key: str) -> bool:
        try:
            await self._call(self._client.head_object, Bucket=self._bucket, Key=_checked(key))
        except _Answered as answered:
            if answered.code == "404":  # the answer to HEAD has no body to say more
                return False
            raise
        return True

    async def delete(self, key: str) -> None:
        await self._call(self._client.delete_object, Bucket=self._bucket, Key=_checked(key))

    async def url(self, key: str, expires_s: int) -> str:
        name = key.rpartition("/")[2]
        parameters = {
            "Bucket": self._bucket,
            "Key": _checked(key),
            "ResponseContentDisposition": f'inline; filename="{name}"',
        }
        sign = self._client.generate_presigned_url
        url: str = await self._call(sign, "get_object", Params=parameters, ExpiresIn=expires_s)
        return url

    def _read(self, key: str, span: str) -> bytes:
        return self._client.get_object(Bucket=self._bucket, Key=key, Range=span)["Body"].read()

    async def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        from boto3.exceptions import Boto3Error  # here: 200 ms, and only S3 needs it
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, partial(function, *args, **kwargs))
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise _Answered(f"bucket {self._bucket}: {error}", code) from error
        except (BotoCoreError, Boto3Error) as error:
            raise BlobUnavailable(f"bucket {self._bucket}: {error}") from error


class _Answered(BlobUnavailable):
    """The store's own refusal, with its code."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class BadObjectStore(ValueError):
    """The text names no object store; the message says what one looks like."""


def open_blob(text: str) -> Blob:
    """The store that a setting names: `s3://bucket?region=eu-central-1&endpoint=https://s3.example`, whose queries may
    be left out, or a directory. BadObjectStore if it is neither."""
    address = urlsplit(text)
    if not address.scheme:
        store = DirectoryBlob(Path(text).absolute())
        store.sweep()
        return store
    queries = parse_qs(address.query)
    unknown = set(queries) - {"region", "endpoint"}
    if address.scheme != "s3" or not _BUCKET.fullmatch(address.netloc) or address.path.strip("/") or unknown:
        raise BadObjectStore(f'"{text}" is neither s3://BUCKET?region=REGION&endpoint=URL nor a directory')
    client = s3_client(endpoint_url=_one(queries, "endpoint"), region=_one(queries, "region"))
    return S3Blob(address.netloc, client)


def lifecycle_rules() -> dict[str, Any]:
    """The bucket's lifecycle configuration: by tag, since a prefix cannot say "the logs of any run"."""
    expire = [
        {
            "ID": f"forge-{cls}",
            "Status": "Enabled",
            "Filter": {"Tag": {"Key": CLASS_TAG, "Value": cls}},
            "Expiration": {"Days": days},
        }
        for cls, days in KEPT_DAYS.items()
    ]
    abort = {
        "ID": "forge-abandoned-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": ABANDONED_UPLOAD_DAYS},
    }
    return {"Rules": [*expire, abort]}


def s3_client(*, endpoint_url: str | None = None, region: str | None = None) -> "S3Client":
    """A client whose calls and presigned URLs use signature version 4; credentials as boto3 finds them."""
    import boto3
    from botocore.config import Config

    config = Config(
        signature_version="s3v4",
        connect_timeout=5,
        read_timeout=30,
        max_pool_connections=S3_CALLS_MAX,
        retries={"total_max_attempts": 5, "mode": "standard"},
    )
    return boto3.client("s3", endpoint_url=endpoint_url, region_name=region, config=config)


def _checked(key: str) -> str:
    if len(key.encode()) > KEY_BYTES_MAX or not _KEY.fullmatch(key):
        raise ValueError(f"not an object key: {key[:100]!r}")
    return key


def _one(queries: Mapping[str, list[str]], name: str) -> str | None:
    return queries[name][0] if name in queries else None


def _tagged(cls: BlobClass) -> dict[str, str]:
    return {"Tagging": f"{CLASS_TAG}={cls}", "ContentType": _CONTENT_TYPES[cls]}


def _transfer() -> Any:
    from boto3.s3.transfer import TransferConfig

    return TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)


def _fill(file: IO[bytes], data: bytes | Path) -> None:
    if isinstance(data, Path):
        with data.open("rb") as source:
            shutil.copyfileobj(source, file)
    else:
        file.write(data)
    file.flush()
    os.fsync(file.fileno())


_CONTENT_TYPES: Final = {
    "log": "text/plain; charset=utf-8",
    "result": "application/json",
    "staging": "application/octet-stream",
}

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NAME: Final = r"[A-Za-z0-9_@+=:~-][A-Za-z0-9_@+=:~.-]*"
_KEY: Final = re.compile(f"{_NAME}(?:/{_NAME})*")
"""No name begins with a dot, so that `.` and `..` are none."""
