"""What the events of artifacts, releases and deployments make of a run, and of a deployment that is none's."""

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.harness import REPOSITORY, SHA, Api, Story, open_api, sample_plan, statuses
from tests.api.release_story import TAG, approve, artifact, body, deploy, released
from tests.runtime import samples

from forge_api.environment import STANDARD
from forge_api.service.outbox import drain
from forge_api.service.projector import project_events
from forge_api.service.reconcile import reconcile
from forge_runtime import subject
from forge_runtime.bus.memory import MemoryBus
from forge_runtime.envelope import Envelope, ended_event, running_event
from forge_runtime.event import Event
from forge_runtime.job import (
    NO_APPROVAL,
    ArtifactResult,
    DeploymentData,
    JobRecord,
    JobResult,
    JobState,
    ReleaseData,
    RequestedDeployment,
    decode_record,
    encode,
    utc_text,
)
from forge_runtime.run import RunRecord
from forgec import ids
from forgec.plan.model import Plan, ReleaseProject, ReleaseUnit

pytestmark = pytest.mark.usefixtures("each_database")

GITOPS = DeploymentData(gitops_commit_sha="c" * 40, changed=True)
STEPS = ["_release/web/artifact:docs", "_release/web/artifact:site", "_release/web/release", "_release/web/deploy:dev"]


class ReleaseStory(Story):
    """A run that releases `web`, a site and its docs, and deploys it."""

    def __init__(self, record: RunRecord, project: ReleaseProject | None = None) -> None:
        self.project = project or samples.released("web", "site", "docs")
        unit = ReleaseUnit(id="release-s001", projects=(self.project,))
        super().__init__(record, Plan(groups=sample_plan().groups, release=(unit,)))
        self.envelope = Envelope(record, self._at, self.digest)
        for name in sorted(self.project.artifacts):
            self.jobs[f"_release/web/artifact:{name}"] = self.envelope.artifact_job(self.project, name)
        results = [ArtifactResult(artifact_name=name, job_id="x") for name in self.project.artifacts]
        self.jobs["_release/web/release"] = self.envelope.release_job(self.project, results)

    def tested(self) -> None:
        """All that comes before the release."""
        self.discover()
        for address in self.jobs:
            if not address.startswith("_release"):
                self.went(address)

    def built(self) -> None:
        for name in sorted(self.project.artifacts):
            self.went(f"_release/web/artifact:{name}")

    def released(self, release: dict[str, Any], *requested: RequestedDeployment) -> None:
        data = ReleaseData(
            release_id=release["id"],
            release_number=release["release_number"],
            oci_uri=release["oci_uri"],
            oci_digest=release["oci_digest"],
            deployments=requested,
        )
        job = self.jobs["_release/web/release"]
        self._went(job, JobState.SUCCEEDED, starts=1, data=msgspec.to_builtins(data))
        for deployment in requested:
            address = f"_release/web/{ids.deployment_step(deployment.environment)}"
            self.jobs[address] = self.envelope.deployment_job("web", data, deployment, NO_APPROVAL)

    def deployed(self, environment: str, state: JobState = JobState.SUCCEEDED) -> None:
        data = msgspec.to_builtins(GITOPS) if state is JobState.SUCCEEDED else None
        self._went(self.jobs[f"_release/web/deploy:{environment}"], state, starts=1, data=data)


async def begun(api: Api, **fields: Any) -> ReleaseStory:
    """The story of a run of a push, submitted."""
    run_id = await api.new_run(trigger_type="push", **fields)
    await drain(api.platform)
    return ReleaseStory(await api.run_record(run_id))


async def tell(api: Api, story: Story) -> dict[str, Any]:
    await story.store(api.bus)
    for event in story.events:
        await project_events(api.platform, story.run_id, [event])
    return await api.run(story.run_id)


async def registered(api: Api, story: Story) -> tuple[dict[str, Any], RequestedDeployment]:
    """As the release worker does it, for dev."""
    async with api.by("worker-release") as worker:
        release = (await worker.post("/v1/releases", json=body(pipeline_run_id=story.run_id))).json()
    deployment = (await deploy(api, release["id"], "dev", "worker-release")).json()
    return release, RequestedDeployment(id=deployment["id"], environment="dev")


