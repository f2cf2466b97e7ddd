"""Offers that are none, and answers that are somebody else's: on one server, where everybody may do everything."""

from tests.runtime.bus.conftest import OpenBus, until

from forge_runtime import subject
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
