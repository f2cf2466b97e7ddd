"""A project's later steps and the worker of its earlier ones: real workers and dispatchers on one bus."""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.json import decode
from tests.nats_server import NatsServer
from tests.runtime import samples
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.machines import plan_of
from tests.runtime.stages import Stages
from tests.runtime.workshop import Workshop, until

from forge_runtime.bus import memory_neighbours, neighbours
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.memory import MemoryBus, MemoryServer
from forge_runtime.bus.port import Bus, Delivery, Neighbours, NotAllowed, Queued, Take
from forge_runtime.bus.provision import provision
from forge_runtime.dispatcher import Exit
from forge_runtime.envelope import Envelope, address_of, earlier_of
from forge_runtime.job import Job, JobState, JobType, encode
from forge_runtime.lane import Lane
from forge_runtime.subject import WorkQueue, queue_of, subject_of
from forge_runtime.worker import intake
from forgec.ids import job_id
from forgec.plan.model import GroupPlan, PhasePlan, Plan, Unit

CI = queue_of(JobType.CI)
PASS = "true"
WAIT = "echo began >> $OUT/began; while [ ! -e $OUT/go ]; do sleep 0.02; done"
RAN = "echo ran >> $OUT/runs"
LATER = "g02-later-s001"
LET_GO = "the other worker that holds this message has begun"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is too late on a machine that has much else to do."""
    for module in (memory_neighbours, neighbours):
        monkeypatch.setattr(module, "OFFER_S", 20.0)
    monkeypatch.setattr(intake, "OFFER_HELD_S", 15.0)


@asynccontextmanager
async def workers(shop: Workshop, *names: str, slots: int = 1) -> AsyncIterator[None]:
    async with AsyncExitStack() as cleanup:
        for name in names:
            await cleanup.enter_async_context(shop.worker(shop.bench(name), slots=slots))
        yield


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("slots", [1, 3])
async def test_waves_of_a_project_stay_with_the_worker_that_began(open_workshop: OpenWorkshop, slots: int) -> None:
    """Though the others wait for jobs, and that one has just ended the wave before."""
    waves = [{f"step-{number}": PASS} for number in range(8)]
    async with open_workshop({"web": waves}) as shop:
        async with workers(shop, "one", "two", "three", slots=slots):
            ended = await shop.dispatch()
        records = [await shop.record(f"web/step-{number}") for number in range(8)]

    assert ended is Exit.SUCCEEDED
    assert len({record.worker for record in records if record is not None}) == 1


@pytest.mark.usefixtures("patient")
async def test_a_later_phase_goes_to_the_worker_of_the_earlier_one(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({}) as shop:
        make, use = (samples.plan_of({"web": [{step: PASS}]}, ()).groups[0] for step in ("make", "use"))
        await shop.plans(Plan(groups=(make, later(use)), release=()))
        async with workers(shop, "one"):
            await shop.dispatch()
        async with shy_worker(shop, "one"), workers(shop, "two", "three"):
            await shop.dispatch(unit=LATER)
        record = await shop.record("web/use")

    assert record is not None
    assert (record.state, record.worker) == (JobState.SUCCEEDED, "one")


async def test_a_busy_worker_is_not_waited_for(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"long": WAIT, "unit": PASS}]}) as shop, workers(shop, "busy"):
        await shop.submit("web/long")
        await until(lambda: there(shop.lines("began")))
        async with workers(shop, "free"):
            await submit(shop, "web/unit", preferred="busy")

            unit = await shop.reach("web/unit", JobState.SUCCEEDED)
            long = await shop.record("web/long")
        (shop.folder / "go").touch()

    assert unit.worker == "free"
    assert long is not None
    assert long.state is JobState.LEASED, "it was still at work when the other job had ended"


async def test_a_worker_that_is_gone_is_not_waited_for(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop, workers(shop, "here"):
        await submit(shop, "web/unit", preferred="gone")

        record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert record.worker == "here"


async def test_a_worker_that_gives_no_answer_is_left_out(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        asked = asyncio.Event()

        async def take(_queue: WorkQueue, _delivery: Delivery) -> bool:
            asked.set()
            await asyncio.Event().wait()
            return True

        async with shop.bus.neighbours("hangs", [CI], take), workers(shop, "here"):
            await submit(shop, "web/unit", preferred="hangs")
            record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert asked.is_set()
    assert record.worker == "here"


class Shy:
    """A worker's bus that gives it no job but those it is offered. `mute`: who offered one hears of that too late."""

    def __init__(self, bus: Bus, *, mute: bool = False) -> None:
        self._bus = bus
        self._mute = mute
        self.offers = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)

    async def pull(self, _queue: WorkQueue, timeout_s: float, _lane: Lane = Lane.MAIN) -> None:
        await asyncio.sleep(timeout_s)

    def neighbours(
        self, worker: str, queues: Sequence[WorkQueue], take: Take
    ) -> AbstractAsyncContextManager[Neighbours]:
        async def late(queue: WorkQueue, delivery: Delivery) -> bool:
            self.offers += 1
            taken = await take(queue, delivery)
            if self._mute:
                await asyncio.Event().wait()
            return taken

        return self._bus.neighbours(worker, queues, late)


