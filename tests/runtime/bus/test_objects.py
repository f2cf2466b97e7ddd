"""Objects in the layout of NATS's own object store: damage, freshness, and reading with other tools."""

import hashlib
import random
import time

import pytest
from tests.runtime.bus.conftest import OpenBus

from forge_runtime.bus.jetstream import JetStreamBus
from forge_runtime.bus.objects import Objects
from forge_runtime.bus.port import OBJECT_FRESH_S, BadObject
from forge_runtime.subject import PLANS_BUCKET

DATA = random.Random(1).randbytes(300_000)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


async def test_an_object_with_other_bytes_than_its_name_says_is_bad(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await (await bus.connection.jetstream.object_store(PLANS_BUCKET)).put(DIGEST, b"something else")

        with pytest.raises(BadObject, match=DIGEST):
            await bus.get_object(DIGEST, 10)


async def test_storing_a_bad_object_again_heals_it(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await (await bus.connection.jetstream.object_store(PLANS_BUCKET)).put(DIGEST, b"something else")
        await bus.put_object(DIGEST, DATA)

        assert await bus.get_object(DIGEST, 10) == DATA


async def test_an_object_that_lacks_a_chunk_is_bad(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.put_object(DIGEST, DATA)
        await bus.connection.jetstream.delete_msg(_stream(), seq=2)

        with pytest.raises(BadObject, match="lacks some of its 3 chunks"):
            await bus.get_object(DIGEST, 10)


async def test_other_tools_read_what_we_store(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.put_object(DIGEST, DATA)
        store = await bus.connection.jetstream.object_store(PLANS_BUCKET)

        assert (await store.get(DIGEST)).data == DATA


async def test_a_fresh_object_is_not_stored_again(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.put_object(DIGEST, DATA)
        before = await _last_sequence(bus)
        await bus.put_object(DIGEST, DATA)

        assert await _last_sequence(bus) == before


async def test_an_object_older_than_a_day_is_stored_again_and_the_old_chunks_go(open_bus: OpenBus) -> None:
    async with open_bus() as bus:
        await bus.put_object(DIGEST, DATA)
        before = await _last_sequence(bus)
        await Objects(bus.connection, PLANS_BUCKET).put(DIGEST, DATA, time.time() + OBJECT_FRESH_S + 60)
        info = await bus.connection.jetstream.stream_info(_stream())

        assert info.state.last_seq > before
        assert info.state.messages == 4
        assert await bus.get_object(DIGEST, 10) == DATA


async def _last_sequence(bus: JetStreamBus) -> int:
    return int((await bus.connection.jetstream.stream_info(_stream())).state.last_seq)


def _stream() -> str:
    return f"OBJ_{PLANS_BUCKET}"
