"""What every bus promises of dead letters, and of messages that their queue hands out no more."""

import pytest
from tests.conformance.conftest import Connections

from forge_runtime.bus.port import Bus, Delivery
from forge_runtime.dead_letter import CAUSE_BYTES_MAX, Cause, DeadLetter, Reason, encode_cause
from forge_runtime.job import JobType
from forge_runtime.subject import DEAD_LETTERS, MAX_DELIVER, dead_letter_subject, job_subject, queue_of

CI = queue_of(JobType.CI)
JOB = job_subject(JobType.CI, "run-1", "job-1")
CAUSE = Cause(reason=Reason.EXHAUSTED, message='three "quoted" lines\nand: ümläut', starts=3, code="RUNNER_UNAVAILABLE")


async def test_a_buried_message_is_read_as_it_was_with_its_cause(connections: Connections) -> None:
    async with connections() as (worker, operator):
        await worker.dead_letters.bury(_letter("run-1", "job-1"), b"\x00payload", CAUSE)

        (letter,) = await operator.dead_letters.list(DEAD_LETTERS, limit=10)

        assert (letter.pool, letter.run_id, letter.job_id) == ("tasks", "run-1", "job-1")
        assert (letter.data, letter.cause) == (b"\x00payload", CAUSE)
        assert letter.sequence > 0
        assert letter.buried_at > 1.7e9


async def test_a_job_has_one_letter_the_newest(connections: Connections) -> None:
    async with connections() as (worker, _):
        await worker.dead_letters.bury(_letter("run-1", "job-1"), b"first", CAUSE)
        await worker.dead_letters.bury(_letter("run-1", "job-2"), b"other", CAUSE)
        await worker.dead_letters.bury(_letter("run-1", "job-1"), b"second", CAUSE)

        assert [letter.data for letter in await _all(worker)] == [b"other", b"second"]


async def test_of_a_message_as_large_as_the_server_takes_the_beginning_is_kept(connections: Connections) -> None:
    """Somebody else's tool may have published it. With its cause on top it would end the connection of who has it."""
    message = bytes(range(256)) * 4096
    async with connections() as (worker, operator):
        await worker.dead_letters.bury(_letter("run-1", "job-1"), message, CAUSE)

        (letter,) = await operator.dead_letters.list(DEAD_LETTERS, limit=10)

        assert message.startswith(letter.data)
        assert len(letter.data) >= len(message) - 1024
        assert letter.cause == CAUSE


async def test_letters_are_listed_oldest_first_page_by_page(connections: Connections) -> None:
    async with connections() as (worker, _):
        for number in range(5):
            await worker.dead_letters.bury(_letter("run-1", f"job-{number}"), b"", CAUSE)

        first = await worker.dead_letters.list(DEAD_LETTERS, limit=3)
        rest = await worker.dead_letters.list(DEAD_LETTERS, after=first[-1].sequence, limit=3)

        assert [letter.job_id for letter in first] == ["job-0", "job-1", "job-2"]
        assert [letter.job_id for letter in rest] == ["job-3", "job-4"]
        assert await worker.dead_letters.list(DEAD_LETTERS, after=rest[-1].sequence, limit=3) == []


async def test_letters_are_found_by_job_and_by_run(connections: Connections) -> None:
    async with connections() as (worker, _):
        for run, job in (("run-1", "job-1"), ("run-2", "job-2"), ("run-2", "job-3")):
            await worker.dead_letters.bury(_letter(run, job), b"", CAUSE)

        by_job = await worker.dead_letters.list(dead_letter_subject("*", "*", "job-2"), limit=10)
        by_run = await worker.dead_letters.list(dead_letter_subject("*", "run-2", "*"), limit=10)

        assert [letter.job_id for letter in by_job] == ["job-2"]
        assert [letter.job_id for letter in by_run] == ["job-2", "job-3"]