@asynccontextmanager
async def shy_worker(shop: Workshop, name: str, *, mute: bool = False) -> AsyncIterator[Shy]:
    bus = Shy(shop.bus, mute=mute)
    async with shop.worker(dataclasses.replace(shop.bench(name), bus=cast("Bus", bus)), slots=1):
        yield bus


@pytest.mark.parametrize("offer_s", [0.0, 0.25])
async def test_a_job_that_two_workers_hold_is_done_once(
    open_workshop: OpenWorkshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, offer_s: float
) -> None:
    """The answer comes too late: before either has begun, or when the other has. Who is second lets go of it."""
    caplog.set_level(logging.INFO)
    for module in (memory_neighbours, neighbours):
        monkeypatch.setattr(module, "OFFER_S", offer_s)
    async with open_workshop({"web": [{"unit": f"{RAN}; {WAIT}"}]}) as shop:
        async with shy_worker(shop, "other", mute=True) as other, workers(shop, "here"):
            job = await submit(shop, "web/unit", preferred="other")
            await until(lambda: there([line for line in caplog.messages if line == LET_GO]))
            held = await shop.bus.queue_depth(CI)
            (shop.folder / "go").touch()
            record = await shop.reach("web/unit", JobState.SUCCEEDED)
            await until(lambda: gone(shop))
        again = await shop.bus.publish_job(subject_of(job), encode(job))

    assert other.offers == 1
    assert (held.pending, held.in_flight) == (0, 1)
    assert (record.starts, shop.lines("runs")) == (1, ["ran"])
    assert again, "its message has left the queue"


async def test_a_job_whose_taker_dies_comes_again_after_the_ack_wait(nats_server: NatsServer, tmp_path: Path) -> None:
    bus = await connect(nats_server.settings("worker-ci-0"))
    await provision(bus)
    await samples.set_ack_wait(bus, CI, 1.0)
    shop = Workshop(bus, tmp_path)
    await shop.prepare({"web": [{"unit": RAN}]})
    died = asyncio.Event()

    async def take(_queue: WorkQueue, _delivery: Delivery) -> bool:
        died.set()
        return True

    async with shop.bus.neighbours("dies", [CI], take), workers(shop, "here"):
        await submit(shop, "web/unit", preferred="dies")
        record = await shop.reach("web/unit", JobState.SUCCEEDED)
    await bus.close()

    assert died.is_set()
    assert (record.worker, record.starts, shop.lines("runs")) == ("here", 1, ["ran"])


async def test_a_job_that_was_handed_out_before_is_offered_to_nobody(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "test $ATTEMPT = 2 || exit 75"}]}) as shop:
        offered: list[int] = []

        async def take(_queue: WorkQueue, delivery: Delivery) -> bool:
            offered.append(delivery.deliveries)
            return False

        async with shop.bus.neighbours("other", [CI], take), workers(shop, "here"):
            await submit(shop, "web/unit", preferred="other")
            record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert (record.starts, offered) == (2, [1])


