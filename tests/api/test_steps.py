"""Statuses of steps and tasks by request, and logs."""

from pathlib import Path
from typing import Any

import pytest
from tests.api.harness import Api, Story, open_api, sample_plan, statuses

from forge_api.service import log
from forge_api.service.outbox import drain
from forge_api.service.projector import project_events
from forge_runtime.log import StepLog
from forge_runtime.log_store import LogStore, log_key, part_key

pytestmark = pytest.mark.usefixtures("each_database")

ERROR = {"code": "STEP_FAILED", "message": "no", "component": "elsewhere", "class": "user"}


async def planned(api: Api) -> dict[str, Any]:
    """A run whose plan is known and of whose steps none has begun."""
    run_id = await api.new_run()
    await drain(api.platform)
    story = Story(await api.run_record(run_id), sample_plan())
    story.discover()
    await story.store(api.bus)
    for event in story.events:
        await project_events(api.platform, story.run_id, [event])
    return await api.run(run_id)


async def nowhere(_offset: int, _data: bytes) -> None:
    return


def step_of(run: dict[str, Any], address: str) -> str:
    phase_name, project, step_name = address.split("/")
    return next(
        step["id"]
        for phase in run["phases"]
        if phase["name"] == phase_name
        for task in phase["tasks"]
        if task["project_name"] == project
        for step in task["steps"]
        if step["name"] == step_name
    )


async def put(api: Api, step_id: str, **body: Any) -> Any:
    return await api.client.put(f"/v1/steps/{step_id}/status", json=body)


async def test_step_goes_through_its_states_and_takes_task_and_phase_along(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)
        step = step_of(run, "check/web/lint")

        began = await put(api, step, status="running", worker="w1")
        middle = await api.run(run["id"])
        ended = await put(api, step, status="success", exit_code=0)

        assert (began.status_code, began.json()["status"], began.json()["worker"]) == (200, "running", "w1")
        assert statuses(middle)["check"] == "running"
        assert (ended.status_code, ended.json()["status"], ended.json()["exit_code"]) == (200, "succeeded", 0)
        assert statuses(await api.run(run["id"]))["check"] == "running"


