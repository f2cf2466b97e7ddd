"""The table of fields against Argo's own definition, and against what the compiler emits."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from tests.compiler.manifest.crd import workflow_schema

from forgec.lint.field import FIELDS
from forgec.manifest import argo
from forgec.manifest.target import TARGETS, VERSIONED_FIELDS

OF_OTHER_VERSIONS = {field.name for field in VERSIONED_FIELDS if not field.is_in("4.1")}
TYPES = {"s": "string", "i": "integer", "b": "boolean", "n": "number", "m": "object", "o": "object"}


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
    elif type_ == "#":
        if not schema.get("x-kubernetes-int-or-string"):
            yield f"{path} is not a number or a text"
    elif type_ in TYPES and schema.get("type") != TYPES[type_]:
        yield f"{path} is {schema.get('type')}"


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
    ],
)
def test_what_the_compiler_emits_is_in_the_table(kind: str, struct: type[msgspec.Struct]) -> None:
    assert {field.encode_name for field in msgspec.structs.fields(struct)} <= set(FIELDS[kind])


def test_every_field_that_a_version_lacks_is_known_by_name() -> None:
    named = {name for fields in FIELDS.values() for name in fields}
    deeper = {"stopSignal", "fileKeyRef", "podCertificate", "saveStreamViaFile", "addressingStyle"}

    assert {field.name for target in TARGETS.values() for field in target.missing_fields} <= named | deeper