async def test_a_worker_goes_on_without_where_the_server_does_not_allow_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A server with the permissions of the version before."""

    class Before(MemoryBus):
        @asynccontextmanager
        async def neighbours(
            self, worker: str, queues: Sequence[WorkQueue], take: Take
        ) -> AsyncIterator[memory_neighbours.MemoryNeighbours]:
            raise NotAllowed("subscribe to forge.offers.tasks.here")
            yield

    shop = Workshop(Before(), tmp_path)
    await shop.prepare({"web": [{"unit": PASS}]})
    async with workers(shop, "here"):
        await submit(shop, "web/unit", preferred="other")
        record = await shop.reach("web/unit", JobState.SUCCEEDED)

    assert record.worker == "here"
    assert "wherever their project's earlier steps ran" in caplog.text


class Told(MemoryBus):
    """Notes who each job was said to be best done by."""

    def __init__(self, server: MemoryServer | None = None) -> None:
        super().__init__(server)
        self.preferred: dict[str, str | None] = {}

    async def publish_job(
        self,
        subject: str,
        data: bytes,
        traceparent: str | None = None,
        queued: Queued | None = None,
        preferred: str | None = None,
    ) -> bool:
        self.preferred[address_of(decode(data, type=Job)).step] = preferred
        return await super().publish_job(subject, data, traceparent, queued, preferred)


async def test_each_job_names_a_worker_of_the_wave_before_and_the_first_ones_nobody(tmp_path: Path) -> None:
    bus = Told()
    shop = Workshop(bus, tmp_path)
    await shop.prepare({"web": [{"a": PASS}, {"b": PASS, "c": PASS}, {"d": PASS}]})

    async with workers(shop, "worker.1"):
        await shop.dispatch()

    assert bus.preferred == {"a": None, "b": "worker_1", "c": "worker_1", "d": "worker_1"}


async def test_jobs_of_a_release_name_the_worker_of_the_projects_last_step(tmp_path: Path) -> None:
    bus = Told()
    shop = Workshop(bus, tmp_path)
    await shop.prepare({})
    await shop.plans(samples.plan_of({"web": [{"a": PASS}]}, [samples.released("web", "image")]))
    async with workers(shop, "tests"):
        await shop.dispatch()
    async with shop.worker(shop.bench("releases", Stages(["dev"]).handlers)):
        await shop.dispatch(unit=samples.RELEASE_UNIT)

    assert bus.preferred == {
        "a": None,
        "artifact:image": "tests",
        "release": "releases",
        "deploy:dev": "releases",
    }


def test_the_job_before_is_the_last_one_of_the_phases_before() -> None:
    plan = plan_of(("a", "b"), ("c",), ("d",))
    run = samples.run_record(samples.new_run_id())
    envelope = Envelope(run, 0.0, earlier=earlier_of(plan))

    before = [envelope.job_before(phase, "web") for phase in ("p1", "p2", "p3")]

    assert before == [None, job_id(run.run_id, "p1", "web", "b"), job_id(run.run_id, "p2", "web", "c")]


def later(group: GroupPlan) -> GroupPlan:
    """The same tasks in a second group."""
    ((unit,),) = (phase.units for phase in group.phases)
    return GroupPlan(number=2, phases=(PhasePlan(name="later", units=(Unit(id=LATER, tasks=unit.tasks),)),))


async def submit(shop: Workshop, name: str, *, preferred: str) -> Job:
    """Queue a job as a dispatcher does, for somebody."""
    job = shop.jobs()[name]
    standing = await shop.ledger.open(job)
    await shop.bus.publish_job(subject_of(job), encode(job), None, standing.queued, preferred)
    return job


async def gone(shop: Workshop) -> bool | None:
    depth = await shop.bus.queue_depth(CI)
    return True if depth.pending + depth.in_flight == 0 else None


async def there(found: Sequence[object]) -> bool | None:
    return True if found else None
