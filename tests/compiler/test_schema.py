"""The published schemas: what they accept, and that a change of one is told by its version."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from forgec import schema
from forgec.estimate.history import read_history
from forgec.units import parse_duration

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
REWRITE = os.environ.get("FORGE_GOLDEN") == "write"
PLANS = sorted((GOLDEN / "plans").iterdir())


@pytest.mark.parametrize("name", schema.NAMES)
def test_golden_schema_changes_only_with_its_version(name: str) -> None:
    """An addition raises the minor, anything else the major: the rule that users may build on."""
    path = GOLDEN / "schema" / f"{name}.json"
    new = json.loads(json.dumps(schema.json_schema(name)))
    Draft202012Validator.check_schema(new)
    if path.exists():
        old = json.loads(path.read_text("utf-8"))
        was, now = (tuple(int(part) for part in each["version"].split(".")) for each in (old, new))
        breaks = list(_narrowed(old, new, old["$defs"], new["$defs"]))
        assert not breaks or now[0] > was[0], f"raise the major version: {breaks}"
        assert _bare(old) == _bare(new) or now > was, "raise the minor version"
    if REWRITE:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(new, indent=2) + "\n", "utf-8")
    assert json.loads(path.read_text("utf-8")) == new


@pytest.mark.parametrize("folder", PLANS, ids=[path.name for path in PLANS])
def test_golden_documents_and_plans_are_valid(folder: Path) -> None:
    for name in ("discovery", "plan"):
        document = json.loads((folder / f"{name}.json").read_text("utf-8"))
        errors = list(Draft202012Validator(schema.json_schema(name)).iter_errors(document))
        assert not errors


def test_the_history_that_the_documentation_shows_is_valid() -> None:
    page = (GOLDEN.parent / "docs" / "graph-and-estimate.md").read_text("utf-8")
    (shown,) = [each.partition("```")[0] for each in page.split("```json\n")[1:] if '"durations"' in each]

    read_history("durations.json", shown.encode())

    assert not list(Draft202012Validator(schema.json_schema("history")).iter_errors(json.loads(shown)))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tagging": {"strategy": "sometimes"}}, "sometimes"),
        ({"forgeVersion": "1.0.0"}, "does not match"),
        ({"forgeVersion": "v1.0.0\n"}, "does not match"),
        ({"phases": {"Test": {"group": 1}}}, "Test"),
        ({"phases": {"test": {"group": 0}}}, "minimum"),
        ({"phases": {"test": {"group": 1, "timeout": "5x"}}}, "does not match"),
        ({"phases": {"test": {"group": 1, "timeout": "90"}}}, "does not match"),
        ({"phases": {"test": {"group": 1, "timeout": "-5m"}}}, "does not match"),
        ({"phase": {}}, "unexpected"),
    ],
)
def test_what_forgec_refuses_the_schema_refuses(change: dict[str, Any], complaint: str) -> None:
    document = {"forgeVersion": "v1.0.0", "tagging": {"strategy": "monorepo"}, **change}

    (error,) = Draft202012Validator(schema.json_schema("repo")).iter_errors(document)

    assert complaint in error.message


@pytest.mark.parametrize("text", ["90s", "1h30m", "1.5h", "250ms", "24h"])
def test_a_duration_that_forgec_reads_the_schema_takes(text: str) -> None:
    phases = {"test": {"group": 1, "timeout": text}}
    document = {"forgeVersion": "v1.0.0", "tagging": {"strategy": "monorepo"}, "phases": phases}

    assert parse_duration(text) > 0
    assert list(Draft202012Validator(schema.json_schema("repo")).iter_errors(document)) == []


def test_the_page_on_schemas_names_each_with_its_version() -> None:
    page = (GOLDEN.parent / "docs" / "schemas.md").read_text("utf-8")

    for name in schema.NAMES:
        assert f"| `{name}` | {schema.json_schema(name)['version']} |" in page


@pytest.mark.parametrize(
    ("old", "new", "breaks"),
    [
        ({"properties": {"a": {}}}, {"properties": {"a": {}, "b": {}}}, []),
        ({"properties": {"a": {}}}, {"properties": {}}, ["a"]),
        ({"required": ["a"]}, {"required": []}, []),
        ({"required": []}, {"required": ["a"]}, ["required"]),
        ({"enum": ["a"]}, {"enum": ["a", "b"]}, []),
        ({"enum": ["a", "b"]}, {"enum": ["a"]}, ["enum"]),
        ({"maximum": 5}, {"maximum": 6}, []),
        ({"maximum": 5}, {"maximum": 4}, ["maximum"]),
        ({}, {"maxLength": 4}, ["maxLength"]),
        ({"pattern": "a"}, {"pattern": "b"}, ["pattern"]),
        ({"pattern": "a"}, {}, []),
        ({"type": "string"}, {"type": "integer"}, ["type"]),
    ],
)
def test_what_counts_as_a_break(old: dict[str, Any], new: dict[str, Any], breaks: list[str]) -> None:
    assert list(_narrowed(old, new, {}, {})) == breaks


def _bare(value: Any) -> Any:
    """What it says of documents: not its version, nor its words for people."""
    if isinstance(value, list):
        return [_bare(each) for each in value]
    if not isinstance(value, dict):
        return value
    words = {key for key in ("version", "$id", "description") if isinstance(value.get(key), str)}
    return {key: _bare(each) for key, each in value.items() if key not in words}


_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")


def _narrowed(old: Any, new: Any, old_defs: Any, new_defs: Any) -> Iterator[str]:
    """What a document that was valid may meet now; descriptions and defaults refuse nothing."""
    old, new = _followed(old, old_defs), _followed(new, new_defs)
    if old is None or new is None:
        return
    for name in old.get("properties", {}):
        if name not in new.get("properties", {}):
            yield name
        else:
            yield from _narrowed(old["properties"][name], new["properties"][name], old_defs, new_defs)
    if set(new.get("required", ())) - set(old.get("required", ())):
        yield "required"
    if "enum" in new and not set(map(str, old.get("enum", ("*",)))) <= set(map(str, new["enum"])):
        yield "enum"
    for key in (*_UPPER, *_LOWER):
        if key in new and (key not in old or (new[key] < old[key] if key in _UPPER else new[key] > old[key])):
            yield key
    for key in ("type", "pattern", "anyOf", "additionalProperties", "const"):
        if key in new and not isinstance(new[key], dict) and new[key] != old.get(key) and key != "anyOf":
            yield key
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(new.get(key), dict):
            yield from _narrowed(old.get(key, {}), new[key], old_defs, new_defs)
    for before, after in zip(old.get("anyOf", ()), new.get("anyOf", ()), strict=False):
        yield from _narrowed(before, after, old_defs, new_defs)
    if len(new.get("anyOf", ())) < len(old.get("anyOf", ())):
        yield "anyOf"


def _followed(value: Any, definitions: Any) -> Any:
    """The schema behind a reference. None of ours is recursive."""
    reference = value.get("$ref") if isinstance(value, dict) else None
    return definitions[reference.removeprefix("#/$defs/")] if reference else value