async def test_the_plan_makes_the_rows_of_the_release(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.discover()

        run = await tell(api, story)

    found = statuses(run)
    assert [name for name in found if name.startswith("_release/")] == STEPS
    assert {found[name] for name in STEPS} == {"pending"}
    phase = run["phases"][-1]
    assert (phase["name"], phase["group_number"]) == ("_release", 3)
    assert [step["action"] for step in phase["tasks"][0]["steps"]] == ["artifact", "artifact", "release", "deployment"]


@pytest.mark.parametrize(
    ("fields", "deploys"),
    [({"ref": "refs/tags/web/v1.0.0", "branch": None}, True), ({"branch": "main"}, True), ({"branch": "x"}, False)],
)
async def test_rows_of_deployments_are_those_of_environments_that_take_the_run(
    tmp_path: Path, fields: dict[str, Any], deploys: bool
) -> None:
    of_main = dict(STANDARD) | {"dev": msgspec.structs.replace(STANDARD["dev"], allowed_branches=("main",))}
    async with open_api(tmp_path, environments=of_main) as api:
        story = await begun(api, **fields)
        story.discover()

        run = await tell(api, story)

    assert ("_release/web/deploy:dev" in statuses(run)) is deploys
    assert "_release/web/deploy:staging" not in statuses(run)


async def test_a_run_that_released_and_deployed_shows_both(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.tested()
        story.built()
        release, requested = await registered(api, story)
        story.released(release, requested)
        story.deployed("dev")
        story.finish()

        run = await tell(api, story)
        active = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web")).json()

    assert run["status"] == "succeeded"
    assert {statuses(run)[name] for name in STEPS} == {"succeeded"}
    assert [(each["project"], each["release_number"], each["aliases"]) for each in run["releases"]] == [
        ("web", 1, ["main-1", "1"])
    ]
    assert run["releases"][0]["deployments"] == [
        {"id": requested.id, "environment": "dev", "status": "active", "gitops_commit_sha": GITOPS.gitops_commit_sha}
    ]
    assert (active["id"], active["release_id"]) == (requested.id, release["id"])
    assert run["warnings"] == []


async def test_a_failed_deployment_is_a_warning_of_a_run_that_succeeded(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.tested()
        story.built()
        release, requested = await registered(api, story)
        story.released(release, requested)
        story.deployed("dev", JobState.FAILED)
        story.finish()

        run = await tell(api, story)
        history = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web/history")).json()

    assert (run["status"], run["error"]) == ("succeeded", None)
    assert statuses(run)["_release/web/deploy:dev"] == "failed"
    assert statuses(run)["_release"] == "succeeded"
    assert [(each["code"], each["project"], each["step"]) for each in run["warnings"]] == [
        ("STEP_FAILED", "web", "deploy:dev")
    ]
    [deployment] = history["deployments"]
    assert (deployment["status"], deployment["error"]["code"]) == ("failed", "STEP_FAILED")


@pytest.mark.parametrize("failing", ["artifact:site", "release"])
async def test_a_failed_artifact_or_release_fails_the_run(tmp_path: Path, failing: str) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.tested()
        story.went(f"_release/web/{failing}", JobState.FAILED)
        story.finish("failed")

        run = await tell(api, story)

    assert run["status"] == "failed"
    assert run["error"]["context"]["step"] == failing
    assert statuses(run)["_release/web/deploy:dev"] == "skipped"


async def test_a_deployment_that_no_plan_told_of_gets_its_row_from_the_release(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.tested()
        story.built()
        release, _ = await registered(api, story)
        asked = (await deploy(api, release["id"], "staging")).json()
        story.released(release, RequestedDeployment(id=asked["id"], environment="staging"))
        story.deployed("staging")

        run = await tell(api, story)

    assert statuses(run)["_release/web/deploy:staging"] == "succeeded"
    assert {each["environment"]: each["status"] for each in run["releases"][0]["deployments"]} == {
        "dev": "pending",
        "staging": "active",
    }


async def test_a_deployment_that_its_run_never_began_does_not_stay_pending(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.tested()
        story.built()
        release, requested = await registered(api, story)
        story.released(release, requested)
        story.finish("failed")

        await tell(api, story)
        history = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web/history")).json()

    [deployment] = history["deployments"]
    assert (deployment["status"], deployment["error"]["code"]) == ("failed", "CANCELLED")


async def test_a_run_that_found_its_commit_released_shows_that_release(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        first = await begun(api)
        release, _ = await registered(api, first)
        again = await begun(api, ref="refs/tags/web/v1.0.0", branch=None)
        again.discover()

        run = await tell(api, again)

    assert [each["id"] for each in run["releases"]] == [release["id"]]


async def test_events_in_every_order_and_twice_come_to_the_same(tmp_path: Path) -> None:
    found = []
    for number, order in enumerate(itertools.permutations(range(3))):
        async with open_api(tmp_path / str(number)) as api:
            story = await begun(api)
            story.tested()
            story.built()
            release, requested = await registered(api, story)
            before = len(story.events)
            story.released(release, requested)
            story.deployed("dev")
            tail = story.events[before:]
            parts = [tail[1:2], tail[2:3], tail[3:4]]  # released; deploying; deployed
            story.events = story.events[:before] + [event for index in (*order, *order) for event in parts[index]]
            run = await tell(api, story)
            found.append((statuses(run), run["releases"][0]["deployments"][0]["status"], run["warnings"]))

    assert all(each == found[0] for each in found)
    assert found[0][1] == "active"


@pytest.mark.parametrize("ends", [(100.0, 200.0), (200.001, 200.0)], ids=["in order", "crossed"])
async def test_of_two_deployments_the_one_asked_for_later_is_active_whichever_ends_or_is_heard_of_first(
    tmp_path: Path, ends: tuple[float, float]
) -> None:
    for number, order in enumerate(((0, 1), (1, 0))):
        async with open_api(tmp_path / str(number)) as api:
            first = await by_hand(api, commit_sha="1" * 40)
            second = await by_hand(api, commit_sha="2" * 40)
            events = [await ended(api, first, at=ends[0]), await ended(api, second, at=ends[1])]

            for index in order:
                await project_events(api.platform, events[index].run_id, [events[index]])
            history = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web/history")).json()

        assert {each["id"]: each["status"] for each in history["deployments"]} == {
            first: "superseded",
            second: "active",
        }


async def test_a_persons_deployment_is_active_when_its_job_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_api(tmp_path) as api:
        deployment_id = await by_hand(api)
        record = await job_of(api, deployment_id)

        running = msgspec.structs.replace(record, state=JobState.LEASED, starts=1, started_at=50.0, worker="w")
        await project_events(api.platform, deployment_id, [running_event(running)])
        await project_events(api.platform, deployment_id, [await ended(api, deployment_id)])
        active = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web")).json()

    assert (active["id"], active["gitops_commit_sha"]) == (deployment_id, GITOPS.gitops_commit_sha)
    assert active["deployed_at"].startswith("1970-01-01T00:01:40")
    assert [each.message for each in caplog.records if each.levelname == "WARNING"] == []


async def test_a_runs_job_that_came_to_nothing_does_not_fail_what_a_person_asked_for_too(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.tested()
        story.built()
        release, requested = await registered(api, story)
        story.released(release, requested)
        await tell(api, story)
        await deploy(api, release["id"], "dev")
        story.deployed("dev", JobState.CANCELLED)

        await tell(api, story)
        submitted = await drain(api.platform)
        waiting = await history_of(api)
        await project_events(api.platform, requested.id, [await ended(api, requested.id)])
        done = await history_of(api)

    assert submitted == 1
    assert ([each["status"] for each in waiting], [each["status"] for each in done]) == (["pending"], ["active"])


async def test_a_failed_deployment_whose_job_was_put_back_and_succeeded_is_active(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        deployment_id = await by_hand(api)
        for state in (JobState.FAILED, JobState.SUCCEEDED, JobState.FAILED):
            await project_events(api.platform, deployment_id, [await ended(api, deployment_id, state=state)])

        [deployment] = await history_of(api)

    assert (deployment["status"], deployment["error"]) == ("active", None)
    assert deployment["gitops_commit_sha"] == GITOPS.gitops_commit_sha


async def test_a_failed_deployment_that_succeeded_late_steps_behind_the_one_that_was_asked_for_again(
    tmp_path: Path,
) -> None:
    async with open_api(tmp_path) as api:
        first = await by_hand(api)
        await project_events(api.platform, first, [await ended(api, first, state=JobState.FAILED)])
        again = (await deploy(api, ids.release_id(REPOSITORY, "web", SHA), "dev")).json()["id"]

        await project_events(api.platform, first, [await ended(api, first)])
        found = {each["id"]: each["status"] for each in await history_of(api)}

    assert found == {first: "superseded", again: "pending"}


async def test_a_persons_deployment_carries_who_approved_it(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)
        approval_id = await approve(api, made["id"])
        asked = await deploy(api, made["id"], "production", approval_id=approval_id)
        await drain(api.platform)

        payload = msgspec.json.decode((await job_of(api, asked.json()["id"])).job.payload)

    assert (payload["approval"], payload["approved_by"]) == (approval_id, "user:ada")
    assert payload["approved_at"].endswith("Z")
    assert payload["aliases"] == ["1", "v1.0.0"]


@pytest.mark.parametrize("state", [JobState.SUCCEEDED, JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED])
async def test_the_reconciler_reads_what_no_event_told(tmp_path: Path, state: JobState) -> None:
    async with open_api(tmp_path) as api:
        deployment_id = await by_hand(api)
        await ended(api, deployment_id, state=state)

        await reconcile(api.platform)
        [deployment] = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web/history")).json()["deployments"]

    assert deployment["status"] == ("active" if state is JobState.SUCCEEDED else "failed")
    assert (deployment["error"] is None) is (state is JobState.SUCCEEDED)


async def test_a_persons_deployment_whose_job_is_lost_is_submitted_again(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        deployment_id = await by_hand(api)
        api.platform.bus = api.bus = MemoryBus()

        await reconcile(api.platform)

        assert await drain(api.platform) == 1
        assert (await job_of(api, deployment_id)).state is JobState.QUEUED


@pytest.mark.parametrize(
    "data", [{}, {"gitops_commit_sha": 5}, {"gitops_commit_sha": "x" * 40, "changed": True}, {"deployment_id": "no"}]
)
async def test_a_result_that_is_none_makes_nothing_active(tmp_path: Path, data: dict[str, Any]) -> None:
    async with open_api(tmp_path) as api:
        deployment_id = await by_hand(api)
        event = await ended(api, deployment_id)
        broken = msgspec.structs.replace(event, data={"deployment_id": deployment_id} | data)

        await project_events(api.platform, deployment_id, [broken])

        assert (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web")).status_code == 404


async def test_a_failed_publisher_is_seen_at_the_release_of_the_run(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        story = await begun(api)
        story.tested()
        story.built()
        async with api.by("worker-release") as worker:
            partial = body(pipeline_run_id=story.run_id, artifacts=[artifact(status="failed")])
            await worker.post("/v1/releases", json=partial)
        story.went("_release/web/release", JobState.FAILED)
        story.finish("failed")

        run = await tell(api, story)

    assert (run["status"], run["releases"][0]["partial"]) == ("failed", True)


async def by_hand(api: Api, **fields: Any) -> str:
    """The id of a deployment to dev that a person asked for, and whose job is queued."""
    made = await released(api, **fields)
    asked = await deploy(api, made["id"], "dev")
    assert asked.status_code == 201, asked.text
    await drain(api.platform)
    deployment_id: str = asked.json()["id"]
    return deployment_id


async def history_of(api: Api) -> list[dict[str, Any]]:
    """The deployments of web in dev, newest first."""
    page = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web/history")).json()
    found: list[dict[str, Any]] = page["deployments"]
    return found


async def job_of(api: Api, deployment_id: str) -> JobRecord:
    [entry] = await api.bus.jobs.list(subject.job_keys(deployment_id))
    return decode_record(entry.value)


async def ended(api: Api, deployment_id: str, at: float = 100.0, state: JobState = JobState.SUCCEEDED) -> Event:
    """Its job's record says so now; the event that should be heard."""
    record = await job_of(api, deployment_id)
    data = msgspec.to_builtins(GITOPS) if state is JobState.SUCCEEDED else None
    result = JobResult(job_id=record.job.job_id, status=state, data=data, completed_at=utc_text(at))
    record = msgspec.structs.replace(record, state=state, starts=1, started_at=at - 1, result=result)
    await api.bus.jobs.put(subject.job_key(deployment_id, record.job.job_id), encode(record))
    return ended_event(record, at)
