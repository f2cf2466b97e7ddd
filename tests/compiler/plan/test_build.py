"""The planner: which units a document becomes, and in which order."""

from typing import Any

import msgspec
import pytest
from tests.compiler.documents import document, many, project, step

from forgec.diagnostic import Code, ForgeError
from forgec.discovery.model import Artifact, Discovery, EarthlyProducer, Producer, Secret
from forgec.plan.build import build_plan, shards
from forgec.plan.model import UNIT_ID_LENGTH_MAX, Plan


def unit_ids(plan: Plan) -> list[list[str]]:
    return [list(group.unit_ids) for group in plan.groups]


def test_phases_of_a_group_stand_together_and_groups_ascend() -> None:
    found = document(
        {"zeta": 7, "build": 20, "alpha": 7}, [project("api", {"zeta": ["x"], "alpha": ["x"], "build": ["x"]})]
    )

    plan = build_plan(found)

    assert [(group.number, [phase.name for phase in group.phases]) for group in plan.groups] == [
        (7, ["alpha", "zeta"]),
        (20, ["build"]),
    ]
    assert unit_ids(plan) == [["g01-alpha-s001", "g01-zeta-s001"], ["g02-build-s001"]]


def test_a_phase_without_tasks_stays_in_the_plan_and_takes_no_group_index() -> None:
    found = document({"lint": 1, "test": 2}, [project("api", {"test": ["unit"]})])

    plan = build_plan(found)

    assert [phase.name for group in plan.groups for phase in group.phases] == ["lint", "test"]
    assert unit_ids(plan) == [[], ["g01-test-s001"]]
    assert [group.number for group in plan.working_groups] == [2]


def test_a_project_that_lists_no_step_for_a_phase_takes_no_part() -> None:
    found = document({"test": 1}, [project("api", {"test": []}), project("web", {"test": ["unit"]})])

    plan = build_plan(found)

    (unit,) = plan.groups[0].phases[0].units
    assert [task.project for task in unit.tasks] == ["web"]


def test_tasks_are_in_path_order() -> None:
    found = document({"test": 1}, [project("a", {"test": ["t"]}, path="z"), project("z", {"test": ["t"]}, path="a")])

    plan = build_plan(found)

    assert [unit.tasks[0].project for unit in plan.groups[0].phases[0].units] == ["z", "a"]


def test_waves_fall_in_priority_and_steps_of_a_wave_are_sorted_by_name() -> None:
    steps = [step("b"), step("deps", priority=10), step("a"), step("late", priority=-1)]
    found = document({"test": 1}, [project("api", {"test": steps})])

    plan = build_plan(found)

    (task,) = plan.groups[0].phases[0].units[0].tasks
    waves = [(wave.priority, [planned.name for planned in wave.steps]) for wave in task.waves]
    assert waves == [(10, ["deps"]), (0, ["a", "b"]), (-1, ["late"])]


def test_time_limits_come_from_the_step_else_from_the_phase() -> None:
    found = document(
        {"test": 1}, [project("api", {"test": [step("own", timeout="1h30m"), step("phases")]})], timeout="90s"
    )

    plan = build_plan(found)

    (wave,) = plan.groups[0].phases[0].units[0].tasks[0].waves
    assert {planned.name: planned.timeout_s for planned in wave.steps} == {"own": 5400.0, "phases": 90.0}


def test_a_phase_that_gives_no_time_limit_has_thirty_minutes() -> None:
    plan = build_plan(document({"test": 1}, [project("api", {"test": ["unit"]})]))

    assert plan.groups[0].phases[0].units[0].tasks[0].waves[0].steps[0].timeout_s == 1800.0


def test_arguments_and_secret_references_reach_the_step() -> None:
    secret = Secret(provider="env", name="TOKEN", maps={"a": "b"})
    found = document({"test": 1}, [project("api", {"test": [step("unit", args=("--x=1",), secrets=(secret,))]})])

    (planned,) = build_plan(found).groups[0].phases[0].units[0].tasks[0].waves[0].steps

    assert planned.args == ("--x=1",)
    assert planned.secrets == ({"provider": "env", "name": "TOKEN", "maps": {"a": "b"}},)


@pytest.mark.parametrize(
    ("tasks", "sizes"),
    [
        (0, []),
        (1, [1]),
        (25, [1] * 25),
        (26, [13, 13]),
        (51, [17, 17, 17]),
        (100, [25, 25, 25, 25]),
        (101, [21, 20, 20, 20, 20]),
    ],
)
def test_shards_are_single_tasks_up_to_the_size_and_equally_full_above(tasks: int, sizes: list[int]) -> None:
    parts = shards(range(tasks), 25)

    assert [len(part) for part in parts] == sizes
    assert [item for part in parts for item in part] == list(range(tasks))


def test_the_release_stage_is_cut_like_a_phase_over_released_projects_in_path_order() -> None:
    projects = [*many(26, release=True), project("quiet")]

    plan = build_plan(document({}, projects))

    assert plan.release_ids == ("release-s001", "release-s002")
    assert [len(unit.projects) for unit in plan.release] == [13, 13]
    assert plan.release[0].projects[0].project == "p000"


def test_a_release_carries_artifacts_and_whether_it_is_deployed() -> None:
    image = Artifact(type="container", producer=Producer(earthly=EarthlyProducer(target="+image", args=("x",))))
    released = msgspec.structs.replace(
        project("api", release=True), artifacts={"image": image}, deployment_triggered=True
    )

    plan = build_plan(document({}, [released]))

    (planned,) = plan.release[0].projects
    assert planned.artifacts == {
        "image": {"type": "container", "producer": {"earthly": {"target": "+image", "args": ["x"]}}}
    }
    assert planned.deploy is True


def test_the_stages_of_a_release_are_artifacts_together_then_the_release_then_deployments() -> None:
    def stages(*, artifacts: dict[str, Artifact], deploy: bool) -> tuple[tuple[str, ...], ...]:
        released = msgspec.structs.replace(
            project("api", release=True), artifacts=artifacts, deployment_triggered=deploy
        )
        (unit,) = build_plan(document({}, [released])).release
        return unit.projects[0].stages

    assert stages(artifacts={"b": artifact(), "a": artifact()}, deploy=True) == (
        ("artifact:a", "artifact:b"),
        ("release",),
        ("deploy",),
    )
    assert stages(artifacts={"a": artifact()}, deploy=False) == (("artifact:a",), ("release",))
    assert stages(artifacts={}, deploy=False) == (("release",),)


@pytest.mark.parametrize(
    ("publishers", "primary"),
    [
        ({"b": {}, "a": {}}, "a"),
        ({"b": {"primary": True}, "a": {}}, "b"),
        ({"b": {"tags": ["x"]}}, "b"),
    ],
)
def test_one_publisher_of_an_artifact_is_primary(publishers: dict[str, dict[str, Any]], primary: str) -> None:
    released = msgspec.structs.replace(project("api", release=True), artifacts={"image": artifact(publishers)})

    (unit,) = build_plan(document({}, [released])).release

    planned = unit.projects[0].artifacts["image"]["publishers"]
    assert planned == {
        name: fields | ({"primary": True} if name == primary else {}) for name, fields in publishers.items()
    }


def test_a_release_carries_what_the_repository_says_of_the_publishers_it_uses_and_of_no_others() -> None:
    projects = [
        msgspec.structs.replace(project(name, release=True), artifacts={"image": artifact({name: {}})})
        for name in ("a", "b")
    ]

    first, second = build_plan(document({}, projects)).release

    config = {"type": "docker", "registry": "registry.example.com", "namespace": "x"}
    assert first.projects[0].publishers == {"a": config}
    assert second.projects[0].publishers == {"b": config}


