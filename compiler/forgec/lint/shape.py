"""Whether a text's fields are those of a Workflow: unknown ones, missing ones, and values of another type.

Argo reads manifests strictly and refuses what it does not know; a cluster with the minimal definitions drops it.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from forgec.diagnostic import Code
from forgec.lint.field import FIELDS
from forgec.lint.finding import Finding, Path
from forgec.manifest.target import Target
from forgec.nearest import did_you_mean

API_GROUP: Final = "argoproj.io"
API_VERSION: Final = f"{API_GROUP}/v1alpha1"

_TYPES: Final[dict[str, tuple[str, tuple[type, ...]]]] = {
    "s": ("a text", (str,)),
    "i": ("a whole number", (int,)),
    "i32": ("a whole number", (int,)),
    "i1": ("a whole number", (int,)),
    "imode": ("a whole number", (int,)),
    "n": ("a number", (int, float)),
    "#": ("a whole number or a text", (int, str)),
    "q": ("a whole number or a text", (int, str)),
    "o": ("an object", (dict,)),
    "b": ("true or false", (bool,)),
    "$": ("a single value", (str, int, float, bool)),
}

_RANGES: Final = {
    "i": (-(2**63), 2**63 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "#": (-(2**31), 2**31 - 1),
    "i1": (1, 2**63 - 1),
    "imode": (0, 0o777),
}
"""Argo reads a number into so many bits, or refuses the file; the rest is in its definitions."""

_QUANTITY: Final = re.compile(
    r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+))?"
)


def check_shape(body: Any, target: Target) -> list[Finding]:
    """Of a document that calls itself a Workflow."""
    found = list(_object(body, "Workflow", (), target))
    version = body.get("apiVersion") if isinstance(body, dict) else None
    if isinstance(version, str) and version not in ("", API_VERSION):
        found.append(
            Finding(Code.BAD_VALUE, ("apiVersion",), f'Argo has Workflows in {API_VERSION}, not in "{version}"')
        )
    return found


def _value(value: Any, kind: str, path: Path, target: Target) -> Iterator[Finding]:
    if value is None or kind == "?":
        return  # null is a field that is not there
    if "|" in kind:
        choices = kind.split("|")
        if value not in choices:
            known = [choice for choice in choices if choice]
            message = f"{_shown(value)} is none of {', '.join(known)}"
            hint = did_you_mean(value, known) if isinstance(value, str) else None
            yield Finding(Code.BAD_VALUE, path, message, help=hint)
    elif kind in _TYPES:
        noun, types = _TYPES[kind]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            yield Finding(Code.WRONG_TYPE, path, f"expected {noun}, found {_shown(value)}")
        elif kind in _RANGES and isinstance(value, int) and not _RANGES[kind][0] <= value <= _RANGES[kind][1]:
            low, high = _RANGES[kind]
            yield Finding(Code.BAD_VALUE, path, f"expected a whole number from {low} to {high}")
        elif kind == "q" and not _QUANTITY.fullmatch(str(value)):
            message = f'{_shown(value)} is no quantity of Kubernetes, such as "500m" or "128Mi"'
            yield Finding(Code.BAD_VALUE, path, message)
    elif kind.startswith("["):
        yield from _list(value, kind[1:-1], path, target)
    elif kind == "m" or kind.startswith("<"):
        yield from _by_name(value, "s" if kind == "m" else kind[1:-1], path, target)
    else:
        yield from _object(value, kind, path, target)


def _object(value: Any, kind: str, path: Path, target: Target) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield Finding(Code.WRONG_TYPE, path, f"expected an object, found {_shown(value)}")
        return
    fields = FIELDS[kind]
    for name, (_, required) in fields.items():
        if required and value.get(name) in (None, ""):
            yield Finding(Code.MISSING_FIELD, (*path, name), f'the field "{name}" is missing')
    for name, item in value.items():
        if name in fields:
            yield from _value(item, fields[name][0], (*path, name), target)
        else:
            yield _unknown(name, kind, (*path, name), target)


def _unknown(name: str, kind: str, path: Path, target: Target) -> Finding:
    here = [step for step in path[:-1] if isinstance(step, str)]
    known = [field for field in FIELDS[kind] if target.missing([*here, field]) is None]
    hint = did_you_mean(name, known)
    return Finding(Code.UNKNOWN_FIELD, path, f'a {kind} has no field "{name}"', help=hint, at_key=True)


def _list(value: Any, kind: str, path: Path, target: Target) -> Iterator[Finding]:
    if not isinstance(value, list):
        yield Finding(Code.WRONG_TYPE, path, f"expected a list, found {_shown(value)}")
        return
    for at, item in enumerate(value):
        if item is None and kind != "?":
            yield Finding(Code.WRONG_TYPE, (*path, at), "an item of a list is not null")
        yield from _value(item, kind, (*path, at), target)


def _by_name(value: Any, kind: str, path: Path, target: Target) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield Finding(Code.WRONG_TYPE, path, f"expected an object, found {_shown(value)}")
        return
    for name, item in value.items():
        yield from _value(item, kind, (*path, name), target)


def _shown(value: Any) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case bool():
            return "true" if value else "false"
        case str():
            return f'the text "{value[:60]}"'
    return f"the number {value}" if isinstance(value, int | float) else "null"
