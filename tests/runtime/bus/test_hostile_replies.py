"""The server checks where a request goes, not where its answer shall go: no user gets anything done by that."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamState
from tests.guarded_server import PasswordServer
from tests.runtime.bus.test_permission import USERS, concrete, covered

from forge_runtime import subject
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.permission import User
from forge_runtime.bus.provision import provision
from forge_runtime.job import JobType

LETTERS: Final = subject.DEAD_LETTERS_STREAM
RELEASES: Final = subject.queue_of(JobType.RELEASE)
VICTIM: Final = "victim"

STORED: Final = {
    RELEASES.stream: f"pipeline.releases.{VICTIM}.job",
    "KV_forge-runs": f"$KV.forge-runs.run.{VICTIM}",
    "KV_forge-jobs": f"$KV.forge-jobs.state.{VICTIM}.job",
    "OBJ_forge-plans": f"$O.forge-plans.M.{VICTIM}",
    subject.EVENTS_STREAM: f"forge.events.{VICTIM}.finish",
    LETTERS: f"forge.dead.releases.{VICTIM}.job",
}
"""Where an answer would be stored, if it got there."""

DEEDS: Final = (
    f"$JS.API.STREAM.DELETE.{LETTERS}",
    f"$JS.API.STREAM.PURGE.{RELEASES.stream}",
    f"$JS.API.CONSUMER.DELETE.{RELEASES.stream}.{RELEASES.consumer}",
    f"$JS.ACK.{RELEASES.stream}.{RELEASES.consumer}.1.1.1.0.0",
    f"$JS.ACK._.0.{RELEASES.stream}.{RELEASES.consumer}.1.1.1.0.0",
)
"""What an answer would do, if the server did it: its body does not matter."""

INBOXES: Final = tuple(f"{subject.inbox_prefix(user)}.{VICTIM}" for user in USERS)

LETTER: Final = "forge.dead.releases.run-1.job-1"
PULL: Final = b'{"batch":1,"no_wait":true}'
NONSENSE: Final = b"{"
"""Is answered too, and whoever may delete or purge does nothing by it."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PasswordServer]:
    server = PasswordServer(tmp_path / "guarded")
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
async def test_an_answer_does_and_writes_nothing_that_its_asker_may_not(server: PasswordServer, user: User) -> None:
    own = f"{subject.inbox_prefix(user.name)}.{VICTIM}"
    replies = {each for each in (*STORED.values(), *DEEDS, *INBOXES) if not covered(each, user.publish)} - {own}
    async with prepared(server) as (provisioner, heard), bare(server, user.name) as client:
        for question in user.publish:
            for reply in replies:
                await client.publish(concrete(question), PULL if ".MSG.NEXT." in question else NONSENSE, reply)
        await settled(client)

        left = {stream: await _state(provisioner, stream, reply) for stream, reply in STORED.items()}
        letter = await _state(provisioner, LETTERS, LETTER)
        waiting = await provisioner.connection.jetstream.consumer_info(RELEASES.stream, RELEASES.consumer)

    assert [stream for stream, reply in STORED.items() if reply in replies and left[stream].subjects] == []
    assert letter.subjects == {LETTER: 1}
    assert waiting.num_ack_pending == 1
    assert heard == []


async def test_what_a_worker_wrote_itself_is_read_to_nobody_else(server: PasswordServer) -> None:
    """A record read to a subject of another's would be a message of the worker's choice there."""
    worker = USERS[subject.worker_user(["tasks"])]
    replies = {*STORED.values(), *INBOXES} - {f"{subject.inbox_prefix(worker.name)}.{VICTIM}"}
    async with prepared(server) as (provisioner, heard), bare(server, worker.name) as client:
        await client.publish("$KV.forge-jobs.state.mine.job", b"chosen")
        for reply in replies:
            await client.publish("$JS.API.DIRECT.GET.KV_forge-jobs.$KV.forge-jobs.state.mine.job", b"", reply)
        await settled(client)

        read = await client.request("$JS.API.DIRECT.GET.KV_forge-jobs.$KV.forge-jobs.state.mine.job", b"", timeout=5)
        left = {stream: await _state(provisioner, stream, reply) for stream, reply in STORED.items()}

    assert read.data == b"chosen"
    assert [stream for stream in left if left[stream].subjects and stream != "KV_forge-jobs"] == []
    assert heard == []


@asynccontextmanager
async def prepared(server: PasswordServer) -> AsyncIterator[tuple[JetStreamBus, list[str]]]:
    """A provisioned server with a letter and a release job in somebody's hands; what reaches inboxes of others."""
    heard: list[str] = []

    async def note(message: Msg) -> None:
        heard.append(message.subject)

    async with AsyncExitStack() as cleanup:

        async def opened(user: str) -> JetStreamBus:
            bus = await connect(server.settings_of(user))
            cleanup.push_async_callback(bus.close)
            return bus

        provisioner = await opened(subject.PROVISIONER)
        await provision(provisioner)
        api, releases = await opened(subject.API), await opened(subject.worker_user(["releases"]))
        await api.publish_job("pipeline.releases.run-1.job-1", b"")
        await api.connection.jetstream.publish(LETTER, b"")
        assert await releases.pull(RELEASES, 10) is not None
        for user, inbox in zip(USERS, INBOXES, strict=True):
            listener = await cleanup.enter_async_context(bare(server, user))
            await listener.subscribe(inbox, cb=note)
            await listener.flush(10)
        yield provisioner, heard


@asynccontextmanager
async def bare(server: PasswordServer, user: str) -> AsyncIterator[Client]:
    async def ignore(_error: Exception) -> None:
        """The server refuses some of the replies by itself."""

    client = await nats.connect(
        server.url,
        user=user,
        password=server.passwords[user],
        inbox_prefix=subject.inbox_prefix(user),
        error_cb=ignore,
        allow_reconnect=False,
    )
    try:
        yield client
    finally:
        await client.close()


async def settled(client: Client) -> None:
    """What was asked is answered: the server works off the questions to one stream or API in their order."""
    for _ in range(3):
        await client.flush(10)
        await asyncio.sleep(0.2)  # an answer that arrives nowhere cannot be waited for


async def _state(bus: JetStreamBus, stream: str, pattern: str) -> StreamState:
    info = await bus.connection.jetstream.stream_info(stream, subjects_filter=pattern)
    return info.state
