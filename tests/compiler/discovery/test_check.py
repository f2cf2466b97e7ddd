"""Discovery documents written by hand."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from forgec.diagnostic import Code, ForgeError
from forgec.discovery.check import read_document
from forgec.discovery.model import PhaseGroup, to_json
from forgec.syntax.document import read_text

DOCUMENT: dict[str, Any] = {
    "schemaVersion": 1,
    "repository": {
        "forgeVersion": "v1.0.0",
        "tagging": {"strategy": "monorepo"},
        "phases": {"test": {"group": 2}, "lint": {"group": 1}},
        "publishers": {"images": {"type": "docker", "registry": "r", "namespace": "n"}},
    },
    "projects": [
        {
            "name": "api",
            "path": "api",
            "phases": {"test": [{"name": "unit", "action": "earthly", "target": "+unit"}]},
            "artifacts": {
                "image": {
                    "type": "container",
                    "producer": {"earthly": {"target": "+image"}},
                    "publishers": {"images": {"tags": ["latest"]}},
                }
            },
            "releaseTriggered": True,
        },
        {"name": "web", "path": "web"},
    ],
    "releaseEnabled": True,
    "releaseProjects": ["api"],
}

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> str:
    document = json.loads(json.dumps(DOCUMENT))
    change(document)
    return json.dumps(document, indent=2)


def test_document_may_leave_out_what_follows_from_the_rest() -> None:
    document = read_document(read_text("d.json", json.dumps(DOCUMENT).encode()))

    assert document.phase_groups == (PhaseGroup(group=1, phases=("lint",)), PhaseGroup(group=2, phases=("test",)))


@pytest.mark.parametrize(
    ("change", "code", "at"),
    [
        (lambda d: d["projects"][1].update(name="API"), Code.PROJECT_DUPLICATE, '"API"'),
        (lambda d: d["projects"][1].update(path="api"), Code.PLAN_INCONSISTENT, '"api"'),
        (lambda d: d["projects"][1].update(phases={"tset": []}), Code.UNKNOWN_PHASE, '"tset"'),
        (
            lambda d: d["projects"][0]["phases"]["test"].append(d["projects"][0]["phases"]["test"][0]),
            Code.PLAN_INCONSISTENT,
            '"unit"',
        ),
        (lambda d: d["projects"][0]["phases"]["test"][0].update(timeout="0s"), Code.BAD_VALUE, '"0s"'),
        (lambda d: d["projects"][0]["phases"]["test"][0].update(args=["--evil"]), Code.BAD_VALUE, '"--evil"'),
        (lambda d: d["repository"]["phases"]["test"].update(timeout="1 h"), Code.BAD_VALUE, '"1 h"'),
        (lambda d: d["repository"].update(forgeVersion="v2.0.0"), Code.VERSION_UNSUPPORTED, '"v2.0.0"'),
        (lambda d: d["repository"]["publishers"].clear(), Code.UNKNOWN_PUBLISHER, '"images"'),
        (lambda d: d.update(phaseGroups=[{"group": 1, "phases": ["lint", "test"]}]), Code.PLAN_INCONSISTENT, "["),
        (lambda d: d.update(releaseProjects=["api", "web"]), Code.PLAN_INCONSISTENT, "["),
        (lambda d: d.update(releaseProjects=["nobody"]), Code.PLAN_INCONSISTENT, "["),
        (lambda d: d.update(releaseEnabled=False), Code.PLAN_INCONSISTENT, "false"),
        (lambda d: d["projects"][1].update(deploymentTriggered=True), Code.PLAN_INCONSISTENT, "true"),
        (lambda d: d.update(branch="main", tag="v1"), Code.PLAN_INCONSISTENT, '"v1"'),
    ],
)
def test_contradiction_is_found_at_its_place(change: Change, code: Code, at: str) -> None:
    with pytest.raises(ForgeError) as caught:
        read_document(read_text("d.json", changed(change).encode()))

    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
    span = caught.value.diagnostics[0].span
    assert span is not None
    assert span.text.startswith(at)


def test_required_phase_must_be_served_by_every_project() -> None:
    with pytest.raises(ForgeError) as caught:
        read_document(
            read_text("d.json", changed(lambda d: d["repository"]["phases"]["test"].update(required=True)).encode())
        )

    assert [(each.code, each.project) for each in caught.value.diagnostics] == [(Code.REQUIRED_PHASE_MISSING, "web")]


def test_more_than_a_hundred_projects_are_refused() -> None:
    def change(document: dict[str, Any]) -> None:
        document["projects"] += [{"name": f"p{number}", "path": f"p{number}"} for number in range(99)]

    with pytest.raises(ForgeError) as caught:
        read_document(read_text("d.json", changed(change).encode()))

    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [Code.TOO_MANY_PROJECTS]


def test_all_errors_come_at_once() -> None:
    def change(document: dict[str, Any]) -> None:
        document["repository"]["forgeVersion"] = "v3.0.0"
        document["projects"][1]["name"] = "api"
        document["projects"][1]["phases"] = {"nope": []}

    with pytest.raises(ForgeError) as caught:
        read_document(read_text("d.json", changed(change).encode()))

    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {
        Code.VERSION_UNSUPPORTED,
        Code.PROJECT_DUPLICATE,
        Code.UNKNOWN_PHASE,
    }


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", Code.JSON_SYNTAX),
        (b'{"schemaVersion": 1,', Code.JSON_SYNTAX),
        (b"[]", Code.WRONG_TYPE),
        (b"{}", Code.MISSING_FIELD),
        (b'{"schemaVersion": 1, "schemaVersion": 1}', Code.DUPLICATE_KEY),
        (json.dumps(DOCUMENT | {"more": 1}).encode(), Code.UNKNOWN_FIELD),
        (json.dumps(DOCUMENT | {"schemaVersion": 2}).encode(), Code.BAD_VALUE),
        (json.dumps(DOCUMENT).encode() + b" " * 1024 * 1024, Code.OUTPUT_TOO_LARGE),
    ],
)
def test_text_that_is_no_document_is_refused(data: bytes, code: Code) -> None:
    with pytest.raises(ForgeError) as caught:
        read_document(read_text("d.json", data))

    assert code in [diagnostic.code for diagnostic in caught.value.diagnostics]


def test_a_warning_joins_the_document_once_however_often_it_is_read() -> None:
    newer = changed(lambda d: d["repository"].update(forgeVersion="v1.9.0"))

    first = read_document(read_text("d.json", newer.encode()))
    again = read_document(read_text("written.json", to_json(first)))

    assert [(warning.code, warning.file) for warning in first.warnings] == [("FC312", "d.json")]
    assert again == first


def paths(value: Any, *around: str | int) -> Iterator[tuple[str | int, ...]]:
    """Of every value of a document."""
    yield around
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from paths(each, *around, key)


@pytest.mark.parametrize("path", list(paths(DOCUMENT))[1:], ids=lambda path: ".".join(map(str, path)))
def test_one_wrong_value_is_one_error(path: tuple[str | int, ...]) -> None:
    def break_(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = 1.5

    with pytest.raises(ForgeError) as caught:
        read_document(read_text("d.json", changed(break_).encode()))

    assert [each.code for each in caught.value.diagnostics] == [Code.WRONG_TYPE]


def test_what_does_not_fit_does_not_hide_what_contradicts() -> None:
    def break_(document: Any) -> None:
        document["repository"]["forgeVersion"] = 1
        document["projects"][1].update(name="API", more=1, phases={"tset": []})
        document["projects"][0]["artifacts"]["image"]["publishers"]["hub"] = {}
        document["projects"][0]["phases"]["test"][0]["timeout"] = "soon"

    with pytest.raises(ForgeError) as caught:
        read_document(read_text("d.json", changed(break_).encode()))

    assert sorted(each.code.name for each in caught.value.diagnostics) == [
        "BAD_VALUE",
        "PROJECT_DUPLICATE",
        "UNKNOWN_FIELD",
        "UNKNOWN_PHASE",
        "UNKNOWN_PUBLISHER",
        "WRONG_TYPE",
    ]
