"""Records over a NATS key-value bucket: compare-and-set, lists without a consumer, changes as hints."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.client import KV_PRE_TEMPLATE, KV_STREAM_TEMPLATE
from nats.js.kv import KeyValue

from forge_runtime.bus.connection import Connection
from forge_runtime.bus.hints import KeyHints
from forge_runtime.bus.port import Conflict, Entry

LIST_LIMIT_S: Final = 30.0

_READS_AT_ONCE: Final = 64


class KeyValueRecords:
    """One bucket."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._bucket = bucket
        self._stream = KV_STREAM_TEMPLATE.format(bucket=bucket)
        self._prefix = KV_PRE_TEMPLATE.format(bucket=bucket)
        self._store = KeyValue(name=bucket, stream=self._stream, pre=self._prefix, js=connection.jetstream, direct=True)

    async def get(self, key: str) -> Entry | None:
        async with self._connection.limit(f"get {key} from {self._bucket}"):
            return await self._read(key)

    async def create(self, key: str, value: bytes) -> int:
        operation = f"create {key} in {self._bucket}"
        self._connection.check_size(operation, value)
        async with self._connection.limit(operation):
            try:
                return int(await self._store.create(key, value))
            except nats.js.errors.KeyWrongLastSequenceError as error:
                raise Conflict(f"{key} exists already in {self._bucket}") from error

    async def update(self, key: str, value: bytes, revision: int) -> int:
        operation = f"update {key} in {self._bucket}"
        self._connection.check_size(operation, value)
        async with self._connection.limit(operation):
            try:
                return int(await self._store.update(key, value, last=revision))
            except nats.js.errors.KeyWrongLastSequenceError as error:
                raise Conflict(f"{key} in {self._bucket} is no longer at revision {revision}") from error

    async def put(self, key: str, value: bytes) -> int:
        operation = f"put {key} into {self._bucket}"
        self._connection.check_size(operation, value)
        async with self._connection.limit(operation):
            return int(await self._store.put(key, value))

    async def list(self, pattern: str) -> list[Entry]:
        """Ask the stream which of its subjects fit (it keeps them in a tree), then read each as `get` does.

        Two kinds of stateless requests: no consumer that the server must make, keep and clean up, and nothing that a
        restart leaves half done. One answer names 100 000 subjects at most, far more than a run has jobs.
        """
        operation = f"list {pattern} in {self._bucket}"
        async with self._connection.limit(operation, LIST_LIMIT_S):
            info = await self._connection.jetstream.stream_info(
                self._stream, subjects_filter=f"{self._prefix}{pattern}"
            )
            keys = [subject.removeprefix(self._prefix) for subject in info.state.subjects or ()]
            gate = asyncio.Semaphore(_READS_AT_ONCE)

            async def read(key: str) -> Entry | None:
                async with gate:
                    return await self._read(key)

            found = await asyncio.gather(*(read(key) for key in keys))
        return [entry for entry in found if entry is not None]

    @asynccontextmanager
    async def changes(self, pattern: str) -> AsyncIterator[KeyHints]:
        """A write to the bucket is itself a message on the bucket's subject: subscribe to that, without a consumer.

        On leaving, pending hints are thrown away: they have no worth to anybody else.
        """
        hints = KeyHints()

        async def note(message: Msg) -> None:
            hints.note(message.subject.removeprefix(self._prefix), message.data)

        subscription = await self._connection.subscribe(f"{self._prefix}{pattern}", note)
        try:
            yield hints
        finally:
            with suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _read(self, key: str) -> Entry | None:
        try:
            entry = await self._store.get(key)
        except nats.js.errors.NotFoundError:
            return None
        return Entry(key=key, value=entry.value or b"", revision=int(entry.revision or 0))
