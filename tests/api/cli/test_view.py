"""What a run looks like on a terminal and in a log, from the API's document of it."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from forge_api.cli.follow import LiveScreen, PlainScreen
from forge_api.cli.home import Home
from forge_api.cli.runs import summary
from forge_api.cli.view import clean, failure_report, view_run, waiting_notes

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def step(name: str, status: str, **fields: Any) -> dict[str, Any]:
    return {"id": f"id-{name}", "name": name, "status": status, "started_at": at(1), "completed_at": at(3.5), **fields}


def run_document(*test_steps: dict[str, Any], status: str = "running", **fields: Any) -> dict[str, Any]:
    def phase(name: str, group: int, status: str, *tasks: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "group_number": group, "status": status, "started_at": at(1), "tasks": list(tasks)}

    return {
        "id": "0190c6d2-5a58-7c1b-9d6b-8e0b1c7f4a52",
        "repository": "local/shop",
        "branch": "main",
        "commit_sha": "3f" * 20,
        "trigger_type": "manual",
        "status": status,
        "created_at": at(0),
        "phases": [
            phase(
                "build", 2, "pending", {"project_name": "web", "steps": [step("bundle", "pending", started_at=None)]}
            ),
            phase("test", 1, "running", {"project_name": "lib", "steps": list(test_steps)}),
            phase(
                "_discovery", 0, "succeeded", {"project_name": "_repository", "steps": [step("discover", "succeeded")]}
            ),
        ],
        **fields,
    }


def test_phases_are_shown_in_group_order_with_discovery_first() -> None:
    run = view_run(run_document(step("unit", "succeeded")), START + timedelta(seconds=9))

    assert [phase.name for phase in run.phases] == ["discovery", "test", "build"]
    assert [item.name for item in run.steps()] == ["discover", "lib/unit", "web/bundle"]
    assert run.title == "local/shop main 3f3f3f3f3f (manual)"
    assert run.elapsed_s == 9


def test_the_plain_screen_says_each_step_once_when_it_ends() -> None:
    out = io.StringIO()
    screen = PlainScreen(out.write)
    running = view_run(run_document(step("unit", "running", completed_at=None)), START)
    done = view_run(run_document(step("unit", "failed", attempt=2)), START)

    for view in (running, done, done):
        screen.show(view, [])

    assert out.getvalue().splitlines() == [
        "  ok       discovery  discover                              2.5s",
        "  FAILED   test       lib/unit                              2.5s  (start 2)",
    ]


def test_the_live_screen_shows_bars_and_what_runs() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    live = Live(console=console, auto_refresh=False)
    view = view_run(
        run_document(step("unit", "running", completed_at=None), step("lint", "succeeded")),
        START + timedelta(seconds=5),
    )

    LiveScreen(live).show(view, ["worker-1 does not answer: lib/unit goes to another worker in 12s"])
    console.print(live.renderable)

    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "test" in shown
    assert "1/2" in shown
    assert "lib/unit" in shown
    assert "goes to another worker in 12s" in shown


def test_a_silent_worker_is_named_with_the_seconds_until_its_job_moves_on() -> None:
    jobs = [
        {"job_id": "1", "name": "lib/unit", "status": "leased", "worker": "worker-1", "lease_until": at(12)},
        {"job_id": "2", "name": "web/bundle", "status": "leased", "worker": "worker-2", "lease_until": at(28)},
        {"job_id": "3", "status": "queued"},
    ]

    assert waiting_notes(jobs, START) == ["worker-1 does not answer: lib/unit goes to another worker in 12s"]


def test_the_failure_names_project_step_command_place_and_the_end_of_the_log() -> None:
    error = {
        "code": "STEP_FAILED",
        "message": "the command ended with exit code 1",
        "location": {"file": "lib/Earthfile", "line": 12},
        "context": {"command": "python3 -m unittest", "tail": ["FAIL: test_rounding", "AssertionError: 2 != 3"]},
    }
    document = run_document(
        step("lint", "failed", exit_code=9),
        step("unit", "failed", exit_code=1, error=error),
        status="failed",
        error={"code": "STEP_FAILED", "message": "", "context": {"step_id": "id-unit"}},
    )

    assert failure_report(view_run(document, START)) == [
        "lib/unit failed in phase test with exit code 1",
        "  command  python3 -m unittest",
        "  place    lib/Earthfile:12",
        "  because  the command ended with exit code 1",
        "  | FAIL: test_rounding",
        "  | AssertionError: 2 != 3",
        "  also failed: lib/lint",
    ]


def test_a_run_that_failed_without_a_failed_step_says_why() -> None:
    document = run_document(status="failed", error={"code": "REPO_CONFIG_MISSING", "message": "no .forge/repo.cue"})

    assert failure_report(view_run(document, START)) == ["REPO_CONFIG_MISSING: no .forge/repo.cue"]


def test_no_text_can_draw_over_the_terminal() -> None:
    assert clean("a\x1b[2Jb\u202ec\td\n") == "a�[2Jb�c    d�"


def test_the_end_of_a_run_names_the_platform_that_has_its_logs(tmp_path: Path) -> None:
    run = view_run(run_document(step("unit", "succeeded"), status="succeeded"), START + timedelta(seconds=9))

    lines = summary(run, Home(tmp_path / "elsewhere"))

    assert lines[-1].endswith(f"forge logs 0190c6d2-5a58 --data-dir {tmp_path / 'elsewhere'})")
