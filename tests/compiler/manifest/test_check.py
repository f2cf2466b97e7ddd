"""Where the texts of a manifest come from: none from a user, and no foreign tag."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from tests.compiler.documents import HOSTILE_TEXTS, PHASE_NAMES, document, documents, project

from forgec.discovery.model import Discovery
from forgec.manifest.argo import Workflow, to_builtins
from forgec.manifest.check import check_workflow
from forgec.manifest.lower import ManifestOptions, lower_dynamic, lower_plan
from forgec.manifest.yaml import emit_yaml
from forgec.plan.build import build_plan

OPTIONS = ManifestOptions()
DYNAMIC = lower_dynamic(OPTIONS)
STATIC = lower_plan(build_plan(document({"test": 1}, [project("api", {"test": ["x"]})])), OPTIONS)


def changed(workflow: Workflow, *path: Any, value: Any) -> Workflow:
    raw = to_builtins(workflow)
    at: Any = raw
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return msgspec.convert(raw, Workflow)


def messages(workflow: Workflow, known: Workflow = DYNAMIC) -> list[str]:
    return [problem.message for problem in check_workflow(workflow, known)]


@settings(max_examples=60, deadline=None)
@given(documents())
def test_no_text_of_a_person_reaches_a_manifest(found: Discovery) -> None:
    manifest = emit_yaml(to_builtins(lower_plan(build_plan(found), OPTIONS)))

    ours = emit_yaml(to_builtins(DYNAMIC))
    for text in HOSTILE_TEXTS:
        if text not in PHASE_NAMES:  # "null" is also a legal phase's name, and so part of a unit id
            assert manifest.count(text) <= ours.count(text)


@pytest.mark.parametrize("text", ["deploy", "$(id)", "a b", "sha256:xyz", "{{item}}{{=1}}"])
@pytest.mark.parametrize("path", [("templates", 1, "container", "image"), ("templates", 0, "steps", 0, 0, "template")])
def test_a_text_that_the_compiler_did_not_make_is_refused(path: tuple[Any, ...], text: str) -> None:
    workflow = changed(STATIC, "spec", *path, value=text)

    assert f"the manifest would carry a text that the compiler did not make: {text!r}" in messages(workflow)


@pytest.mark.parametrize("units", ['["G01"]', '["a","{{item}}"]', '["a b"]', '["a", "b"]'])
def test_a_list_of_anything_but_unit_ids_is_refused(units: str) -> None:
    workflow = changed(STATIC, "spec", "templates", 0, "steps", 0, 0, "withParam", value=units)

    assert any("did not make" in message for message in messages(workflow))


@pytest.mark.parametrize("tag", ["{{=1}}", "{{workflow.parameters.x}}", "{{steps.other.outputs.result}}", "a{{b"])
def test_a_tag_that_is_not_on_the_list_is_refused_even_in_our_own_words(tag: str) -> None:
    workflow = changed(DYNAMIC, "spec", "templates", 1, "container", "image", value=tag)

    problems = check_workflow(workflow, workflow)

    assert [found.message for found in problems] == [
        f"the manifest would carry a tag that the compiler does not know: {tag!r}"
    ]
