"""The rules meet whatever a file may hold, and look at a long one in little time."""

import json
import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compiler.lint.mistakes import VALUES, changed
from tests.compiler.lint.workflows import WORKFLOWS

from forgec.diagnostic import Code
from forgec.lint.count import COUNT_MAX, Count, count_nodes, items_of
from forgec.lint.deadline import deadline_beyond_workflow
from forgec.lint.finding import Finding, shown
from forgec.lint.limit import caps, literals
from forgec.lint.manifest import Call, Manifest, read_manifest
from forgec.lint.rules import RULES, check_manifest
from forgec.lint.shape import check_shape
from forgec.lint.tag import tags
from forgec.manifest.target import TARGETS

TARGET = TARGETS["4.1"]
KEYS = st.sampled_from(
    [
        *("spec", "metadata", "templates", "name", "steps", "dag", "tasks", "template", "inline", "arguments", "hooks"),
        *("parameters", "artifacts", "inputs", "outputs", "container", "containerSet", "containers", "depends"),
        *("dependencies", "withItems", "withParam", "withSequence", "retryStrategy", "limit", "expression", "metrics"),
        *("prometheus", "templateDefaults", "entrypoint", "onExit", "image", "value", "valueFrom", "podGC", "exit"),
    ]
)
JSON = st.recursive(
    st.sampled_from([value for value in VALUES if not isinstance(value, dict | list)]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=4), JSON)
def test_no_rule_minds_what_it_meets(spec: dict[str, Any], templates: Any) -> None:
    body = {"metadata": {"name": "w"}, "spec": {"entrypoint": "main", **spec, "templates": templates}}

    found = [*check_manifest(body, TARGET), *check_shape(body, TARGET)]

    assert all(finding.message and shown(finding.path) for finding in found)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_mistake_in_a_good_workflow_is_survived(name: str) -> None:
    right = yaml.safe_load(WORKFLOWS[name])
    chance = random.Random(name)

    for _ in range(300):
        body = changed(right, chance)
        json.dumps([shown(finding.path) for finding in [*check_manifest(body, TARGET), *check_shape(body, TARGET)]])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_says_why_it_is_there(rule: Any) -> None:
    assert len(rule.__doc__) > 40
    assert rule.__doc__.rstrip().endswith(".")


def manifest(spec: str) -> Manifest:
    return read_manifest({"metadata": {"name": "w"}, "spec": yaml.safe_load(spec)})


def test_nodes_and_pods_are_counted_without_being_walked() -> None:
    found = manifest(
        """
        entrypoint: a
        onExit: leaf
        templates:
        - {name: a, steps: [[{name: x, template: b, withSequence: {count: 1000}}]]}
        - {name: b, steps: [[{name: x, template: c, withSequence: {count: 1000}}]]}
        - {name: c, steps: [[{name: x, template: d, withSequence: {count: 1000}}]]}
        - {name: d, steps: [[{name: x, template: leaf, withSequence: {count: 1000}}]]}
        - {name: leaf, container: {image: i}}
        """
    )

    assert count_nodes(found) == Count(COUNT_MAX, COUNT_MAX)


def test_a_template_that_starts_itself_ends_the_count() -> None:
    found = manifest(
        """
        entrypoint: a
        templates: [{name: a, steps: [[{name: x, template: a}, {name: y, template: a}]]}]
        """
    )

    assert count_nodes(found).pods == 0
    assert not [each for each in check_manifest(found.body, TARGET) if each.code is Code.NODE_COLLISION]


@pytest.mark.parametrize(
    ("body", "items"),
    [
        ({"withItems": [1, "a"]}, [1, "a"]),
        ({"withParam": '["a", "b"]'}, ["a", "b"]),
        ({"withParam": "{{steps.a.outputs.result}}"}, None),
        ({"withParam": "no list"}, None),
        ({"withSequence": {"count": "3"}}, [0, 1, 2]),
        ({"withSequence": {"start": 2, "count": 2}}, [2, 3]),
        ({"withSequence": {"start": 3, "end": 1}}, [3, 2, 1]),
        ({"withSequence": {"end": 2}}, [0, 1, 2]),
        ({"withSequence": {"count": "{{workflow.parameters.n}}"}}, None),
        ({"withSequence": {"count": 10**9}}, None),
        ({"withSequence": {"count": 3, "format": "%02X"}}, None),
    ],
)
def test_the_items_of_a_list_are_known_where_the_manifest_has_them(body: dict[str, Any], items: Any) -> None:
    assert items_of(Call(path=(), body=body, inline=None)) == items


