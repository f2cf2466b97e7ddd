"""From a place in the manifest back to the lines it comes from: the sidecar that `forgec compile --source-map` writes.

A manifest holds ids, not names; each id in a list of an entry is one dispatcher, and this tells what it carries and
where each of its steps was written.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from forgec.discovery.places import Places
from forgec.manifest.argo import Workflow, WorkflowStep
from forgec.plan.model import Plan
from forgec.source import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestItem:
    """`index` of a unit's id in the list of an entry, which stands at `path`."""

    path: str
    entry: WorkflowStep
    index: int
    unit_id: str


def manifest_items(workflow: Workflow) -> Iterator[ManifestItem]:
    """Every unit id of a static manifest, in its order; a dynamic one has none yet."""
    for at, template in enumerate(workflow.spec.templates):
        for outer, group in enumerate(template.steps or ()):
            for inner, entry in enumerate(group):
                path = f"spec.templates[{at}].steps[{outer}][{inner}]"
                text = entry.with_param or ""
                ids = json.loads(text) if text.startswith("[") else []
                for index, unit_id in enumerate(ids):
                    yield ManifestItem(path=path, entry=entry, index=index, unit_id=unit_id)


def source_map(workflow: Workflow, plan: Plan, places: Places) -> bytes:
    """JSON: of each item of each list, the unit and the places of what it carries."""
    carried = {unit_id: list(steps) for unit_id, steps in _carried(plan, places)}
    document = {
        "schemaVersion": 1,
        "items": [
            {
                "path": f"{item.path}.withParam",
                "item": item.index,
                "unit": item.unit_id,
                "carries": carried[item.unit_id],
            }
            for item in manifest_items(workflow)
        ],
    }
    return json.dumps(document, indent=2).encode() + b"\n"


def _carried(plan: Plan, places: Places) -> Iterator[tuple[str, Iterator[dict[str, Any]]]]:
    for _, phase, unit in plan.units():
        for _, unit_id in unit.ids():
            dispatch = unit.dispatch(phase.name, unit_id)
            assert dispatch is not None
            yield (
                unit_id,
                (
                    {"project": task.project, "phase": phase.name, "step": step.name}
                    | _place(places.step(task.project, phase.name, step.name))
                    for task in dispatch.tasks
                    for wave in (task.waves[-1:] if dispatch.last_wave_only else task.waves)
                    for step in wave.steps
                ),
            )
    for release in plan.release:
        yield (
            release.id,
            (
                {"project": each.project, "release": True} | _place(places.release(each.project))
                for each in release.projects
            ),
        )


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return {}
    at = span.position
    return {"file": span.source.name, "line": at.line, "column": at.column}
