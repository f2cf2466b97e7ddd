"""What the versions of Argo differ in, and that what we emit is in all of them."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.compiler.documents import document, many
from tests.compiler.manifest.crd import workflow_schema

from forgec import pipeline
from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.manifest.argo import to_builtins
from forgec.manifest.lower import ManifestOptions, lower_dynamic, lower_plan
from forgec.manifest.target import TARGET_DEFAULT, TARGETS, VERSIONED_FIELDS, VERSIONS, Target
from forgec.plan.build import build_plan
from forgec.plan.model import Granularity

EVERYTHING = ManifestOptions(credentials_secret="x", traceparent="00-" + "0" * 32 + "-" + "0" * 16 + "-01")


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.version)
@pytest.mark.parametrize("granularity", ["shard", "step"])
def test_every_version_has_all_that_is_emitted(target: Target, granularity: Granularity) -> None:
    plan = build_plan(document({"test": 1}, many(3, {"test": ["t"]}, release=True)), granularity=granularity)

    for workflow in (lower_plan(plan, EVERYTHING), lower_dynamic(EVERYTHING)):
        assert [path for path in paths(to_builtins(workflow)) if target.missing(path)] == []
        assert len(workflow.spec.templates) <= (target.caps.templates or len(workflow.spec.templates))


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_manifest_is_the_same_for_every_version_and_none_has_anything_to_say_against_it(dynamic: bool) -> None:
    plan = build_plan(document({"test": 1}, many(3, {"test": ["t"]}, release=True)))
    said: list[Diagnostic] = []

    manifests = {
        pipeline.emit(pipeline.lower(plan, ManifestOptions(argo_target=version), dynamic=dynamic, warn=said.extend))
        for version in VERSIONS
    }

    assert len(manifests) == 1
    assert said == []


def test_the_default_target_is_the_newest_version() -> None:
    assert VERSIONS[-1] == TARGET_DEFAULT
    assert tuple(TARGETS) == VERSIONS


def test_the_newest_versions_own_definition_has_the_fields_that_it_has_here_and_no_others() -> None:
    newest = TARGETS[VERSIONS[-1]]
    defined = set(schema_paths(workflow_schema()["properties"]["spec"], ("spec",)))

    assert [path for path in defined if newest.missing(path)] == []
    for field in VERSIONED_FIELDS:
        held = [path for path in defined if path[-1] == field.name and path[-2] in field.holders]
        assert bool(held) is field.is_in(newest.version), field.name


@pytest.mark.parametrize(
    ("path", "versions"),
    [
        (("spec", "templates", "synchronization", "mutex"), ("3.6", "3.7")),
        (("spec", "podPriority"), ("3.6",)),
        (("spec", "templates", "steps", "inline", "pendingTimeout"), ("4.1",)),
        (("spec", "templates", "inputs", "artifacts", "plugin"), ("4.0", "4.1")),
        (("spec", "synchronization", "mutexes"), VERSIONS),
        (("metadata", "labels", "mutex"), VERSIONS),
        (("kind",), VERSIONS),
    ],
)
def test_a_field_is_missing_from_the_versions_that_lack_it(path: tuple[str, ...], versions: tuple[str, ...]) -> None:
    assert tuple(version for version, target in TARGETS.items() if target.missing(path) is None) == versions


def test_lists_are_counted_since_the_full_definitions_are_the_default() -> None:
    assert [target.caps.templates for target in TARGETS.values()] == [None, None, 200, 200]


def test_a_version_that_is_not_known_is_refused() -> None:
    with pytest.raises(ForgeError) as raised:
        lower_dynamic(ManifestOptions(argo_target="5.0"))

    (problem,) = raised.value.diagnostics
    assert problem.code is Code.NAME_INVALID
    assert problem.message == 'Argo "5.0" is not one of the versions known here: 3.6, 3.7, 4.0, 4.1'


def paths(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The keys that lead to each field of a document; places in lists are left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*at, key)
            yield from paths(item, (*at, key))
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, at)


def schema_paths(schema: dict[str, Any], at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The same of every field that a definition has."""
    for name, inner in schema.get("properties", {}).items():
        yield (*at, name)
        yield from schema_paths(inner, (*at, name))
    for nested in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(nested, dict):
            yield from schema_paths(nested, at)
