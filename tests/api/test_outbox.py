"""From a committed row to the engine: crashes, outages, refusals, cancellation."""

from dataclasses import replace
from pathlib import Path

from tests.api.harness import open_api, statuses

from forge_api.db import query
from forge_api.service.outbox import TERMINATE_AFTER, drain, run_record
from forge_runtime import subject
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.engine.memory import MemoryEngine
from forge_runtime.engine.port import WorkflowPhase
from forge_runtime.job import JobType
from forge_runtime.run import CancelReason, decode_cancel

UNKNOWN_JOB = "00000000-0000-5000-8000-000000000000"


async def test_submission_writes_the_run_record_before_the_workflow(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run(trigger_type="push", github_context={"run_id": "7"})

        await drain(api.platform)

        record = await api.run_record(run_id)
        assert record.repository == "acme/shop"
        assert record.clone_url == "https://github.com/acme/shop.git"
        assert (record.git.ref, record.git.branch) == ("refs/heads/main", "main")
        assert record.trigger_type == "push"
        assert record.traceparent is not None
        assert list(api.engine.manifests) == [f"forge-{run_id}"]
        manifest = api.engine.manifests[f"forge-{run_id}"]
        assert "nats://127.0.0.1:4222" in manifest
        assert str(tmp_path / "nats.token") in manifest
        assert "acme" not in manifest


async def test_process_that_dies_between_commit_and_drain_loses_nothing(tmp_path: Path) -> None:
    bus, engine = MemoryBus(), MemoryEngine()
    async with open_api(tmp_path, bus, engine) as api:
        run_id = await api.new_run()

    async with open_api(tmp_path, bus, engine) as api:
        api.clock.forward(1)
        await drain(api.platform)

        assert list(engine.manifests) == [f"forge-{run_id}"]


async def test_process_that_dies_between_submission_and_its_note_submits_once(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        async with api.platform.database.read() as session:
            run = await query.run(session, run_id)
        assert run is not None
        await drain(api.platform)
        again = run_record(run)
        async with api.platform.database.write() as session:
            entry = await query.entry(session, 1)
            assert entry is not None
            entry.done_at = None

        await drain(api.platform)

        assert list(api.engine.manifests) == [f"forge-{run_id}"]
        assert await api.run_record(run_id) == again


async def test_engine_that_is_away_is_asked_again_then_the_run_fails(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        api.engine.away = True

        for _ in range(2):
            await drain(api.platform)
            api.clock.forward(60)
        waiting = await api.run(run_id)
        await drain(api.platform)

        run = await api.run(run_id)
        assert waiting["status"] == "pending"
        assert run["status"] == "failed"
        assert run["error"]["code"] == "ARGO_SUBMIT_FAILED"
        assert statuses(run)["_discovery"] == "skipped"


async def test_engine_that_comes_back_in_time_gets_the_run(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        api.engine.away = True
        await drain(api.platform)
        api.engine.away = False
        api.clock.forward(60)

        await drain(api.platform)

        assert list(api.engine.manifests) == [f"forge-{run_id}"]


async def test_cancel_raises_the_flag_purges_the_queues_and_stops_the_workflow(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        await drain(api.platform)
        await api.bus.publish_job(subject.job_subject(JobType.CI, run_id, UNKNOWN_JOB), b"{}")
        await api.client.delete(f"/v1/runs/{run_id}")

        await drain(api.platform)

        entry = await api.bus.runs.get(subject.cancel_key(run_id))
        assert entry is not None
        assert decode_cancel(entry.value).reason is CancelReason.CANCELLED
        assert await api.bus.pull(subject.queue_of(JobType.CI), 0.01) is None
        assert api.engine.stopped == [f"forge-{run_id}"]
        assert api.engine.terminated == []


async def test_workflow_that_a_stop_does_not_end_is_terminated_after_a_minute(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        await drain(api.platform)
        await api.client.delete(f"/v1/runs/{run_id}")
        await drain(api.platform)

        api.clock.forward(TERMINATE_AFTER.total_seconds() - 5)
        await drain(api.platform)
        early = list(api.engine.terminated)
        api.clock.forward(10)
        await drain(api.platform)

        assert early == []
        assert api.engine.terminated == [f"forge-{run_id}"]


async def test_workflow_that_a_stop_ended_is_not_terminated(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        await drain(api.platform)
        await api.client.delete(f"/v1/runs/{run_id}")
        await drain(api.platform)
        api.engine.end(f"forge-{run_id}", WorkflowPhase.FAILED)
        api.clock.forward(120)

        await drain(api.platform)

        assert api.engine.terminated == []


async def test_run_cancelled_before_its_submission_is_never_submitted(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        await api.client.delete(f"/v1/runs/{run_id}")

        await drain(api.platform)

        assert api.engine.manifests == {}
        assert (await api.run(run_id))["status"] == "cancelled"


async def test_entry_that_cannot_be_carried_out_keeps_nobody_else_waiting(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        broken, whole = await api.new_run(), await api.new_run(branch="next")
        await api.bus.runs.put(subject.run_key(broken), b"no record")

        await drain(api.platform)

        assert list(api.engine.manifests) == [f"forge-{whole}"]


async def test_outage_of_the_bus_is_no_failed_submission(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        api.platform.bus = None
        for _ in range(5):
            await drain(api.platform)
            api.clock.forward(60)
        api.platform.bus = api.bus

        await drain(api.platform)

        assert list(api.engine.manifests) == [f"forge-{run_id}"]


async def test_manifest_that_the_engine_refuses_fails_the_run_at_once(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        api.platform.settings = replace(api.platform.settings, nats_url="nats://user:hunter2@h")

        await drain(api.platform)

        run = await api.run(run_id)
        assert (run["status"], run["error"]["code"]) == ("failed", "ARGO_SUBMIT_FAILED")
        assert "credentials" in run["error"]["message"]
        assert "hunter2" not in run["error"]["message"]
