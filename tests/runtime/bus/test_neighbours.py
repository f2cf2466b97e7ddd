"""Offers that are none, and answers that are somebody else's: on one server, where everybody may do everything."""

import asyncio

import pytest
from tests.runtime.bus.conftest import OpenBus, until

from forge_runtime import subject
from forge_runtime.bus import neighbours
from forge_runtime.bus.client import head_of
from forge_runtime.bus.port import Delivery
from forge_runtime.bus.puller import PulledMessage
from forge_runtime.job import JobType

CI = subject.queue_of(JobType.CI)
RELEASES = subject.queue_of(JobType.RELEASE)


async def test_an_offer_whose_acks_are_of_another_queue_or_of_none_is_passed_over(open_bus: OpenBus) -> None:
    """Wherever in it our queue is named: who takes an offer acks, here a release."""
    taken: list[bytes] = []

    async def take(_queue: subject.WorkQueue, delivery: Delivery) -> bool:
        taken.append(delivery.data)
        await delivery.ack()
        return True

    async with open_bus() as bus, open_bus() as hostile, bus.neighbours("one", [CI], take):
        jobs = [subject.job_subject(kind, "run-1", "job-1") for kind in (JobType.RELEASE, JobType.CI)]
        for job in jobs:
            await bus.publish_job(job, b"")
        release, own = await bus.pull(RELEASES, 10), await bus.pull(CI, 10)
        assert isinstance(release, PulledMessage)
        assert isinstance(own, PulledMessage)
        words = release.message.reply.split(".")
        words[4] = CI.stream
        answer = subject.answer_subject(CI.pool, "other", "1")
        for data, acks in (
            (b"another's", ".".join(words)),
            (b"nobody's", f"$JS.ACK.{CI.stream}.x"),
            (b"good", own.message.reply),
        ):
            head = head_of({"Forge-Subject": jobs[1], "Forge-Acks": acks})
            hostile.connection.client.send(subject.offer_subject(CI.pool, "one"), data, answer, head)
        await until(lambda: b"good" in taken)

        assert taken == [b"good"]
        assert (await bus.queue_depth(RELEASES)).in_flight == 1


async def test_an_answer_to_one_of_two_workers_of_one_token_is_none_to_the_other(
    open_bus: OpenBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have asked as often as the other; a process and the next one of the same name are no different."""
    monkeypatch.setattr(neighbours, "OFFER_S", 20.0)
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def take(_queue: subject.WorkQueue, _delivery: Delivery) -> bool:
        return True

    async def think(_queue: subject.WorkQueue, _delivery: Delivery) -> bool:
        asked.set()
        await let_go.wait()
        return False

    async with (
        open_bus() as one,
        open_bus() as other,
        one.neighbours("worker.1", [CI], think) as known,
        other.neighbours("worker_1", [CI], think) as knowing,
        one.neighbours("taker", [CI], take),
        one.neighbours("thinker", [CI], think),
    ):
        for number in range(2):
            await one.publish_job(subject.job_subject(JobType.CI, "run-1", f"job-{number}"), b"")
        first, second = await one.pull(CI, 10), await other.pull(CI, 10)
        assert first is not None
        assert second is not None
        declining = asyncio.create_task(knowing.offer("thinker", CI, second))
        await asked.wait()
        taken = await known.offer("taker", CI, first)
        await other.connection.barrier()  # what the server had to say to the other one as well is heard
        let_go.set()

        assert (taken, await declining) == (True, False)
