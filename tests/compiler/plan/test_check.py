"""The rules of a plan, each broken once."""

import msgspec
import pytest
from tests.compiler.documents import document, project

from forgec.plan.build import build_plan
from forgec.plan.check import check_plan
from forgec.plan.model import GroupPlan, PhasePlan, Plan, PlanStep, ReleaseProject, ReleaseUnit, Task, Unit, Wave

STEP = PlanStep(name="unit", action="earthly", target="+unit", timeout_s=60.0)
TASK = Task(project="api", path="api", waves=(Wave(priority=0, steps=(STEP,)),))


def group(number: int, *units: Unit, phase: str = "test") -> GroupPlan:
    return GroupPlan(number=number, phases=(PhasePlan(name=phase, units=units),))


def unit(unit_id: str = "g01-test-s001", *tasks: Task) -> Unit:
    return Unit(id=unit_id, tasks=tasks or (TASK,))


def task(*waves: Wave) -> Task:
    return msgspec.structs.replace(TASK, waves=waves)


def test_a_built_plan_has_no_problem() -> None:
    plan = build_plan(document({"test": 1}, [project("api", {"test": ["unit"]})]))

    assert check_plan(plan) == []


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(groups=(group(2), group(1, phase="lint")), release=()), "groups are not in ascending order: [2, 1]"),
        (Plan(groups=(group(1), group(2)), release=()), 'phase "test" is in the plan more than once'),
        (
            Plan(groups=(group(1, unit()), group(2, unit(), phase="lint")), release=()),
            'two units have the id "g01-test-s001"',
        ),
        (
            Plan(groups=(group(1, Unit(id="g01-test-s001", tasks=())),), release=()),
            'unit "g01-test-s001" has nothing to do',
        ),
        (
            Plan(groups=(), release=(ReleaseUnit(id="release-s001", projects=()),)),
            'unit "release-s001" has nothing to do',
        ),
        (
            Plan(groups=(group(1, unit("x" * 81)),), release=()),
            f'the unit id "{"x" * 81}" is longer than 80 characters',
        ),
        (
            Plan(groups=(group(1, unit("g01-test-s001", TASK, TASK)),), release=()),
            'project "api" is in phase "test" more than once',
        ),
        (
            Plan(groups=(group(1, unit("g01-test-s001", task())),), release=()),
            'project "api", phase "test": the task has no step',
        ),
        (
            Plan(
                groups=(group(1, unit("g01-test-s001", task(Wave(priority=0, steps=(STEP, STEP))))),),
                release=(),
            ),
            'project "api", phase "test": two steps have the name "unit"',
        ),
        (
            Plan(
                groups=(
                    group(
                        1,
                        unit(
                            "g01-test-s001",
                            task(
                                Wave(priority=0, steps=(STEP,)),
                                Wave(priority=5, steps=(msgspec.structs.replace(STEP, name="late"),)),
                            ),
                        ),
                    ),
                ),
                release=(),
            ),
            'project "api", phase "test": waves are not in the order of their priority: [0, 5]',
        ),
        (
            Plan(
                groups=(
                    group(
                        1,
                        unit(
                            "g01-test-s001",
                            task(Wave(priority=0, steps=(msgspec.structs.replace(STEP, timeout_s=0.0),))),
                        ),
                    ),
                ),
                release=(),
            ),
            'project "api", phase "test", step "unit": a time limit of 0.0 s is not within 24 h',
        ),
        (
            Plan(
                groups=(),
                release=(ReleaseUnit(id="release-s001", projects=(ReleaseProject(project="a", path="a"),) * 2),),
            ),
            'project "a" is released more than once',
        ),
    ],
)
def test_each_broken_rule_is_named(plan: Plan, message: str) -> None:
    found = check_plan(plan)

    assert [problem.message for problem in found] == [message]


def test_all_broken_rules_are_reported_at_once() -> None:
    plan = Plan(groups=(group(2, unit("g01-test-s001", TASK, TASK)), group(1)), release=())

    assert len(check_plan(plan)) == 3
