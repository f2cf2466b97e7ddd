"""Documents that between them have every text that a document can have, and the walk over the type that proves it."""

from collections.abc import Iterator
from typing import Any

from msgspec import inspect

from forgec.discovery.model import Discovery

Place = tuple[str, ...]
"""Field names from the document's root; `[]` is an item of a list, `{}` a value and `{key}` a key of a map."""

BRANCH: Any = {
    "schemaVersion": 1,
    "commitSha": "0123456789abcdef0123456789abcdef01234567",
    "ref": "refs/heads/branch-of-document",
    "branch": "branch-of-document",
    "triggerType": "push",
    "repository": {
        "forgeVersion": "v1.0.0",
        "tagging": {"strategy": "monorepo"},
        "phases": {"phase-one": {"group": 1, "description": "text of a phase", "timeout": "31m", "required": True}},
        "publishers": {
            "images": {
                "type": "docker",
                "registry": "registry.example.com",
                "namespace": "name-space",
                "credentials": {"provider": "aws", "secretName": "publishers/one", "region": "eu-1", "key": "password"},
            },
            "hub": {"type": "github", "owner": "the-owner", "repo": "the-repo"},
            "site": {
                "type": "docs",
                "bucket": "a-bucket",
                "prefix": "a/prefix",
                "region": "eu-2",
                "public_url": "x://y",
            },
            "index": {"type": "pypi", "repository": "pypi-repository"},
        },
    },
    "projects": [
        {
            "name": "Project-1",
            "path": "path/of project",
            "phases": {
                "phase-one": [
                    {
                        "name": "step-one",
                        "action": "earthly",
                        "target": "+target-one",
                        "args": ["--ARG=value"],
                        "secrets": [
                            {"provider": "env", "secretName": "ci/one", "name": "TOKEN"},
                            {"provider": "file", "path": "ci/two", "maps": {"BOUND": "from-key"}},
                        ],
                        "timeout": "32m",
                    }
                ]
            },
            "artifacts": {
                "artifact-one": {
                    "type": "container",
                    "producer": {"earthly": {"target": "+target-two", "args": ["--OTHER=value"]}},
                    "publishers": {"images": {"primary": True, "tags": ["a-tag"]}, "hub": {"asset_name": "an-asset"}},
                }
            },
            "releaseTriggered": True,
            "deploymentTriggered": True,
            "releaseReason": {"type": "branch_push", "branch": "branch-of-reason"},
            "configHash": "hash-of-configuration",
        }
    ],
    "phaseGroups": [{"group": 1, "phases": ["phase-one"]}],
    "releaseEnabled": True,
    "releaseProjects": ["Project-1"],
    "warnings": [
        {
            "code": "FC313",
            "message": "text of a warning",
            "project": "project-of-warning",
            "file": "file-of-warning",
            "line": 1,
            "column": 1,
        }
    ],
}

TAG: Any = {
    **{name: value for name, value in BRANCH.items() if name not in ("branch", "ref")},
    "ref": "refs/tags/tag-of-document",
    "tag": "tag-of-document",
    "projects": [{**BRANCH["projects"][0], "releaseReason": {"type": "tag", "tag": "tag-of-reason"}}],
}

DOCUMENTS = (BRANCH, TAG)

NEVER_ACCEPTED = frozenset({"namespace", "repository", "version"})
"""Fields of a secret that are understood and belong to providers that are not enabled."""


def places_of_type(kind: inspect.Type | None = None, at: Place = ()) -> Iterator[Place]:
    """Every place where a document may hold a text, by its type; where it may hold anything, that place."""
    match kind or inspect.type_info(Discovery):
        case inspect.StructType(fields=fields):
            for field in fields:
                yield from places_of_type(field.type, (*at, field.encode_name))
        case inspect.DictType(key_type=key, value_type=value):
            yield from places_of_type(key, (*at, "{key}"))
            yield from places_of_type(value, (*at, "{}"))
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            yield from places_of_type(item, (*at, "[]"))
        case inspect.UnionType(types=types):
            for each in types:
                yield from places_of_type(each, at)
        case inspect.Metadata(type=inner):
            yield from places_of_type(inner, at)
        case inspect.LiteralType(values=values):
            if any(isinstance(value, str) for value in values):
                yield at
        case inspect.StrType() | inspect.AnyType():
            yield at
        case inspect.IntType() | inspect.BoolType() | inspect.NoneType():
            pass
        case other:
            raise AssertionError(f"a document has something new in it: {other} at {at}")


def places_of_value(value: Any, kind: inspect.Type | None = None, at: Place = ()) -> Iterator[tuple[Place, str]]:
    """Every text of a document with its place; below a place of any type the place stays the same."""
    match _plain(kind or inspect.type_info(Discovery)):
        case inspect.StructType(fields=fields):
            types = {field.encode_name: field.type for field in fields}
            for name, inner in value.items():
                yield from places_of_value(inner, types[name], (*at, name))
        case inspect.DictType(key_type=key, value_type=inner_type):
            for name, inner in value.items():
                yield from places_of_value(name, key, (*at, "{key}"))
                yield from places_of_value(inner, inner_type, (*at, "{}"))
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            for inner in value:
                yield from places_of_value(inner, item, (*at, "[]"))
        case inspect.AnyType():
            yield from ((at, text) for text in texts(value))
        case _ if isinstance(value, str):
            yield at, value


def texts(value: Any) -> Iterator[str]:
    """Every text of a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)


def replaced(value: Any, old: str, new: str) -> Any:
    """The value with one text in the place of another wherever it stands, so that what belongs together still does."""
    match value:
        case str():
            return new if value == old else value
        case dict():
            return {(new if key == old else key): replaced(inner, old, new) for key, inner in value.items()}
        case list():
            return [replaced(inner, old, new) for inner in value]
        case _:
            return value


def _plain(kind: inspect.Type) -> inspect.Type:
    """Without what surrounds it: constraints, and the None of an optional field."""
    while True:
        match kind:
            case inspect.Metadata(type=inner):
                kind = inner
            case inspect.UnionType(types=types):
                (kind,) = (each for each in types if not isinstance(each, inspect.NoneType))
            case _:
                return kind
