"""What an outage leaves behind, and how a pass of the reconciler repairs it."""

from pathlib import Path

from msgspec.structs import replace
from tests.api.harness import Api, Story, open_api, sample_plan, statuses

from forge_api.service.outbox import drain
from forge_api.service.reconcile import reconcile
from forge_runtime import subject
from forge_runtime.engine.port import WorkflowPhase
from forge_runtime.job import JobState, decode_record, encode


async def begun(api: Api) -> Story:
    run_id = await api.new_run()
    await drain(api.platform)
    return Story(await api.run_record(run_id), sample_plan())


async def test_events_that_were_lost_are_made_up_from_records_while_the_run_goes_on(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        story.went("check/web/lint")
        await story.store(api.bus)

        await reconcile(api.platform)

        run = await api.run(story.run_id)
        assert run["status"] == "running"
        assert statuses(run)["check/web/lint"] == "succeeded"
        assert statuses(run)["check/api/lint"] == "pending"


async def test_workflow_that_ended_without_a_finish_event_ends_its_run(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        for address in story.jobs:
            story.went(address)
        await story.store(api.bus)
        api.engine.end(f"forge-{story.run_id}", WorkflowPhase.SUCCEEDED)

        await reconcile(api.platform)

        assert (await api.run(story.run_id))["status"] == "succeeded"


async def test_workflow_that_ended_before_anything_was_discovered_has_not_succeeded(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        api.engine.end(f"forge-{story.run_id}", WorkflowPhase.SUCCEEDED)

        await reconcile(api.platform)

        run = await api.run(story.run_id)
        assert run["status"] == "failed"
        assert "without having discovered" in run["error"]["message"]


async def test_failed_workflow_without_a_failed_job_fails_its_run_with_the_engines_words(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        api.engine.end(f"forge-{story.run_id}", WorkflowPhase.ERROR, "pod could not be scheduled")

        await reconcile(api.platform)

        run = await api.run(story.run_id)
        assert run["status"] == "failed"
        assert "pod could not be scheduled" in run["error"]["message"]
        assert statuses(run)["_discovery"] == "skipped"


async def test_jobs_that_nobody_waits_for_any_more_are_settled(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        story.went("check/web/lint")
        story.records[-1] = replace(story.records[-1], state=JobState.QUEUED, result=None, worker=None, started_at=None)
        await story.store(api.bus)
        api.engine.end(f"forge-{story.run_id}", WorkflowPhase.FAILED)

        await reconcile(api.platform)

        job_id = story.jobs["check/web/lint"].job_id
        entry = await api.bus.jobs.get(subject.job_key(story.run_id, job_id))
        assert entry is not None
        assert decode_record(entry.value).state is JobState.CANCELLED
        assert (await api.run(story.run_id))["status"] == "failed"


async def test_run_that_cannot_be_repaired_keeps_nobody_else_from_it(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        broken, whole = await begun(api), await api.new_run(branch="next")
        await drain(api.platform)
        broken.discover()
        broken.went("check/web/lint")
        record = broken.records[-1]
        await broken.store(api.bus)
        assert record.result is not None
        beyond_every_column = replace(record, result=replace(record.result, exit_code=2**63))
        await api.bus.jobs.put(subject.job_key(broken.run_id, record.job.job_id), encode(beyond_every_column))
        for run_id in (broken.run_id, whole):
            api.engine.end(f"forge-{run_id}", WorkflowPhase.ERROR, "gone")

        await reconcile(api.platform)

        assert (await api.run(broken.run_id))["status"] == "pending"
        assert (await api.run(whole))["status"] == "failed"


async def test_record_that_cannot_be_read_keeps_no_run_from_its_end(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        await drain(api.platform)
        await api.bus.jobs.put(subject.job_key(run_id, "j"), b"no record")
        api.engine.end(f"forge-{run_id}", WorkflowPhase.ERROR, "gone")

        await reconcile(api.platform)

        assert (await api.run(run_id))["status"] == "failed"


async def test_run_that_the_engine_forgot_before_it_began_is_submitted_again(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        api.engine.forget(f"forge-{story.run_id}")
        await reconcile(api.platform)
        await drain(api.platform)
        early = dict(api.engine.manifests)
        api.clock.forward(61)

        await reconcile(api.platform)
        await drain(api.platform)

        assert early == {}
        assert list(api.engine.manifests) == [f"forge-{story.run_id}"]


async def test_run_that_the_engine_forgot_while_it_ran_has_failed(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        await story.store(api.bus)
        await reconcile(api.platform)
        api.engine.forget(f"forge-{story.run_id}")

        await reconcile(api.platform)

        run = await api.run(story.run_id)
        assert run["status"] == "failed"
        assert "does not know the workflow" in run["error"]["message"]


async def test_cancelled_run_with_open_rows_is_closed_once_its_workflow_ended(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()
        story.went("check/web/lint")
        story.records[-1] = replace(story.records[-1], state=JobState.LEASED, result=None, lease_until=4e9)
        await story.store(api.bus)
        await reconcile(api.platform)
        await api.client.delete(f"/v1/runs/{story.run_id}")
        await drain(api.platform)
        open_before = statuses(await api.run(story.run_id))["check/web/lint"]
        lapsed = replace(story.records[-1], lease_until=0.0)
        await api.bus.jobs.put(subject.job_key(story.run_id, lapsed.job.job_id), encode(lapsed))
        api.engine.end(f"forge-{story.run_id}", WorkflowPhase.FAILED)

        await reconcile(api.platform)

        run = await api.run(story.run_id)
        assert open_before == "running"
        assert run["status"] == "cancelled"
        assert statuses(run)["check/web/lint"] == "cancelled"
