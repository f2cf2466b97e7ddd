"""Time limits that contradict each other are found, at their places, and nothing else is."""

import json
from typing import Any

import pytest

from forgec import pipeline
from forgec.diagnostic import Code, Diagnostic, Severity
from forgec.estimate.budget import budget_findings, worker_findings
from forgec.estimate.schedule import simulate
from forgec.estimate.work import stages_of, time_limit


def document(phases: dict[str, dict[str, Any]], projects: dict[str, dict[str, list[dict[str, Any]]]]) -> bytes:
    listed = [
        {
            "name": name,
            "path": name,
            "phases": {
                phase: [{"action": "earthly", "target": "+x", **step} for step in steps]
                for phase, steps in each.items()
            },
        }
        for name, each in projects.items()
    ]
    repository = {"forgeVersion": "v1.0.0", "tagging": {"strategy": "monorepo"}, "phases": phases}
    return json.dumps({"repository": repository, "projects": listed}, indent=1).encode()


def findings(data: bytes) -> list[Diagnostic]:
    located = pipeline.read_located("discovery.json", data)
    return budget_findings(located, pipeline.plan(located.document, shard_size=25))


def told(data: bytes) -> list[tuple[Code, str | None, str | None]]:
    """Code, project, and the text at the place."""
    found = findings(data)
    assert all(finding.severity is Severity.WARNING and finding.help for finding in found)
    return [
        (
            finding.code,
            finding.project,
            finding.span and finding.span.source.text[finding.span.start : finding.span.end],
        )
        for finding in found
    ]


def test_limits_that_agree_are_not_mentioned() -> None:
    phases = {"test": {"group": 1, "timeout": "20m"}, "build": {"group": 2}}
    steps = [{"name": "unit", "timeout": "20m"}, {"name": "all"}]

    assert told(document(phases, {"api": {"test": steps, "build": steps}})) == []


def test_a_step_that_may_run_longer_than_its_phase_says() -> None:
    phases = {"test": {"group": 1, "timeout": "20m"}}
    data = document(phases, {"api": {"test": [{"name": "unit", "timeout": "20m1s"}]}})

    (finding,) = findings(data)

    assert told(data) == [(Code.STEP_ABOVE_PHASE, "api", '"unit"')]
    assert finding.message == 'step "unit" of phase "test" may run 20m01s, its phase says 20m00s'
    assert [related.span.position.line for related in finding.related] == [8]


def test_a_step_whose_starts_do_not_fit_into_a_run() -> None:
    phases = {"test": {"group": 1, "timeout": "24h"}}
    data = document(
        phases, {"api": {"test": [{"name": "soak", "timeout": "7h20m"}, {"name": "unit", "timeout": "7h"}]}}
    )

    assert told(data) == [(Code.STARTS_ABOVE_RUN, "api", '"soak"')]


def test_a_task_whose_steps_wait_for_each_other_longer_than_a_dispatcher_lives() -> None:
    phases = {"test": {"group": 1, "timeout": "7h"}, "build": {"group": 2}}
    steps = [{"name": f"s{at}", "priority": at} for at in range(4)]
    data = document(phases, {"api": {"test": steps, "build": steps}, "web": {"test": steps[:3]}})

    assert told(data) == [(Code.TASK_ABOVE_RUN, "api", '"test"')], "and the run is not complained about on top of it"
    assert "may take 28h00m; a dispatcher has 24h00m" in findings(data)[0].message


def test_groups_that_take_longer_than_a_run_together_are_told_at_the_longest() -> None:
    phases = {f"p{at}": {"group": at, "timeout": "7h" if at == 3 else "6h"} for at in range(1, 5)}
    data = document(phases, {"api": {name: [{"name": "x"}] for name in phases}})

    (finding,) = findings(data)

    assert told(data) == [(Code.RUN_ABOVE_LIMIT, None, "3")]
    assert "may take 25h10m" in finding.message
    assert finding.help is not None
    assert "group 3 (7h00m)" in finding.help


@pytest.mark.parametrize(
    ("workers", "messages"),
    [
        (50, []),
        (2, ["with 2 workers 40 jobs would wait too long and expire, test/p10/x first (after 2h00m)"]),
        (
            1,
            [
                "with 1 worker 45 jobs would wait too long and expire, test/p05/x first (after 2h00m)",
                "with 1 worker the run would take 25h10m, it ends after 24h00m",
            ],
        ),
    ],
)
def test_workers_that_are_too_few_for_the_queue_or_for_the_day(workers: int, messages: list[str]) -> None:
    projects = {f"p{at:02d}": {"test": [{"name": "x"}]} for at in range(50)}
    plan = pipeline.plan(pipeline.read("d.json", document({"test": {"group": 1}}, projects)), shard_size=25)

    schedule = simulate(stages_of(plan, time_limit), workers=workers, pods_max=100)

    assert [finding.message for finding in worker_findings(schedule)] == messages
