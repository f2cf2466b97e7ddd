"""The rule on fields that not every version of Argo has."""

from collections.abc import Iterator
from typing import Any

from forgec.diagnostic import Code
from forgec.lint.finding import Finding, Path
from forgec.lint.manifest import Manifest
from forgec.manifest.target import Target


def target_fields(manifest: Manifest, target: Target) -> Iterator[Finding]:
    """The API server refuses a field that its version of Argo does not have, or drops it without a word."""
    names = frozenset(field.name for field in target.missing_fields)
    for path in _keys(manifest.spec, ("spec",), names):
        keys = [step for step in path if isinstance(step, str)]
        field = target.missing(keys)
        if field is not None:
            when = f"it came with {field.since}" if field.gone is None else f"it went with {field.gone}"
            message = f"Argo {target.version} has no {field.name} here: {when}"
            advice = f"use {field.instead}" if field.instead else None
            yield Finding(Code.FIELD_NOT_IN_TARGET, path, message, help=advice, at_key=True)


def _keys(value: Any, path: Path, names: frozenset[str]) -> Iterator[Path]:
    """The paths that end with one of the names."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key in names:
                yield (*path, key)
            if isinstance(item, dict | list):
                yield from _keys(item, (*path, key), names)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _keys(item, (*path, at), names)
