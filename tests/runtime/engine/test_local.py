"""The engine for one machine runs the emitted manifests with real processes, and keeps Argo's meaning.

The dispatcher here is a shell script found on PATH, as the real one is: it notes that it was called, and ends as the
scenario's files say (`<name>.exit`: one exit code for each attempt; `<name>.hold`: wait until the file is gone).
"""

import asyncio
import json
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forge_runtime.engine.local import LocalEngine
from forge_runtime.engine.port import ManifestRefused, WorkflowPhase, WorkflowStatus
from forgec.manifest.argo import to_builtins
from forgec.manifest.lower import ManifestOptions, lower_dynamic, lower_plan
from forgec.plan.model import GroupPlan, PhasePlan, Plan, PlanStep, Task, Unit, Wave

RUN_ID = "0190c6d2-5a58-7c1b-9d6b-8e0b1c7f4a52"
NAME = f"forge-{RUN_ID}"
WAIT_S = 20.0

DISPATCHER = r"""#!/bin/sh
# what is run: discover, finish, or the unit of `run`
name=$1; status=; for word; do
  case $previous in --unit) name=$word ;; --status) status=" $word" ;; esac
  previous=$word
done
echo "start $name$status" >> "$SCENARIO/calls"
echo "$NATS_URL" > "$SCENARIO/nats_url"
trap 'echo "term $name" >> "$SCENARIO/calls"; exit 143' TERM
while [ -e "$SCENARIO/$name.hold" ]; do sleep 0.02; done
[ -e "$SCENARIO/$name.outputs" ] && cp "$SCENARIO/$name.outputs"/* "$FORGE_OUTPUT_DIR"
code=0
if [ -s "$SCENARIO/$name.exit" ]; then
  code=$(head -n 1 "$SCENARIO/$name.exit"); sed -i 1d "$SCENARIO/$name.exit"
fi
echo "end $name" >> "$SCENARIO/calls"
exit "$code"
"""


