"""Argo's node names and ids, and the proof that no two nodes share one."""

import pytest
from tests.compiler.documents import document, many, project

from forgec.diagnostic import Code
from forgec.discovery.check import locate_document
from forgec.discovery.model import to_json
from forgec.manifest.entry import Entry, dynamic_entries, static_entries
from forgec.manifest.node import check_nodes, fnv32a, node_id, node_names
from forgec.plan.build import build_plan
from forgec.plan.model import GroupPlan, PhasePlan, Plan, PlanStep, Task, Unit, Wave
from forgec.source import Source

NAME = "forge-0190c6d2-5a58-7c1b-9d6b-8e0b1c7f4a52"
SMALL = build_plan(document({"test": 1}, [project("api", {"test": ["unit"]}, release=True)]))


@pytest.mark.parametrize(
    ("data", "value"), [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968), (b"hello", 0x4F9F2CAB)]
)
def test_the_hash_is_fnv_1a_of_32_bits(data: bytes, value: int) -> None:
    assert fnv32a(data) == value


def test_the_root_has_the_name_of_the_workflow_as_its_id_and_others_the_hash_behind_it() -> None:
    assert node_id("wf", "wf") == "wf"
    assert node_id("wf", "wf[0]") == f"wf-{fnv32a(b'wf[0]')}"


def test_every_node_of_a_static_workflow_is_named_attempts_included() -> None:
    assert list(node_names("wf", static_entries(SMALL))) == [
        "wf",
        "wf[0]",
        "wf[0].group-01(0:g01-test-s001)",
        "wf[0].group-01(0:g01-test-s001)(0)",
        "wf[0].group-01(0:g01-test-s001)(1)",
        "wf[0].group-01(0:g01-test-s001)(2)",
        "wf[1]",
        "wf[1].release(0:release-s001)",
        "wf[1].release(0:release-s001)(0)",
        "wf[1].release(0:release-s001)(1)",
        "wf[1].release(0:release-s001)(2)",
        "wf.onExit",
        "wf.onExit(0)",
        "wf.onExit(1)",
        "wf.onExit(2)",
    ]


def test_a_dynamic_workflow_has_discovery_before_and_skipped_nodes_for_empty_lists() -> None:
    names = list(node_names("wf", dynamic_entries(SMALL)))

    assert names[:4] == ["wf", "wf[0]", "wf[0].discovery", "wf[0].discovery(0)"]
    assert "wf[1].group-01(0:g01-test-s001)" in names
    assert names[names.index("wf[16]") :][:3] == ["wf[16]", "wf[16].group-16", "wf[17]"]


def test_the_steps_of_a_list_that_was_cut_are_named_each_with_its_own_items() -> None:
    entry = Entry(name="group-01", items=("a", "b", "c"), cuts=(2,))

    names = [name for name in node_names("wf", [entry]) if name.endswith(")") and name.count("(") == 1]

    assert names[:3] == ["wf[0].group-01(0:a)", "wf[0].group-01(1:b)", "wf[0].group-01-2(0:c)"]


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_hundred_projects_collide_nowhere(dynamic: bool) -> None:
    plan = build_plan(document({f"p{n}": n for n in range(1, 6)}, many(100, {f"p{n}": ["x"] for n in range(1, 6)})))

    assert check_nodes(NAME, plan, dynamic=dynamic) == []


@pytest.mark.parametrize(
    ("dynamic", "first", "second"),
    [(False, "g01-a13e04-s001", "g01-b1dafd-s002"), (True, "g01-a1f021-s001", "g01-b22a1e-s002")],
    ids=["static", "dynamic"],
)
def test_two_nodes_of_one_id_are_refused_by_their_names_once_for_all_attempts(
    dynamic: bool, first: str, second: str
) -> None:
    """The pairs were found by trying; the entry's index is part of a node's name, so each form has its own."""
    units = tuple(Unit(id=unit_id, tasks=()) for unit_id in (first, second))
    plan = Plan(groups=(GroupPlan(number=1, phases=(PhasePlan(name="test", units=units),)),), release=())

    problems = check_nodes(NAME, plan, dynamic=dynamic)

    assert [problem.code for problem in problems] == [Code.NODE_COLLISION]
    assert f'group-01(0:{first})"' in problems[0].message
    assert f'group-01(1:{second})"' in problems[0].message
    assert check_nodes(NAME, plan, dynamic=not dynamic) == []


@pytest.mark.parametrize("by_step", [False, True])
def test_the_advice_names_the_shard_size_where_there_are_shards(by_step: bool) -> None:
    step = PlanStep(name="x", action="earthly", target="+x", timeout_s=60, args=(), secrets=())
    task = Task(project="web", path="web", waves=(Wave(priority=0, steps=(step,)),))
    units = tuple(
        Unit(id=unit_id, tasks=(task,), by_step=by_step) for unit_id in ("g01-a13e04-s001", "g01-b1dafd-s002")
    )
    plan = Plan(groups=(GroupPlan(number=1, phases=(PhasePlan(name="test", units=units),)),), release=())

    (problem,) = check_nodes(NAME, plan, dynamic=False)

    assert problem.help is not None
    assert ("shard size" in problem.help) is not by_step


def test_a_collision_is_told_at_the_phase_of_the_node() -> None:
    text = to_json(document({"test": 1})).decode()
    places = locate_document(Source("d.json", text)).places
    units = tuple(Unit(id=unit_id, tasks=()) for unit_id in ("g01-a13e04-s001", "g01-b1dafd-s002"))
    plan = Plan(groups=(GroupPlan(number=1, phases=(PhasePlan(name="test", units=units),)),), release=())

    (problem,) = check_nodes(NAME, plan, dynamic=False, places=places)

    assert problem.span is not None
    assert problem.span.text == '"test"'
    assert problem.related == ()  # it is the same phase's
