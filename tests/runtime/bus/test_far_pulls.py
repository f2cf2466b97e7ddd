"""Pulls of users with accounts of their own, in a cluster: the consumer's server sees no more who has left."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.guarded_server import PasswordServer
from tests.nats_server import free_port

from forge_runtime import subject
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.port import BusUnavailable
from forge_runtime.bus.provision import provision
from forge_runtime.job import JobType

CI: Final = subject.queue_of(JobType.CI)
JOB: Final = "pipeline.tasks.run-1.job-1"
ELECTION_LIMIT_S: Final = 30.0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[PasswordServer]]:
    ports = [free_port(), free_port()]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = [
        PasswordServer(
            tmp_path / f"n{number}",
            more=f"""
            server_name: n{number}
            cluster {{ name: guarded, listen: "127.0.0.1:{port}", routes: [{routes}], no_advertise: true }}
            """,
        )
        for number, port in enumerate(ports)
    ]
    for server in servers:
        server.start()
    yield servers
    for server in servers:
        server.stop()


@asynccontextmanager
async def far_from_the_consumer(cluster: list[PasswordServer]) -> AsyncIterator[tuple[JetStreamBus, JetStreamBus]]:
    """A worker at the server that does not lead the consumer of CI jobs, and a dispatcher."""
    async with AsyncExitStack() as cleanup:

        async def opened(server: PasswordServer, user: str) -> JetStreamBus:
            bus = await connect(server.settings_of(user))
            cleanup.push_async_callback(bus.close)
            return bus

        provisioner = await opened(cluster[0], subject.PROVISIONER)
        async with asyncio.timeout(ELECTION_LIMIT_S):
            while True:
                try:
                    await provision(provisioner)
                    break
                except BusUnavailable:
                    await asyncio.sleep(0.2)  # without a leader yet
        info = await provisioner.connection.jetstream.consumer_info(CI.stream, CI.consumer)
        assert info.cluster is not None
        (other,) = (server for number, server in enumerate(cluster) if info.cluster.leader != f"n{number}")
        yield await opened(other, subject.worker_user(["tasks"])), await opened(cluster[0], subject.DISPATCHER)


async def test_a_job_given_to_a_pull_that_was_withdrawn_comes_again_at_once(cluster: list[PasswordServer]) -> None:
    async with far_from_the_consumer(cluster) as (worker, dispatcher):
        assert worker.connection.far
        pulling = asyncio.create_task(worker.pull(CI, 60))
        await _asked(worker)
        pulling.cancel()
        await asyncio.wait([pulling])
        await dispatcher.publish_job(JOB, b"")
        delivery = await worker.pull(CI, subject.ACK_WAIT_S / 2)

        assert delivery is not None, "handed back before its ack wait would have ended"
        assert delivery.deliveries == 2, "the first one was to the pull that was withdrawn"
        await delivery.ack()


async def test_hints_and_ends_are_heard_from_one_server_to_another(cluster: list[PasswordServer]) -> None:
    async with far_from_the_consumer(cluster) as (worker, dispatcher):
        async with worker.runs.changes(subject.CANCEL_KEYS) as flags, dispatcher.ends("run-1") as ends:
            while (told := await ends.next(0.2)) is None:  # what is subscribed has to reach the other server first
                await worker.tell_end("run-1", "job-1", b"record")
            await dispatcher.runs.put(subject.cancel_key("run-1"), b"flag")
            raised = await flags.next(10)

        assert told.key == subject.job_key("run-1", "job-1")  # type: ignore[union-attr]
        assert raised is not None


async def _asked(bus: JetStreamBus) -> None:
    """A pull is open at the server: its first heartbeat is there."""
    seen = bus.connection.client.stats["in_msgs"]
    async with asyncio.timeout(10):
        while bus.connection.client.stats["in_msgs"] == seen:  # noqa: ASYNC110  # nothing to wait on
            await asyncio.sleep(0.02)
