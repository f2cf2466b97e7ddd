"""The forms for a terminal and for programs."""

import json
import unicodedata

from hypothesis import given, settings
from tests.compiler.documents import document, documents, project, step

from forgec.diff.effect import Comparison, compare_runs
from forgec.diff.render_json import render_json
from forgec.diff.render_text import render_text
from forgec.discovery.model import Artifact, Discovery, EarthlyProducer, Producer, Project, Secret

few = settings(max_examples=60, deadline=None)


def comparison(before: Discovery, after: Discovery) -> Comparison:
    return compare_runs(before, after, labels=("before", "after"))


def lines(before: Discovery, after: Discovery) -> list[str]:
    return [line.strip() for line in render_text(comparison(before, after)).splitlines()]


def of_steps(*steps: object) -> Discovery:
    return document({"test": 1}, [project("api", {"test": list(steps)})])  # type: ignore[list-item]


@few
@given(documents(), documents())
def test_no_text_of_a_user_moves_the_cursor(before: Discovery, after: Discovery) -> None:
    text = render_text(comparison(before, after))

    assert {each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp")} == {"\n"}


@few
@given(documents(), documents())
def test_every_change_is_a_line_and_an_entry(before: Discovery, after: Discovery) -> None:
    found = comparison(before, after)

    entries = json.loads(render_json(found))
    told = [line for line in render_text(found).splitlines() if line[2:3] in "+->=~"]

    assert entries["same"] is (not found.changes)
    assert len(entries["changes"]) == len(found.changes)
    assert len(told) >= sum(change.subject != "project" for change in found.changes)


def test_a_list_is_told_by_what_came_and_what_went() -> None:
    found = lines(of_steps(step("unit", args=("--A=1", "--B=2"))), of_steps(step("unit", args=("--B=2", "--C=a b"))))

    assert '~ step test/unit: args without --A=1, with "--C=a b"' in found


def test_a_list_with_an_item_more_than_once_is_told_whole() -> None:
    found = lines(of_steps(step("unit", args=("--A=1",))), of_steps(step("unit", args=("--A=1", "--A=1"))))

    assert "~ step test/unit: args [--A=1] → [--A=1, --A=1]" in found


def test_times_are_written_as_configuration_has_them() -> None:
    found = lines(of_steps(step("unit", timeout="90s")), of_steps(step("unit", timeout="1h250ms")))

    assert "~ step test/unit: timeout 1m30s → 1h250ms" in found


def test_a_secret_is_told_by_its_reference() -> None:
    secret = Secret(provider="aws", secret_name="ci/token", maps={"A": "key"}, optional=True)

    found = lines(of_steps(step("unit")), of_steps(step("unit", secrets=(secret,))))

    told = "{provider: aws, secretName: ci/token, maps: {A: key}, optional: yes}"
    assert f"~ step test/unit: secrets with {told}" in found


def test_a_publisher_of_an_artifact_is_told_by_its_name() -> None:
    def released(*tags: str) -> Discovery:
        producer = Producer(earthly=EarthlyProducer(target="+image"))
        artifact = Artifact(type="container", producer=producer, publishers={"images": {"tags": list(tags)}})
        return document({"test": 1}, [Project(name="api", path="api", artifacts={"image": artifact})])

    found = lines(released("v1"), released("v1", "latest"))

    assert "~ artifact image: publishers.images {tags: [v1]} → {tags: [v1, latest]}" in found
    assert "! artifact image of api: is published elsewhere, or otherwise" in found
