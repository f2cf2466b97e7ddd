"""Deployments: within the environment's policy, one at a time, approved where that is asked for."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.api.harness import REPOSITORY, Api, open_api
from tests.api.release_story import TAG, approve, artifact, deploy, reason, release, released, sha

from forge_api.environment import STANDARD
from forge_api.service.carry import submit_deployment
from forge_api.service.outbox import drain
from forge_runtime import subject
from forge_runtime.job import DeploymentPayload, decode_record
from forge_runtime.run import decode_run

pytestmark = pytest.mark.usefixtures("each_database")

GITOPS = "c" * 40


async def test_a_deployment_is_201_and_pending_and_then_200(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api)
        first = await deploy(api, made["id"], "dev", "worker-release")
        again = await deploy(api, made["id"], "dev", "worker-release")

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    document = first.json()
    assert (document["deployment_id"], document["status"]) == (document["id"], "pending")
    assert (document["gitops_commit_sha"], document["deployed_by"]) == (None, "github:ada")


async def test_many_who_ask_at_once_get_one_deployment(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api)

        found = await asyncio.gather(*(deploy(api, made["id"], "dev") for _ in range(20)))
        await drain(api.platform)

    assert sorted(response.status_code for response in found) == [200] * 19 + [201]
    assert len({response.json()["id"] for response in found}) == 1


async def test_a_later_deployment_takes_the_place_of_the_active_one(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        first, second = await released(api, commit_sha=sha(1)), (await release(api, commit_sha=sha(2))).json()
        await activated(api, first["id"])
        await activated(api, second["id"])

        now = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web")).json()
        history = (await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web/history")).json()
        back = await activated(api, first["id"])

    assert (now["release_id"], now["gitops_commit_sha"]) == (second["id"], GITOPS)
    assert [(each["release_id"], each["status"]) for each in history["deployments"]] == [
        (second["id"], "active"),
        (first["id"], "superseded"),
    ]
    assert history["total"] == 2
    assert back["status"] == "active"  # an older release once more is how to go back


async def test_what_is_active_already_is_not_deployed_again(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api)
        active = await activated(api, made["id"])

        again = await deploy(api, made["id"], "dev")

    assert (again.status_code, again.json()["id"], again.json()["status"]) == (200, active["id"], "active")


async def test_a_failed_deployment_may_be_asked_for_again(tmp_path: Path) -> None:
    error = {"code": "GITOPS_PUSH_FAILED", "message": "no", "component": "worker.release", "class": "infra"}
    async with open_api(tmp_path) as api:
        made = await released(api)
        first = (await deploy(api, made["id"], "dev")).json()
        failed = await put(api, first["id"], status="failed", error=error)
        again = await deploy(api, made["id"], "dev")

    assert (failed.json()["status"], failed.json()["error"]["code"]) == ("failed", "GITOPS_PUSH_FAILED")
    assert again.status_code == 201


async def test_a_status_moves_along_its_arrows_alone(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api)
        active = await activated(api, made["id"])

        same = await put(api, active["id"], status="active", gitops_commit_sha=GITOPS)
        refused = await put(api, active["id"], status="failed")
        without = await put(api, active["id"], status="active")
        unknown = await put(api, made["id"], status="failed")

    assert same.json() == active
    assert [response.status_code for response in (refused, without, unknown)] == [409, 422, 404]


@pytest.mark.parametrize(
    ("trigger", "environment", "expected"),
    [
        ({"trigger_type": "branch_push", "branch": "main"}, "dev", 201),
        ({"trigger_type": "branch_push", "branch": "x/y"}, "dev", 201),
        ({"trigger_type": "branch_push", "branch": "main"}, "staging", 201),
        ({"trigger_type": "branch_push", "branch": "release/1"}, "staging", 201),
        ({"trigger_type": "branch_push", "branch": "x"}, "staging", 403),
        (TAG, "staging", 201),
        ({"trigger_type": "branch_push", "branch": "main"}, "production", 403),
        (TAG, "production", 422),
    ],
)
async def test_the_environment_says_what_it_takes(
    tmp_path: Path, trigger: dict[str, Any], environment: str, expected: int
) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=trigger)

        response = await deploy(api, made["id"], environment)

    assert response.status_code == expected
    if expected == 403:
        assert reason(response) == "POLICY_DENIED"


async def test_a_tag_on_a_commit_of_a_branch_lets_its_release_into_production(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api)
        before = await deploy(api, made["id"], "production")
        await release(api, trigger=TAG)

        after = await deploy(api, made["id"], "production")

    assert (reason(before), reason(after)) == ("POLICY_DENIED", "APPROVAL_REQUIRED")


async def test_a_branch_that_came_to_a_released_commit_lets_its_release_in_where_it_may(
    tmp_path: Path,
) -> None:
    of_main = dict(STANDARD) | {"dev": msgspec.structs.replace(STANDARD["dev"], allowed_branches=("main",))}
    async with open_api(tmp_path, environments=of_main) as api:
        made = await released(api, trigger={"trigger_type": "branch_push", "branch": "feature/x"})
        before = await deploy(api, made["id"], "staging")
        again = (await release(api, trigger={"trigger_type": "branch_push", "branch": "main"})).json()

        after = await deploy(api, made["id"], "staging")

    assert (made["auto_deploy"], again["auto_deploy"]) == ([], ["dev"])
    assert (before.status_code, after.status_code) == (403, 201)


async def test_a_tag_on_an_older_commit_does_not_take_an_environment_back_by_itself(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        old, new = await released(api, commit_sha=sha(1)), (await release(api, commit_sha=sha(2))).json()
        await activated(api, new["id"])
        tagged = (await release(api, commit_sha=sha(1), trigger=TAG)).json()

        by_itself = await deploy(api, old["id"], "dev", "worker-release")
        by_hand = await deploy(api, old["id"], "dev")

    assert (old["auto_deploy"], tagged["auto_deploy"]) == (["dev"], [])
    assert (by_itself.status_code, reason(by_itself)) == (403, "POLICY_DENIED")
    assert "release 2" in by_itself.json()["error"]["message"]
    assert by_hand.status_code == 201


async def test_a_partial_release_is_not_deployed(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, artifacts=[artifact(status="failed")])

        response = await deploy(api, made["id"], "dev")

    assert (response.status_code, reason(response)) == (409, "PUBLISH_PARTIAL")


async def test_an_unknown_environment_and_an_unknown_release_are_told(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api)

        nowhere = await deploy(api, made["id"], "moon")
        nothing = await deploy(api, "018f0000-0000-7000-8000-000000000000", "dev")
        none = await api.client.get(f"/v1/deployments/dev/{REPOSITORY}/web")

    assert (nowhere.status_code, nothing.status_code, none.status_code) == (422, 404, 404)
    assert "dev, staging, production" in nowhere.json()["error"]["message"]


@pytest.mark.parametrize(
    ("who", "allowed"),
    [
        ("worker", set()),
        ("worker-artifact", set()),
        ("worker-release", {"dev"}),
        ("developer.dev", {"dev"}),
        ("approver.ada", {"dev", "production"}),
    ],
)
async def test_who_may_deploy_depends_on_the_environment(tmp_path: Path, who: str, allowed: set[str]) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)

        found = {name: (await deploy(api, made["id"], name, who)).status_code for name in STANDARD}

    assert {name for name, status in found.items() if status != 403} == allowed


async def test_production_takes_what_somebody_else_approved(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)
        approval_id = await approve(api, made["id"])

        own = await deploy(api, made["id"], "production", "approver.ada", approval_id=approval_id)
        others = await deploy(api, made["id"], "production", "approver.bob", approval_id=approval_id)

    assert (own.status_code, reason(own)) == (422, "APPROVAL_REQUIRED")
    assert "somebody else" in own.json()["error"]["message"]
    assert (others.status_code, others.json()["approval_id"]) == (201, approval_id)


async def test_four_eyes_can_be_configured_away(tmp_path: Path) -> None:
    alone = dict(STANDARD) | {"production": msgspec.structs.replace(STANDARD["production"], four_eyes=False)}
    async with open_api(tmp_path, environments=alone) as api:
        made = await released(api, trigger=TAG)
        request = {"release_id": made["id"], "environment": "production", "justification": "mine"}
        approval_id = (await api.client.post("/v1/approvals", json=request)).json()["approval_id"]

        response = await deploy(api, made["id"], "production", approval_id=approval_id)

    assert response.status_code == 201


async def test_an_approval_lasts_a_day(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)
        approval_id = await approve(api, made["id"])
        api.clock.forward(24 * 3600)

        late = await deploy(api, made["id"], "production", approval_id=approval_id)
        revoked = await api.client.delete(f"/v1/approvals/{approval_id}")
        renewed = await approve(api, made["id"])
        listed = (await api.client.get(f"/v1/approvals/{made['id']}/production")).json()["approvals"]

    assert (late.status_code, reason(late)) == (422, "APPROVAL_REQUIRED")
    assert "expired" in late.json()["error"]["message"]
    assert revoked.status_code == 409
    assert [(each["approval_id"], each["status"]) for each in listed] == [(renewed, "active"), (approval_id, "expired")]


async def test_a_revoked_approval_is_worth_nothing(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)
        approval_id = await approve(api, made["id"])
        async with api.by("developer.dev") as developer:
            not_his = await developer.delete(f"/v1/approvals/{approval_id}")
        gone = [(await api.client.delete(f"/v1/approvals/{approval_id}")).status_code for _ in range(2)]

        response = await deploy(api, made["id"], "production", approval_id=approval_id)
        unknown = await api.client.delete(f"/v1/approvals/{made['id']}")

    assert (not_his.status_code, gone, unknown.status_code) == (403, [204, 204], 404)
    assert (response.status_code, reason(response)) == (422, "APPROVAL_REQUIRED")


async def test_an_approval_is_for_one_release_in_one_environment(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        first = await released(api, trigger=TAG, commit_sha=sha(1))
        second = (await release(api, trigger=TAG | {"tag": "web/v2.0.0"}, commit_sha=sha(2))).json()
        approval_id = await approve(api, first["id"])

        other_release = await deploy(api, second["id"], "production", approval_id=approval_id)
        elsewhere = await deploy(api, first["id"], "staging", approval_id=approval_id)

    assert (reason(other_release), reason(elsewhere)) == ("APPROVAL_REQUIRED", "APPROVAL_REQUIRED")


async def test_who_approves_twice_approved_once(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)

        assert await approve(api, made["id"]) == await approve(api, made["id"])


@pytest.mark.parametrize("who", ["worker-release", "developer.dev"])
async def test_who_is_not_named_does_not_approve(tmp_path: Path, who: str) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)
        async with api.by(who) as client:
            request = {"release_id": made["id"], "environment": "production", "justification": "please"}
            assert (await client.post("/v1/approvals", json=request)).status_code == 403


async def test_a_partial_release_is_not_approved(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG, artifacts=[artifact(status="failed")])
        request = {"release_id": made["id"], "environment": "production", "justification": "please"}

        assert (await api.client.post("/v1/approvals", json=request)).status_code == 409


@pytest.mark.parametrize("gone", ["revoked", "expired"])
async def test_an_approval_that_is_worth_nothing_any_more_deploys_nothing(tmp_path: Path, gone: str) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)
        approval_id = await approve(api, made["id"])
        asked = (await deploy(api, made["id"], "production", approval_id=approval_id)).json()
        if gone == "revoked":
            await api.client.delete(f"/v1/approvals/{approval_id}")
        else:
            api.clock.forward(24 * 3600)

        await drain(api.platform)
        jobs = await api.bus.jobs.list(subject.job_keys(asked["id"]))
        page = (await api.client.get(f"/v1/deployments/production/{REPOSITORY}/web/history")).json()

    assert jobs == []
    [deployment] = page["deployments"]
    assert (deployment["status"], deployment["error"]["code"]) == ("failed", "APPROVAL_REQUIRED")
    assert gone in deployment["error"]["message"]


async def test_an_approval_that_ends_after_the_job_was_submitted_takes_nothing_back(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)
        approval_id = await approve(api, made["id"])
        asked = (await deploy(api, made["id"], "production", approval_id=approval_id)).json()
        await drain(api.platform)
        await api.client.delete(f"/v1/approvals/{approval_id}")

        await submit_deployment(api.platform, asked["id"])
        page = (await api.client.get(f"/v1/deployments/production/{REPOSITORY}/web/history")).json()

    assert [deployment["status"] for deployment in page["deployments"]] == ["pending"]


async def test_a_submission_is_repeated_though_the_repository_has_moved(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api)
        asked = (await deploy(api, made["id"], "dev")).json()
        await drain(api.platform)
        await api.register(clone_url="https://elsewhere.test/acme/shop.git")

        await submit_deployment(api.platform, asked["id"])
        entry = await api.bus.runs.get(subject.run_key(asked["id"]))

    assert entry is not None
    assert decode_run(entry.value).clone_url == "https://github.com/acme/shop.git"


@pytest.mark.parametrize(
    ("who", "status"), [("worker", 403), ("worker-artifact", 403), ("developer.dev", 403), ("worker-release", 200)]
)
async def test_only_who_carries_out_deployments_says_how_they_went(tmp_path: Path, who: str, status: int) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api)
        asked = (await deploy(api, made["id"], "dev")).json()
        async with api.by(who) as client:
            done = {"status": "active", "gitops_commit_sha": GITOPS}

            assert (await client.put(f"/v1/deployments/{asked['id']}/status", json=done)).status_code == status


async def test_a_persons_deployment_is_submitted_once_as_a_run_of_its_own(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger=TAG)
        approval_id = await approve(api, made["id"])
        asked = await deploy(api, made["id"], "production", approval_id=approval_id)
        await deploy(api, made["id"], "production")
        deployment_id = asked.json()["id"]

        assert await drain(api.platform) == 1
        entry = await api.bus.runs.get(subject.run_key(deployment_id))
        jobs = await api.bus.jobs.list(subject.job_keys(deployment_id))

    assert entry is not None
    run = decode_run(entry.value)
    assert (run.run_id, run.repository, run.git.tag) == (deployment_id, REPOSITORY, "web/v1.0.0")
    assert run.triggered_by == "user:local"
    [record] = [decode_record(job.value) for job in jobs]
    payload = msgspec.json.decode(record.job.payload, type=DeploymentPayload)
    assert (payload.deployment_id, payload.release_id, payload.oci_digest) == (
        deployment_id,
        made["id"],
        made["oci_digest"],
    )
    assert (payload.environment, payload.approval, payload.actor) == ("production", approval_id, "user:local")


async def test_a_workers_deployment_is_left_to_its_run_until_a_person_asks_for_it(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api)
        await deploy(api, made["id"], "dev", "worker-release")
        before = await drain(api.platform)

        await deploy(api, made["id"], "dev")

        assert (before, await drain(api.platform)) == (0, 1)


async def activated(api: Api, release_id: str) -> dict[str, Any]:
    deployment = (await deploy(api, release_id, "dev")).json()
    response = await put(api, deployment["id"], status="active", gitops_commit_sha=GITOPS)
    assert response.status_code == 200, response.text
    document: dict[str, Any] = response.json()
    return document


async def put(api: Api, deployment_id: str, **fields: Any) -> Any:
    async with api.by("worker-release") as worker:
        return await worker.put(f"/v1/deployments/{deployment_id}/status", json=fields)
