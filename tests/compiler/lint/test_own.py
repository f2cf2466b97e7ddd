"""What the compiler makes has nothing for its own lint to find, and every compilation asks."""

import pytest
from hypothesis import given, settings
from tests.compiler.documents import document, documents, many, project

from forgec import pipeline
from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.discovery.model import Discovery
from forgec.lint.text import lint_text
from forgec.lint.workflow import lint_workflow
from forgec.manifest.argo import Workflow
from forgec.manifest.lower import ManifestOptions, static_workflow
from forgec.manifest.target import TARGETS
from forgec.plan.build import build_plan
from forgec.source import Source

OPTIONS = ManifestOptions(credentials_secret="nats")
SMALL = build_plan(document({"test": 1}, [project("api", {"test": ["unit"]}, release=True)]))


def linted(workflow: Workflow, version: str) -> list[Diagnostic]:
    """By both ways: as the compiler does, and as a file."""
    text = lint_text(Source("workflow.yaml", pipeline.emit(workflow).decode()), TARGETS[version])
    return [*lint_workflow(workflow, TARGETS[version]), *text.diagnostics]


@pytest.mark.parametrize("version", TARGETS)
@pytest.mark.parametrize("dynamic", [False, True])
def test_neither_form_has_anything_to_find_for_any_version(version: str, dynamic: bool) -> None:
    workflow = pipeline.lower(SMALL, ManifestOptions(argo_target=version), dynamic=dynamic)

    assert linted(workflow, version) == []


@settings(max_examples=50, deadline=None)
@given(documents())
def test_no_document_makes_a_workflow_with_anything_to_find(found: Discovery) -> None:
    assert linted(static_workflow(build_plan(found, shard_size=1), OPTIONS), "4.1") == []


def test_a_compilation_warns_of_more_pods_than_a_controller_handles_well() -> None:
    steps = [f"s{at}" for at in range(5)]
    found = document({"test": 1, "build": 2, "pack": 3}, many(100, dict.fromkeys(("test", "build", "pack"), steps)))
    warnings: list[Diagnostic] = []

    plan = pipeline.plan(found, shard_size=25, granularity="step")
    pipeline.lower(plan, OPTIONS, dynamic=False, warn=warnings.extend)

    (warning,) = warnings
    assert warning.code is Code.TOO_MANY_PODS
    assert "1501 pods" in warning.message


def test_a_compilation_ends_with_what_the_lint_calls_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "lower_plan", lambda *_: unnamed(static_workflow(SMALL, OPTIONS)))

    with pytest.raises(ForgeError) as raised:
        pipeline.lower(SMALL, OPTIONS, dynamic=False)

    assert [found.code for found in raised.value.diagnostics] == [Code.WORKFLOW_NAME]


def unnamed(workflow: Workflow) -> Workflow:
    return Workflow(
        api_version=workflow.api_version,
        kind=workflow.kind,
        metadata=type(workflow.metadata)(name="Not_A_Name"),
        spec=workflow.spec,
    )
