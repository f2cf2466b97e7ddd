"""What a drawing shows of a document, and of the difference between two."""

import msgspec
from hypothesis import given, settings
from tests.compiler.documents import complete, document, documents, project, step

from forgec.discovery.model import Discovery, Phase, Project
from forgec.graph.build import graph_of
from forgec.graph.label import lane_differences
from forgec.graph.model import Graph, State

SAME, ADDED, REMOVED, CHANGED = State.SAME, State.ADDED, State.REMOVED, State.CHANGED


def steps(graph: Graph) -> dict[tuple[str, str, str], State]:
    """By lane, project and name."""
    return {
        (lane.name, task.project, each.name): each.state
        for lane in graph.lanes()
        for task in lane.tasks.values()
        for each in task.steps
    }


def differing(graph: Graph) -> dict[tuple[str, str, str], State]:
    return {where: state for where, state in steps(graph).items() if state is not SAME}


def released(*artifacts: str, deploy: bool = False, triggered: bool = True) -> Project:
    producer = {"type": "container", "producer": {"earthly": {"target": "+image"}}}
    raw = {
        "name": "api",
        "path": "api",
        "artifacts": dict.fromkeys(artifacts, producer),
        "releaseTriggered": triggered,
        "deploymentTriggered": deploy,
    }
    return msgspec.convert(raw, Project)


def test_groups_phases_projects_and_waves_are_in_the_order_of_the_run() -> None:
    first, second = step("deps", priority=5), step("unit")
    projects = [
        project("web", {"test": ["unit"]}, path="b"),
        project("api", {"test": [second, first, "all"]}, path="a"),
    ]

    graph = graph_of(document({"test": 20, "lint": 3, "audit": 3}, projects))

    assert [(stage.name, [lane.name for lane in stage.lanes]) for stage in graph.stages] == [
        ("group 3", ["audit", "lint"]),
        ("group 20", ["test"]),
    ]
    test = graph.stages[1].lanes[0]
    assert list(test.tasks) == ["api", "web"] == [project.name for project in graph.projects]
    assert [[each.name for each in wave] for wave in test.tasks["api"].waves] == [["deps"], ["all", "unit"]]
    assert [each.detail for each in test.tasks["api"].steps] == ["+deps 30m", "+all 30m", "+unit 30m"]
    assert (graph.boxes, test.projects, test.steps, graph.compared) == (2, 2, 4, False)


def test_a_release_is_artifacts_then_the_release_then_its_deployment() -> None:
    graph = graph_of(complete({}, [released("image", "chart", deploy=True)]))

    (stage,) = graph.stages
    waves = stage.lanes[0].tasks["api"].waves
    assert stage.name == "release"
    assert [[each.name for each in wave] for wave in waves] == [["chart", "image"], ["release"], ["deploy"]]
    assert set(steps(graph).values()) == {SAME}


def test_what_came_went_and_changed_since_another_document() -> None:
    before = document({"test": 1}, [project("api", {"test": ["unit", "old"]}), project("gone", {"test": ["x"]})])
    changed = step("unit", timeout="5m")
    after = document({"test": 1}, [project("api", {"test": [changed, "new"]}), project("made", {"test": ["y", "z"]})])

    graph = graph_of(after, before)

    assert differing(graph) == {
        ("test", "api", "unit"): CHANGED,
        ("test", "api", "old"): REMOVED,
        ("test", "api", "new"): ADDED,
        ("test", "gone", "x"): REMOVED,
        ("test", "made", "y"): ADDED,
        ("test", "made", "z"): ADDED,
    }
    assert {each.name: each.state for each in graph.projects} == {"api": SAME, "gone": REMOVED, "made": ADDED}
    (lane,) = graph.lanes()
    assert {name: task.state for name, task in lane.tasks.items()} == {"api": CHANGED, "gone": REMOVED, "made": ADDED}
    assert (lane.projects, lane.steps, graph.present) == (2, 4, 2), "what went is drawn, not counted"
    assert (lane.state, lane.overall, lane_differences(lane)) == (SAME, CHANGED, "+3 -2 ~1")
    note = next(each.note for each in lane.tasks["api"].steps if each.name == "unit")
    assert "30m → 5m" in note


