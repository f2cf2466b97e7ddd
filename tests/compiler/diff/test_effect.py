"""What the changes do to a run, and which ones a person should look at."""

from typing import Any

import pytest
from msgspec.structs import replace
from tests.compiler.documents import complete, document, many, project, step

from forgec.diff.effect import Comparison, compare_runs
from forgec.diff.planned import compare_plans, document_of
from forgec.discovery.model import Discovery, Phase, Publisher, Secret
from forgec.plan.build import build_plan
from forgec.plan.digest import plan_digest

PHASES = {"test": 1}
RUNS = document(PHASES, [project("api", {"test": ["unit"]}), project("web", {"test": ["unit"]})])
SECRET = Secret(provider="aws", secret_name="ci/token", name="TOKEN")


def comparison(before: Discovery, after: Discovery) -> Comparison:
    return compare_runs(before, after, labels=("before", "after"))


def concerns(before: Discovery, after: Discovery) -> list[tuple[str, str | None, str]]:
    found = comparison(before, after).concerns
    return [(concern.change.place.name, concern.project, concern.reason) for concern in found]


def test_jobs_and_pods_are_those_of_the_plan() -> None:
    released = replace(RUNS.projects[0], release_triggered=True)

    found = comparison(RUNS, complete(RUNS.repository.phases, [released, *many(30, {"test": ["unit", "e2e"]})]))

    assert (found.before.jobs, found.before.pods) == (2, 3)  # two steps; two units and the exit handler
    assert (found.after.jobs, found.after.pods) == (62, 4)  # 61 steps and a release; two shards, a release unit
    assert found.before.plan == plan_digest(build_plan(RUNS))


def test_a_step_that_is_gone_is_to_be_looked_at() -> None:
    after = document(PHASES, [project("api", {"test": ["unit"]}), project("web")])

    assert concerns(RUNS, after) == [("unit", "web", "no longer runs")]


def test_what_goes_with_its_project_is_said_once() -> None:
    after = document(PHASES, [project("api", {"test": ["unit"]})])

    assert concerns(RUNS, after) == [("web", None, "takes part in no run")]


def test_what_is_added_is_nothing_to_look_at() -> None:
    assert concerns(document(PHASES), RUNS) == []


def test_a_secret_that_a_step_did_not_read_before_is_to_be_looked_at() -> None:
    def reading(*secrets: Secret) -> Discovery:
        return document(PHASES, [project("api", {"test": [step("unit", secrets=secrets)]})])

    assert concerns(reading(), reading(SECRET)) == [("unit", "api", "reads a secret that it did not read")]
    assert concerns(reading(SECRET), reading()) == []
    assert concerns(document(PHASES), reading(SECRET)) == [("unit", "api", "reads a secret that it did not read")]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("release_triggered", True, "is released now"), ("deployment_triggered", True, "is deployed now")],
)
def test_a_release_that_comes_or_goes_is_to_be_looked_at(name: str, value: bool, reason: str) -> None:
    first, *others = RUNS.projects
    other = complete(RUNS.repository.phases, [replace(first, **{name: value}), *others])

    assert concerns(RUNS, other) == [("api", None, reason)]
    assert concerns(other, RUNS) == [("api", None, reason.replace("now", "").replace("is ", "is no longer ").strip())]


def test_a_phase_that_is_no_longer_required_and_a_publisher_with_other_credentials_are_to_be_looked_at() -> None:
    def repository(required: bool, secret: str) -> Any:
        found = complete({"test": Phase(group=1, required=required)}, [])
        credentials = Secret(provider="aws", secret_name=secret)
        publisher = Publisher(type="docker", registry="r", namespace="n", credentials=credentials)
        return replace(found, repository=replace(found.repository, publishers={"images": publisher}))

    assert concerns(repository(True, "publishers/a"), repository(False, "publishers/b")) == [
        ("test", None, "projects may leave it out"),
        ("images", None, "artifacts go elsewhere, or with other credentials"),
    ]


def test_two_plans_are_compared_without_their_documents() -> None:
    after = document(PHASES, [project("api", {"test": ["unit", "e2e"]}), project("web", {"test": ["unit"]})])

    found = compare_plans(build_plan(RUNS), build_plan(after), labels=("golden", "now"))

    assert [(change.kind, change.place.name) for change in found.changes] == [("added", "e2e")]
    assert (found.before.jobs, found.after.jobs) == (2, 3)


def test_a_plan_that_is_only_cut_otherwise_has_no_change() -> None:
    found = complete(RUNS.repository.phases, many(9, {"test": ["unit"]}))

    plans = build_plan(found, shard_size=1), build_plan(found, shard_size=9)

    assert compare_plans(*plans, labels=("golden", "now")).changes == ()
    assert document_of(plans[0]) == document_of(plans[1])
