"""Findings as one JSON document, for programs.

    {"schemaVersion": 1, "errors": 1, "warnings": 0, "diagnostics": [{
      "code": "FC203", "severity": "error", "message": "unknown field \\"nmae\\"", "help": "did you mean \\"name\\"?",
      "project": "web", "file": "web/.forge/project.cue", "line": 3, "column": 1, "endLine": 3, "endColumn": 5,
      "related": [{"message": "...", "file": "...", "line": 1, "column": 1, "endLine": 1, "endColumn": 2}],
      "documentation": "compiler/forgec/explain/diagnostics.md#fc203"}]}

`code`, `severity`, `message` and `documentation` are always there; what a finding lacks is left out. A newer version
with the same `schemaVersion` may add fields.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from forgec.explain.section import documentation
from forgec.render.finding import Finding, Place, count

SCHEMA_VERSION: Final = 1


def render_json(findings: Sequence[Finding]) -> str:
    errors, warnings = count(findings)
    document = {
        "schemaVersion": SCHEMA_VERSION,
        "errors": errors,
        "warnings": warnings,
        "diagnostics": [_diagnostic(finding) for finding in findings],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _diagnostic(finding: Finding) -> dict[str, Any]:
    given = {
        "code": finding.code,
        "severity": finding.severity.value,
        "message": finding.message,
        "help": finding.help,
        "project": finding.project,
        **_place(finding.place),
        "related": [{"message": message, **_place(place)} for place, message in finding.related] or None,
        "documentation": documentation(finding.code),
    }
    return {name: value for name, value in given.items() if value is not None}


def _place(place: Place | None) -> dict[str, str | int]:
    if place is None:
        return {}
    fields: dict[str, str | int] = {"file": place.file}
    if place.start is not None:
        fields |= {"line": place.start.line, "column": place.start.column}
    if place.end is not None:
        fields |= {"endLine": place.end.line, "endColumn": place.end.column}
    return fields
