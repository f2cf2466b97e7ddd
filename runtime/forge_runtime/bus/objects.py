"""Objects by digest, in the layout of the NATS object store, read without a consumer.

    $O.<bucket>.C.<nuid>     chunks of 128 KiB, in order
    $O.<bucket>.M.<name>     one message: name, size, number of chunks, nuid, the store's own digest

Any NATS tool can read what is written here. The client's own `get` is not used: it runs an ordered push consumer, which
is blind for many seconds after a restart and breaks on newer ack subjects. Chunks are asked for one by one instead.
"""

import base64
import hashlib
from typing import Final

import msgspec
import nats.js.errors
from nats.js.api import RawStreamMsg
from nats.js.object_store import (
    OBJ_CHUNKS_PRE_TEMPLATE,
    OBJ_DIGEST_TEMPLATE,
    OBJ_META_PRE_TEMPLATE,
    OBJ_STREAM_TEMPLATE,
    ObjectStore,
)

from forge_runtime.bus.connection import Connection
from forge_runtime.bus.port import OBJECT_FRESH_S, BadObject, check_digest

PUT_LIMIT_S: Final = 60.0


class Objects:
    """One bucket."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._bucket = bucket
        self._stream = OBJ_STREAM_TEMPLATE.format(bucket=bucket)
        self._store = ObjectStore(name=bucket, stream=self._stream, js=connection.jetstream)

    async def put(self, digest: str, data: bytes, now: float) -> None:
        """`now`: unix seconds, against the server's time of storing; a skew of minutes does not matter to a day."""
        check_digest(digest, data)
        async with self._connection.limit(f"put {digest} into {self._bucket}", PUT_LIMIT_S):
            stored = await self._meta(digest)
            if stored is not None and now - stored.stored_at < OBJECT_FRESH_S and stored.describes(data):
                return
            await self._store.put(digest, data)

    async def get(self, digest: str, timeout_s: float) -> bytes | None:
        """The bytes, verified. Starts again when the object is stored anew while it is read."""
        async with self._connection.limit(f"get {digest} from {self._bucket}", timeout_s):
            meta = await self._meta(digest)
            while meta is not None:
                data = await self._chunks(meta)
                if data is not None:
                    check_digest(digest, data)
                    return data
                latest = await self._meta(digest)
                if latest is not None and latest.nuid == meta.nuid:
                    raise BadObject(f"the object {digest} in {self._bucket} lacks some of its {meta.chunks} chunks")
                meta = latest
        return None

    async def _meta(self, digest: str) -> "_Meta | None":
        name = base64.urlsafe_b64encode(digest.encode()).decode()
        try:
            message = await self._connection.jetstream.get_last_msg(
                self._stream, OBJ_META_PRE_TEMPLATE.format(bucket=self._bucket, obj=name)
            )
        except nats.js.errors.NotFoundError as error:
            _raise_unless_no_message(error)
            return None
        try:
            info = msgspec.json.decode(message.data or b"", type=_Info)
        except msgspec.DecodeError as error:
            raise BadObject(f"the description of the object {digest} in {self._bucket} is unreadable") from error
        return None if info.deleted else _Meta(info, _stored_at(message))

    async def _chunks(self, meta: "_Meta") -> bytes | None:
        """None if a chunk is missing: it was replaced or has expired while we read."""
        subject = OBJ_CHUNKS_PRE_TEMPLATE.format(bucket=self._bucket, obj=meta.nuid)
        parts: list[bytes] = []
        sequence = 1
        for _ in range(meta.chunks):
            try:
                message = await self._connection.jetstream.get_msg(
                    self._stream, seq=sequence, subject=subject, next=True
                )
            except nats.js.errors.NotFoundError as error:
                _raise_unless_no_message(error)
                return None
            parts.append(message.data or b"")
            sequence = int(message.seq or 0) + 1
        return b"".join(parts)


class _Info(msgspec.Struct, frozen=True, kw_only=True):
    nuid: str
    size: int = 0
    chunks: int = 0
    digest: str = ""
    deleted: bool = False


class _Meta:
    def __init__(self, info: _Info, stored_at: float) -> None:
        self.nuid: Final = info.nuid
        self.chunks: Final = info.chunks
        self.stored_at: Final = stored_at
        self._size = info.size
        self._digest = info.digest

    def describes(self, data: bytes) -> bool:
        sha = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
        return self._size == len(data) and self._digest == OBJ_DIGEST_TEMPLATE.format(digest=sha)


def _stored_at(message: RawStreamMsg) -> float:
    return message.time.timestamp() if message.time is not None else 0.0


def _raise_unless_no_message(error: nats.js.errors.NotFoundError) -> None:
    """A missing stream is a 404 as well, and says something else: nothing is provisioned."""
    if error.err_code == _STREAM_NOT_FOUND:
        raise error


_STREAM_NOT_FOUND: Final = 10059