@pytest.mark.parametrize(
    ("spec", "length", "what"),
    [
        ("arguments: {parameters: [{name: x, value: TEXT}]}", 8192, "an argument"),
        ("hooks: {exit: {template: t, arguments: {parameters: [{name: x, value: TEXT}]}}}", 8192, "an argument"),
        ("templates: [{name: t, inputs: {parameters: [{name: x, default: TEXT}]}}]", 8192, "a parameter"),
        ("templates: [{name: t, inputs: {parameters: [{name: x, valueFrom: {default: TEXT}}]}}]", 8192, "a parameter"),
        ("templates: [{name: t, steps: [[{name: s, template: u, withItems: [{of: TEXT}]}]]}]", 8192, "an item"),
        ("templates: [{name: t, dag: {tasks: [{name: s, withParam: TEXT}]}}]", 131072, "a list"),
        ("templateDefaults: {script: {source: TEXT}}", 131072, "a text"),
        ("podSpecPatch: TEXT", 131072, "a text"),
    ],
)
def test_a_text_anywhere_may_be_so_long_and_no_longer(spec: str, length: int, what: str) -> None:
    def messages(text: str) -> list[str]:
        body = yaml.safe_load(spec.replace("TEXT", text))
        return [found.message for found in literals(read_manifest({"spec": body}), TARGET)]

    assert messages("x" * length) == []
    assert messages("x" * (length + 1)) == [f"{what} of more than {length // 1024} KiB"]


def test_lists_of_template_defaults_are_counted_too() -> None:
    inputs = {"parameters": [{"name": f"p{at}"} for at in range(501)]}
    tasks = [{"name": f"t{at}", "template": "leaf"} for at in range(201)]
    body = {"spec": {"templateDefaults": {"inputs": inputs, "dag": {"tasks": tasks}}}}

    found = {(each.code, shown(each.path)) for each in caps(read_manifest(body), TARGET)}

    assert found == {
        (Code.TOO_MANY_INPUTS, "spec.templateDefaults.inputs.parameters"),
        (Code.TOO_MANY_TASKS, "spec.templateDefaults.dag.tasks"),
    }


def test_many_tags_outside_of_many_templates_are_no_burden() -> None:
    texts = {f"k{at}": "{{steps.s1.outputs.result}} {{inputs.parameters.p9}}" for at in range(5000)}
    inputs = {"parameters": [{"name": "p9"}]}
    templates = [{"name": f"t{at}", "inputs": inputs, "steps": [[{"name": f"s{at}"}]]} for at in range(5000)]
    body = {"spec": {"podMetadata": {"annotations": texts}, "templates": templates}}

    found = list(tags(read_manifest(body), TARGET))

    assert found == []


def test_a_long_chain_of_tasks_is_no_burden() -> None:
    tasks = [{"name": f"t{at}", "template": "leaf", "dependencies": [f"t{at - 1}"] if at else []} for at in range(5000)]
    tasks[-1]["arguments"] = {"parameters": [{"name": "x", "value": "{{tasks.t0.outputs.result}}"}]}
    body = {
        "metadata": {"name": "w"},
        "spec": {
            "entrypoint": "main",
            "templates": [
                {"name": "main", "dag": {"tasks": tasks}},
                {"name": "leaf", "container": {"image": "i", "command": ["c"]}},
            ],
        },
    }

    found = {finding.code for finding in check_manifest(body, TARGETS["3.7"])}

    assert Code.TAG_UNRESOLVED not in found
    assert Code.DEPENDENCY_INVALID not in found


@pytest.mark.parametrize(
    ("limit", "shown_s"),
    [
        ({"activeDeadlineSeconds": 1234567}, "1234567"),
        ({"activeDeadlineSeconds": "1234567"}, "1234567"),
        ({"timeout": "1000h0.25s"}, "3600000.25"),
        ({"pendingTimeout": "11m"}, "660"),
    ],
)
def test_a_limit_is_told_with_all_its_digits(limit: dict[str, Any], shown_s: str) -> None:
    template = {"name": "main", "container": {}, **limit}
    manifest = read_manifest({"spec": {"activeDeadlineSeconds": 600, "templates": [template]}})

    (found,) = deadline_beyond_workflow(manifest, TARGET)

    assert found.message == f"the limit of {shown_s} s never counts, since the workflow ends after 600 s"


def test_paths_are_shown_as_people_write_them() -> None:
    assert shown(("spec", "templates", 0, "steps", 1, 2, "name")) == "spec.templates[0].steps[1][2].name"
    assert Finding(Code.NAME_TWICE, ("spec",), "x").severity.value == "error"
    assert Finding(Code.TOKEN_MOUNTED, ("spec",), "x").severity.value == "warning"
