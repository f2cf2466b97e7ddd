"""The dispatcher's leaves: what they submit, what they wait for, and how they exit."""

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
import time

import pytest
from msgspec.structs import replace
from tests.runtime import samples
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.workshop import PlannedDiscovery, Workshop, until

from forge_runtime import subject
from forge_runtime.dispatcher import Exit
from forge_runtime.event import EventKind
from forge_runtime.job import JobRecord, JobState, JobType
from forge_runtime.run import CancelReason
from forgec import ids

PASS = "true"
FAIL = "exit 3"
LONG = "sleep 60"


async def test_unit_succeeds_when_all_its_jobs_do(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS, "lint": PASS}], "api": [{"unit": PASS}]}) as shop:
        async with shop.worker():
            code = await shop.dispatch()

        assert code is Exit.SUCCEEDED
        assert set((await shop.states()).values()) == {JobState.SUCCEEDED}
        assert await shop.flag() is None


async def test_waves_of_a_task_run_in_order(open_workshop: OpenWorkshop) -> None:
    first = {"one": "echo first >> $OUT/order", "two": "echo first >> $OUT/order"}
    async with open_workshop({"web": [first, {"last": "echo second >> $OUT/order"}]}) as shop:
        async with shop.worker():
            code = await shop.dispatch()

        assert code is Exit.SUCCEEDED
        assert shop.lines("order") == ["first", "first", "second"]


async def test_failed_job_stops_its_siblings_within_two_seconds(open_workshop: OpenWorkshop) -> None:
    projects = {"web": [{"unit": LONG}], "api": [{"unit": FAIL}], "docs": [{"unit": PASS}, {"later": PASS}]}
    async with open_workshop(projects) as shop:
        async with shop.worker(slots=2):
            await shop.submit("web/unit")
            await shop.reach("web/unit", JobState.LEASED)
            started = time.monotonic()
            code = await shop.dispatch()
            took_s = time.monotonic() - started

        assert code is Exit.FAILED
        assert took_s < 2.0
        states = await shop.states()
        assert states["api/unit"] is JobState.FAILED
        assert states["web/unit"] is JobState.CANCELLED
        assert states["docs/later"] in (None, JobState.CANCELLED)
        flag = await shop.flag()
        assert flag is not None
        assert (flag.reason, flag.job_id) == (CancelReason.FAILED, shop.jobs()["api/unit"].job_id)


async def test_cancelled_run_stops_queued_and_running_jobs(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": LONG}], "api": [{"unit": LONG}]}) as shop, shop.worker(slots=1):
        dispatching = asyncio.create_task(shop.dispatch())
        await until(lambda: _one_leased(shop))
        started = time.monotonic()
        await shop.cancel()
        code = await dispatching

        assert code is Exit.STOPPED
        assert time.monotonic() - started < 2.0
        assert set((await shop.states()).values()) == {JobState.CANCELLED}


@pytest.mark.parametrize("words", [b'{"reason":"superseded","by":"api","at":1.0}', b"\x00"], ids=["newer", "damaged"])
async def test_flag_that_this_version_cannot_read_stops_the_run_as_well(
    open_workshop: OpenWorkshop, words: bytes
) -> None:
    async with open_workshop({"web": [{"unit": LONG}]}) as shop, shop.worker():
        dispatching = asyncio.create_task(shop.dispatch())
        await until(lambda: _one_leased(shop))
        await shop.bus.runs.create(subject.cancel_key(shop.run.run_id), words)

        assert await dispatching is Exit.STOPPED
        assert set((await shop.states()).values()) == {JobState.CANCELLED}


async def test_run_that_was_cancelled_before_starts_nothing(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        await shop.cancel()

        assert await shop.dispatch() is Exit.STOPPED
        assert await shop.record("web/unit") is None


async def test_dispatcher_exits_soon_after_the_last_record(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "sleep 0.5"}]}) as shop, shop.worker():
        dispatching = asyncio.create_task(shop.dispatch())
        await shop.reach("web/unit", JobState.SUCCEEDED)
        ended = time.monotonic()
        await dispatching

        assert time.monotonic() - ended < 0.3


async def test_two_dispatchers_at_once_run_each_job_once(open_workshop: OpenWorkshop) -> None:
    scripts = {"unit": "echo ran >> $OUT/runs", "lint": "echo ran >> $OUT/runs"}
    async with open_workshop({"web": [scripts], "api": [scripts]}) as shop, shop.worker():
        codes = await asyncio.gather(shop.dispatch(), shop.dispatch())

        assert set(codes) == {Exit.SUCCEEDED}
        assert len(shop.lines("runs")) == 4


async def test_dispatcher_started_again_takes_the_results_that_are_there(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "echo ran >> $OUT/runs"}]}) as shop:
        async with shop.worker():
            await shop.dispatch()

        assert await shop.dispatch() is Exit.SUCCEEDED
        assert shop.lines("runs") == ["ran"]


