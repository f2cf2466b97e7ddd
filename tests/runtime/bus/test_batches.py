"""Events that are told at the same time: how many messages they become, and who hears of a failure."""

import asyncio
from collections.abc import Sequence

import pytest

from forge_runtime.bus.batches import BATCH_EVENTS_MAX, EventBatches, lines, split
from forge_runtime.bus.port import BusUnavailable, EventDelivery

STEP = "forge.events.run-1.step"


class Store:
    """Keeps messages, each after a word of the test."""

    def __init__(self) -> None:
        self.messages: list[list[bytes]] = []
        self.asked = asyncio.Event()
        self.may = asyncio.Semaphore(0)
        self.fails = False

    async def __call__(self, _subject: str, data: bytes) -> None:
        self.asked.set()
        await self.may.acquire()
        if self.fails:
            raise BusUnavailable("gone")
        self.messages.append(lines(data))


async def test_what_comes_while_a_message_is_under_way_goes_together_in_the_next() -> None:
    store = Store()
    batches = EventBatches(store)
    first = asyncio.create_task(batches.publish(STEP, [b"1"]))
    await store.asked.wait()
    others = [asyncio.create_task(batches.publish(STEP, told)) for told in ([b"2", b"3"], [b"4"])]
    await asyncio.sleep(0)
    for _ in range(2):
        store.may.release()
    await asyncio.gather(first, *others)

    assert store.messages == [[b"1"], [b"2", b"3", b"4"]]


async def test_other_subjects_do_not_wait_for_each_other() -> None:
    store = Store()
    batches = EventBatches(store)
    told = [asyncio.create_task(batches.publish(f"forge.events.run-{number}.step", [b"1"])) for number in range(2)]
    for _ in range(2):
        store.may.release()
    await asyncio.gather(*told)

    assert store.messages == [[b"1"], [b"1"]]


async def test_a_message_holds_so_many_and_no_more() -> None:
    store = Store()
    batches = EventBatches(store)
    for _ in range(3):
        store.may.release()
    told: Sequence[Sequence[bytes]] = [[b"x"] * (BATCH_EVENTS_MAX - 1), [b"y"] * 2, [bytes(200_000)], [bytes(200_000)]]
    await asyncio.gather(*(batches.publish(STEP, each) for each in told))

    assert [len(message) for message in store.messages] == [BATCH_EVENTS_MAX - 1, 3, 1]


async def test_everybody_of_a_message_that_is_not_stored_hears_of_it_and_the_next_is_sent_all_the_same() -> None:
    store = Store()
    batches = EventBatches(store)
    store.fails = True
    told = [asyncio.create_task(batches.publish(STEP, [b"1"])) for _ in range(2)]
    store.may.release()
    ends = await asyncio.gather(*told, return_exceptions=True)
    store.fails = False
    store.may.release()
    await batches.publish(STEP, [b"2"])

    assert [type(end) for end in ends] == [BusUnavailable, BusUnavailable]
    assert store.messages == [[b"2"]]


async def test_one_who_is_cancelled_keeps_nobody_else_from_being_told() -> None:
    store = Store()
    batches = EventBatches(store)
    cancelled, other = (asyncio.create_task(batches.publish(STEP, [event])) for event in (b"1", b"2"))
    await store.asked.wait()
    cancelled.cancel()
    store.may.release()
    await other

    assert cancelled.cancelled()
    assert store.messages == [[b"1", b"2"]]


async def test_an_event_of_several_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="one line"):
        await EventBatches(Store()).publish(STEP, [b"1\n2"])


async def test_a_message_is_acked_with_the_last_of_its_events() -> None:
    acked = []

    async def ack() -> None:
        acked.append(True)

    first, second = split(EventDelivery(subject=STEP, data=b"1\n2", ack=ack))
    await second.ack()
    await second.ack()
    before = list(acked)
    await first.ack()

    assert (first.data, second.data) == (b"1", b"2")
    assert (before, acked) == ([], [True])
