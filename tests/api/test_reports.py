"""Discovery and the end of a run by request."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests.api.harness import SHA, Api, open_api, statuses

from forge_api.service.outbox import drain
from forge_api.service.projector import project_events
from forge_runtime import subject
from forge_runtime.event import Event, EventKind, StepAddress

GOLDEN = Path("golden/plans/release-artifacts/discovery.json")

pytestmark = pytest.mark.usefixtures("each_database")


def document(**fields: Any) -> dict[str, Any]:
    """A golden discovery document, of this commit."""
    found: dict[str, Any] = json.loads(GOLDEN.read_text())
    return found | {"commitSha": SHA} | fields


async def begun(api: Api) -> str:
    run_id = await api.new_run()
    await drain(api.platform)
    return run_id


async def put(api: Api, run_id: str, what: str, **body: Any) -> Any:
    async with api.by("worker") as worker:
        return await worker.put(f"/v1/runs/{run_id}/{what}", json=body)


async def every_step(api: Api, run_id: str, status: str) -> None:
    """Bring all steps to this end, through running."""
    for phase in (await api.run(run_id))["phases"]:
        for task in phase["tasks"]:
            for step in task["steps"]:
                for each in ("running", status):
                    assert (await api.client.put(f"/v1/steps/{step['id']}/status", json={"status": each})).is_success


async def test_a_discovery_document_makes_the_rows_of_its_plan(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await begun(api)

        response = await put(api, run_id, "discovery", output=document())
        again = await put(api, run_id, "discovery", output=document())
        shown = await api.client.get(f"/v1/runs/{run_id}?include=discovery")

    assert (response.status_code, again.status_code) == (200, 200)
    phases = [phase["name"] for phase in response.json()["phases"]]
    assert (phases[0], phases[-1]) == ("_discovery", "_release")
    assert again.json() == response.json()
    assert response.json()["plan_digest"].startswith("sha256:")
    assert shown.json()["discovery"]["commitSha"] == SHA


async def test_a_document_may_lie_in_the_object_store(tmp_path: Path) -> None:
    data = json.dumps(document()).encode()
    async with open_api(tmp_path) as api:
        run_id = await begun(api)
        key = f"pipeline-runs/{run_id}/results/discovery/x.json"
        await api.blob.put(key, data, cls="result")
        reference = {"key": key, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}

        elsewhere = await put(api, run_id, "discovery", result_ref=reference | {"key": "pipeline-runs/x/results/y"})
        other = await put(api, run_id, "discovery", result_ref=reference | {"sha256": "0" * 64})
        missing = await put(api, run_id, "discovery", result_ref=reference | {"key": key + "x"})
        response = await put(api, run_id, "discovery", result_ref=reference)

    assert [each.status_code for each in (elsewhere, other, missing, response)] == [422, 422, 422, 200]


async def test_another_document_is_409(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await begun(api)
        await put(api, run_id, "discovery", output=document())
        other = document()
        other["warnings"] = []
        other["ref"] = "refs/heads/other"

        response = await put(api, run_id, "discovery", output=other)

    assert response.status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"output": {}},
        {"output": {"schemaVersion": 1}},
        {"output": document(commitSha="b" * 40)},
        {"output": document(projects="none")},
        {"output": document(), "result_ref": {"key": "a", "sha256": "0" * 64, "size": 1}},
    ],
)
async def test_what_is_no_document_of_the_run_is_422(tmp_path: Path, body: dict[str, Any]) -> None:
    async with open_api(tmp_path) as api:
        run_id = await begun(api)

        assert (await put(api, run_id, "discovery", **body)).status_code == 422


async def test_a_run_whose_steps_succeeded_may_be_called_so(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await begun(api)
        await put(api, run_id, "discovery", output=document())
        early = await put(api, run_id, "status", status="succeeded")
        await every_step(api, run_id, "succeeded")

        response = await put(api, run_id, "status", status="success")
        again = await put(api, run_id, "status", status="succeeded")
        late = await put(api, run_id, "status", status="failed")

    assert [each.status_code for each in (early, response, again, late)] == [409, 200, 200, 409]
    assert response.json()["status"] == "succeeded"


async def test_a_run_of_which_a_step_failed_did_not_succeed(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await begun(api)
        await every_step(api, run_id, "failed")

        response = await put(api, run_id, "status", status="succeeded")

    assert response.status_code == 409
    assert "discover" in response.json()["error"]["message"]


@pytest.mark.parametrize(("status", "left"), [("failed", "skipped"), ("cancelled", "cancelled")])
async def test_a_run_that_is_ended_closes_its_rows_and_stops_its_work(tmp_path: Path, status: str, left: str) -> None:
    async with open_api(tmp_path) as api:
        run_id = await begun(api)

        response = await put(api, run_id, "status", status=status)
        await drain(api.platform)
        flag = await api.bus.runs.get(subject.cancel_key(run_id))

    assert response.json()["status"] == status
    assert set(statuses(response.json()).values()) == {left}
    assert flag is not None
    assert (response.json()["error"] is None) is (status == "cancelled")


async def test_an_event_of_an_ended_run_changes_nothing_any_more(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await begun(api)
        ended = (await put(api, run_id, "status", status="failed")).json()
        address = StepAddress(phase="_discovery", project="_repository", step="discover")
        late = Event(
            kind=EventKind.DISCOVERY, run_id=run_id, status="running", at="2026-01-02T00:00:00Z", address=address
        )

        await project_events(api.platform, run_id, [late])

        assert (await api.run(run_id))["status"] == ended["status"]


async def test_who_is_no_worker_reports_nothing(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await begun(api)
        async with api.by("developer.dev") as developer:
            found = [
                await developer.put(f"/v1/runs/{run_id}/status", json={"status": "failed"}),
                await developer.put(f"/v1/runs/{run_id}/discovery", json={"output": {}}),
            ]
        unknown = await put(api, "018f0000-0000-7000-8000-000000000000", "status", status="failed")

    assert [each.status_code for each in (*found, unknown)] == [403, 403, 404]
