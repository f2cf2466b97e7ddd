"""A comparison for programs. Fields may be added; those that are here keep their meaning."""

from dataclasses import asdict
from typing import Any, Final

import msgspec

from forgec.diff.effect import Comparison
from forgec.diff.model import Change

SCHEMA_VERSION: Final = 1


def render_json(comparison: Comparison) -> str:
    concerns: dict[int, list[str]] = {}
    for concern in comparison.concerns:
        concerns.setdefault(id(concern.change), []).append(concern.reason)
    document = {
        "schemaVersion": SCHEMA_VERSION,
        "same": not comparison.changes,
        "before": asdict(comparison.before),
        "after": asdict(comparison.after),
        "changes": [_change(change, concerns.get(id(change), [])) for change in comparison.changes],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _change(change: Change, concerns: list[str]) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "subject": change.subject,
        "before": None if change.before is None else asdict(change.before),
        "after": None if change.after is None else asdict(change.after),
        "fields": [asdict(field) for field in change.fields],
        "neutral": change.neutral,
        "concerns": concerns,
    }
