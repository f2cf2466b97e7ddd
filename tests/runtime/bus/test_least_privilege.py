"""Whole runs under the platform's permissions, and what whoever is not allowed is told."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import nats
import nats.js.errors
import pytest
from nats.aio.msg import Msg
from tests.guarded_server import CertificateServer, PasswordServer
from tests.judge import Judged, version_of
from tests.runtime import samples
from tests.runtime.workshop import Workshop

from forge_runtime import subject
from forge_runtime.bus.client import head_of
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.port import BusUnavailable, Delivery, NotAllowed
from forge_runtime.bus.provision import provision, verify, verify_everything
from forge_runtime.bus.puller import PulledMessage
from forge_runtime.dead_letter import Cause, Reason
from forge_runtime.dispatcher import Exit
from forge_runtime.event import decode_event
from forge_runtime.job import JobState, JobType
from forge_runtime.ledger import Ledger
from forge_runtime.sweeper import Sweeper

TASKS = subject.queue_of(JobType.CI)
WORKER = subject.worker_user(["discovery", "tasks"])
LONGER_ACKS = "feature_flags { js_ack_fc_v2: true }"

Guarded = PasswordServer | CertificateServer


@pytest.fixture(params=[PasswordServer, CertificateServer])
def guarded(request: pytest.FixtureRequest, tmp_path: Path, judged: Judged) -> Iterator[Guarded]:
    with _running(request.param(tmp_path / "nats"), judged) as server:
        yield server


@pytest.fixture
def certified(tmp_path: Path, judged: Judged) -> Iterator[CertificateServer]:
    server = CertificateServer(tmp_path / "nats")
    with _running(server, judged):
        yield server


@contextmanager
def _running(server: Guarded, judged: Judged) -> Iterator[Guarded]:
    server.start()
    judged("nats-server", version_of(str(server.binary), "--version"), "tests against a running server", 1)
    try:
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def opened(server: Guarded, *names: str) -> AsyncIterator[list[JetStreamBus]]:
    """A connection of each of these users to a provisioned server."""
    buses: list[JetStreamBus] = []
    try:
        provisioner = await connect(server.settings_of(subject.PROVISIONER))
        buses.append(provisioner)
        await provision(provisioner)
        for name in names:
            buses.append(await connect(server.settings_of(name)))
        yield buses[1:]
    finally:
        for bus in buses:
            await bus.close()


async def test_run_goes_from_plan_to_end_with_each_service_as_its_own_user(guarded: Guarded, tmp_path: Path) -> None:
    await _whole_run(guarded, tmp_path)


async def test_longer_ack_subjects_are_allowed_too(tmp_path: Path, judged: Judged) -> None:
    with _running(PasswordServer(tmp_path / "nats", more=LONGER_ACKS), judged) as server:
        await _whole_run(server, tmp_path)
        async with opened(server, WORKER, subject.DISPATCHER) as (worker, dispatcher):
            await dispatcher.publish_job(subject.job_subject(JobType.CI, "run-2", "job-2"), b"")
            delivery = await worker.pull(TASKS, 10)
            assert isinstance(delivery, PulledMessage)
            reply = delivery.message.reply  # its form is what this test is about
            await delivery.ack()

        assert len(reply.split(".")) == 11


async def _whole_run(server: Guarded, folder: Path) -> None:
    """Plan stored, run written, jobs dispatched, worked on, recorded, told; run finished; sweeper; a failed run."""
    async with opened(server, WORKER, subject.DISPATCHER, subject.API) as (worker, dispatcher, api):
        await verify_everything(api)
        for queue in subject.queues_of(["discovery", "tasks"]):
            await verify(worker, queue)
        for script, code in (("true", Exit.SUCCEEDED), ("exit 3", Exit.FAILED)):
            plan = samples.plan_of({"web": [{"unit": script}, {"last": "true"}]})
            shop, leaf = Workshop(worker, folder), Workshop(dispatcher, folder)
            shop.plan = leaf.plan = plan
            shop.digest = leaf.digest = await samples.store_plan(worker, plan)
            leaf.run = shop.run
            await samples.store_run(api, shop.run)

            async with asyncio.timeout(60), shop.worker():
                ended = await leaf.dispatch()
                await leaf.dispatch("finish", status="succeeded" if code is Exit.SUCCEEDED else "failed")

            assert ended is code
            await Sweeper(Ledger(api, 1.0), active_runs=_none).sweep(shop.run.run_id)
            assert await _last_event(api) == ("succeeded" if code is Exit.SUCCEEDED else "failed")
        assert await api.pull_stranded(0.2) is None
        assert (await leaf.states())["web/unit"] is JobState.FAILED


async def test_a_job_is_handed_over_between_workers_of_its_pool_though_they_are_other_users(guarded: Guarded) -> None:
    alone = subject.worker_user(["tasks"])

    async def take(_queue: subject.WorkQueue, delivery: Delivery) -> bool:
        await delivery.ack()
        return True

    async with opened(guarded, WORKER, alone, subject.DISPATCHER) as (one, other, dispatcher):
        queues = subject.queues_of(["discovery", "tasks"])
        async with one.neighbours("one", queues, take) as known, other.neighbours("other", [TASKS], take) as knowing:
            for neighbours, name, bus in ((known, "other", one), (knowing, "one", other)):
                job = subject.job_subject(JobType.CI, "run-1", f"job-{name}")
                await dispatcher.publish_job(job, b"")
                delivery = await bus.pull(TASKS, 10)
                assert delivery is not None
                assert await neighbours.offer(name, TASKS, delivery)
                assert await dispatcher.publish_job(job, b""), "its message has left the queue"
                again = await bus.pull(TASKS, 10)
                assert again is not None
                await again.ack()


async def test_an_offer_makes_a_worker_neither_ack_nor_answer_where_the_other_one_may_not(guarded: Guarded) -> None:
    """The holder of an offer says where its acks and its answer go; whoever takes it has other rights."""
    taken: list[bytes] = []

    async def take(_queue: subject.WorkQueue, delivery: Delivery) -> bool:
        taken.append(delivery.data)
        return True

    acks = "$JS.ACK.{}.{}.1.1.1.0.0".format
    own, foreign = acks(TASKS.stream, TASKS.consumer), acks("pipeline-discovery", "discovery-consumer")
    answer, elsewhere = subject.answer_subject("tasks", "other", "1"), "$KV.forge-runs.cancel.run-1"
    async with opened(guarded, WORKER, subject.worker_user(["tasks"])) as (worker, hostile):
        async with worker.neighbours("one", subject.queues_of(["discovery", "tasks"]), take):
            await worker.connection.barrier()
            for data, where, reply in ((b"acks", foreign, answer), (b"answer", own, elsewhere), (b"good", own, answer)):
                head = head_of({"Forge-Subject": "pipeline.tasks.run-1.job-1", "Forge-Acks": where})
                hostile.connection.client.send(subject.offer_subject("tasks", "one"), data, reply, head)
            async with asyncio.timeout(10):
                while b"good" not in taken:  # noqa: ASYNC110  # nothing to wait on
                    await asyncio.sleep(0.02)

        assert taken == [b"good"]
        assert await worker.runs.get(subject.cancel_key("run-1")) is None


async def test_a_worker_hears_of_no_jobs_of_other_pools(guarded: Guarded) -> None:
    async def take(_queue: subject.WorkQueue, _delivery: Delivery) -> bool:
        return False

    async with opened(guarded, subject.worker_user(["tasks"])) as (worker,):
        with pytest.raises(NotAllowed, match=r"subscribe to forge\.answers\.discovery\.one\.\*"):
            async with worker.neighbours("one", subject.queues_of(["discovery"]), take):
                raise AssertionError("it was let in")


async def _none() -> list[str]:
    return []


async def _last_event(api: JetStreamBus) -> str:
    async for delivery in api.events(subject.PROJECTOR):
        await delivery.ack()
        event = decode_event(delivery.data)
        if event.kind == "finish":
            return str(event.status)
    raise AssertionError("events ended")


async def test_whoever_ends_what_is_late_may_ask_what_time_it_is(guarded: Guarded) -> None:
    async with opened(guarded, WORKER, subject.DISPATCHER, subject.API) as buses:
        times = [await bus.time() for bus in buses]

    assert times == sorted(times)


async def test_dead_letter_is_listed_and_dropped_by_the_operator(guarded: Guarded) -> None:
    async with opened(guarded, WORKER, subject.OPERATOR) as (worker, operator):
        target = subject.dead_letter_subject("tasks", "run-1", "job-1")
        await worker.dead_letters.bury(target, b"", Cause(reason=Reason.POISON, message="died"))
        (letter,) = await operator.dead_letters.list(subject.DEAD_LETTERS, limit=10)

        assert await operator.dead_letters.drop(letter.sequence)


async def test_whoever_is_not_allowed_is_told_at_once_what_and_as_whom(guarded: Guarded) -> None:
    async with opened(guarded, WORKER) as (worker,):
        job = subject.job_subject(JobType.CI, "run-1", "job-1")
        started = time.monotonic()
        with pytest.raises(NotAllowed, match=f"does not allow user {WORKER} to publish {job}"):
            await worker.publish_job(job, b"")
        with pytest.raises(NotAllowed, match=r"STREAM\.PURGE\.pipeline-tasks"):
            await worker.purge(TASKS, "pipeline.tasks.>")
        with pytest.raises(NotAllowed, match=r"MSG\.NEXT\.pipeline-releases"):
            await worker.pull(subject.queue_of(JobType.RELEASE), 10)
        with pytest.raises(NotAllowed, match=r"subscribe to \$KV\.forge-jobs\.state"):
            async with worker.jobs.changes(subject.job_keys("run-1")):
                pass
        with pytest.raises(NotAllowed, match=r"publish \$KV\.forge-runs\.run\.run-1"):
            await worker.runs.create(subject.run_key("run-1"), b"")

        assert time.monotonic() - started < 4
        await worker.runs.create(subject.cancel_key("run-1"), b"")  # and the connection is as good as before


async def test_worker_can_neither_read_replies_to_others_nor_publish_jobs_nor_delete_streams(guarded: Guarded) -> None:
    """Each by hand, past all that our own code would ask; and each works for the user whose duty it is."""
    async with opened(guarded, WORKER, subject.DISPATCHER, subject.PROVISIONER) as (worker, dispatcher, provisioner):
        heard: list[str] = []
        job = subject.job_subject(JobType.CI, "run-1", "job-1")

        async def note(message: Msg) -> None:
            heard.append(message.subject)

        for pattern in (f"{subject.inbox_prefix(subject.DISPATCHER)}.>", ">"):
            with pytest.raises(NotAllowed, match="to subscribe to"):
                await worker.connection.subscribe(pattern, note)
        with pytest.raises(NotAllowed, match="to publish pipeline"):
            await worker.publish_job(job, b"forged")
        for verb in ("DELETE", "PURGE", "UPDATE", "CREATE"):
            with pytest.raises(NotAllowed, match=rf"STREAM\.{verb}"):
                async with worker.connection.limit(verb):
                    await worker.connection.client.request(f"$JS.API.STREAM.{verb}.pipeline-tasks", b"", timeout=5)

        assert await dispatcher.publish_job(job, b"true")
        assert await dispatcher.purge(TASKS, job) == 1
        assert heard == []
        await provisioner.connection.jetstream.delete_stream("pipeline-tasks")


async def test_one_service_with_the_credentials_of_another_hears_no_replies_and_says_why(guarded: Guarded) -> None:
    async with opened(guarded):
        stranger = await connect(guarded.settings_of(subject.DISPATCHER, credentials_of=WORKER))
        for _ in range(2):  # the second request finds no subscription of the first
            with pytest.raises(NotAllowed, match=r"to subscribe to _INBOX_dispatcher\."):
                await stranger.runs.get(subject.cancel_key("run-1"))
        await stranger.close()


async def test_permission_to_write_a_record_is_none_to_wipe_the_bucket(guarded: Guarded) -> None:
    """A roll-up header would take everything away that the bucket holds."""
    async with opened(guarded, WORKER) as (worker,):
        await worker.jobs.create(subject.job_key("run-1", "job-1"), b"kept")
        with pytest.raises(nats.js.errors.APIError, match="rollup not permitted"):
            await worker.connection.jetstream.publish(
                "$KV.forge-jobs.state.run-2.job-2", b"", headers={"Nats-Rollup": "all"}
            )
        entry = await worker.jobs.get(subject.job_key("run-1", "job-1"))

    assert entry is not None


async def test_a_name_and_an_empty_password_do_not_make_another_user_of_a_certificate(
    certified: CertificateServer,
) -> None:
    settings = certified.settings_of(WORKER)
    assert settings.credentials is not None
    async with opened(certified, WORKER) as (worker,):
        context = worker.connection.client.options["tls"]
        refused: asyncio.Queue[str] = asyncio.Queue()

        async def note(error: Exception) -> None:
            refused.put_nowait(str(error))

        client = await nats.connect(
            certified.url, user=subject.PROVISIONER, password="", tls=context, error_cb=note, allow_reconnect=False
        )
        await client.publish("$JS.API.STREAM.DELETE.pipeline-tasks", b"")
        said = await asyncio.wait_for(refused.get(), 10)
        await client.close()

    assert "permissions violation" in said


@pytest.mark.parametrize("name", ["stranger", "worker"])
async def test_certificate_of_nobody_we_know_is_refused(certified: CertificateServer, name: str) -> None:
    with pytest.raises(BusUnavailable, match="Authorization Violation"):
        await connect(certified.settings_of(name))
