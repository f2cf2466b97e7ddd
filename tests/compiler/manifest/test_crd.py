"""The structural check itself: it must see what it is there to see."""

from typing import Any

import pytest
from tests.compiler.manifest.crd import violations, workflow_schema

from forgec.manifest.argo import to_builtins
from forgec.manifest.lower import ManifestOptions, lower_dynamic


def manifest() -> dict[str, Any]:
    return to_builtins(lower_dynamic(ManifestOptions()))


def leaf(document: dict[str, Any]) -> Any:
    return document["spec"]["templates"][1]


def break_type(document: dict[str, Any]) -> None:
    document["spec"]["parallelism"] = "100"


def break_enum(document: dict[str, Any]) -> None:
    leaf(document)["retryStrategy"]["retryPolicy"] = "Sometimes"


def break_unknown(document: dict[str, Any]) -> None:
    leaf(document)["container"]["colour"] = "red"


def break_required(document: dict[str, Any]) -> None:
    del leaf(document)["outputs"]["parameters"][0]["name"]


def break_pattern(document: dict[str, Any]) -> None:
    leaf(document)["name"] = "not a name"


def break_count(document: dict[str, Any]) -> None:
    document["spec"]["templates"] = [dict(leaf(document), name=f"t{at}") for at in range(201)]


@pytest.mark.parametrize(
    ("breaking", "message"),
    [
        (break_type, ".spec.parallelism: '100' is not of type integer"),
        (break_enum, "is not one of"),
        (break_unknown, ".colour: is not a field"),
        (break_required, ".name: is missing"),
        (break_pattern, "does not match"),
        (break_count, ".spec.templates: 201 items"),
    ],
)
def test_a_broken_manifest_is_refused(breaking: Any, message: str) -> None:
    document = manifest()
    breaking(document)

    (found,) = violations(document, workflow_schema())

    assert message in found