async def test_dispatcher_told_to_go_leaves_its_jobs_running(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "until [ -e $OUT/go ]; do sleep 0.05; done"}]}) as shop, shop.worker():
        dispatcher = shop.dispatcher()
        dispatching = asyncio.create_task(dispatcher.perform(shop.command()))
        await shop.reach("web/unit", JobState.LEASED)
        dispatcher.terminated.set()

        assert await dispatching is Exit.INFRASTRUCTURE
        (shop.folder / "go").touch()
        assert await shop.dispatch() is Exit.SUCCEEDED


async def test_units_of_single_steps_started_together_keep_the_order_of_waves(open_workshop: OpenWorkshop) -> None:
    first = {"one": "echo first >> $OUT/order", "two": "echo first >> $OUT/order"}
    waves = [first, {"middle": "echo second >> $OUT/order"}, {"last": "echo third >> $OUT/order"}]
    async with open_workshop({"web": waves}) as shop:
        await _plan_by_step(shop)
        async with shop.worker():
            codes = await asyncio.gather(*(shop.dispatch(unit=unit) for unit in reversed(shop.unit_ids())))

        assert len(codes) == 4
        assert set(codes) == {Exit.SUCCEEDED}
        assert shop.lines("order") == ["first", "first", "second", "third"]


async def test_unit_of_a_step_starts_the_waves_before_it_and_nothing_else(open_workshop: OpenWorkshop) -> None:
    waves = [{"deps": PASS}, {"lint": PASS, "unit": PASS}, {"later": PASS}]
    async with open_workshop({"web": waves, "api": [{"unit": PASS}]}) as shop:
        await _plan_by_step(shop)
        async with shop.worker():
            code = await shop.dispatch(unit=f"{samples.UNIT}-03")

        assert code is Exit.SUCCEEDED
        done = {name for name, state in (await shop.states()).items() if state is not None}
        assert done == {"web/deps", "web/unit"}


