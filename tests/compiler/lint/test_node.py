"""Node names of any workflow: those that Argo gives, and the same as the compiler's own."""

import json
from typing import Any

import pytest
import yaml
from tests.compiler.documents import document, project

from forgec.diagnostic import Code
from forgec.lint.manifest import read_manifest
from forgec.lint.node import NODES_MAX, node_ids, node_names
from forgec.manifest.argo import to_builtins
from forgec.manifest.entry import static_entries
from forgec.manifest.lower import ManifestOptions, static_workflow
from forgec.manifest.node import node_names as names_of_the_plan
from forgec.manifest.target import TARGETS
from forgec.plan.build import build_plan


def names(spec: str) -> list[str]:
    return list(node_names(read_manifest({"metadata": {"name": "w"}, "spec": yaml.safe_load(spec)})))


def test_the_compilers_own_workflow_has_the_nodes_that_its_plan_says() -> None:
    projects = [project("api", {"test": ["a", "b"], "build": ["c"]}, release=True), project("web", {"test": ["a"]})]
    plan = build_plan(document({"test": 1, "build": 2}, projects), shard_size=1)
    workflow = to_builtins(static_workflow(plan, ManifestOptions()))
    name = workflow["metadata"]["name"]

    found = list(node_names(read_manifest(workflow)))

    assert [name, *found] == list(names_of_the_plan(name, static_entries(plan)))


def test_nodes_are_named_as_argo_does() -> None:
    found = names(
        """
        entrypoint: main
        onExit: leaf
        templates:
        - name: main
          steps:
          - - {name: a, template: leaf}
            - {name: b, template: leaf, withItems: [x(1), 2, true, 1.5, {k: v, a: 1}]}
          - - {name: c, template: graph, hooks: {exit: {template: leaf}}}
        - name: graph
          retryStrategy: {limit: 1}
          dag: {tasks: [{name: t, template: leaf}, {name: u, templateRef: {name: r, template: s}}]}
        - {name: leaf, container: {image: i}}
        """
    )

    assert found == [
        *("w[0]", "w[0].a", "w[0].b(0:x1)", "w[0].b(1:2)", "w[0].b(2:true)", "w[0].b(3:1.5)", "w[0].b(4:a:1,k:v)"),
        *("w[1]", "w[1].c", "w[1].c(0)", "w[1].c(0).t", "w[1].c(0).u", "w[1].c(1)", "w[1].c(1).t", "w[1].c(1).u"),
        *("w[1].c.onExit", "w.onExit"),
    ]


def collisions(spec: dict[str, Any]) -> list[str]:
    manifest = read_manifest({"metadata": {"name": "w"}, "spec": spec})
    return [finding.message for finding in node_ids(manifest, TARGETS["4.1"]) if finding.code is Code.NODE_COLLISION]


@pytest.mark.parametrize("loop", ["withItems", "withParam"])
def test_two_nodes_of_one_id_are_told_by_their_names(loop: str) -> None:
    """The pair was found by trying."""
    items = ["kmht2mu", "mgekuci"]
    step = {"name": "a", "template": "leaf", loop: items if loop == "withItems" else json.dumps(items)}
    templates = [{"name": "main", "steps": [[step]]}, {"name": "leaf", "suspend": {}}]

    found = collisions({"entrypoint": "main", "templates": templates})

    assert found == [
        'the nodes "w[0].a(0:kmht2mu)" and "w[0].a(1:mgekuci)" have one id in Argo, so one of them would never run'
    ]


def test_a_workflow_of_endless_nodes_is_looked_at_for_a_while_only() -> None:
    templates = [
        {"name": "main", "steps": [[{"name": "a", "template": "main", "withItems": [1, 2, 3]}]]},
    ]

    assert len(collisions({"entrypoint": "main", "templates": templates})) < NODES_MAX / 1000
