"""Where a document says what, whether it was written as JSON or found in a tree."""

import json

import pytest

from forgec.diagnostic import Code, ForgeError
from forgec.discovery.check import locate_document
from forgec.discovery.discover import survey
from forgec.discovery.places import NO_PLACES, Places
from forgec.discovery.tree import MemoryTree
from forgec.discovery.trigger import Trigger
from forgec.plan.build import build_plan
from forgec.plan.check import check_plan
from forgec.plan.model import GROUPS_MAX
from forgec.source import Source

REPO = """package repo

forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: test: {group: 7}
"""
PROJECT = """package project

name: "api"
ci: phases: test: {
	unit: {action: "earthly", target: "+unit"}
	lint: {action: "earthly", target: "+lint"}
}
release: on: [{tag: true}]
"""
DOCUMENT = """{
  "repository": {"forgeVersion": "v1.0.0", "tagging": {"strategy": "monorepo"}, "phases": {
    "test": {"group": 7}}},
  "projects": [{"path": "api",
    "name": "api", "releaseTriggered": false,
    "phases": {"test": [
      {"name": "unit", "action": "earthly", "target": "+unit"},
      {"name": "lint", "action": "earthly", "target": "+lint"}]}}]
}"""


def of_tree() -> Places:
    tree = {".forge/repo.cue": REPO, "api/.forge/project.cue": PROJECT, "api/Earthfile": "VERSION 0.8\nunit:\nlint:\n"}
    files = {name: text.encode() for name, text in tree.items()}
    return survey(MemoryTree(files)).located(Trigger()).places


def of_document() -> Places:
    return locate_document(Source("d.json", DOCUMENT)).places


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        pytest.param(
            of_tree(),
            {
                "phase": ".forge/repo.cue:5:9",
                "group": ".forge/repo.cue:5:23",
                "project": "api/.forge/project.cue:3:7",
                "task": "api/.forge/project.cue:4:13",
                "step": "api/.forge/project.cue:6:2",
                "unknown step": "api/.forge/project.cue:4:13",
                "release": "api/.forge/project.cue:8:10",
            },
            id="tree",
        ),
        pytest.param(
            of_document(),
            {
                "phase": "d.json:3:5",
                "group": "d.json:3:23",
                "project": "d.json:5:13",
                "task": "d.json:6:16",
                "step": "d.json:8:16",
                "unknown step": "d.json:6:16",
                "release": "d.json:5:20",
            },
            id="document",
        ),
    ],
)
def test_every_part_has_its_place(places: Places, expected: dict[str, str]) -> None:
    found = {
        "phase": places.phase("test"),
        "group": places.group("test"),
        "project": places.project("api"),
        "task": places.task("api", "test"),
        "step": places.step("api", "test", "lint"),
        "unknown step": places.step("api", "test", "none"),
        "release": places.release("api"),
    }

    assert {name: str(span) for name, span in found.items()} == expected


def test_without_a_text_nothing_has_a_place() -> None:
    found = [
        NO_PLACES.phase("test"),
        NO_PLACES.group("test"),
        NO_PLACES.project("api"),
        NO_PLACES.task("api", "test"),
        NO_PLACES.step("api", "test", "unit"),
        NO_PLACES.release("api"),
    ]

    assert found == [None] * 6


def test_the_first_group_that_is_too_many_is_pointed_at() -> None:
    numbers = range(10, 10 * (GROUPS_MAX + 2), 10)
    step = [{"name": "x", "action": "earthly", "target": "+x"}]
    text = json.dumps(
        {
            "repository": {
                "forgeVersion": "v1.0.0",
                "tagging": {"strategy": "monorepo"},
                "phases": {f"p{number}": {"group": number} for number in numbers},
            },
            "projects": [{"name": "api", "path": "api", "phases": {f"p{number}": step for number in numbers}}],
        },
        indent=1,
    )
    located = locate_document(Source("d.json", text))

    with pytest.raises(ForgeError) as raised:
        build_plan(located.document, places=located.places)

    (finding,) = raised.value.diagnostics
    assert (finding.code, finding.span and finding.span.text) == (Code.TOO_MANY_GROUPS, "170")


def test_a_broken_plan_is_told_at_the_places_of_its_document() -> None:
    located = locate_document(Source("d.json", DOCUMENT))
    plan = build_plan(located.document)
    (group,) = plan.groups
    (phase,) = group.phases
    (unit,) = phase.units
    twice = type(phase)(name=phase.name, units=(unit, type(unit)(id="other", tasks=unit.tasks)))
    broken = type(plan)(groups=(type(group)(number=1, phases=(twice,)),), release=())

    (finding,) = check_plan(broken, located.places)

    assert str(finding.span) == "d.json:6:16"
    assert finding.message == 'project "api" is in phase "test" more than once'
