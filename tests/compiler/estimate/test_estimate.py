"""The estimate as a whole: shares add up, limits are the run's own, JSON says what the tables say."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from tests.compiler.documents import document, many, project

from forge_runtime import envelope, lease, submit
from forgec.cli.command import FOUND
from forgec.cli.main import main
from forgec.discovery.model import Discovery
from forgec.estimate import limits
from forgec.estimate.estimate import Estimate, estimate
from forgec.estimate.history import read_history
from forgec.estimate.view import to_json, to_text
from forgec.manifest.size import OBJECT_BYTES_MAX
from forgec.plan.build import build_plan


def estimated(discovery: Discovery, *, workers: tuple[int, ...] = (1,), shard_size: int = 25) -> Estimate:
    return estimate(discovery, build_plan(discovery, shard_size=shard_size), workers=workers)


def test_the_limits_are_those_that_dispatchers_and_workers_keep() -> None:
    assert limits.STARTS_MAX == lease.STARTS_MAX
    assert limits.START_ALLOWANCE_S == submit.START_ALLOWANCE_S
    assert limits.STEP_WAIT_S == envelope.CI_SCHEDULE_TO_START_S
    ours = (envelope.DISCOVERY_LIMITS, envelope.ARTIFACT_LIMITS, envelope.RELEASE_LIMITS, envelope.DEPLOYMENT_LIMITS)
    theirs = (limits.DISCOVERY_S, limits.ARTIFACT_S, limits.RELEASE_S, limits.DEPLOYMENT_S)
    assert tuple(each.start_to_close_s for each in ours) == theirs
    assert {each.schedule_to_start_s for each in ours} == {limits.WAIT_S}


@pytest.mark.parametrize("shard_size", [1, 7, 25, 100])
def test_what_projects_contribute_is_what_a_workflow_has_more_than_an_empty_one(shard_size: int) -> None:
    phases = {"lint": 1, "test": 2}
    projects = [*many(30, {"lint": ["a", "b"], "test": ["c"]}, release=True), project("idle")]

    found = estimated(document(phases, projects), shard_size=shard_size)
    nothing = estimated(document(phases))

    def grown(name: str) -> int:
        more: int = getattr(found.compiled, name) - getattr(nothing.compiled, name)
        return more

    assert sum(share.pods for share in found.shares) == pytest.approx(grown("pods"))
    assert sum(share.object_bytes for share in found.shares) == pytest.approx(grown("object_bytes"), abs=200)
    assert found.shares[-1].project == "idle"
    assert found.shares[-1].pods == found.shares[-1].work_s == 0
    assert found.shares[0].tasks == 3
    assert found.shares[0].steps == 3


def test_of_a_dispatcher_for_each_step_the_workflow_is_larger_and_the_run_the_same() -> None:
    discovery = document({"test": 1}, many(30, {"test": ["a", "b"]}, release=True))
    plan, by_step = build_plan(discovery), build_plan(discovery, granularity="step")

    shards = estimate(discovery, plan, workers=(4,))
    steps = estimate(discovery, plan, workers=(4,), by_step=by_step)

    assert (shards.compiled.pods, steps.compiled.pods) == (2 + 2 + 1, 60 + 30 + 1)
    assert (shards.pods_at_once, steps.pods_at_once) == ((2, 2), (60, 2))
    assert (steps.submitted, steps.schedules, steps.chain) == (shards.submitted, shards.schedules, shards.chain)
    assert sum(share.pods for share in steps.shares) == steps.compiled.pods - 1
    assert steps.shares[0].tasks == 2


def test_a_repository_without_projects_can_be_estimated() -> None:
    found = estimated(document({}))

    assert (found.steps, found.groups, found.shares, found.pods_at_once) == (0, 0, (), (0, 0))
    assert [job.address.step for _, job in found.chain] == ["discover"]
    assert "critical path, 10m00s" in to_text(found, name="d.json", shares_max=10, history=None)


def test_json_has_the_limits_beside_the_values() -> None:
    found = estimated(document({"test": 1}, [project("api", {"test": ["unit"]})]), workers=(1, 4))

    told = json.loads(to_json(found))

    assert told["size"]["compiled"]["objectBytes"] == found.compiled.object_bytes < told["limits"]["objectBytes"]
    assert told["size"]["compiled"].keys() == told["size"]["submitted"].keys()
    assert [schedule["workers"] for schedule in told["schedules"]] == [1, 4]
    assert told["criticalPath"]["jobs"][-1] == {
        "stage": "group 1",
        "phase": "test",
        "project": "api",
        "step": "unit",
        "seconds": 1800,
    }
    assert told["durations"] == {"from": "limits", "measured": 0, "assumed": []}


def test_the_critical_path_follows_what_was_measured() -> None:
    discovery = document({"test": 1}, [project("api", {"test": ["unit"]}), project("web", {"test": ["unit"]})])
    durations = {
        "_repository": {"_discovery": {"discover": 1}},
        "api": {"test": {"unit": 40}},
        "web": {"test": {"unit": 70}},
    }
    history = read_history("h.json", json.dumps({"version": 1, "durations": durations}).encode())

    found = estimate(discovery, build_plan(discovery), workers=(1,), history=history)

    assert [str(job.address) for _, job in found.chain][-1] == "test/web/unit"
    assert found.chain_s == 71
    assert found.schedules[0].makespan_s == 111


def test_a_path_from_a_repository_moves_nothing_on_a_terminal() -> None:
    found = estimated(document({"test": 1}, [project("api", {"test": ["x"]}, path="a\u202eb")]))

    text = to_text(found, name="in\x1b[2Jput", shares_max=None, history="his\u2028tory")

    assert "a\\u{202e}b" in text
    assert text.startswith("in\\x1b[2Jput: 1 project,")
    assert "his\\u{2028}tory" in text


def test_what_argo_could_not_keep_is_an_error_below_the_numbers(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    phases = {f"p{at}": 1 for at in range(60)}
    path = tmp_path / "discovery.json"
    path.write_bytes(msgspec.json.encode(document(phases, many(100, {name: ["x"] for name in phases}))))

    code = main(["estimate", str(path), "--shard-size", "100"])

    out, err = capfdbinary.readouterr()
    assert code == FOUND
    assert re.search(rb"^pods +6,001 +6,002$", out, re.MULTILINE)
    told = re.findall(rb"^error\[FC503\]: the (\w+) workflow would take about ([0-9]+) bytes", err, re.MULTILINE)
    assert [form for form, _ in told] == [b"compiled", b"submitted"]
    assert all(int(size) > OBJECT_BYTES_MAX for _, size in told)
