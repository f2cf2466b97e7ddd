"""What Argo keeps of a workflow: counted as Argo counts, and refused before Argo would."""

import pytest
from tests.compiler.documents import document, many, project

from forgec.diagnostic import Code, ForgeError
from forgec.manifest.entry import RETRIES_MAX, dynamic_entries, static_entries
from forgec.manifest.lower import ManifestOptions, dynamic_workflow, lower_plan, static_workflow
from forgec.manifest.node import node_names
from forgec.manifest.size import OBJECT_BYTES_MAX, Size, check_size, size_of
from forgec.plan.build import build_plan
from forgec.plan.model import SHARD_SIZE_DEFAULT, Plan

OPTIONS = ManifestOptions()


def plan_of(phases: int, projects: int, *, shard_size: int = SHARD_SIZE_DEFAULT, release: bool = False) -> Plan:
    names = {f"p{at}": min(at, 16) for at in range(1, phases + 1)}
    return build_plan(
        document(names, many(projects, {name: ["x"] for name in names}, release=release)), shard_size=shard_size
    )


def sizes(plan: Plan) -> tuple[Size, Size]:
    """As it is compiled, and as the platform submits it."""
    return (
        size_of(static_workflow(plan, OPTIONS), static_entries(plan)),
        size_of(dynamic_workflow(OPTIONS), dynamic_entries(plan)),
    )


@pytest.mark.parametrize("projects", [0, 1, 30])
def test_nodes_are_those_that_argo_makes_when_nothing_is_tried_again(projects: int) -> None:
    plan = plan_of(2, projects, release=True)

    static, dynamic = sizes(plan)

    for size, entries in ((static, static_entries(plan)), (dynamic, dynamic_entries(plan))):
        names = list(node_names("w", entries))
        retries = tuple(f"({attempt})" for attempt in range(1, RETRIES_MAX + 1))
        assert size.nodes == sum(not name.endswith(retries) for name in names)
        assert size.pods == sum(name.endswith("(0)") for name in names)


def test_the_measured_workflow_is_as_large_as_it_was_measured() -> None:
    static, _ = sizes(plan_of(5, 100, shard_size=100))  # a pod for each of 500 tasks

    assert static.nodes == pytest.approx(1017, abs=10)
    assert static.status_bytes == pytest.approx(824 * 1024, rel=0.05)
    assert static.packed_bytes == pytest.approx(66 * 1024, rel=0.05)


def test_what_discovery_hands_out_counts_in_the_status_and_not_in_the_manifest() -> None:
    few, many_projects = plan_of(1, 1), plan_of(1, 100, shard_size=100)

    (written_small, small), (written_large, large) = sizes(few), sizes(many_projects)

    assert large.manifest_bytes == small.manifest_bytes
    assert written_large.manifest_bytes - written_small.manifest_bytes > 1000
    assert large.list_bytes > small.list_bytes
    assert large.packed_bytes - small.packed_bytes > 66 * (large.nodes - small.nodes)


@pytest.mark.parametrize("shard_size", [1, 100])
def test_a_workflow_that_argo_could_not_keep_is_refused_with_its_size(shard_size: int) -> None:
    with pytest.raises(ForgeError) as raised:
        lower_plan(plan_of(60, 100, shard_size=shard_size), OPTIONS)

    (problem,) = raised.value.diagnostics
    assert problem.code is Code.MANIFEST_TOO_LARGE
    assert "bytes in Argo" in problem.message
    assert "6001 pods" in problem.message
    assert problem.help is not None
    assert "a shard size just below the number of projects" in problem.help
    assert lower_plan(plan_of(60, 100, shard_size=99), OPTIONS).spec.templates, "as advised"


def test_a_list_that_argo_would_not_pass_on_is_refused() -> None:
    phases = {f"{'p' * 60}{at}": 1 for at in range(40)}
    projects = many(50, {name: ["x"] for name in phases})

    problems = check_size(sizes(build_plan(document(phases, projects), shard_size=50))[1])

    assert [problem.code for problem in problems] == [Code.MANIFEST_TOO_LARGE]
    assert "the longest list of units of the workflow has 147501 bytes" in problems[0].message


def test_the_largest_ordinary_repository_is_far_below_the_limit() -> None:
    for size in sizes(plan_of(16, 100, release=True)):
        assert size.object_bytes < OBJECT_BYTES_MAX / 20


def test_one_project_is_a_handful_of_pods() -> None:
    static, _ = sizes(build_plan(document({"test": 1}, [project("api", {"test": ["x", "y"]})])))

    assert (static.pods, static.nodes, static.templates) == (2, 6, 3)