def test_by_step_each_step_has_a_dispatcher_and_earlier_waves_come_first() -> None:
    steps = [step("deps", priority=10), step("lint"), step("unit")]
    found = document({"check": 1, "test": 1}, [*many(2, {"test": steps}), project("z", {"check": ["fmt"]})])

    plan = build_plan(found, granularity="step")

    assert unit_ids(plan) == [
        [
            *("g01-check-s001-01", "g01-test-s001-01", "g01-test-s002-01"),
            *("g01-test-s001-02", "g01-test-s001-03", "g01-test-s002-02", "g01-test-s002-03"),
        ]
    ]
    assert [len(unit.tasks) for _, _, unit in plan.units()] == [1, 1, 1]


def test_the_dispatcher_of_a_step_carries_the_waves_before_it_and_its_own_step() -> None:
    steps = [step("deps", priority=10), step("lint"), step("unit")]
    plan = build_plan(document({"test": 1}, [project("api", {"test": steps})]), granularity="step")

    part = plan.dispatch("g01-test-s001-03")

    assert part is not None
    assert (part.phase, part.last_wave_only) == ("test", True)
    assert [[planned.name for planned in wave.steps] for wave in part.tasks[0].waves] == [["deps"], ["unit"]]
    assert plan.dispatch("g01-test-s001") is plan.dispatch("g01-test-s001-04") is None


def test_the_dispatcher_of_a_shard_carries_all_of_it() -> None:
    plan = build_plan(document({"test": 1}, many(3, {"test": ["unit"]})), shard_size=2)

    part = plan.dispatch("g01-test-s001")

    assert part is not None
    assert part.tasks == plan.groups[0].phases[0].units[0].tasks
    assert not part.last_wave_only


def test_by_step_releases_are_a_project_each_whatever_the_shard_size() -> None:
    plan = build_plan(document({}, many(3, release=True)), shard_size=1, granularity="step")

    assert plan.release_ids == ("release-s001", "release-s002", "release-s003")


def test_the_longest_phase_name_gives_a_unit_id_within_the_limit() -> None:
    name = "p" * 63
    plan = build_plan(document({name: 1}, [project("api", {name: ["x"]})]))

    (unit_id,) = plan.groups[0].unit_ids
    assert unit_id == f"g01-{name}-s001"
    assert len(unit_id) <= UNIT_ID_LENGTH_MAX


def test_sixteen_groups_with_work_fit_and_idle_ones_do_not_count() -> None:
    phases = {f"p{at}": at for at in range(1, 21)}
    busy = {f"p{at}": ["x"] for at in range(1, 17)}

    plan = build_plan(document(phases, [project("api", busy)]))

    assert len(plan.working_groups) == 16
    assert plan.working_groups[-1].unit_ids == ("g16-p16-s001",)


def test_a_seventeenth_group_with_work_is_refused_with_the_numbers() -> None:
    phases = {f"p{at}": at for at in range(1, 18)}

    problem = only_problem(document(phases, [project("api", {name: ["x"] for name in phases})]))

    assert problem == (
        Code.TOO_MANY_GROUPS,
        f"17 groups have work ({', '.join(map(str, range(1, 18)))}), a workflow has room for 16",
    )


def test_steps_of_an_undeclared_phase_are_never_dropped_silently() -> None:
    with pytest.raises(AssertionError, match="lint"):
        build_plan(document({"test": 1}, [project("api", {"lint": ["x"]})]))


def test_a_project_that_is_there_twice_is_refused() -> None:
    twice = [project("api", {"test": ["x"]}, path="a"), project("api", {"test": ["x"]}, path="b")]

    problem = only_problem(document({"test": 1}, twice))

    assert problem == (Code.PLAN_INCONSISTENT, 'project "api" is in phase "test" more than once')


def test_a_shard_size_below_one_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        build_plan(document({}), shard_size=0)


def artifact(publishers: dict[str, dict[str, Any]] | None = None) -> Artifact:
    return Artifact(
        type="container", producer=Producer(earthly=EarthlyProducer(target="+image")), publishers=publishers or {}
    )


def only_problem(found: Discovery) -> tuple[Code, str]:
    with pytest.raises(ForgeError) as raised:
        build_plan(found)
    (diagnostic,) = raised.value.diagnostics
    return diagnostic.code, diagnostic.message
