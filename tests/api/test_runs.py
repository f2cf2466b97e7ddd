"""POST, GET, list and DELETE of runs: every status code, and what is the same however often it is asked for."""

import asyncio
from pathlib import Path

import pytest
from tests.api.harness import REPOSITORY, SHA, open_api, statuses

from forge_api.service.outbox import drain

pytestmark = pytest.mark.usefixtures("each_database")


async def test_new_run_is_201_and_pending_with_its_discovery_rows(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()

        response = await api.post_run()

        assert response.status_code == 201
        created = response.json()
        run = await api.run(created["id"])
        assert response.headers["Location"] == f"/v1/runs/{created['id']}"
        assert created["status"] == run["status"] == "pending"
        assert created["argo_workflow_name"] == f"forge-{created['id']}"
        assert (run["ref"], run["branch"], run["tag"], run["attempt"]) == ("refs/heads/main", "main", None, 1)
        assert run["triggered_by"] == "user:local"
        assert statuses(run) == {"_discovery": "pending", "_discovery/_repository/discover": "pending"}
        assert [phase["group_number"] for phase in run["phases"]] == [0]


async def test_same_request_again_gets_the_active_run_with_200(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()

        again = await api.post_run()

        assert (again.status_code, again.json()["id"]) == (200, run_id)


async def test_requests_at_once_make_one_run(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()

        responses = await asyncio.gather(*(api.post_run() for _ in range(8)))

        assert sorted(response.status_code for response in responses) == [200] * 7 + [201]
        assert len({response.json()["id"] for response in responses}) == 1


async def test_repository_names_are_one_whatever_their_case(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()

        again = await api.post_run(repository="ACME/Shop")
        listed = await api.client.get("/v1/runs", params={"repository": "Acme/SHOP"})

        assert (again.status_code, again.json()["id"]) == (200, run_id)
        assert listed.json()["total"] == 1


async def test_cancelled_run_makes_room_for_the_next_attempt(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run(trigger_type="push")
        await api.client.delete(f"/v1/runs/{run_id}")

        response = await api.post_run(trigger_type="push")

        assert response.status_code == 201
        assert response.json()["attempt"] == 2
        assert response.json()["id"] != run_id


async def test_another_reference_of_a_commit_is_another_run(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.new_run()

        response = await api.post_run(branch=None, ref="refs/tags/v1")

        assert response.status_code == 201
        assert (response.json()["tag"], response.json()["branch"]) == ("v1", None)


async def test_pull_request_gets_the_run_of_the_push_that_it_consists_of(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run(trigger_type="push", github_context={"run_id": "7"})
        pull_request = {"trigger_type": "pull_request", "ref": "refs/pull/3/merge", "github_context": {"pr_number": 3}}

        attached = await api.post_run(**pull_request)
        await api.client.delete(f"/v1/runs/{run_id}")
        alone = await api.post_run(**pull_request)

        assert (attached.status_code, attached.json()["id"]) == (200, run_id)
        context = attached.json()["github_context"]
        assert (context["pr_number"], context["run_id"]) == (3, "7")
        assert (alone.status_code, alone.json()["ref"], alone.json()["branch"]) == (201, "refs/pull/3/merge", "main")


async def test_push_does_not_attach_to_a_pull_request(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.new_run(trigger_type="pull_request", ref="refs/pull/3/merge")

        response = await api.post_run(trigger_type="push")

        assert response.status_code == 201


async def test_commit_without_a_name_is_its_own(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run(branch=None)

        await drain(api.platform)

        assert (await api.run(run_id))["ref"] is None
        assert (await api.run_record(run_id)).git.ref is None


async def test_idempotency_key_replays_the_run_and_refuses_another_body(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run(headers={"Idempotency-Key": "k1"})
        await api.client.delete(f"/v1/runs/{run_id}")

        same = await api.post_run(headers={"Idempotency-Key": "k1"})
        other = await api.post_run(headers={"Idempotency-Key": "k1"}, branch="next")
        api.clock.forward(25 * 3600)
        later = await api.post_run(headers={"Idempotency-Key": "k1"}, branch="next")

        assert (same.status_code, same.json()["id"]) == (200, run_id)
        assert other.status_code == 422
        assert other.json()["error"]["code"] == "validation_error"
        assert later.status_code == 201


async def test_unregistered_or_disabled_repository_is_403(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        unknown = await api.post_run()
        await api.register(enabled=False)
        disabled = await api.post_run()

        assert (unknown.status_code, disabled.status_code) == (403, 403)
        assert unknown.json()["error"]["code"] == "permission_denied"
        assert "/v1/repositories/acme/shop" in unknown.json()["error"]["message"]
        assert "disabled" in disabled.json()["error"]["message"]


async def test_more_runs_than_the_repository_may_have_is_429_until_one_ends(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register(max_concurrent_runs=1)
        first = (await api.post_run()).json()["id"]

        refused = await api.post_run(branch="next")
        await api.client.delete(f"/v1/runs/{first}")
        taken = await api.post_run(branch="next")

        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["error"]["code"] == "rate_limited"
        assert taken.status_code == 201


async def test_delete_is_204_twice_and_cancels_what_waits(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()

        first = await api.client.delete(f"/v1/runs/{run_id}")
        again = await api.client.delete(f"/v1/runs/{run_id}")

        assert (first.status_code, first.content, again.status_code) == (204, b"", 204)
        run = await api.run(run_id)
        assert run["status"] == "cancelled"
        assert run["completed_at"] is not None
        assert set(statuses(run).values()) == {"cancelled"}


async def test_unknown_run_is_404_whatever_is_asked_of_it(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        address = "/v1/runs/018f0000-0000-7000-8000-000000000000"

        found = [
            await api.client.get(address),
            await api.client.get(f"{address}/jobs"),
            await api.client.delete(address),
        ]

        assert [response.status_code for response in found] == [404, 404, 404]
        assert {response.json()["error"]["code"] for response in found} == {"not_found"}


async def test_runs_are_listed_newest_first_in_pages_and_by_filter(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        await api.register()
        made = [(await api.post_run(branch=f"b{number}")).json()["id"] for number in range(5)]
        await api.client.delete(f"/v1/runs/{made[0]}")

        page = (await api.client.get("/v1/runs", params={"limit": 2, "offset": 1})).json()
        cancelled = (await api.client.get("/v1/runs", params={"status": "cancelled"})).json()
        branch = (await api.client.get("/v1/runs", params={"repository": REPOSITORY, "branch": "b3"})).json()

        assert [run["id"] for run in page["runs"]] == [made[3], made[2]]
        assert (page["total"], page["limit"], page["offset"]) == (5, 2, 1)
        assert [run["id"] for run in cancelled["runs"]] == [made[0]]
        assert [run["id"] for run in branch["runs"]] == [made[3]]


@pytest.mark.parametrize(
    "fields",
    [
        {"commit_sha": "abc"},
        {"commit_sha": SHA.upper()},
        {"commit_sha": SHA + "\n"},
        {"repository": "acme"},
        {"repository": "acme/shop/x"},
        {"repository": "acme/.."},
        {"branch": ""},
        {"branch": "a..b"},
        {"branch": "a b"},
        {"branch": "a\x00b"},
        {"branch": "-" * 300},
        {"ref": "refs/heads/\x00"},
        {"ref": "main"},
        {"ref": "refs/heads/other", "branch": "main"},
        {"ref": "refs/tags/v1", "branch": "main"},
        {"trigger_type": "cron"},
        {"triggered_by": "a\x00"},
        {"github_context": {"pr_number": 2**63}},
        {"unknown": 1},
    ],
    ids=str,
)
async def test_wrong_field_is_422_with_its_path(tmp_path: Path, fields: dict[str, object]) -> None:
    async with open_api(tmp_path) as api:
        await api.register()

        response = await api.post_run(**fields)

        assert response.status_code == 422
        error = response.json()["error"]
        assert error["code"] == "validation_error"
        assert any(item["path"].split(".")[0] in fields for item in error["details"]["errors"])


@pytest.mark.parametrize("query", ["limit=-1", "limit=0", "limit=101", "offset=-352", "offset=99999999999999999999"])
async def test_paging_beyond_its_bounds_is_422(tmp_path: Path, query: str) -> None:
    async with open_api(tmp_path) as api:
        response = await api.client.get(f"/v1/runs?{query}")

        assert response.status_code == 422