async def test_same_status_again_changes_nothing(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        step = step_of(await planned(api), "check/web/lint")
        first = await put(api, step, status="running", worker="w1")

        again = await put(api, step, status="running", worker="w2")

        assert (again.status_code, again.json()) == (200, first.json())


@pytest.mark.parametrize("path", [["succeeded"], ["skipped", "running"], ["running", "failed", "succeeded"]])
async def test_way_that_the_table_does_not_have_is_409(tmp_path: Path, path: list[str]) -> None:
    async with open_api(tmp_path) as api:
        step = step_of(await planned(api), "check/web/lint")

        found = [await put(api, step, status=status) for status in path]

        assert [response.status_code for response in found] == [200] * (len(path) - 1) + [409]
        assert found[-1].json()["error"]["code"] == "conflict"


async def test_lower_attempt_is_409_and_a_higher_one_begins_again(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        step = step_of(await planned(api), "check/web/lint")
        await put(api, step, status="running", attempt=1, worker="w1")

        second = await put(api, step, status="running", attempt=2, worker="w2")
        late = await put(api, step, status="failed", attempt=1)

        assert (second.status_code, second.json()["attempt"], second.json()["worker"]) == (200, 2, "w2")
        assert late.status_code == 409


async def test_failed_step_is_the_runs_error_at_once(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)
        step = step_of(run, "test/api/unit")
        await put(api, step, status="running")

        await put(api, step, status="failed", exit_code=2, error=ERROR)

        error = (await api.run(run["id"]))["error"]
        assert error == ERROR | {
            "retryable": False,
            "context": {"phase": "test", "project": "api", "step": "unit", "step_id": step},
        }


async def test_step_that_never_began_is_skipped_without_an_attempt(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)

        response = await put(api, step_of(run, "check/web/lint"), status="skipped")

        assert (response.json()["status"], response.json()["attempt"]) == ("skipped", 0)


async def test_error_message_may_have_lines_but_no_nul(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        step = step_of(await planned(api), "check/web/lint")
        await put(api, step, status="running")

        refused = await put(api, step, status="failed", error=ERROR | {"message": "a\x00b"})
        taken = await put(api, step, status="failed", error=ERROR | {"message": "a\n\tb"})

        assert (refused.status_code, taken.status_code) == (422, 200)
        assert taken.json()["error"]["message"] == "a\n\tb"


async def test_log_key_outside_the_runs_logs_is_422(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        step = step_of(await planned(api), "check/web/lint")
        await put(api, step, status="running")

        response = await put(api, step, status="succeeded", logs_s3_key="pipeline-runs/another/logs/x.log")

        assert response.status_code == 422


async def test_task_status_must_agree_with_its_steps(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)
        step = step_of(run, "check/web/lint")
        task = next(t["id"] for t in run["phases"][1]["tasks"] if t["project_name"] == "web")
        address = f"/v1/tasks/{task}/status"

        early = await api.client.put(address, json={"status": "running"})
        await put(api, step, status="running")
        agreed = await api.client.put(address, json={"status": "running"})
        await put(api, step, status="failed")
        failed = await api.client.put(address, json={"status": "failed", "error": ERROR})
        other = await api.client.put(address, json={"status": "succeeded"})

        assert (early.status_code, agreed.status_code, failed.status_code, other.status_code) == (409, 200, 200, 409)
        assert failed.json()["error"]["message"] == "no"
        assert failed.json()["steps"][0]["status"] == "failed"


async def test_skipped_task_skips_its_steps(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)
        task = next(p for p in run["phases"] if p["name"] == "test")["tasks"][0]["id"]

        response = await api.client.put(f"/v1/tasks/{task}/status", json={"status": "skipped"})

        assert response.status_code == 200
        found = statuses(await api.run(run["id"]))
        assert (found["test"], found["test/api/unit"], found["test/api/smoke"]) == ("skipped",) * 3


async def test_unknown_step_or_task_is_404(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        nothing = "00000000-0000-5000-8000-000000000000"

        found = [
            await put(api, nothing, status="running"),
            await api.client.put(f"/v1/tasks/{nothing}/status", json={"status": "running"}),
            await api.client.get(f"/v1/steps/{nothing}/logs"),
            await api.client.get(f"/v1/steps/{nothing}/log"),
            await api.client.get(f"/v1/steps/{nothing}/log/index"),
        ]

        assert [response.status_code for response in found] == [404] * 5


async def test_step_without_a_log_is_404_until_it_has_one(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)
        step = step_of(run, "check/web/lint")
        before = await api.client.get(f"/v1/steps/{step}/logs")
        key = f"pipeline-runs/{run['id']}/logs/check/web/lint.log"
        await api.blob.put(key, "fine ✓\n".encode(), cls="log")
        await put(api, step, status="running")
        await put(api, step, status="succeeded", logs_s3_key=key)

        address = await api.client.get(f"/v1/steps/{step}/logs")
        text = await api.client.get(f"/v1/steps/{step}/log")
        rest = await api.client.get(f"/v1/steps/{step}/log?offset=5")

        assert before.status_code == 404
        assert "yet" in before.json()["error"]["message"]
        assert address.json()["url"] == (tmp_path / "objects" / key).as_uri()
        assert address.json()["expires_at"] > run["created_at"]
        assert (text.status_code, text.text) == (200, "fine ✓\n")
        assert text.headers["content-type"] == "text/plain; charset=utf-8"
        assert rest.text == "✓\n"


async def test_long_log_is_read_on_from_where_the_reply_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "TEXT_BYTES_MAX", 4)
    async with open_api(tmp_path) as api:
        run = await planned(api)
        step = step_of(run, "check/web/lint")
        key = f"pipeline-runs/{run['id']}/logs/check/web/lint.log"
        await api.blob.put(key, b"123456", cls="log")
        await put(api, step, status="running")
        await put(api, step, status="succeeded", logs_s3_key=key)

        first = await api.client.get(f"/v1/steps/{step}/log")
        rest = await api.client.get(f"/v1/steps/{step}/log?offset={first.headers['X-Log-Next-Offset']}")

        assert (first.text, rest.text) == ("1234", "56")
        assert "X-Log-Next-Offset" not in rest.headers


async def test_log_of_a_running_step_is_what_its_worker_stored_so_far(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)
        step = step_of(run, "check/web/lint")
        await put(api, step, status="running", attempt=2)
        nothing = await api.client.get(f"/v1/steps/{step}/log")
        key = log_key(run["id"], "check", "web", "lint", 2)
        for number, part in enumerate((b"one\n", b"two\n")):
            await api.blob.put(part_key(key, number), part, cls="log")

        text = await api.client.get(f"/v1/steps/{step}/log")
        rest = await api.client.get(f"/v1/steps/{step}/log?offset=4")
        address = await api.client.get(f"/v1/steps/{step}/logs")

        assert (text.text, rest.text) == ("one\ntwo\n", "two\n")
        assert (nothing.status_code, address.status_code) == (404, 404)
        assert "running" in nothing.json()["error"]["message"]


async def test_log_of_a_running_step_is_read_on_without_the_parts_before(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)
        step = step_of(run, "check/web/lint")
        await put(api, step, status="running", attempt=1)
        key = log_key(run["id"], "check", "web", "lint", 1)
        for number, part in enumerate((b"one\n", b"two\n", b"three\n")):
            await api.blob.put(part_key(key, number), part, cls="log")
        first = await api.client.get(f"/v1/steps/{step}/log")
        await api.blob.delete(part_key(key, 1))

        rest = await api.client.get(f"/v1/steps/{step}/log?offset={len(first.text)}")
        last = await api.client.get(f"/v1/steps/{step}/log?offset=8")

        assert (first.text, rest.text, last.text) == ("one\ntwo\nthree\n", "", "three\n")


async def test_index_of_a_log_leads_to_its_lines_once_the_step_is_over(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)
        step = step_of(run, "check/web/lint")
        key = log_key(run["id"], "check", "web", "lint", 1)
        await put(api, step, status="running", attempt=1)
        log_of_step = StepLog(tmp_path / "spool", nowhere, lambda: LogStore(api.blob, key))
        for number in range(2000):
            await log_of_step.write(f"line {number} " + "x" * 80)
        running = await api.client.get(f"/v1/steps/{step}/log/index")
        await log_of_step.finish()
        await put(api, step, status="succeeded", logs_s3_key=key)

        index = (await api.client.get(f"/v1/steps/{step}/log/index")).json()
        mark = index["marks"][1]
        text = await api.client.get(f"/v1/steps/{step}/log?offset={mark['offset']}")

        assert running.status_code == 404
        assert "running" in running.json()["error"]["message"]
        assert (index["lines"], index["truncated"]) == (2000, False)
        assert text.text.startswith(f"{mark['time']} line {mark['line']} ")


async def test_log_that_came_without_an_index_has_none(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run = await planned(api)
        step = step_of(run, "check/web/lint")
        key = f"pipeline-runs/{run['id']}/logs/check/web/lint.log"
        await api.blob.put(key, b"fine\n", cls="log")
        await put(api, step, status="running")
        await put(api, step, status="succeeded", logs_s3_key=key)

        index = await api.client.get(f"/v1/steps/{step}/log/index")

        assert index.status_code == 404
        assert "index of the log" in index.json()["error"]["message"]


async def test_jobs_are_listed_with_their_place_and_lease(tmp_path: Path) -> None:
    async with open_api(tmp_path) as api:
        run_id = await api.new_run()
        await drain(api.platform)
        story = Story(await api.run_record(run_id), sample_plan())
        story.discover()
        story.went("check/web/lint")
        await story.store(api.bus)

        jobs = (await api.client.get(f"/v1/runs/{run_id}/jobs")).json()["jobs"]

        assert [(job["phase"], job["name"], job["type"]) for job in jobs] == [
            ("_discovery", "_repository/discover", "discovery"),
            ("check", "web/lint", "ci"),
        ]
        assert (jobs[1]["status"], jobs[1]["attempt"], jobs[1]["worker"]) == ("succeeded", 1, "worker-1")
