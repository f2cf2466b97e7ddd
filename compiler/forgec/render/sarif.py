"""Findings as SARIF 2.1.0, for code scanning.

Each code that was found is a rule with its documentation; lines and columns are those of all our forms (from 1, in
code points, the end behind the last character). Files are relative to `%SRCROOT%`, the repository or, of a document,
the working directory. A result keeps its fingerprint while the text it is about stays the same, wherever that moves.

Code scanning refuses a whole file for one result without a place or a line. A finding that has none is shown at the
first place that it names besides, or else at the repository's own configuration; one about a whole file at its start.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote

from forgec.diagnostic import Code
from forgec.explain.section import documentation, sections
from forgec.render.finding import Finding, Place
from forgec.source import Position

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT: Final = "%SRCROOT%"
FINGERPRINT: Final = "forgecFinding/v1"
FALLBACK: Final = Place(file=".forge/repo.cue")


def render_sarif(findings: Sequence[Finding]) -> str:
    codes = sorted({finding.code for finding in findings})
    seen: Counter[str] = Counter()
    run = {
        "tool": {
            "driver": {
                "name": "forgec",
                "version": version("catalyst-forge"),
                "rules": [_rule(code) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "the repository, or the working directory"}}},
        # It says that the analysis came to its end, not that it found nothing.
        "invocations": [{"executionSuccessful": True}],
        "results": [_result(finding, codes.index(finding.code), seen) for finding in findings],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=False) + "\n"


def _rule(code_id: str) -> dict[str, Any]:
    code = next((code for code in Code if code.id == code_id), None)
    section = sections().get(code_id)
    if code is None or section is None:  # of a document that a newer compiler wrote
        return {"id": code_id}
    return {
        "id": code_id,
        "name": code.name.title().replace("_", ""),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": section.summary},
        "help": {"text": section.text, "markdown": section.text},
        "properties": {"documentation": documentation(code_id)},
    }


def _result(finding: Finding, rule_index: int, seen: Counter[str]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rule_index,
        "level": finding.severity.value,
        "message": _message(f"{finding.message}\n{finding.help}" if finding.help else finding.message),
        "partialFingerprints": {FINGERPRINT: _fingerprint(finding, seen)},
        "locations": [_location(finding.place or next((place for place, _ in finding.related), FALLBACK))],
    }
    if finding.related:
        result["relatedLocations"] = [
            {"id": number, **_location(place), "message": _message(message)}
            for number, (place, message) in enumerate(finding.related, 1)
        ]
    if finding.project is not None:
        result["properties"] = {"project": finding.project}
    return result


def _message(text: str) -> dict[str, str]:
    """Viewers make a link of `[this](there)`, wherever in a text it stands; what is quoted here is anybody's."""
    return {"text": text.replace("](", "\\](")}


def _fingerprint(finding: Finding, seen: Counter[str]) -> str:
    """Of what is said about which text of which file, and the how manieth of these it is; not of its line."""
    place = finding.place or Place(file="")
    identity = "\0".join((finding.code, place.file, place.text, finding.message))
    key = hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()
    seen[key] += 1
    return f"{key}:{seen[key]}"


def _location(place: Place) -> dict[str, Any]:
    start = place.start or Position(1, 1)
    region: dict[str, Any] = {"startLine": start.line, "startColumn": start.column}
    if place.end is not None:
        region |= {"endLine": place.end.line, "endColumn": place.end.column, "snippet": {"text": place.text}}
    return {"physicalLocation": {"artifactLocation": _artifact(place.file), "region": region}}


def _artifact(file: str) -> dict[str, str]:
    """Names are bytes to the system, and what is not UTF-8 in them stays what it is."""
    path = quote(re.sub(r"\A(?:\./)+", "", file), errors="surrogateescape")
    return {"uri": f"file://{path}"} if file.startswith("/") else {"uri": path, "uriBaseId": ROOT}
