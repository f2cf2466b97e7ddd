"""What holds for the plan of any legal document."""

from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.documents import decoded, documents, shuffled

from forgec.discovery.model import Discovery
from forgec.plan.build import build_plan
from forgec.plan.digest import canonical_json, plan_digest, read_plan

few = settings(max_examples=60, deadline=None)


@few
@given(documents(), st.integers(1, 4))
def test_every_step_is_planned_exactly_once(document: Discovery, shard_size: int) -> None:
    plan = build_plan(document, shard_size=shard_size)

    planned = [
        (phase.name, task.project, step.name)
        for _, phase, unit in plan.units()
        for task in unit.tasks
        for wave in task.waves
        for step in wave.steps
    ]
    declared = [
        (phase, project.name, step.name)
        for project in document.projects
        for phase, steps in project.phases.items()
        for step in steps
    ]
    assert sorted(planned) == sorted(declared)


@few
@given(documents(), st.integers(1, 4))
def test_every_released_project_is_planned_exactly_once(document: Discovery, shard_size: int) -> None:
    plan = build_plan(document, shard_size=shard_size)

    planned = sorted(released.project for unit in plan.release for released in unit.projects)
    assert planned == list(document.release_projects)


@few
@given(documents(), st.integers(1, 4))
def test_units_differ_in_size_by_one_at_most_and_ids_are_unique(document: Discovery, shard_size: int) -> None:
    plan = build_plan(document, shard_size=shard_size)

    for group in plan.groups:
        for phase in group.phases:
            sizes = [len(unit.tasks) for unit in phase.units] or [1]
            assert max(sizes) - min(sizes) <= 1
            assert max(sizes) <= shard_size
    ids = [unit.id for _, _, unit in plan.units()] + list(plan.release_ids)
    assert len(ids) == len(set(ids))


@few
@given(documents(), st.randoms(use_true_random=False))
def test_the_order_of_keys_and_projects_changes_nothing(document: Discovery, random: Random) -> None:
    def order(keys: list[str]) -> list[str]:
        random.shuffle(keys)
        return keys

    raw = shuffled(decoded(document), order)
    random.shuffle(raw["projects"])
    again = msgspec.convert(raw, Discovery)

    assert plan_digest(build_plan(again)) == plan_digest(build_plan(document))


@few
@given(documents())
def test_a_plan_survives_its_json(document: Discovery) -> None:
    plan = build_plan(document)

    assert read_plan(canonical_json(plan)) == plan
