"""A release: artifacts together, then the release with what they came to, then the deployments that it names."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nats_server import NatsServer
from tests.runtime import samples
from tests.runtime.conftest import OpenWorkshop
from tests.runtime.stages import Stages
from tests.runtime.workshop import ScriptHandler, Workshop, until

from forge_runtime import subject
from forge_runtime.bus.jetstream import connect
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.bus.provision import provision
from forge_runtime.dispatcher import Exit
from forge_runtime.envelope import DEPLOYMENT_LIMITS, Envelope
from forge_runtime.event import EventKind
from forge_runtime.job import (
    RESULT_INLINE_BYTES_MAX,
    ArtifactPayload,
    DeploymentPayload,
    Git,
    Job,
    JobState,
    JobType,
    ReleaseData,
    ReleasePayload,
    RequestedDeployment,
    decode_record,
    encode,
)
from forge_runtime.requeue import Requeuer
from forge_runtime.run import CancelReason
from forge_runtime.sweeper import Sweeper
from forgec import ids
from forgec.plan.model import ReleaseProject

WEB = samples.released("web", "docs", "image")
ORDER = ["web/artifact:docs", "web/artifact:image", "web/release", "web/deploy:dev", "web/deploy:test"]
STAGES = ["web/artifact:image", "web/release", "web/deploy:test"]


async def test_each_stage_begins_when_the_one_before_has_ended(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, WEB) as shop:
        stages = Stages()
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            code = await _release(shop)

        assert code is Exit.SUCCEEDED
        assert [sorted(stages.started[:2]), stages.started[2], sorted(stages.started[3:])] == [
            ORDER[:2],
            ORDER[2],
            ORDER[3:],
        ]
        assert set((await _states(shop)).values()) == {JobState.SUCCEEDED}
        assert await shop.flag() is None


async def test_artifacts_of_one_release_and_projects_of_one_unit_go_on_together(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, WEB, samples.released("api", "image")) as shop:
        stages = Stages()
        stages.held = {"web/artifact:docs", "web/artifact:image", "api/deploy:dev", "api/deploy:test"}
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            releasing = asyncio.create_task(_release(shop))
            await until(lambda: _all_started(stages, stages.held))
            await shop.cancel()

            assert await releasing is Exit.STOPPED
        assert "web/release" not in stages.started


async def test_each_job_is_told_what_it_needs(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, WEB) as shop:
        shop.run = msgspec.structs.replace(
            shop.run, trigger_type="push", git=Git(ref="refs/heads/main", branch="main"), triggered_by="github:ada"
        )
        await samples.store_run(shop.bus, shop.run)
        stages = Stages()
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            await _release(shop)

    release_id = ids.release_id(shop.run.repository, "web", shop.run.commit_sha)
    artifact = msgspec.json.decode(stages.jobs["web/artifact:image"].payload, type=ArtifactPayload)
    assert (artifact.artifact.name, artifact.project_path, artifact.release_id) == ("image", "web", release_id)
    assert artifact.artifact.producer == {"earthly": {"target": "+dist"}}
    assert artifact.publishers["docs"] == {"type": "docs", "bucket": "docs"}
    release = msgspec.json.decode(stages.jobs["web/release"].payload, type=ReleasePayload)
    assert (release.trigger.trigger_type, release.trigger.branch, release.trigger.tag) == ("branch_push", "main", None)
    assert [data.tracking_oci_uri for data in stages.built["web"]] == ["registry.test/docs", "registry.test/image"]
    deployment = msgspec.json.decode(stages.jobs["web/deploy:test"].payload, type=DeploymentPayload)
    assert deployment == DeploymentPayload(
        deployment_id="web-test",
        release_id="release-of-web",
        repository=shop.run.repository,
        project="web",
        commit_sha=shop.run.commit_sha,
        oci_digest="sha256:1",
        environment="test",
        actor="github:ada",
        release_number=7,
    )


async def test_release_without_artifacts_and_without_deployments_is_one_job(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, samples.released("web", deploy=False)) as shop:
        stages = Stages()
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            assert await _release(shop) is Exit.SUCCEEDED

        assert stages.started == ["web/release"]


async def test_events_tell_what_was_released_and_deployed(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, samples.released("web", "image")) as shop:
        async with shop.worker(shop.bench(handlers=Stages(["dev"]).handlers)):
            await _release(shop)
        await shop.dispatch("finish", status="failed")  # a word that no other event has
        ended = [event for event in await shop.events("failed") if event.status == "succeeded"]

    assert [event.kind for event in ended] == [EventKind.STEP, EventKind.RELEASE, EventKind.DEPLOYMENT]
    assert [event.address.step for event in ended if event.address] == ["artifact:image", "release", "deploy:dev"]
    assert ended[1].data["release_number"] == 7
    assert ended[2].data["gitops_commit_sha"] == "0" * 40
    assert {event.plan_digest for event in ended} == {shop.digest}


@pytest.mark.parametrize("failing", ["web/artifact:image", "web/release"])
async def test_failure_before_the_release_is_out_ends_the_run(open_workshop: OpenWorkshop, failing: str) -> None:
    async with _released(open_workshop, WEB, samples.released("api", "slow")) as shop:
        stages = Stages()
        stages.failing = {failing: "user"}
        stages.held = {"api/artifact:slow"}
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            code = await _release(shop)

        assert code is Exit.FAILED
        states = await _states(shop)
        assert states[failing] is JobState.FAILED
        assert states["api/artifact:slow"] is JobState.CANCELLED
        assert not {name for name in stages.started if "deploy" in name}
        flag = await shop.flag()
        assert flag is not None
        assert (flag.reason, flag.job_id) == (CancelReason.FAILED, _job_id(shop, failing))


async def test_failed_deployment_leaves_the_release_and_the_run_as_they_are(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, WEB) as shop:
        stages = Stages()
        stages.failing = {"web/deploy:dev": "policy"}
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            code = await _release(shop)

        assert code is Exit.SUCCEEDED
        states = await _states(shop)
        assert states.pop("web/deploy:dev") is JobState.FAILED
        assert set(states.values()) == {JobState.SUCCEEDED}
        assert await shop.flag() is None


@pytest.mark.parametrize("stage", STAGES)
async def test_cancel_stops_a_release_at_any_stage(open_workshop: OpenWorkshop, stage: str) -> None:
    async with _released(open_workshop, WEB) as shop:
        stages = Stages()
        stages.held = {stage}
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            releasing = asyncio.create_task(_release(shop))
            await until(lambda: _all_started(stages, {stage}))
            began = time.monotonic()
            await shop.cancel()
            code = await releasing

        assert code is Exit.STOPPED
        assert time.monotonic() - began < 2.0
        states = await _states(shop)
        assert states[stage] is JobState.CANCELLED
        assert {state for state in states.values() if state is not None and not state.terminal} == set()


@pytest.mark.parametrize("stage", STAGES)
async def test_queued_job_of_any_stage_is_settled_by_a_dispatcher_that_begins_anew(
    open_workshop: OpenWorkshop, stage: str
) -> None:
    async with _released(open_workshop, WEB) as shop:
        stages = Stages()
        await _until_queued(shop, stages, stage)
        await shop.cancel()

        assert await _release(shop) is Exit.STOPPED
        assert (await _states(shop))[stage] is JobState.CANCELLED
        queue = subject.queue_of(JobType.ARTIFACT if "artifact" in stage else JobType.RELEASE)
        assert await shop.bus.purge(queue, subject.run_subjects(queue, shop.run.run_id)) == 0


@pytest.mark.parametrize("stage", STAGES)
async def test_dispatcher_told_to_go_leaves_the_release_to_the_next_one(
    open_workshop: OpenWorkshop, stage: str
) -> None:
    async with _released(open_workshop, WEB) as shop:
        stages = Stages()
        await _until_queued(shop, stages, stage)
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            assert await _release(shop) is Exit.SUCCEEDED

        assert sorted(stages.started) == sorted(ORDER)


async def test_two_dispatchers_at_once_start_each_job_once(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, WEB, samples.released("api", "image")) as shop:
        stages = Stages()
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            codes = await asyncio.gather(_release(shop), _release(shop))

        assert codes == [Exit.SUCCEEDED, Exit.SUCCEEDED]
        assert len(stages.started) == len(set(stages.started)) == 9


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60)), max_size=8))
def test_dispatchers_killed_anywhere_start_each_job_once(
    tmp_path_factory: pytest.TempPathFactory, kills: list[tuple[int, int]]
) -> None:
    """Two dispatchers; of one or the other, kill after kill, nothing is left after so many turns of the loop."""

    async def release() -> None:
        shop = Workshop(MemoryBus(), tmp_path_factory.mktemp("shop"))
        await shop.prepare({})
        await shop.plans(samples.plan_of({}, [WEB]))
        stages = Stages()
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            dispatchers = [asyncio.create_task(_release(shop)) for _ in range(2)]
            for which, turns in kills:
                for _ in range(turns):
                    await asyncio.sleep(0)
                dispatchers[which].cancel()
                await asyncio.wait([dispatchers[which]])
                dispatchers[which] = asyncio.create_task(_release(shop))

            assert await asyncio.gather(*dispatchers) == [Exit.SUCCEEDED, Exit.SUCCEEDED]
        assert sorted(stages.started) == sorted(ORDER)
        assert stages.started.index("web/release") == 2

    asyncio.run(asyncio.wait_for(release(), 30))


async def test_dispatcher_process_killed_at_each_stage_starts_each_job_once(
    nats_server: NatsServer, tmp_path: Path
) -> None:
    bus = await connect(nats_server.settings("worker-test"))
    await provision(bus)
    shop = Workshop(bus, tmp_path / "shop")
    shop.folder.mkdir()
    await shop.prepare({})
    await shop.plans(samples.plan_of({}, [WEB]))
    stages = Stages()
    arguments = ("run", "--run", f"forge-{shop.run.run_id}", "--plan", shop.digest, "--unit", samples.RELEASE_UNIT)
    environment = {"NATS_URL": nats_server.url, "NATS_CREDENTIALS": str(nats_server.token_file)}

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "forge_runtime.dispatcher", *arguments, env=environment
        )

    for stage in STAGES:
        killed = await start()
        await until(lambda: _opened(shop, stage))  # noqa: B023 - awaited within the turn
        killed.kill()
        await killed.wait()
        await _work_off(shop, stages, JobType.ARTIFACT if "artifact" in stage else JobType.RELEASE)
    last = await start()

    assert await last.wait() == Exit.SUCCEEDED
    assert sorted(stages.started) == sorted(ORDER)
    await bus.close()


async def test_result_too_large_for_a_record_reaches_the_release(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, WEB) as shop:
        stages = Stages(bulk={"image": "x" * RESULT_INLINE_BYTES_MAX})
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            assert await _release(shop) is Exit.SUCCEEDED

    told = msgspec.json.decode(stages.jobs["web/release"].payload, type=ReleasePayload)
    assert [(each.data is None, each.result_ref is None) for each in told.artifacts] == [(False, True), (True, False)]
    assert [len(data.outputs["bulk"]) for data in stages.built["web"]] == [0, RESULT_INLINE_BYTES_MAX]


async def test_result_that_the_object_store_has_lost_is_the_infrastructures_failure(
    open_workshop: OpenWorkshop,
) -> None:
    async with _released(open_workshop, samples.released("web", "image")) as shop:
        stages = Stages(bulk={"image": "x" * RESULT_INLINE_BYTES_MAX})
        bench = shop.bench(handlers=stages.handlers)
        await _until_queued(shop, stages, "web/release")
        record = await shop.ledger.read(shop.run.run_id, _job_id(shop, "web/artifact:image"))
        assert record is not None
        assert record.result is not None
        assert record.result.result_ref is not None
        key = record.result.result_ref.key
        good = await bench.blob.get(key)
        assert good is not None
        await bench.blob.put(key, good.replace(b"x", b"y"), cls="result")
        async with shop.worker(bench):
            releasing = asyncio.create_task(_release(shop))
            await until(lambda: _all_started(stages, {"web/release"}))
            await bench.blob.put(key, good, cls="result")

            assert await releasing is Exit.SUCCEEDED
    assert stages.started.count("web/release") == 2


async def test_fifty_results_that_do_not_fit_together_reach_the_release_all(open_workshop: OpenWorkshop) -> None:
    names = [f"a{number:02d}" for number in range(50)]
    async with _released(open_workshop, samples.released("web", *names)) as shop:
        stages = Stages(bulk=dict.fromkeys(names[1:], "x" * (RESULT_INLINE_BYTES_MAX // 4)))
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            assert await _release(shop) is Exit.SUCCEEDED

    job = stages.jobs["web/release"]
    told = msgspec.json.decode(job.payload, type=ReleasePayload)
    assert [each.artifact_name for each in told.artifacts if each.data is not None] == names[:4]
    assert len(encode(job)) < RESULT_INLINE_BYTES_MAX + 16 * 1024
    assert [data.artifact_name for data in stages.built["web"]] == names
    assert len(stages.built["web"][-1].outputs["bulk"]) == RESULT_INLINE_BYTES_MAX // 4


async def test_artifact_that_does_not_fit_into_a_job_is_a_configuration_error(
    open_workshop: OpenWorkshop, caplog: pytest.LogCaptureFixture
) -> None:
    project = samples.released("web", "image")
    project = msgspec.structs.replace(project, publishers={**project.publishers, "docs": {"prefix": "x" * 600_000}})
    async with _released(open_workshop, project) as shop:
        assert await _release(shop) is Exit.CONFIGURATION

    assert 'step "artifact:image" of project "web"' in caplog.records[-1].why  # type: ignore[attr-defined]


async def test_release_that_names_an_environment_twice_is_refused(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, samples.released("web")) as shop:
        stages = Stages(["dev", "dev"])
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            assert await _release(shop) is Exit.CONFIGURATION

        assert stages.started == ["web/release"]


@pytest.mark.parametrize(("stage", "code"), [(STAGES[0], Exit.FAILED), (STAGES[2], Exit.SUCCEEDED)])
async def test_job_of_a_pool_that_nobody_serves_expires(open_workshop: OpenWorkshop, stage: str, code: Exit) -> None:
    async with _released(open_workshop, samples.released("web", "image")) as shop:
        stages = Stages(["test"])
        await _until_queued(shop, stages, stage)
        releasing = asyncio.create_task(_release(shop))
        try:
            await _sweep_when_late(shop, stage, DEPLOYMENT_LIMITS.schedule_to_start_s + 1)

            assert await releasing is code
        finally:
            releasing.cancel()
        record = await shop.ledger.read(shop.run.run_id, _job_id(shop, stage))
        assert record is not None
        assert record.result is not None
        assert record.result.error is not None
        assert (record.state, record.result.error.code) == (JobState.EXPIRED, "JOB_EXPIRED")
        assert (await shop.flag() is None) is (code is Exit.SUCCEEDED)


async def test_deployment_by_hand_that_was_given_up_is_requeued_and_done(open_workshop: OpenWorkshop) -> None:
    async with _released(open_workshop, WEB) as shop:
        job = await _deploy_by_hand(shop)
        stages = Stages()
        stages.failing = {"web/deploy:dev": "infra"}
        async with shop.worker(shop.bench(handlers=stages.handlers)):
            await until(lambda: _ended(shop, job))
            (letter,) = await until(lambda: _letters(shop))
            stages.failing.clear()
            await Requeuer(shop.ledger).requeue(letter)
            state = await until(lambda: _succeeded(shop, job))

        assert state is JobState.SUCCEEDED
        assert stages.started == ["web/deploy:dev"] * 4
        assert await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=1) == []


async def test_steps_and_releases_of_one_run_do_not_mix(open_workshop: OpenWorkshop) -> None:
    async with open_workshop({"web": [{"unit": "echo ran >> $OUT/runs"}]}) as shop:
        stages = Stages()
        handlers = {JobType.CI: ScriptHandler(shop.folder), **stages.handlers}
        async with shop.worker(shop.bench(handlers=handlers)):
            codes = [await shop.dispatch(), await _release(shop)]

        assert codes == [Exit.SUCCEEDED, Exit.SUCCEEDED]
        assert shop.lines("runs") == ["ran"]
        assert stages.started == ["web/release"]


@asynccontextmanager
async def _released(open_workshop: OpenWorkshop, *projects: ReleaseProject) -> AsyncIterator[Workshop]:
    async with open_workshop({}) as shop:
        await shop.plans(samples.plan_of({}, projects))
        yield shop


async def _release(shop: Workshop) -> Exit:
    return await shop.dispatch(unit=samples.RELEASE_UNIT)


async def _until_queued(shop: Workshop, stages: Stages, stage: str) -> None:
    """Go on until a job of this stage is queued, nobody working on it; each dispatcher on the way is told to go."""
    for reached in [name for name in STAGES if STAGES.index(name) <= STAGES.index(stage)]:
        dispatcher = shop.dispatcher()
        releasing = asyncio.create_task(dispatcher.perform(shop.command(unit=samples.RELEASE_UNIT)))
        await until(lambda: _opened(shop, reached))  # noqa: B023 - awaited within the turn
        dispatcher.terminated.set()
        assert await releasing is Exit.INFRASTRUCTURE
        if reached != stage:
            await _work_off(shop, stages, JobType.ARTIFACT if "artifact" in reached else JobType.RELEASE)


async def _work_off(shop: Workshop, stages: Stages, job_type: JobType) -> None:
    """Do all jobs of a pool that there are, whether or not their message was published."""
    async with shop.worker(shop.bench(handlers={job_type: stages, **_siblings(job_type, stages)})):
        for record in await shop.ledger.records(shop.run.run_id):
            if not record.state.terminal:
                await shop.bus.publish_job(subject.subject_of(record.job), encode(record.job))
        await until(lambda: _none_open(shop))


def _siblings(job_type: JobType, stages: Stages) -> dict[JobType, Stages]:
    return {JobType.DEPLOYMENT: stages} if job_type is JobType.RELEASE else {}


async def _deploy_by_hand(shop: Workshop) -> Job:
    """A deployment that a person asked for: a run of its own."""
    shop.run = msgspec.structs.replace(shop.run, run_id=samples.new_run_id())
    await samples.store_run(shop.bus, shop.run)
    release = ReleaseData(release_id="1", release_number=1, oci_uri="", oci_digest="sha256:1")
    requested = RequestedDeployment(id=shop.run.run_id, environment="dev")
    job = Envelope(shop.run, 0.0).deployment_job("web", release, requested)
    await shop.ledger.open(job)
    await shop.bus.publish_job(subject.subject_of(job), encode(job))
    return job


async def _sweep_when_late(shop: Workshop, stage: str, late_s: float) -> None:
    """As if the job had been queued so much earlier: a sweeper does not believe its own clock alone."""
    key = subject.job_key(shop.run.run_id, _job_id(shop, stage))
    entry = await shop.bus.jobs.get(key)
    assert entry is not None
    record = decode_record(entry.value)
    await shop.bus.jobs.put(key, encode(msgspec.structs.replace(record, submitted_at=record.submitted_at - late_s)))

    async def active() -> Sequence[str]:
        return [shop.run.run_id]

    await Sweeper(shop.ledger, active).sweep(shop.run.run_id)


def _job_id(shop: Workshop, name: str) -> str:
    project, _, step = name.partition("/")
    return ids.job_id(shop.run.run_id, ids.RELEASE_PHASE, project, step)


async def _states(shop: Workshop) -> dict[str, JobState | None]:
    """By `<project>/<step>`, of every project of the plan."""
    names = [
        f"{project.project}/{step}"
        for unit in shop.plan.release
        for project in unit.projects
        for step in (
            *map(ids.artifact_step, project.artifacts),
            ids.RELEASE_STEP,
            *map(ids.deployment_step, ("dev", "test")),
        )
    ]
    records = {name: await shop.ledger.read(shop.run.run_id, _job_id(shop, name)) for name in names}
    return {name: None if record is None else record.state for name, record in records.items()}


async def _all_started(stages: Stages, names: set[str]) -> bool | None:
    return names <= set(stages.started) or None


async def _opened(shop: Workshop, name: str) -> bool | None:
    return await shop.ledger.read(shop.run.run_id, _job_id(shop, name)) is not None or None


async def _none_open(shop: Workshop) -> bool | None:
    return all(record.state.terminal for record in await shop.ledger.records(shop.run.run_id)) or None


async def _ended(shop: Workshop, job: Job) -> bool | None:
    record = await shop.ledger.read(job.run_id, job.job_id)
    return (record is not None and record.state.terminal) or None


async def _succeeded(shop: Workshop, job: Job) -> JobState | None:
    record = await shop.ledger.read(job.run_id, job.job_id)
    return JobState.SUCCEEDED if record is not None and record.state is JobState.SUCCEEDED else None


async def _letters(shop: Workshop) -> list[object] | None:
    return await shop.bus.dead_letters.list(subject.DEAD_LETTERS, limit=2) or None
