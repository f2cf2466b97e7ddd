"""What is told of a change, by example."""

from typing import Any

from msgspec.structs import replace
from tests.compiler.documents import complete, document, many, project, step

from forgec.diff.compare import compare
from forgec.diff.model import Change, Kind, Subject
from forgec.discovery.model import Artifact, EarthlyProducer, Phase, Producer, Project, Publisher, Step
from forgec.discovery.trigger import Release, ReleaseRule

PHASES = {"lint": 1, "test": 2}


def only(changes: tuple[Change, ...]) -> Change:
    (change,) = changes
    return change


def fields(change: Change) -> dict[str, tuple[Any, Any]]:
    return {field.name: (field.before, field.after) for field in change.fields}


def test_a_step_in_another_phase_moved() -> None:
    before = document(PHASES, [project("api", {"lint": ["unit"]})])
    after = document(PHASES, [project("api", {"test": ["unit"]})])

    change = only(compare(before, after))

    assert (change.subject, change.kind) == (Subject.STEP, Kind.MOVED)
    assert fields(change) == {"phase": ("lint", "test")}


def test_a_step_of_another_name_with_the_same_target_was_renamed() -> None:
    before = document(PHASES, [project("api", {"test": [step("unit")]})])
    after = document(PHASES, [project("api", {"test": [Step(name="tests", action="earthly", target="+unit")]})])

    change = only(compare(before, after))

    assert change.kind is Kind.RENAMED
    assert (change.before and change.before.name, change.place.name) == ("unit", "tests")


def test_a_step_of_another_name_and_target_is_another_step() -> None:
    before = document(PHASES, [project("api", {"test": ["unit"]})])
    after = document(PHASES, [project("api", {"test": ["fuzz"]})])

    assert [change.kind for change in compare(before, after)] == [Kind.ADDED, Kind.REMOVED]


def test_of_two_steps_that_might_be_the_one_the_name_decides() -> None:
    build = {"action": "earthly", "target": "+build"}
    before = document(PHASES, [project("api", {"test": [Step(name="build-linux", **build)]})])
    names = ("pack", "build-linux-amd64")
    after = document(PHASES, [project("api", {"test": [Step(name=name, **build) for name in names]})])

    kinds = {change.place.name: change.kind for change in compare(before, after)}

    assert kinds == {"build-linux-amd64": Kind.RENAMED, "pack": Kind.ADDED}


def test_a_limit_of_the_phase_is_told_once_and_not_by_its_steps() -> None:
    projects = many(3, {"test": ["unit", "e2e"]})
    before = complete({"test": Phase(group=1, timeout="10m")}, projects)
    after = complete({"test": Phase(group=1, timeout="20m")}, projects)

    change = only(compare(before, after))

    assert change.subject is Subject.PHASE
    assert fields(change) == {"timeoutS": (600.0, 1200.0)}


def test_the_same_limit_in_other_words_is_no_change() -> None:
    before = document(PHASES, [project("api", {"test": [step("unit", timeout="90m")]})])
    after = document(PHASES, [project("api", {"test": [step("unit", timeout="1h30m")]})])

    assert compare(before, after) == ()


def test_a_step_that_takes_its_old_limit_along_did_not_change() -> None:
    inherits = [project("api", {"test": [step("unit")]})]
    before = complete({"test": Phase(group=1, timeout="10m")}, inherits)
    own = [project("api", {"test": [step("unit", timeout="10m")]})]
    after = complete({"test": Phase(group=1, timeout="5m")}, own)

    assert only(compare(before, after)).subject is Subject.PHASE


def test_a_renamed_phase_is_one_change_however_many_projects_use_it() -> None:
    before = document({"test": 1}, many(5, {"test": ["unit"]}))
    after = document({"verify": 1}, many(5, {"verify": ["unit"]}))

    change = only(compare(before, after))

    assert (change.subject, change.kind) == (Subject.PHASE, Kind.RENAMED)


def test_groups_in_another_order_are_changed_and_not_renumbered() -> None:
    before, after = document({"lint": 1, "test": 2}), document({"lint": 3, "test": 2})

    change = only(compare(before, after))

    assert (change.kind, change.neutral) == (Kind.CHANGED, False)


def test_phases_that_come_together_are_no_longer_one_after_another() -> None:
    before, after = document({"lint": 1, "test": 2}), document({"lint": 2, "test": 2})

    assert [change.neutral for change in compare(before, after)] == [False]


def test_priorities_that_keep_the_order_are_renumbered() -> None:
    def prioritised(first: int, second: int) -> Any:
        steps = [step("deps", priority=first), step("unit", priority=second)]
        return document(PHASES, [project("api", {"test": steps})])

    kept, swapped = compare(prioritised(10, 0), prioritised(20, 5)), compare(prioritised(10, 0), prioritised(0, 10))

    assert {change.kind for change in kept} == {Kind.RENUMBERED}
    assert {change.kind for change in swapped} == {Kind.CHANGED}


def test_a_project_with_a_new_name_and_path_is_known_by_what_it_does() -> None:
    usual = many(3, {"test": ["unit"]})
    own = {"lint": ["fmt", "vet"], "test": ["unit", "fuzz"]}
    before = document(PHASES, [*usual, project("website", own, path="apps/website")])
    after = document(PHASES, [*usual, project("shop", {**own, "test": ["unit"]}, path="web/shop")])

    found = [(change.subject, change.kind, change.place.name) for change in compare(before, after)]

    assert found == [(Subject.PROJECT, Kind.RENAMED, "shop"), (Subject.STEP, Kind.REMOVED, "fuzz")]


def test_what_every_project_does_makes_no_two_of_them_one() -> None:
    usual = many(3, {"test": ["unit"]})
    before = document(PHASES, [*usual, project("legacy", {"test": ["unit"]})])
    after = document(PHASES, [*usual, project("billing", {"test": ["unit"]})])

    kinds = {change.place.name: change.kind for change in compare(before, after) if change.subject is Subject.PROJECT}

    assert kinds == {"billing": Kind.ADDED, "legacy": Kind.REMOVED}


def released(publishers: tuple[str, ...], declared: str) -> Any:
    artifact = Artifact(
        type="container",
        producer=Producer(earthly=EarthlyProducer(target="+image")),
        publishers={name: {"tags": ["v1"]} for name in publishers},
    )
    found = complete({}, [Project(name="api", path="api", artifacts={"image": artifact})])
    repository = found.repository
    publisher = Publisher(type="docker", registry="registry.example.com", namespace="shop")
    return replace(found, repository=replace(repository, publishers={declared: publisher}))


def test_a_publisher_of_another_name_is_told_once_and_not_by_its_artifacts() -> None:
    change = only(compare(released(("images",), "images"), released(("oci",), "oci")))

    assert (change.subject, change.kind) == (Subject.PUBLISHER, Kind.RENAMED)


def test_an_artifact_that_goes_elsewhere_is_told() -> None:
    change = only(compare(released(("images",), "images"), released((), "images")))

    assert (change.subject, change.kind) == (Subject.ARTIFACT, Kind.CHANGED)


def test_release_rules_are_compared_where_they_are_known() -> None:
    found = document(PHASES, [project("api")])
    rules = ({"api": Release(on=(ReleaseRule(branch="main"),))}, {"api": Release(on=(ReleaseRule(tag=True),))})

    change = only(compare(found, found, rules=rules))

    assert fields(change) == {"release.on": ([{"branch": "main"}], [{"tag": True}])}
    assert compare(found, found) == ()
