"""Releases: one a commit, numbered without gaps, found by each of their names."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.api.harness import REPOSITORY, SHA, open_api
from tests.api.release_story import DIGEST, artifact, body, reason, release, released, sha

from forgec import ids

pytestmark = pytest.mark.usefixtures("each_database")

OTHER_DIGEST = "sha256:" + "e" * 64


async def test_a_release_is_201_and_then_200_whatever_digest_is_sent(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()
        first = await release(api)
        again = await release(api, oci_digest=OTHER_DIGEST, artifacts=[artifact("other")])

        found = await api.client.get(f"/v1/releases/{REPOSITORY}/web/{SHA}")

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    document = first.json()
    assert document["id"] == ids.release_id(REPOSITORY, "web", SHA)
    assert document["canonical_id"] == f"{REPOSITORY}/web/{SHA}"
    assert (document["release_number"], document["oci_digest"], document["partial"]) == (1, DIGEST, False)
    assert document["aliases"] == ["main-1", "1"]
    assert document["auto_deploy"] == ["dev"]
    assert [each["name"] for each in found.json()["artifacts"]] == ["site"]
    assert found.json()["artifacts"][0]["published"][0]["uri"] == "https://files.test/site.tar.gz"
    assert found.json()["trigger"]["branch"] == "main"
    assert found.json()["trigger"]["triggered_by"] == "github:ada"


async def test_a_partial_release_is_completed_in_place(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        partial = await released(api, artifacts=[artifact(status="failed")])

        completed = await release(api, oci_digest=OTHER_DIGEST, artifacts=[artifact(), artifact("docs")])
        found = (await api.client.get(f"/v1/releases/{REPOSITORY}/web/1")).json()

    assert (partial["partial"], partial["auto_deploy"]) == (True, [])
    assert completed.status_code == 200
    assert (found["id"], found["release_number"], found["partial"]) == (partial["id"], 1, False)
    assert (found["oci_digest"], [each["name"] for each in found["artifacts"]]) == (OTHER_DIGEST, ["docs", "site"])


async def test_numbers_count_up_for_each_project_and_a_failed_request_takes_none(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await released(api, commit_sha=sha(1), aliases=["blue"])
        refused = await release(api, commit_sha=sha(2), aliases=["blue"])
        second = await release(api, commit_sha=sha(3))
        elsewhere = await release(api, commit_sha=sha(3), project="api")

    assert (refused.status_code, reason(refused)) == (409, "RELEASE_CONFLICT")
    assert [found.json()["release_number"] for found in (second, elsewhere)] == [2, 1]


async def test_many_at_once_get_numbers_without_gaps(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()

        found = await asyncio.gather(*(release(api, commit_sha=sha(number)) for number in range(20)))

    assert {response.status_code for response in found} == {201}
    assert sorted(response.json()["release_number"] for response in found) == list(range(1, 21))


async def test_one_release_asked_for_many_times_at_once_is_made_once(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()

        found = await asyncio.gather(*(release(api) for _ in range(20)))
        later = await release(api, commit_sha=sha(1))

    assert sorted(response.status_code for response in found) == [200] * 19 + [201]
    assert {response.json()["release_number"] for response in found} == {1}
    assert later.json()["release_number"] == 2


@pytest.mark.parametrize(
    ("trigger", "aliases"),
    [
        ({"trigger_type": "branch_push", "branch": "feature/a"}, ["feature-a-1", "1"]),
        ({"trigger_type": "tag", "tag": "web/v1.2.3"}, ["1", "v1.2.3"]),
        ({"trigger_type": "tag", "tag": "v2"}, ["1", "v2"]),
        ({"trigger_type": "manual"}, ["1"]),
    ],
)
async def test_the_server_makes_the_aliases(tmp_path: Path, trigger: dict[str, Any], aliases: list[str]) -> None:
    async with open_api(tmp_path) as api:
        found = await released(api, trigger=trigger)

    assert found["aliases"] == aliases


async def test_a_tag_on_a_released_commit_becomes_its_alias(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        first = await released(api)

        again = await release(api, trigger={"trigger_type": "tag", "tag": "web/v1.0.0"})
        found = (await api.client.get(f"/v1/releases/{REPOSITORY}/web/v1.0.0")).json()

    assert again.status_code == 200
    assert (found["id"], found["trigger"]["trigger_type"]) == (first["id"], "branch_push")


async def test_a_tag_that_moves_to_another_commit_is_refused(tmp_path: Path) -> None:
    tag = {"trigger_type": "tag", "tag": "web/v1.0.0"}
    async with open_api(tmp_path) as api:
        await released(api, trigger=tag, commit_sha=sha(1))

        moved = await release(api, trigger=tag, commit_sha=sha(2))

    assert (moved.status_code, reason(moved)) == (409, "RELEASE_CONFLICT")
    assert "v1.0.0" in moved.json()["error"]["message"]


async def test_a_release_whose_number_is_somebody_elses_name_does_without_that_alias(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        first = await released(api, commit_sha=sha(1), aliases=["2"])
        second = await release(api, commit_sha=sha(2))

        by_name = await api.client.get(f"/v1/releases/{REPOSITORY}/web/2")

    assert second.json()["aliases"] == ["main-2"]
    assert by_name.json()["id"] == first["id"]


@pytest.mark.parametrize(
    "reference", ["1", "v1.2.3", "web/v1.2.3", "team/blue", "abcdef1", "abcdef1" + "0" * 33, "abcdef10000"]
)
async def test_a_release_is_found_by_each_of_its_names(tmp_path: Path, reference: str) -> None:
    commit = "abcdef1" + "0" * 33
    async with open_api(tmp_path) as api:
        made = await released(
            api, commit_sha=commit, trigger={"trigger_type": "tag", "tag": "web/v1.2.3"}, aliases=["team/blue"]
        )

        found = await api.client.get(f"/v1/releases/Acme/SHOP/web/{reference}")

    assert found.status_code == 200
    assert found.json()["id"] == made["id"]


async def test_a_branch_with_slashes_is_folded_in_a_lookup_as_well(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        made = await released(api, trigger={"trigger_type": "branch_push", "branch": "release/1.x"})

        found = await api.client.get(f"/v1/releases/{REPOSITORY}/web/release/1.x-1")

    assert found.json()["id"] == made["id"]


async def test_a_tag_that_looks_like_a_commit_names_no_release(tmp_path: Path) -> None:
    other = "b" * 40
    async with open_api(tmp_path) as api:
        made = await released(api, trigger={"trigger_type": "tag", "tag": f"web/{other}"})
        nothing = await api.client.get(f"/v1/releases/{REPOSITORY}/web/{other}")
        later = (await release(api, commit_sha=other)).json()
        found = await api.client.get(f"/v1/releases/{REPOSITORY}/web/{other}")
        allowed = await api.client.post("/v1/deployments", json={"release_id": made["id"], "environment": "production"})

    assert made["aliases"] == ["1"]
    assert (nothing.status_code, found.json()["id"]) == (404, later["id"])
    assert reason(allowed) == "APPROVAL_REQUIRED"  # a release of a tag it is all the same


@pytest.mark.parametrize("reference", ["2", "v9", "abcdef", "ABCDEF1", "abcdef2", "9" * 200])
async def test_what_names_no_release_is_404(tmp_path: Path, reference: str) -> None:
    async with open_api(tmp_path) as api:
        await released(api, commit_sha="abcdef1" + "0" * 33)

        found = await api.client.get(f"/v1/releases/{REPOSITORY}/web/{reference}")
        elsewhere = await api.client.get(f"/v1/releases/acme/other/web/{reference}")

    assert (found.status_code, elsewhere.status_code) == (404, 404)


async def test_an_ambiguous_commit_is_409_and_names_both(tmp_path: Path) -> None:
    first, second = "abcdef12" + "0" * 32, "abcdef13" + "0" * 32
    async with open_api(tmp_path) as api:
        await released(api, commit_sha=first)
        await release(api, commit_sha=second)

        ambiguous = await api.client.get(f"/v1/releases/{REPOSITORY}/web/abcdef1")
        clear = await api.client.get(f"/v1/releases/{REPOSITORY}/web/abcdef13")

    assert ambiguous.status_code == 409
    assert first in ambiguous.json()["error"]["message"]
    assert second in ambiguous.json()["error"]["message"]
    assert clear.json()["commit_sha"] == second


async def test_a_list_has_pages_newest_first(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()
        for number in range(5):
            await release(api, commit_sha=sha(number))

        page = (await api.client.get(f"/v1/releases/{REPOSITORY}/web?limit=2&offset=1")).json()

    assert [each["release_number"] for each in page["releases"]] == [4, 3]
    assert page["releases"][0]["aliases"] == ["main-4", "4"]
    assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)


async def test_an_unregistered_or_disabled_repository_has_no_releases(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        unregistered = await release(api)
        await api.register(enabled=False)
        disabled = await release(api)

    assert (unregistered.status_code, disabled.status_code) == (403, 403)
    assert (reason(unregistered), reason(disabled)) == ("POLICY_DENIED", "POLICY_DENIED")


@pytest.mark.parametrize(
    ("who", "status"), [("worker", 403), ("worker-artifact", 403), ("developer.dev", 403), ("worker-release", 201)]
)
async def test_only_pipelines_register_what_was_pushed(tmp_path: Path, who: str, status: int) -> None:
    async with open_api(tmp_path) as api:
        await api.register()
        async with api.by(who) as client:
            assert (await client.post("/v1/releases", json=body())).status_code == status


async def test_an_operator_registers_by_hand_what_is_called_so(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()

        pushed = await api.client.post("/v1/releases", json=body())
        manual = await api.client.post("/v1/releases", json=body(trigger={"trigger_type": "manual"}))

    assert (pushed.status_code, manual.status_code) == (403, 201)
    assert manual.json()["created_by"] == "user:local"


async def test_the_run_must_be_one_of_this_commit(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()

        fitting = await release(api, pipeline_run_id=run_id)
        other_commit = await release(api, pipeline_run_id=run_id, commit_sha=sha(1))
        unknown = await release(api, pipeline_run_id="018f0000-0000-7000-8000-000000000000")

    assert fitting.json()["pipeline_run_id"] == run_id
    assert (other_commit.status_code, unknown.status_code) == (422, 422)


async def test_the_same_key_gets_the_same_release_and_another_request_does_not(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()
        async with api.by("worker-release") as worker:
            headers = {"Idempotency-Key": "k"}
            first = await worker.post("/v1/releases", json=body(), headers=headers)
            again = await worker.post("/v1/releases", json=body(), headers=headers)
            other = await worker.post("/v1/releases", json=body(project="api"), headers=headers)

    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 422)
    assert again.json() == first.json()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"oci_digest": "sha256:" + "D" * 64}, "oci_digest"),
        ({"oci_digest": "sha256:dd"}, "oci_digest"),
        ({"oci_uri": "https://user:secret@registry.test/x"}, "oci_uri"),
        ({"oci_uri": "user:secret@registry.test/x"}, "oci_uri"),
        ({"oci_uri": "registry.test/a b"}, "oci_uri"),
        ({"oci_uri": "x" * 2049}, "oci_uri"),
        ({"project": "../web"}, "project"),
        ({"commit_sha": "abc"}, "commit_sha"),
        ({"artifacts": [artifact(f"a{number}") for number in range(51)]}, "artifacts"),
        ({"artifacts": [artifact(), artifact()]}, "body"),
        ({"artifacts": [artifact("A")]}, "artifacts.0.name"),
        ({"artifacts": [artifact(type="image")]}, "artifacts.0.type"),
        ({"artifacts": [artifact(tracking_oci_digest="md5:0")]}, "artifacts.0.tracking_oci_digest"),
        ({"artifacts": [artifact(primary_published_uri="https://u:secret@h/x")]}, "artifacts.0.primary_published_uri"),
        (
            {"artifacts": [artifact(published=[{"publisher": "p", "status": "ok", "metadata": {"k": "v" * 5000}}])]},
            "artifacts.0.published.0.metadata",
        ),
        (
            {"artifacts": [artifact(published=[{"publisher": "p", "status": "ok", "metadata": {"k": "\0"}}])]},
            "artifacts.0.published.0.metadata",
        ),
        ({"aliases": [SHA]}, "aliases.0"),
        ({"aliases": ["-x"]}, "aliases.0"),
        ({"aliases": [f"a{number}" for number in range(21)]}, "aliases"),
        ({"trigger": {"trigger_type": "tag"}}, "trigger"),
        ({"trigger": {"trigger_type": "branch_push", "branch": "a", "tag": "b"}}, "trigger"),
        ({"trigger": {"trigger_type": "manual", "branch": "a"}}, "trigger"),
        ({"trigger": {"trigger_type": "cron"}}, "trigger.trigger_type"),
        ({"pipeline_run_id": "1"}, "pipeline_run_id"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_what_is_out_of_bounds_is_422_with_its_place(tmp_path: Path, fields: dict[str, Any], path: str) -> None:
    async with open_api(tmp_path) as api:
        await api.register()

        response = await release(api, **fields)

    assert response.status_code == 422
    assert path in [error["path"] for error in response.json()["error"]["details"]["errors"]]
    assert "secret" not in response.text


async def test_the_largest_release_that_is_allowed_is_taken(tmp_path: Path) -> None:
    published = [
        {"publisher": f"p{number}", "status": "published", "uri": "https://h/" + "x" * 200} for number in range(50)
    ]
    async with open_api(tmp_path) as api:
        found = await released(api, artifacts=[artifact(f"a{number}", published=published) for number in range(50)])

    assert found["release_number"] == 1


async def test_registration_is_in_the_audit_log(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        found = await released(api)
        await release(api)

        events = (await api.client.get("/v1/audit?resource_type=release")).json()["events"]

    assert [(event["action"], event["actor"]) for event in events] == [("release.create", "sa:local/worker-release")]
    assert events[0]["details"]["release"] == found["canonical_id"]
