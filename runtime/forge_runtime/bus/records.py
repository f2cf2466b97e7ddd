"""Records over a NATS key-value bucket: compare-and-set, lists without a consumer, changes as hints."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

import nats.errors
from nats.js.client import KV_PRE_TEMPLATE, KV_STREAM_TEMPLATE

from forge_runtime.bus.connection import Connection, StoreRefused
from forge_runtime.bus.hints import KeyHints
from forge_runtime.bus.parser import Arrival
from forge_runtime.bus.port import BusUnavailable, Conflict, Entry

LIST_LIMIT_S: Final = 30.0

_READS_AT_ONCE: Final = 64
_EXPECTED: Final = "Nats-Expected-Last-Subject-Sequence"
_ANOTHER_SEQUENCE: Final = frozenset({10071, 10164})
"""The server's codes for a compare-and-set that lost: on one server, and within a cluster."""

_MISSING: Final = "404"
_KEY: Final = re.compile(r"[-/_=a-zA-Z0-9]+(\.[-/_=a-zA-Z0-9]+)*")


class KeyValueRecords:
    """One bucket."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._bucket = bucket
        self._stream = KV_STREAM_TEMPLATE.format(bucket=bucket)
        self._prefix = KV_PRE_TEMPLATE.format(bucket=bucket)
        self._get = f"$JS.API.DIRECT.GET.{self._stream}.{self._prefix}"

    async def get(self, key: str) -> Entry | None:
        found = await self._read(key)
        return None if isinstance(found, _Deleted) else found

    async def create(self, key: str, value: bytes) -> int:
        operation = f"create {key} in {self._bucket}"
        lost = f"{key} exists already in {self._bucket}"
        try:
            return await self._set(operation, key, value, 0, lost)
        except Conflict:
            found = await self._read(key)
            if not isinstance(found, _Deleted):
                raise
            return await self._set(operation, key, value, found.revision, lost)

    async def update(self, key: str, value: bytes, revision: int) -> int:
        operation = f"update {key} in {self._bucket}"
        lost = f"{key} in {self._bucket} is no longer at revision {revision}"
        return await self._set(operation, key, value, revision, lost)

    async def put(self, key: str, value: bytes) -> int:
        return await self._connection.store(f"put {key} into {self._bucket}", self._prefix + _checked(key), value)

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
                    return await self.get(key)

            found = await asyncio.gather(*(read(key) for key in keys))
        return [entry for entry in found if entry is not None]

    @asynccontextmanager
    async def changes(self, pattern: str) -> AsyncIterator[KeyHints]:
        """A write to the bucket is itself a message on the bucket's subject: subscribe to that, without a consumer.

        On leaving, pending hints are thrown away: they have no worth to anybody else.
        """
        async with heard(
            self._connection, f"{self._prefix}{pattern}", lambda subject: subject.removeprefix(self._prefix)
        ) as hints:
            yield hints

    async def _read(self, key: str) -> "Entry | _Deleted | None":
        operation = f"get {_checked(key)} from {self._bucket}"
        answer = await self._connection.ask(operation, self._get + key, b"")
        if answer.status == _MISSING:
            return None
        revision = answer.header("Nats-Sequence")
        if answer.status is not None or revision is None:
            raise BusUnavailable(f"{operation}: {answer.status} {answer.description}")
        if answer.header("KV-Operation") is not None:
            return _Deleted(int(revision))
        return Entry(key=key, value=answer.data, revision=int(revision))

    async def _set(self, operation: str, key: str, value: bytes, revision: int, lost: str) -> int:
        headers = {_EXPECTED: str(revision)}
        try:
            return await self._connection.store(operation, self._prefix + _checked(key), value, headers)
        except StoreRefused as refused:
            if refused.code in _ANOTHER_SEQUENCE:
                raise Conflict(lost) from refused
            raise


@asynccontextmanager
async def heard(connection: Connection, pattern: str, key_of: Callable[[str], str]) -> AsyncIterator[KeyHints]:
    """What is sent to these subjects, by the key that each stands for."""
    hints = KeyHints()

    def note(message: Arrival) -> None:
        hints.note(key_of(message.subject), message.data)

    subscription = await connection.listen(pattern, note)
    connection.back.add(hints.note_gap)
    try:
        yield hints
    finally:
        connection.back.discard(hints.note_gap)
        with suppress(nats.errors.Error):
            await connection.client.forget(subscription)


class _Deleted(NamedTuple):
    """What somebody leaves who deletes a key by hand."""

    revision: int


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of a bucket")
    return key
