"""Measured durations: read with places, used where they are known, and the gaps told."""

import json

import pytest
from tests.compiler.documents import document, project

from forgec.diagnostic import Code, ForgeError
from forgec.estimate.history import History, Recall, read_history
from forgec.estimate.work import Address, stages_of
from forgec.plan.build import build_plan


def history(**projects: object) -> History:
    return read_history("history.json", json.dumps({"version": 1, "durations": projects}).encode())


@pytest.mark.parametrize(
    ("measured", "seconds"),
    [(61.5, 61.5), (4, 4.0), ([7], 7.0), ([9, 1, 5], 5.0), ([4, 1, 2, 100], 3.0), (0, 0.0)],
)
def test_a_number_counts_as_it_is_and_of_a_list_the_median(measured: object, seconds: float) -> None:
    recall = Recall(history(api={"test": {"unit": measured}}))

    assert recall.duration(Address("test", "api", "unit"), 1800) == seconds
    assert (recall.measured, recall.assumed) == ([Address("test", "api", "unit")], [])


@pytest.mark.parametrize("address", [("test", "web", "unit"), ("lint", "api", "unit"), ("test", "api", "all")])
def test_what_nobody_measured_takes_its_time_limit_and_is_told(address: tuple[str, str, str]) -> None:
    recall = Recall(history(api={"test": {"unit": 61.5}}))

    assert recall.duration(Address(*address), 1800) == 1800
    assert (recall.measured, recall.assumed) == ([], [Address(*address)])


def test_work_outside_the_phases_has_reserved_names() -> None:
    known = history(
        _repository={"_discovery": {"discover": 2}},
        api={"_release": {"release": 30, "deploy": 5}, "test": {"unit": 60}},
    )
    released = project("api", {"test": ["unit"]}, release=True)
    recall = Recall(known)

    stages_of(build_plan(document({"test": 1}, [released])), recall.duration)

    assert recall.assumed == []
    assert [str(address) for address in recall.measured] == [
        "_discovery/_repository/discover",
        "test/api/unit",
        "_release/api/release",
    ]


@pytest.mark.parametrize(
    ("measured", "seconds"),
    [
        ({"deploy:dev": 20, "deploy:staging": [30, 50, 40], "release": 99}, 40.0),
        ({"deploy:dev": 20, "deploy": 5}, 5.0),
        ({"release": 99, "deployed": 1}, 1800),
    ],
)
def test_deployments_have_the_platforms_names_and_the_longest_counts(
    measured: dict[str, object], seconds: float
) -> None:
    recall = Recall(history(api={"_release": measured}))

    assert recall.duration(Address("_release", "api", "deploy"), 1800) == seconds


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ('{"version": 1}', Code.MISSING_FIELD, (1, 1)),
        ('{"version": 2, "durations": {}}', Code.BAD_VALUE, (1, 13)),
        ('{"version": 1, "durations": {"a": {"b": {"c": -1}}}}', Code.BAD_VALUE, (1, 47)),
        ('{"version": 1, "durations": {"a": {"b": {"c": 86401}}}}', Code.BAD_VALUE, (1, 47)),
        ('{"version": 1, "durations": {"a": {"b": {"c": "1m"}}}}', Code.WRONG_TYPE, (1, 47)),
        ('{"version": 1, "durations": {"a": {"b": {"c": []}}}}', Code.BAD_VALUE, (1, 47)),
        ('{"version": 1, "durations": {"a": {"b": 3}}}', Code.WRONG_TYPE, (1, 41)),
        ('{"version": 1, "durations": {"a": {}, "a": {}}}', Code.DUPLICATE_KEY, (1, 39)),
        ('{"version": 1, "durations": {}, "unit": "s"}', Code.UNKNOWN_FIELD, (1, 33)),
        ("{", Code.JSON_SYNTAX, (1, 2)),
    ],
)
def test_a_mistake_in_the_file_has_its_place(text: str, code: Code, place: tuple[int, int]) -> None:
    with pytest.raises(ForgeError) as raised:
        read_history("history.json", text.encode())

    (problem,) = raised.value.diagnostics
    assert problem.code is code
    assert problem.span is not None
    assert (problem.span.position.line, problem.span.position.column) == place