async def test_a_dropped_letter_is_gone_and_the_others_stay(connections: Connections) -> None:
    async with connections() as (worker, operator):
        for number in range(3):
            await worker.dead_letters.bury(_letter("run-1", f"job-{number}"), b"", CAUSE)
        middle = (await _all(operator))[1]

        dropped = await operator.dead_letters.drop(middle.sequence)
        again = await operator.dead_letters.drop(middle.sequence)

        assert (dropped, again) == (True, False)
        assert [letter.job_id for letter in await _all(operator)] == ["job-0", "job-2"]
        assert not await operator.dead_letters.drop(1_000_000)


async def test_there_may_be_no_letters(connections: Connections) -> None:
    async with connections() as (operator, _):
        assert await _all(operator) == []


@pytest.mark.parametrize("character", ["x", "\u00fc", "\U0001f9e8", '"', "\n"])
async def test_the_largest_message_is_buried_with_the_longest_cause(connections: Connections, character: str) -> None:
    cause = Cause(reason=Reason.POISON, message=character * 2048, starts=3)
    async with connections() as (worker, _):
        await worker.dead_letters.bury(_letter("run-1", "job-1"), bytes(1023 * 1024), cause)

        (letter,) = await _all(worker)

        assert len(letter.data) == 1023 * 1024
        assert letter.cause.message
        assert cause.message.startswith(letter.cause.message)
        assert len(encode_cause(cause)) <= CAUSE_BYTES_MAX


async def test_a_message_that_reached_its_last_delivery_is_handed_out_as_stranded(connections: Connections) -> None:
    async with connections() as (worker, sweeper):
        await worker.publish_job(JOB, b"payload")
        await _wear_out(worker)

        stranded = await sweeper.pull_stranded(10)

        assert stranded is not None
        assert (stranded.subject, stranded.data, stranded.deliveries) == (JOB, b"payload", MAX_DELIVER)
        assert not await worker.publish_job(JOB, b"payload")


async def test_the_ack_of_a_stranded_message_takes_it_out_of_its_queue(connections: Connections) -> None:
    async with connections() as (worker, sweeper):
        await worker.publish_job(JOB, b"payload")
        await _wear_out(worker)
        stranded = await sweeper.pull_stranded(10)
        assert stranded is not None

        await stranded.ack()

        assert await sweeper.pull_stranded(0.3) is None
        assert await worker.publish_job(JOB, b"again")
        assert await _pull(worker) is not None


async def test_a_stranded_message_that_is_handed_back_comes_again(connections: Connections) -> None:
    async with connections() as (worker, sweeper):
        await worker.publish_job(JOB, b"payload")
        await _wear_out(worker)
        first = await sweeper.pull_stranded(10)
        assert first is not None
        await first.progress()
        await first.retry(0)

        second = await sweeper.pull_stranded(10)

        assert second is not None
        assert (second.subject, second.deliveries) == (JOB, MAX_DELIVER)


async def test_a_stranded_message_that_left_its_queue_is_not_handed_out(connections: Connections) -> None:
    async with connections() as (worker, sweeper):
        await worker.publish_job(JOB, b"payload")
        await _wear_out(worker)
        await worker.purge(CI, JOB)

        assert await sweeper.pull_stranded(0.3) is None


async def test_nothing_is_stranded_while_deliveries_are_left(connections: Connections) -> None:
    async with connections() as (worker, sweeper):
        await worker.publish_job(JOB, b"payload")
        await _hand_back(await _pull(worker))

        assert await sweeper.pull_stranded(0.3) is None
        assert await _pull(worker) is not None


def _letter(run_id: str, job_id: str) -> str:
    return dead_letter_subject("tasks", run_id, job_id)


async def _all(bus: Bus) -> list[DeadLetter]:
    return await bus.dead_letters.list(DEAD_LETTERS, limit=100)


async def _wear_out(bus: Bus) -> None:
    """Hand a message back as often as it comes."""
    for _ in range(MAX_DELIVER):
        await _hand_back(await _pull(bus))
    assert await bus.pull(CI, 0.2) is None


async def _pull(bus: Bus) -> Delivery | None:
    return await bus.pull(CI, 10)


async def _hand_back(delivery: Delivery | None) -> None:
    assert delivery is not None
    await delivery.retry(0)