async def test_failure_of_an_earlier_wave_is_told_by_its_own_unit_alone(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": FAIL}, {"later": PASS}]}) as shop:
        await _plan_by_step(shop)
        async with shop.worker():
            codes = await asyncio.gather(*(shop.dispatch(unit=unit) for unit in shop.unit_ids()))

        assert codes == [Exit.FAILED, Exit.STOPPED]
        assert await shop.record("web/later") is None
        flag = await shop.flag()
        assert flag is not None
        assert (flag.reason, flag.job_id) == (CancelReason.FAILED, shop.jobs()["web/unit"].job_id)


async def test_unit_of_a_step_that_is_cancelled_while_it_waits_stops(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": LONG}, {"later": PASS}]}) as shop, shop.worker():
        await _plan_by_step(shop)
        dispatching = [asyncio.create_task(shop.dispatch(unit=unit)) for unit in shop.unit_ids()]
        await shop.reach("web/unit", JobState.LEASED)
        await shop.cancel()

        assert await asyncio.gather(*dispatching) == [Exit.STOPPED, Exit.STOPPED]
        assert await shop.states() == {"web/unit": JobState.CANCELLED, "web/later": None}


async def test_run_beyond_its_deadline_is_stopped(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": LONG}]}) as shop, shop.worker():
        await samples.store_run(shop.bus, samples.run_record(shop.run.run_id, deadline_at=time.time() + 0.5))

        assert await shop.dispatch() is Exit.STOPPED
        flag = await shop.flag()
        assert flag is not None
        assert flag.reason is CancelReason.DEADLINE


async def test_dispatcher_whose_clock_is_days_ahead_ends_no_run(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        dispatcher = shop.dispatcher()
        dispatcher._ledger = dataclasses.replace(shop.ledger, clock=lambda: time.time() + 3 * 24 * 3600)
        dispatching = asyncio.create_task(dispatcher.perform(shop.command()))
        await shop.reach("web/unit", JobState.QUEUED)
        async with shop.worker():
            assert await dispatching is Exit.SUCCEEDED


async def test_full_queue_is_waited_for(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        queue = subject.queue_of(JobType.DISCOVERY)
        others = samples.new_run_id()
        for number in range(queue.messages_max):
            await shop.bus.publish_job(subject.job_subject(JobType.DISCOVERY, others, str(number)), b"")
        dispatching = asyncio.create_task(shop.dispatch("discover"))
        await until(lambda: _discovery_record(shop))
        await shop.bus.purge(queue, subject.run_subjects(queue, others))

        async with shop.worker(shop.bench(handlers={JobType.DISCOVERY: PlannedDiscovery(shop.plan, shop.digest)})):
            assert await dispatching is Exit.SUCCEEDED


async def test_discover_writes_the_outputs_of_its_plan(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        discovery = {JobType.DISCOVERY: PlannedDiscovery(shop.plan, shop.digest)}
        async with shop.worker(shop.bench(handlers=discovery)):
            code = await shop.dispatch("discover")

        assert code is Exit.SUCCEEDED
        outputs = {path.name: path.read_text() for path in (shop.folder / "outputs").iterdir()}
        assert outputs.pop("plan") == shop.digest
        assert json.loads(outputs.pop("release")) == ["release-s001"]
        assert json.loads(outputs.pop("group-01")) == [samples.UNIT]
        assert outputs == {f"group-{index:02d}": "[]" for index in range(2, 17)}


async def test_outputs_that_cannot_be_written_may_be_tried_again(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        (shop.folder / "outputs").write_text("in the way")
        discovery = {JobType.DISCOVERY: PlannedDiscovery(shop.plan, shop.digest)}
        async with shop.worker(shop.bench(handlers=discovery)):
            assert await shop.dispatch("discover") is Exit.INFRASTRUCTURE


async def test_finish_settles_what_no_dispatcher_holds_and_tells_the_end(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": LONG, "lint": PASS}]}) as shop, shop.worker(slots=1):
        await shop.submit("web/unit")
        await shop.reach("web/unit", JobState.LEASED)
        await shop.submit("web/lint")
        code = await shop.dispatch("finish", status="failed")

        assert code is Exit.SUCCEEDED
        assert set((await shop.states()).values()) == {JobState.CANCELLED}
        finish = (await shop.events("failed"))[-1]
        assert (finish.kind, finish.plan_digest) == (EventKind.FINISH, shop.digest)


async def test_finish_of_a_run_that_succeeded_raises_no_flag(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        async with shop.worker():
            await shop.dispatch()

        assert await shop.dispatch("finish") is Exit.SUCCEEDED
        assert await shop.flag() is None


async def test_plan_that_is_not_stored_is_a_configuration_error(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        shop.digest = "sha256:" + "0" * 64

        assert await shop.dispatch() is Exit.CONFIGURATION


@pytest.mark.parametrize("unit", ["g09-test-s001", "g01-test-s001-01", "release-s002"])
async def test_unit_that_cannot_be_run_is_a_configuration_error(open_workshop: OpenWorkshop, unit: str) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        assert await shop.dispatch(unit=unit) is Exit.CONFIGURATION


async def test_run_without_record_is_a_configuration_error(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        shop.run = samples.run_record(samples.new_run_id())

        assert await shop.dispatch() is Exit.CONFIGURATION


async def test_record_that_cannot_be_read_is_a_configuration_error_and_lets_the_run_end(
    open_workshop: OpenWorkshop,
) -> None:
    async with open_workshop({"web": [{"unit": PASS}]}) as shop:
        job = shop.jobs()["web/unit"]
        await shop.bus.jobs.put(subject.job_key(job.run_id, job.job_id), b"{")

        assert await shop.dispatch() is Exit.CONFIGURATION
        assert await shop.dispatch("finish", status="failed") is Exit.SUCCEEDED
        assert (await shop.events("failed"))[-1].kind is EventKind.FINISH


def test_process_without_a_bus_says_so_and_exits_with_78() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "forge_runtime.dispatcher", "discover", "--run", f"forge-{samples.new_run_id()}"],
        env={key: value for key, value in os.environ.items() if key != "NATS_URL"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == Exit.CONFIGURATION
    line = json.loads(ended.stderr)
    assert line["component"] == "dispatcher"
    assert "NATS_URL" in line["why"]


def test_dispatcher_loads_base_dependencies_only() -> None:
    own = {"forge_runtime", "forgec", "msgspec", "nats"}
    taken_if_there = {"typing_extensions"}  # by msgspec
    heavy = {"argparse", "gettext", "multiprocessing", "optparse", "sqlite3", "unittest", "xml"}
    script = "import sys; before = set(sys.modules); import forge_runtime.dispatcher; print(*set(sys.modules) - before)"

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)

    packages = {name.partition(".")[0] for name in ended.stdout.split()}
    assert packages - taken_if_there - sys.stdlib_module_names == own
    assert packages & heavy == set()


async def _one_leased(shop: Workshop) -> bool | None:
    return JobState.LEASED in (await shop.states()).values() or None


async def _discovery_record(shop: Workshop) -> JobRecord | None:
    return await shop.ledger.read(shop.run.run_id, ids.discovery_job_id(shop.run.run_id))


async def _plan_by_step(shop: Workshop) -> None:
    """The same plan with a dispatcher for each step."""
    (group,) = shop.plan.groups
    (phase,) = group.phases
    units = tuple(replace(unit, by_step=True) for unit in phase.units)
    await shop.plans(replace(shop.plan, groups=(replace(group, phases=(replace(phase, units=units),)),)))
