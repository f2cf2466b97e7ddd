"""The stages together."""

import pytest

from forgec import pipeline
from forgec.diagnostic import Code, ForgeError
from forgec.discovery.model import to_json
from forgec.discovery.tree import MemoryTree
from forgec.discovery.trigger import Trigger
from forgec.manifest.lower import ManifestOptions
from forgec.plan.model import GroupPlan, PhasePlan, Plan, Unit

OPTIONS = ManifestOptions()
FILES = {
    ".forge/repo.cue": b"""package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: {lint: group: 1, test: group: 2}
""",
    "api/.forge/project.cue": b"""package project
name: "api"
ci: phases: {
	lint: style: {action: "earthly", target: "+lint"}
	test: unit: {action: "earthly", target: "+unit", timeout: "90s"}
}
release: on: [{branch: "main"}]
""",
    "api/Earthfile": b"VERSION 0.8\n\nlint:\n    RUN true\n\nunit:\n    RUN true\n",
}
PUSH = Trigger(ref="refs/heads/main", branch="main", trigger_type="push")


def test_files_and_the_document_that_discovery_makes_of_them_compile_to_the_same_workflow() -> None:
    discovered = pipeline.discover(MemoryTree(FILES), PUSH)
    read = pipeline.read("discovery.json", to_json(discovered))

    assert read == discovered
    workflows = [
        pipeline.emit(pipeline.lower(pipeline.plan(found, shard_size=25), OPTIONS, dynamic=False))
        for found in (discovered, read)
    ]
    assert workflows[0] == workflows[1]
    assert b"""withParam: '["g02-test-s001"]'""" in workflows[0]
    assert b"""withParam: '["release-s001"]'""" in workflows[0]


def test_a_collision_of_nodes_is_found_for_the_dynamic_form_as_well() -> None:
    run_id = "0190c6d2-5a58-7c1b-9d6b-8e0b1c7f4a52"
    units = tuple(Unit(id=unit_id, tasks=()) for unit_id in ("g01-a1f021-s001", "g01-b22a1e-s002"))
    plan = Plan(groups=(GroupPlan(number=1, phases=(PhasePlan(name="test", units=units),)),), release=())

    with pytest.raises(ForgeError) as raised:
        pipeline.lower(plan, ManifestOptions(run_id=run_id), dynamic=True)

    assert {found.code for found in raised.value.diagnostics} == {Code.NODE_COLLISION}
    pipeline.lower(plan, ManifestOptions(run_id=run_id), dynamic=False)
