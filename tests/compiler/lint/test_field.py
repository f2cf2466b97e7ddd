"""The table of fields against Argo's own definition, and against what the compiler emits."""

import copy
import functools
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from tests.compiler.manifest.crd import workflow_schema

from forgec.lint.field import FIELDS
from forgec.lint.shape import check_shape
from forgec.manifest import argo
from forgec.manifest.target import TARGETS, VERSIONED_FIELDS

GOLDEN = Path(__file__).resolve().parents[3] / "golden"
OF_OTHER_VERSIONS = {field.name for field in VERSIONED_FIELDS if not field.is_in("4.1")}
WHOLE = {"i": ("int64", None), "i32": ("int32", None), "i1": ("int64", (1, None)), "imode": ("int32", (0, 0o777))}
"""How the definition says it: bits and bounds."""

TYPES = {"s": "string", **dict.fromkeys(WHOLE, "integer"), "b": "boolean", "n": "number", "m": "object", "o": "object"}


def mismatches(kind: str, schema: dict[str, Any], seen: set[str]) -> Iterator[str]:
    """Where the table says another thing of the kind than the definition does."""
    if kind in seen or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    seen.add(kind)
    properties = schema.get("properties", {})
    if kind != "ObjectMeta":  # Kubernetes' own, of which the definition says nothing
        for name in FIELDS[kind].keys() - properties.keys() - OF_OTHER_VERSIONS:
            yield f"{kind}.{name} is no field"
        for name in properties.keys() - FIELDS[kind].keys():
            yield f"{kind}.{name} is not in the table"
    required = {name for name, (_, needed) in FIELDS[kind].items() if needed}
    if not required >= set(schema.get("required", [])):
        yield f"{kind} needs {schema['required']}"
    for name, (type_, _) in FIELDS[kind].items():
        if name in properties:
            yield from wrong_type(f"{kind}.{name}", type_, properties[name], seen)


def wrong_type(path: str, type_: str, schema: dict[str, Any], seen: set[str]) -> Iterator[str]:
    if type_ in FIELDS:
        yield from mismatches(type_, schema, seen)
    elif type_.startswith("["):
        if schema.get("type", "array") != "array":
            yield f"{path} is no list"
        elif type_ != "[?]":
            yield from wrong_type(path, type_[1:-1], schema["items"], seen)
    elif type_.startswith("<"):
        yield from wrong_type(path, type_[1:-1], schema["additionalProperties"], seen)
    elif "|" in type_:
        if set(type_.split("|")) != set(schema["enum"]):
            yield f"{path} is one of {schema['enum']}"
    elif type_ in ("#", "q"):
        if not schema.get("x-kubernetes-int-or-string"):
            yield f"{path} is not a number or a text"
    elif type_ in TYPES and schema.get("type") != TYPES[type_]:
        yield f"{path} is {schema.get('type')}"
    elif type_ in WHOLE:
        bits, bounds = WHOLE[type_]
        if (schema["format"], schema.get("minimum"), schema.get("maximum")) != (bits, *(bounds or (None, None))):
            yield f"{path} has {schema['format']}, {schema.get('minimum')} to {schema.get('maximum')}"


def test_the_table_has_exactly_the_fields_of_argos_definition() -> None:
    seen: set[str] = set()

    assert list(mismatches("Workflow", workflow_schema(), seen)) == []
    assert set(FIELDS) - seen <= {"Mutex", "ObjectMeta"}  # those of older versions have no definition here


def test_every_kind_of_the_table_is_reached_from_a_workflow() -> None:
    reached = {"Workflow"}
    pending = ["Workflow"]
    while pending:
        for type_, _ in FIELDS[pending.pop()].values():
            kind = type_.strip("[]<>")
            if kind in FIELDS and kind not in reached:
                reached.add(kind)
                pending.append(kind)

    assert reached == set(FIELDS)


@pytest.mark.parametrize(
    ("kind", "struct"),
    [
        ("Workflow", argo.Workflow),
        ("WorkflowSpec", argo.WorkflowSpec),
        ("Template", argo.Template),
        ("Container", argo.Container),
        ("WorkflowStep", argo.WorkflowStep),
        ("RetryStrategy", argo.RetryStrategy),
        ("ResourceRequirements", argo.ResourceRequirements),
        ("SecurityContext", argo.ContainerSecurityContext),
        ("PodSecurityContext", argo.PodSecurityContext),
        ("Volume", argo.Volume),
        ("SecretVolume", argo.SecretVolumeSource),
    ],
)
def test_what_the_compiler_emits_is_in_the_table(kind: str, struct: type[msgspec.Struct]) -> None:
    assert {field.encode_name for field in msgspec.structs.fields(struct)} <= set(FIELDS[kind])


@pytest.mark.parametrize("case", ["release", "dynamic"])
def test_the_table_finds_any_field_of_a_golden_workflow_that_has_another_name_or_type(case: str) -> None:
    path = {"release": "plans/release/workflow.yaml", "dynamic": "dynamic/workflow.yaml"}[case]
    right = yaml.safe_load((GOLDEN / path).read_text(encoding="utf-8"))
    assert check_shape(right, TARGETS["4.1"]) == []

    for wrong, mistake in mistakes(right):
        assert check_shape(wrong, TARGETS["4.1"]) != [], mistake


def mistakes(right: Any) -> Iterator[tuple[Any, str]]:
    """The workflow with each field renamed, and with each made an object or, where it is one or a list, a number."""
    for path in list(paths(right)):
        for way in ("name", "type"):
            wrong = copy.deepcopy(right)
            holder = functools.reduce(operator.getitem, path[:-1], wrong)
            value = holder.pop(path[-1])
            holder[path[-1] if way == "type" else f"{path[-1]}s"] = (
                value if way == "name" else 1 if isinstance(value, dict | list) else {}
            )
            yield wrong, f"{way} of {path}"


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every field; names of labels and the like are free."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if path[-1:] not in (("labels",), ("annotations",), ("requests",), ("limits",)):
                yield (*path, key)
            yield from paths(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from paths(inner, (*path, at))


def test_every_field_that_a_version_lacks_is_known_by_name() -> None:
    named = {name for fields in FIELDS.values() for name in fields}
    deeper = {"stopSignal", "fileKeyRef", "podCertificate", "saveStreamViaFile", "addressingStyle"}

    assert {field.name for target in TARGETS.values() for field in target.missing_fields} <= named | deeper