def test_a_removed_step_stands_in_the_wave_it_was_in() -> None:
    before = document(
        {"test": 1}, [project("api", {"test": [step("deps", priority=5), step("seed", priority=9), "unit"]})]
    )
    after = document({"test": 1}, [project("api", {"test": [step("deps", priority=5), "unit"]})])

    (lane,) = graph_of(after, before).lanes()

    assert [[each.name for each in wave] for wave in lane.tasks["api"].waves] == [["seed"], ["deps"], ["unit"]]


def test_a_removed_phase_keeps_its_place_and_a_new_one_has_one() -> None:
    before = document({"lint": 1, "scan": 2}, [project("api", {"lint": ["a"], "scan": ["b"]})])
    after = document({"lint": 1, "pack": 3}, [project("api", {"lint": ["a"], "pack": ["c"]})])

    graph = graph_of(after, before)

    assert [(stage.name, [(lane.name, lane.state) for lane in stage.lanes]) for stage in graph.stages] == [
        ("group 1", [("lint", SAME)]),
        ("group 2", [("scan", REMOVED)]),
        ("group 3", [("pack", ADDED)]),
    ]


def test_what_was_removed_from_a_renamed_project_stands_in_its_row() -> None:
    listed = ["a", "b", "c", "d"]
    before = document({"test": 1}, [project("api", {"test": [*listed, "e"]}, path="services/api")])
    after = document({"test": 1}, [project("backend", {"test": listed}, path="services/api")])

    graph = graph_of(after, before)

    assert [(each.name, each.state) for each in graph.projects] == [("backend", CHANGED)]
    assert differing(graph) == {("test", "backend", "e"): REMOVED}


def test_jobs_of_a_release_have_states_of_their_own() -> None:
    one, two = released("image", "old", deploy=True), released("image", "new")

    assert differing(graph_of(complete({}, [two]), complete({}, [one]))) == {
        ("release", "api", "new"): CHANGED,
        ("release", "api", "deploy"): REMOVED,
    }, "an artifact with a new name and all else as it was is the same one"
    assert set(steps(graph_of(complete({}, [one]), complete({}, [released("image", triggered=False)]))).values()) == {
        ADDED
    }
    assert set(steps(graph_of(complete({}, [released("image", triggered=False)]), complete({}, [one]))).values()) == {
        REMOVED
    }


@settings(max_examples=60, deadline=None)
@given(documents())
def test_every_step_of_a_document_is_drawn_once(drawn: Discovery) -> None:
    expected = {
        (phase, each.name, one.name)
        for each in drawn.projects
        for phase, listed in each.phases.items()
        for one in listed
    }

    alone, compared = graph_of(drawn), graph_of(drawn, drawn)

    for graph in (alone, compared):
        groups = [stage for stage in graph.stages if stage.name != "release"]
        found = list(steps(Graph(stages=tuple(groups), projects=(), compared=False)))
        assert set(found) == expected
        assert sum(lane.steps for stage in groups for lane in stage.lanes) == len(expected)
    assert differing(compared) == {}


@settings(max_examples=60, deadline=None)
@given(documents(), documents())
def test_any_two_documents_can_be_drawn_together(one: Discovery, two: Discovery) -> None:
    graph = graph_of(one, two)

    rows = {each.name for each in graph.projects}
    assert all(set(lane.tasks) <= rows for lane in graph.lanes())
    assert {each.name for each in one.projects} == {each.name for each in graph.projects if each.state is not REMOVED}
    assert set(one.repository.phases) <= {lane.name for lane in graph.lanes()}


def test_a_phase_that_nobody_serves_is_drawn_empty() -> None:
    declared = {"test": Phase(group=1), "docs": Phase(group=2)}

    graph = graph_of(complete(declared, [project("api", {"test": ["unit"]})]))

    assert [(lane.name, lane.projects) for lane in graph.lanes()] == [("test", 1), ("docs", 0)]
