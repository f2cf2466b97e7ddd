"""A structural check of a document against a CustomResourceDefinition: what `fieldValidation=Strict` would refuse.

Types, unknown fields, required fields, enums, patterns, lengths, counts, bounds, int-or-string and
x-kubernetes-preserve-unknown-fields. Rules in CEL are not evaluated.
"""

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

WORKFLOWS = "argoproj.io_workflows.yaml"
_JSON_TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}


def workflow_schema() -> dict[str, Any]:
    """The schema of Argo's Workflow; skips the test where the definitions are not on this machine."""
    why = absence()
    if why is not None:
        pytest.skip(why)
    return _schema(_folder() / WORKFLOWS)


def absence() -> str | None:
    """Why the definitions are not on this machine; None where they are."""
    if (_folder() / WORKFLOWS).is_file():
        return None
    return f"Argo's full CRDs are not in {_folder()}; FORGE_CRDS names another place"


def _folder() -> Path:
    beside = Path(__file__).resolve().parents[3].parent / "shared" / "crds"
    return Path(os.environ.get("FORGE_CRDS", beside))


def violations(value: Any, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every place where the value is not what the schema wants."""
    if schema.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            yield f"{path}: {value!r} is neither a number nor a text"
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, _JSON_TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{path}: {value!r} is not of type {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not one of {schema['enum']}"
    match value:
        case dict():
            yield from _object(value, schema, path)
        case list():
            if len(value) > schema.get("maxItems", len(value)) or len(value) < schema.get("minItems", 0):
                yield f"{path}: {len(value)} items"
            for at, item in enumerate(value):
                yield from violations(item, schema.get("items", {}), f"{path}[{at}]")
        case str():
            if len(value) > schema.get("maxLength", len(value)) or len(value) < schema.get("minLength", 0):
                yield f"{path}: {len(value)} characters"
            if "pattern" in schema and not re.search(schema["pattern"], value):
                yield f"{path}: {value!r} does not match {schema['pattern']}"
        case int() | float():
            if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                yield f"{path}: {value} is out of bounds"


def _object(value: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path}.{name}: is missing"
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or path == ".metadata"
    for name, item in value.items():
        if name in properties:
            yield from violations(item, properties[name], f"{path}.{name}")
        elif isinstance(others, dict):
            yield from violations(item, others, f"{path}.{name}")
        elif not (open_ended or others):
            yield f"{path}.{name}: is not a field"


@lru_cache(maxsize=1)
def _schema(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8") as stream:
        definition = yaml.load(stream, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = (found for found in definition["spec"]["versions"] if found["name"] == "v1alpha1")
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema
