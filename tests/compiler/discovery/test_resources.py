"""Deployment resources as a release reads them: references resolved, and what a cluster would not take refused."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from forgec.diagnostic import ForgeError
from forgec.discovery.resources import InvalidResources, Resource, UnresolvedReferences, read_resources
from forgec.discovery.tree import MemoryTree

REPO = """package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: test: {group: 1, timeout: "7m"}
"""
WEB = "web/.forge/project.cue"
VALUES: Mapping[str, Mapping[str, object]] = {
    "image": {"digest": "sha256:1", "size": 12, "tags": ["a", "b"], "publishers": {"hub": {"uri": "r.test/x:1"}}},
    "image.v2": {"digest": "sha256:2"},
}


NEAR = {"artifacts": {"image": {"digest": "near"}}, "x": "near"}
ARTIFACTS = """
_digest: artifacts.image.digest
artifacts: [string]: {type: "container", producer: earthly: target: "+image"}
artifacts: {image: publishers: hub: {}, "image.v2": {}}
"""


def tree(resources: str, **files: str) -> MemoryTree:
    project = f'package project\nname: "web"\ndeployment: resources: [\n{resources}\n]\n{ARTIFACTS}'
    texts = {".forge/repo.cue": REPO, WEB: project, **files}
    return MemoryTree({path: text.encode() for path, text in texts.items()})


def resolved(resources: str) -> tuple[Resource, ...]:
    return read_resources(tree(resources), "web").resolved(VALUES)


def spec(text: str) -> Any:
    (resource,) = resolved(f'{{apiVersion: "v1", kind: "A", metadata: name: "a", spec: {text}}}')
    return resource.document["spec"]


def complaints(error: ForgeError) -> list[str]:
    return [f"{each.span}: {each.message}" for each in error.diagnostics]


def test_resources_come_by_kind_and_name_with_all_that_they_say() -> None:
    found = resolved("""
        {apiVersion: "v1", kind: "Service", metadata: name: "b"},
        {apiVersion: "apps/v1", kind: "Deployment", metadata: {name: "b", namespace: "x"}, spec: replicas: 2},
        {apiVersion: "v1", kind: "Service", metadata: name: "a"},
    """)

    assert [each.key for each in found] == [
        ("Deployment", "b", "x", "apps/v1"),
        ("Service", "a", "", "v1"),
        ("Service", "b", "", "v1"),
    ]
    assert found[0].document == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "b", "namespace": "x"},
        "spec": {"replicas": 2},
    }


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ('{x: string @artifact("image.digest")}', {"x": "sha256:1"}),
        ('{x: @artifact("image.size")}', {"x": 12}),
        ('{x: @artifact("image.tags")}', {"x": ["a", "b"]}),
        ('{x: [{y: string @artifact("image.publishers.hub.uri")}]}', {"x": [{"y": "r.test/x:1"}]}),
        ('{x: string @artifact("image.v2.digest")}', {"x": "sha256:2"}),
        ('{x: "given" @artifact("image.digest")}', {"x": "given"}),
        ('{x: string @repo("phases.test.timeout")}', {"x": "7m"}),
    ],
    ids=[
        "after its type",
        "a number",
        "a list",
        "of a publisher",
        "of the longest name",
        "a value stays",
        "of repo.cue",
    ],
)
def test_reference_is_replaced_by_its_value(said: str, value: object) -> None:
    assert spec(said) == value


def test_every_reference_without_a_value_is_told_with_its_place() -> None:
    with pytest.raises(UnresolvedReferences) as raised:
        spec('{a: @artifact("image.uri")\nb: @artifact("image.publishers.other.uri")\nc: @artifact("none.digest")}')

    assert complaints(raised.value) == [
        f'{WEB}:4:62: nothing is known of "image.uri"',
        f'{WEB}:5:4: nothing is known of "image.publishers.other.uri"',
        f'{WEB}:6:4: nothing is known of "none.digest"',
    ]
    assert raised.value.named == {"image.uri", "image.publishers.other.uri", "none.digest"}


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ("{x: artifacts.image.publishers.hub.digest}", 'nothing is known of "image.publishers.hub.digest"'),
        ("{x: artifacts.other.digest}", 'artifacts has no field "other"'),
        ('{x: "at \\(artifacts.image.digest)"}', 'artifacts.image has no field "digest"'),
        ("{let artifacts = {image: {}}, x: artifacts.image.digest}", 'artifacts.image has no field "digest"'),
    ],
    ids=["of nothing", "of no artifact", "in a text", "of another thing of that name"],
)
def test_plain_reference_to_nothing_is_told(said: str, complaint: str) -> None:
    with pytest.raises(ForgeError, match=re.escape(complaint)):
        spec(said)


def test_part_of_what_is_known_is_no_value() -> None:
    with pytest.raises(UnresolvedReferences):
        spec('{a: @artifact("image.publishers")}')


@pytest.mark.parametrize(
    ("resource", "complaint"),
    [
        ('{kind: "A", metadata: name: "a"}', "a resource has no apiVersion"),
        ('{apiVersion: "v1", metadata: name: "a"}', "a resource has no kind"),
        ('{apiVersion: "v1", kind: "A"}', "a resource has no metadata.name"),
        ('{apiVersion: "v1", kind: "A", metadata: nam: "a"}', "a resource has no metadata.name"),
        ('{apiVersion: "v1/x/y", kind: "A", metadata: name: "a"}', "apiVersion of a resource: 'v1/x/y' is none"),
        ('{apiVersion: 1, kind: "A", metadata: name: "a"}', "apiVersion of a resource: 1 is none"),
        ('{apiVersion: "v1", kind: "A b", metadata: name: "a"}', "kind of a resource: 'A b' is none"),
        ('{apiVersion: "v1", kind: "A", metadata: name: "../a"}', "metadata.name of a resource: '../a' is none"),
        (
            '{apiVersion: "v1", kind: "A", metadata: {name: "a", namespace: "B"}}',
            "metadata.namespace of a resource: 'B'",
        ),
        (
            '{apiVersion: "v1", kind: "A", metadata: {name: "a", environment: "dev"}}',
            "metadata.environment names an env",
        ),
        (
            '{apiVersion: "v1", kind: "A", metadata: {name: "a", labels: environment: "dev"}}',
            "metadata.labels.environment",
        ),
        ('{apiVersion: "v1", kind: "A", metadata: name: "a", environments: {}}', "environments names an environment"),
        (
            '{apiVersion: "v1", kind: "EnvironmentConfig", metadata: name: "a"}',
            "EnvironmentConfig is a kind of environments",
        ),
    ],
)
def test_what_a_cluster_or_another_environment_would_not_take_is_refused(resource: str, complaint: str) -> None:
    with pytest.raises(InvalidResources) as raised:
        resolved(resource)

    (told,) = complaints(raised.value)
    assert complaint in told
    assert told.startswith(f"{WEB}:4:")


def test_two_of_one_name_are_refused_where_the_second_is_written() -> None:
    one = '{apiVersion: "v1", kind: "A", metadata: name: "a"}'

    with pytest.raises(InvalidResources) as raised:
        resolved(f"{one},\n{one}")

    assert complaints(raised.value) == [f'{WEB}:5:1: a second A "a"']


def test_one_name_in_two_namespaces_or_groups_is_two() -> None:
    found = resolved("""
        {apiVersion: "v1", kind: "A", metadata: name: "a"},
        {apiVersion: "v1", kind: "A", metadata: {name: "a", namespace: "b"}},
        {apiVersion: "v2", kind: "A", metadata: name: "a"},
    """)

    assert len(found) == 3


def test_project_without_resources_has_none() -> None:
    assert (
        read_resources(
            MemoryTree({".forge/repo.cue": REPO.encode(), WEB: b'package project\nname: "web"'}), "web"
        ).resolved({})
        == ()
    )


def test_broken_projects_beside_it_do_not_matter() -> None:
    found = read_resources(
        tree('{apiVersion: "v1", kind: "A", metadata: name: "a"}', **{"api/.forge/project.cue": "}"}), "web"
    )

    assert len(found.resolved({})) == 1


def test_project_that_is_not_there_is_told() -> None:
    with pytest.raises(ForgeError, match=r"api/\.forge/project\.cue is not there"):
        read_resources(tree(""), "api")