class Scenario:
    """A directory that the script reads its part from, and writes its calls to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        program = directory / "bin" / "forge-dispatcher"
        program.parent.mkdir()
        program.write_text(DISPATCHER)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        self.environment = {"PATH": f"{program.parent}:{os.defpath}", "SCENARIO": str(directory)}

    def calls(self) -> list[str]:
        file = self.directory / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def exits(self, name: str, *codes: int) -> None:
        (self.directory / f"{name}.exit").write_text("".join(f"{code}\n" for code in codes))

    def hold(self, name: str) -> Path:
        file = self.directory / f"{name}.hold"
        file.touch()
        return file

    def outputs(self, name: str, **files: str) -> None:
        directory = self.directory / f"{name}.outputs"
        directory.mkdir()
        for file, text in files.items():
            (directory / file.replace("_", "-")).write_text(text)

    async def until(self, call: str) -> None:
        await eventually(lambda: call in self.calls())


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return Scenario(tmp_path)


@pytest.fixture
def engine(scenario: Scenario) -> LocalEngine:
    return LocalEngine(scenario.directory / "engine", environment=scenario.environment)


async def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


async def ended(engine: LocalEngine, name: str = NAME) -> WorkflowStatus:
    deadline = time.monotonic() + WAIT_S
    while True:
        status = await engine.status(name)
        if status is not None and status.phase.terminal:
            return status
        assert time.monotonic() < deadline, f"the workflow did not end: {status}"
        await asyncio.sleep(0.01)


def two_groups() -> Plan:
    def phase(index: int, name: str, *projects: str) -> PhasePlan:
        step = PlanStep(name="go", action="earthly", target="+go", timeout_s=60)
        units = tuple(
            Unit(
                id=f"g{index:02d}-{name}-s{at:03d}",
                tasks=(Task(project=project, path=project, waves=(Wave(priority=0, steps=(step,)),)),),
            )
            for at, project in enumerate(projects, 1)
        )
        return PhasePlan(name=name, units=units)

    return Plan(
        groups=(
            GroupPlan(number=1, phases=(phase(1, "test", "a", "b"),)),
            GroupPlan(number=2, phases=(phase(2, "build", "a"),)),
        ),
        release=(),
    )


def static_manifest(**changes: object) -> str:
    """JSON is YAML; `changes` replace fields of the spec."""
    document = to_builtins(lower_plan(two_groups(), ManifestOptions(run_id=RUN_ID)))
    document["spec"].update(changes)
    return json.dumps(document)


async def test_groups_run_one_after_another_and_the_exit_handler_last(scenario: Scenario, engine: LocalEngine) -> None:
    await engine.submit(static_manifest())
    status = await ended(engine)

    assert status.phase is WorkflowPhase.SUCCEEDED
    calls = scenario.calls()
    assert set(calls[:4]) == {f"{what} g01-test-s00{n}" for what in ("start", "end") for n in (1, 2)}
    assert calls[4:] == ["start g02-build-s001", "end g02-build-s001", "start finish Succeeded", "end finish"]
    assert (scenario.directory / "nats_url").read_text() == "nats://nats:4222\n"


async def test_the_engine_knows_better_than_the_manifest_where_nats_is(scenario: Scenario) -> None:
    environment = scenario.environment | {"NATS_URL": "nats://127.0.0.1:4444"}
    engine = LocalEngine(scenario.directory / "engine", environment=environment)

    await engine.submit(static_manifest())
    await ended(engine)

    assert (scenario.directory / "nats_url").read_text() == "nats://127.0.0.1:4444\n"


async def test_a_failed_leaf_fails_its_group_after_its_siblings_ended(scenario: Scenario, engine: LocalEngine) -> None:
    scenario.exits("g01-test-s001", 1)
    sibling = scenario.hold("g01-test-s002")

    await engine.submit(static_manifest())
    await scenario.until("end g01-test-s001")
    sibling.unlink()
    status = await ended(engine)

    assert status == WorkflowStatus(name=NAME, phase=WorkflowPhase.FAILED, message="main: Error (exit code 1)")
    assert "end g01-test-s002" in scenario.calls()
    assert "start g02-build-s001" not in scenario.calls()
    assert "start finish Failed" in scenario.calls()


async def test_infrastructure_exit_codes_are_retried_twice_and_no_more(scenario: Scenario, engine: LocalEngine) -> None:
    scenario.exits("g01-test-s001", 75, 143, 0)
    scenario.exits("g02-build-s001", 75, 75, 75, 0)

    await engine.submit(static_manifest())
    status = await ended(engine)

    assert scenario.calls().count("start g01-test-s001") == 3
    assert scenario.calls().count("start g02-build-s001") == 3
    assert status.phase is WorkflowPhase.FAILED


async def test_the_dynamic_form_starts_the_units_that_discovery_hands_out(
    scenario: Scenario, engine: LocalEngine
) -> None:
    scenario.outputs("discover", plan="sha256:ab", group_01='["g01-test-s001"]', group_02='["g02-build-s001"]')

    await engine.submit(json.dumps(to_builtins(lower_dynamic(ManifestOptions(run_id=RUN_ID)))))
    status = await ended(engine)

    assert status.phase is WorkflowPhase.SUCCEEDED
    starts = [call for call in scenario.calls() if call.startswith("start")]
    assert starts == ["start discover", "start g01-test-s001", "start g02-build-s001", "start finish Succeeded"]


async def test_stop_ends_dispatchers_and_runs_the_exit_handler(scenario: Scenario, engine: LocalEngine) -> None:
    scenario.hold("g01-test-s001")
    await engine.submit(static_manifest())
    await scenario.until("start g01-test-s001")

    await engine.stop(NAME)
    status = await ended(engine)

    assert status.phase is WorkflowPhase.FAILED
    assert status.message == "Stopped with strategy 'Stop'"
    calls = scenario.calls()
    assert "term g01-test-s001" in calls
    assert calls.count("start g01-test-s001") == 1
    assert "start finish Failed" in calls


async def test_terminate_runs_no_exit_handler(scenario: Scenario, engine: LocalEngine) -> None:
    scenario.hold("g01-test-s001")
    await engine.submit(static_manifest())
    await scenario.until("start g01-test-s001")

    await engine.terminate(NAME)
    status = await ended(engine)

    assert status.phase is WorkflowPhase.FAILED
    assert not [call for call in scenario.calls() if "finish" in call]


async def test_the_workflow_deadline_ends_it_and_is_not_retried(scenario: Scenario, engine: LocalEngine) -> None:
    scenario.hold("g01-test-s001")

    await engine.submit(static_manifest(activeDeadlineSeconds=1))
    status = await ended(engine)

    assert status.message == "workflow exceeded its deadline"
    assert scenario.calls().count("start g01-test-s001") == 1
    assert "start finish Failed" in scenario.calls()


async def test_a_leaf_past_its_own_deadline_fails_and_is_not_retried(scenario: Scenario, engine: LocalEngine) -> None:
    scenario.hold("g01-test-s001")
    document = json.loads(static_manifest())
    shard = next(template for template in document["spec"]["templates"] if template["name"] == "shard")
    shard["activeDeadlineSeconds"] = 1

    await engine.submit(json.dumps(document))
    status = await ended(engine)

    assert status.message == "Pod was active on the node longer than the specified deadline"
    assert scenario.calls().count("start g01-test-s001") == 1


async def test_parallelism_bounds_the_dispatchers_that_run_together(scenario: Scenario, engine: LocalEngine) -> None:
    hold = scenario.hold("g01-test-s001")
    await engine.submit(static_manifest(parallelism=1))
    await scenario.until("start g01-test-s001")

    hold.unlink()
    await ended(engine)

    assert scenario.calls()[:3] == ["start g01-test-s001", "end g01-test-s001", "start g01-test-s002"]


async def test_submitting_a_name_twice_is_one_workflow(scenario: Scenario, engine: LocalEngine) -> None:
    await engine.submit(static_manifest())
    await engine.submit(static_manifest())
    await ended(engine)

    assert scenario.calls().count("start g01-test-s001") == 1


async def test_a_restart_keeps_what_ended_and_starts_the_rest_anew(scenario: Scenario, engine: LocalEngine) -> None:
    hold = scenario.hold("g01-test-s002")
    await engine.submit(static_manifest())
    await scenario.until("end g01-test-s001")
    await scenario.until("start g01-test-s002")
    await eventually(lambda: _node_ended(scenario, "g01-test-s001"))
    await engine.close()

    hold.unlink()
    successor = LocalEngine(scenario.directory / "engine", environment=scenario.environment)
    await successor.start()
    status = await ended(successor)

    assert status.phase is WorkflowPhase.SUCCEEDED
    assert scenario.calls().count("start g01-test-s001") == 1
    assert scenario.calls().count("start g01-test-s002") == 2


async def test_a_workflow_that_another_version_took_holds_up_nobody_else(
    scenario: Scenario, engine: LocalEngine
) -> None:
    hold = scenario.hold("g01-test-s002")
    await engine.submit(static_manifest())
    await scenario.until("start g01-test-s002")
    await engine.close()
    unknown = scenario.directory / "engine" / "forge-of-another-version"
    shutil.copytree(scenario.directory / "engine" / NAME, unknown)
    state = json.loads((unknown / "state.json").read_text())
    (unknown / "state.json").write_text(json.dumps(state | {"name": unknown.name}))
    (unknown / "workflow.yaml").write_text(edit("spec.suspend", True))

    hold.unlink()
    successor = LocalEngine(scenario.directory / "engine", environment=scenario.environment)
    await successor.start()
    status = await ended(successor)
    refused = await successor.status(unknown.name)

    assert status.phase is WorkflowPhase.SUCCEEDED
    assert refused is not None
    assert refused.phase is WorkflowPhase.ERROR
    assert "suspend" in refused.message


async def test_a_watcher_sees_the_phases(engine: LocalEngine) -> None:
    seen: list[WorkflowPhase] = []

    async def watch() -> None:
        async for status in engine.watch():
            seen.append(status.phase)
            if status.phase.terminal:
                return

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await engine.submit(static_manifest())
    await asyncio.wait_for(watching, WAIT_S)

    assert seen == [WorkflowPhase.RUNNING, WorkflowPhase.SUCCEEDED]


def edit(path: str, value: object) -> str:
    """A static manifest with one field set, by a dotted path."""
    document = json.loads(static_manifest())
    at = document
    *parents, last = path.split(".")
    for key in parents:
        at = at[int(key)] if key.isdigit() else at[key]
    at[int(last) if last.isdigit() else last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        ("spec: [", "not YAML"),
        (edit("spec.suspend", True), "unknown field `suspend`"),
        (edit("spec.templates.1.container.workingDir", "/x"), "unknown field `workingDir`"),
        (edit("spec.parallelism", "100"), "Expected `int`"),
        (edit("spec.entrypoint", "nowhere"), 'entrypoint "nowhere"'),
        (edit("spec.onExit", "main"), 'onExit "main"'),
        (edit("spec.templates.0.steps.0.0.template", "nowhere"), '"nowhere" is no container template'),
        (edit("spec.templates.0.steps.0.0.withParam", "[1]"), "no JSON list of strings"),
        (edit("spec.templates.0.steps.0.0.withParam", "{{steps.x.outputs.parameters.y}}"), "does not resolve"),
        (edit("spec.templates.1.container.args.0", "{{inputs.parameters.secret}}"), "does not resolve"),
        (edit("spec.templates.1.container.args.0", "{{workflow.status}}"), "does not resolve"),
        (edit("spec.templates.1.retryStrategy.expression", "sprig.env('HOME') == ''"), "not an expression"),
        (edit("spec.volumes", [{"name": "v", "secret": {"secretName": "s"}}]), "no pods on this machine"),
    ],
)
async def test_what_is_not_understood_is_refused_and_not_started(
    scenario: Scenario, engine: LocalEngine, manifest: str, reason: str
) -> None:
    with pytest.raises(ManifestRefused, match=reason.replace("{", r"\{")):
        await engine.submit(manifest)

    assert await engine.status(NAME) is None
    assert scenario.calls() == []


def _node_ended(scenario: Scenario, unit: str) -> bool:
    state = json.loads((scenario.directory / "engine" / NAME / "state.json").read_text())
    return any(unit in name and node.get("phase") == "Succeeded" for name, node in state["nodes"].items())
