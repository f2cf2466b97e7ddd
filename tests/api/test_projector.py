"""Events into rows: one after another, and in every other order, late, twice, or before their rows."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.api.harness import Api, Story, open_api, sample_plan, statuses

from forge_api.service.batch import batches
from forge_api.service.outbox import drain
from forge_api.service.projector import project_events, settle
from forge_runtime import subject
from forge_runtime.bus.port import BusUnavailable, EventDelivery
from forge_runtime.event import Event, EventKind
from forge_runtime.job import JobState, encode
from forge_runtime.run import CancelFlag, CancelReason


async def begun(api: Api) -> Story:
    """The story of a run that was created and submitted, and did nothing yet."""
    run_id = await api.new_run()
    await drain(api.platform)
    return Story(await api.run_record(run_id), sample_plan())


async def tell(api: Api, story: Story, together: int = 1) -> dict[str, Any]:
    await story.store(api.bus)
    for start in range(0, len(story.events), together):
        await project_events(api.platform, story.run_id, story.events[start : start + together])
    return await api.run(story.run_id)


def all_went_well(story: Story) -> None:
    story.discover()
    for address in story.jobs:
        story.went(address)


async def test_running_discovery_makes_the_run_discovering(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()

        await project_events(api.platform, story.run_id, story.events[:1])

        run = await api.run(story.run_id)
        assert run["status"] == "discovering"
        assert run["started_at"] is not None
        assert statuses(run)["_discovery/_repository/discover"] == "running"


async def test_ended_discovery_makes_the_rows_of_the_plan(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()

        run = await tell(api, story)

        assert run["status"] == "running"
        assert run["plan_digest"] == story.digest
        assert statuses(run) == {
            "_discovery": "succeeded",
            "_discovery/_repository/discover": "succeeded",
            "check": "pending",
            "check/web/lint": "pending",
            "check/api/lint": "pending",
            "docs": "skipped",
            "test": "pending",
            "test/api/unit": "pending",
            "test/api/smoke": "pending",
        }
        test = next(phase for phase in run["phases"] if phase["name"] == "test")
        assert [step["name"] for step in test["tasks"][0]["steps"]] == ["unit", "smoke"]
        assert test["tasks"][0]["project_path"] == "services/api"


async def test_discovery_document_is_shown_where_it_is_asked_for(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        await tell(api, story)

        asked = await api.client.get(f"/v1/runs/{story.run_id}?include=discovery")

        assert asked.json()["discovery"] == {"schemaVersion": 1, "projects": []}
        assert (await api.run(story.run_id))["discovery"] is None


async def test_run_of_which_every_job_succeeded_has_succeeded(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        all_went_well(story)
        story.finish()

        run = await tell(api, story)

        assert run["status"] == "succeeded"
        assert run["error"] is None
        assert run["completed_at"] > run["started_at"]
        assert set(statuses(run).values()) == {"succeeded", "skipped"}
        step = run["phases"][1]["tasks"][0]["steps"][0]
        assert (step["attempt"], step["worker"], step["exit_code"]) == (1, "worker-1", 0)
        assert step["logs_url"] == f"/v1/steps/{step['id']}/logs"


async def test_first_failure_is_the_runs_error_while_it_still_runs(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        story.went("check/api/lint", JobState.FAILED)
        story.went("check/web/lint", JobState.FAILED)

        run = await tell(api, story)

        assert run["status"] == "running"
        assert (run["error"]["code"], run["error"]["message"]) == ("STEP_FAILED", "exit code 3")
        context = run["error"]["context"]
        assert (context["phase"], context["project"], context["step"]) == ("check", "api", "lint")
        assert context["step_id"] == run["phases"][1]["tasks"][0]["steps"][0]["id"]


async def test_failed_run_closes_what_never_started_as_skipped(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        story.went("check/api/lint", JobState.FAILED)
        story.went("check/web/lint", JobState.CANCELLED)
        story.finish("failed")

        run = await tell(api, story)

        assert run["status"] == "failed"
        found = statuses(run)
        assert (found["check"], found["check/web/lint"], found["test"]) == ("failed", "cancelled", "skipped")


async def test_run_whose_flag_says_cancelled_is_cancelled_even_if_a_job_failed_since(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        story.went("check/api/lint", JobState.FAILED)
        flag = CancelFlag(reason=CancelReason.CANCELLED, by="api", at=0.0)
        await api.bus.runs.create(subject.cancel_key(story.run_id), encode(flag))
        story.finish("failed")

        run = await tell(api, story)

        assert run["status"] == "cancelled"
        assert statuses(run)["test/api/unit"] == "cancelled"


@pytest.mark.parametrize(
    ("reason", "code"), [(CancelReason.DEADLINE, "JOB_EXPIRED"), (CancelReason.FAILED, "INTERNAL"), (None, "INTERNAL")]
)
async def test_run_that_failed_without_a_failed_step_says_why(
    tmp_path: Path, reason: CancelReason | None, code: str
) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        all_went_well(story)
        if reason is not None:
            flag = CancelFlag(reason=reason, by="sweeper", at=0.0)
            await api.bus.runs.create(subject.cancel_key(story.run_id), encode(flag))
        story.finish("failed")

        run = await tell(api, story)

        assert run["status"] == "failed"
        assert run["error"]["code"] == code
        assert run["error"]["message"]


async def test_finish_reads_records_whose_events_were_lost(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        all_went_well(story)
        await story.store(api.bus)

        await project_events(api.platform, story.run_id, [story.finish()])

        run = await api.run(story.run_id)
        assert run["status"] == "succeeded"
        assert set(statuses(run).values()) == {"succeeded", "skipped"}


async def test_event_of_an_earlier_attempt_changes_nothing(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        story.went("check/api/lint", starts=2)
        first, second, _ = story.events[-3:]
        await tell(api, story)
        before = await api.run(story.run_id)

        for event in (first, second):
            await project_events(api.platform, story.run_id, [event])

        assert await api.run(story.run_id) == before
        assert before["phases"][1]["tasks"][0]["steps"][0]["worker"] == "worker-2"


async def test_event_of_a_run_that_is_not_here_is_ignored(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        stranger = "018f0000-0000-7000-8000-000000000000"
        event = Event(kind=EventKind.STEP, run_id=stranger, status="running", at="2026-01-01T00:00:00Z")

        await project_events(api.platform, stranger, [event])

        assert (await api.client.get("/v1/runs")).json()["total"] == 1


async def test_late_event_of_a_cancelled_run_changes_nothing_that_is_final(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        all_went_well(story)
        await api.client.delete(f"/v1/runs/{story.run_id}")

        run = await tell(api, story)

        assert run["status"] == "cancelled"
        assert statuses(run)["_discovery"] == "cancelled"


async def test_events_that_cannot_be_merged_do_not_take_others_with_them(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        await story.store(api.bus)
        broken = structs.replace(story.events[-1], plan_digest="sha256:" + "0" * 64, data={"discovery_digest": 5})
        acked: list[str] = []
        told = [b"{}", encode(broken), *map(encode, story.events), b"not json"]
        target = subject.event_subject(story.run_id, EventKind.DISCOVERY)

        await settle(api.platform, [_delivery(target, data, acked, str(number)) for number, data in enumerate(told)])

        assert acked == [str(number) for number in range(len(told))]
        assert (await api.run(story.run_id))["status"] == "running"


@pytest.mark.parametrize("told_as", [EventKind.STEP, EventKind.FINISH])
async def test_event_is_believed_under_its_own_subject_only(tmp_path: Path, told_as: EventKind) -> None:
    """A worker may publish events of steps: it must not end a run by what it writes into one."""
    async with open_api(tmp_path) as api:
        story = await begun(api)
        all_went_well(story)
        story.finish()
        await story.store(api.bus)
        finish = story.events[-1]
        target = subject.event_subject(story.run_id, told_as)

        await settle(api.platform, [_delivery(target, encode(finish), [])])

        assert finish.kind is EventKind.FINISH
        assert ((await api.run(story.run_id))["status"] == "succeeded") is (told_as is EventKind.FINISH)


async def test_events_that_arrived_together_come_as_one_batch() -> None:
    async def items() -> AsyncIterator[int]:
        for number in range(5):
            yield number

    found = [batch async for batch in batches(items(), 3)]

    assert [number for batch in found for number in batch] == list(range(5))
    assert max(map(len, found)) == 3


async def test_a_stream_that_breaks_breaks_its_batches() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        raise BusUnavailable("gone")

    async def take() -> None:
        async for _ in batches(items(), 3):
            pass

    with pytest.raises(BusUnavailable):
        await take()


def _delivery(target: str, data: bytes, acked: list[str], name: str = "") -> EventDelivery:
    async def ack() -> None:
        acked.append(name)

    return EventDelivery(subject=target, data=data, ack=ack)


ENDS = st.sampled_from([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED])


@dataclass(frozen=True)
class Telling:
    """How discovery and the four jobs went, the order in which the events arrive, how many at once, and which again."""

    discovery_starts: int
    went: list[tuple[JobState, int, bool]]
    order: list[int]
    together: int
    repeats: list[int]


@st.composite
def tellings(draw: st.DrawFn) -> Telling:
    starts = draw(st.integers(1, 2))
    went = draw(st.lists(st.tuples(ENDS, st.integers(1, 3), st.booleans()), min_size=4, max_size=4))
    count = starts + 2 + sum(starts + 1 + handed_back for _, starts, handed_back in went)
    order = draw(st.permutations(range(count)))
    repeats = draw(st.lists(st.integers(0, count - 1), max_size=6))
    return Telling(starts, went, order, draw(st.integers(1, count)), repeats)


@given(tellings())
# An example takes half a second, so one that fails is reported as it is: shrinking it would take minutes.
@settings(
    max_examples=20,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
def test_any_order_of_events_with_repeats_ends_in_the_same_rows(telling: Telling) -> None:
    async def told(order: list[int], together: int) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as directory:
            async with open_api(Path(directory)) as api:
                story = await begun(api)
                story.discover(starts=telling.discovery_starts)
                for address, (state, starts, handed_back) in zip(story.jobs, telling.went, strict=True):
                    story.went(address, state, starts, handed_back=handed_back)
                story.finish("failed" if any(state is JobState.FAILED for state, _, _ in telling.went) else "succeeded")
                story.events = [story.events[index] for index in order]
                return await tell(api, story, together)

    in_order = asyncio.run(told(list(range(len(telling.order))), 1))
    shuffled = asyncio.run(told([*telling.order, *telling.repeats], telling.together))

    assert shuffled == in_order
