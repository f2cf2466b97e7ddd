"""The server checks where a request goes, not where its answer shall go: no user gets anything done by that."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.js.api import ConsumerInfo, StreamState
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
    async with prepared(server) as scene, bare(server, user.name) as client:
        for question in user.publish:
            for reply in replies:
                await client.publish(concrete(question), _body(question), reply)
        for question in user.publish:
            await answered(client, concrete(question), _body(question))
        heard = await scene.settled()

        left = {stream: await scene.state(stream, reply) for stream, reply in STORED.items()}
        letter = await scene.state(LETTERS, LETTER)
        consumer = await scene.consumer()

    assert [stream for stream, reply in STORED.items() if reply in replies and left[stream].subjects] == []
    assert letter.subjects == {LETTER: 1}
    assert consumer.num_ack_pending == 1
    assert heard == []


async def test_what_a_worker_wrote_itself_is_read_to_nobody_else(server: PasswordServer) -> None:
    """A record read to a subject of another's would be a message of the worker's choice there."""
    worker = USERS[subject.worker_user(["tasks"])]
    replies = {*STORED.values(), *INBOXES} - {f"{subject.inbox_prefix(worker.name)}.{VICTIM}"}
    async with prepared(server) as scene, bare(server, worker.name) as client:
        assert await answered(client, "$KV.forge-jobs.state.mine.job", b"chosen")
        for reply in replies:
            await client.publish("$JS.API.DIRECT.GET.KV_forge-jobs.$KV.forge-jobs.state.mine.job", b"", reply)
        read = await client.request("$JS.API.DIRECT.GET.KV_forge-jobs.$KV.forge-jobs.state.mine.job", b"", timeout=5)
        heard = await scene.settled()

        left = {stream: await scene.state(stream, reply) for stream, reply in STORED.items()}

    assert read.data == b"chosen"
    assert [stream for stream in left if left[stream].subjects and stream != "KV_forge-jobs"] == []
    assert heard == []


@dataclass(frozen=True, slots=True)
class Scene:
    """A provisioned server with a letter and a release job in somebody's hands, and a listener at each user's inbox."""

    provisioner: JetStreamBus
    releases: JetStreamBus
    clients: dict[str, Client]
    inboxes: list[Subscription]

    async def settled(self) -> list[str]:
        """What reached inboxes of others, when all has arrived that was sent to them, to streams and to the consumer.

        Each takes what is sent to it in that order: when it has answered for one thing more, it has done the rest.
        """
        for victim in STORED.values():
            more = victim.replace(VICTIM, "settled")
            user = next(user for user in USERS.values() if covered(more, user.publish))
            assert await answered(self.clients[user.name], more), f"no stream takes {more} any more"
        release = await self.releases.pull(RELEASES, 10)
        assert release is not None
        await release.ack()
        for client in self.clients.values():
            await client.flush(10)
        return [inbox.subject for inbox in self.inboxes if inbox.pending_msgs]

    async def state(self, stream: str, pattern: str) -> StreamState:
        info = await self.provisioner.connection.jetstream.stream_info(stream, subjects_filter=pattern)
        return info.state

    async def consumer(self) -> ConsumerInfo:
        info: ConsumerInfo = await self.provisioner.connection.jetstream.consumer_info(
            RELEASES.stream, RELEASES.consumer
        )
        return info


@asynccontextmanager
async def prepared(server: PasswordServer) -> AsyncIterator[Scene]:
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
        clients = {user: await cleanup.enter_async_context(bare(server, user)) for user in USERS}
        inboxes = [await clients[user].subscribe(inbox) for user, inbox in zip(USERS, INBOXES, strict=True)]
        for client in clients.values():
            await client.flush(10)
        yield Scene(provisioner, releases, clients, inboxes)


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


async def answered(client: Client, question: str, body: bytes = b"") -> bool:
    """Whether there is somebody who answers; he has then answered what he was asked before."""
    try:
        # An inbox for each: what a pull brings has its own subject, by which a shared one could tell no question.
        await client.request(question, body, timeout=10, old_style=True)
    except nats.errors.NoRespondersError:
        return False
    return True


def _body(question: str) -> bytes:
    return PULL if ".MSG.NEXT." in question else NONSENSE
