"""An estimate for people, as tables, and for programs, as JSON."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Final

import msgspec

from forgec.discovery.model import DOCUMENT_BYTES_MAX, PROJECTS_MAX
from forgec.estimate.budget import is_overdue
from forgec.estimate.estimate import Estimate, Share
from forgec.estimate.schedule import Schedule
from forgec.manifest.lower import PARALLELISM, WORKFLOW_DEADLINE_S
from forgec.manifest.size import OBJECT_BYTES_MAX, PARAMETER_BYTES_MAX, Size
from forgec.manifest.target import TARGET_DEFAULT, TARGETS
from forgec.plan.model import GROUPS_MAX
from forgec.render.escape import escaped
from forgec.units import format_duration

ASSUMED_SHOWN_MAX: Final = 3

_Row = Sequence[str]


def to_text(estimate: Estimate, *, name: str, shares_max: int | None, history: str | None) -> str:
    """`name`, `history`: what the files are called; `shares_max`: projects to list, None for all."""
    counts = (
        _count(estimate.projects, "project"),
        f"{_count(estimate.phases, 'phase')} in {_count(estimate.groups, 'group')} with work",
        _count(estimate.steps, "step"),
    )
    blocks = (
        [f"{escaped(name)}: {', '.join(counts)}"],
        _table(_sizes(estimate), left=1),
        [_durations(estimate, history), "", *_table(_schedules(estimate.schedules), left=0)],
        [
            f"critical path, {format_duration(estimate.chain_s)}: no number of workers makes a run shorter",
            "",
            *_chain(estimate),
        ],
        _shares(estimate.shares, shares_max),
    )
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def to_json(estimate: Estimate) -> bytes:
    """Bytes and seconds; camelCase."""
    caps = TARGETS[TARGET_DEFAULT].caps
    document = {
        "version": 1,
        "counts": {name: getattr(estimate, name) for name in ("projects", "phases", "groups", "steps")},
        "size": {
            "compiled": _size_fields(estimate.compiled),
            "submitted": _size_fields(estimate.submitted),
            "podsAtOnce": estimate.pods_at_once[0],
            "documentBytes": estimate.document_bytes,
        },
        "limits": {
            "objectBytes": OBJECT_BYTES_MAX,
            "parameterBytes": PARAMETER_BYTES_MAX,
            "templates": caps.templates,
            "groups": GROUPS_MAX,
            "projects": PROJECTS_MAX,
            "podsAtOnce": PARALLELISM,
            "documentBytes": DOCUMENT_BYTES_MAX,
            "runS": WORKFLOW_DEADLINE_S,
        },
        "durations": {
            "from": "history" if estimate.measured or estimate.assumed else "limits",
            "measured": len(estimate.measured),
            "assumed": [asdict(address) for address in estimate.assumed],
        },
        "schedules": [
            {
                "workers": schedule.workers,
                "makespanS": schedule.makespan_s,
                "busy": round(schedule.busy, 4),
                "longestWaitS": schedule.longest_wait.seconds,
                "longestWait": asdict(schedule.longest_wait.job.address),
                "overdue": sum(map(is_overdue, schedule.waits)),
            }
            for schedule in estimate.schedules
        ],
        "criticalPath": {
            "seconds": estimate.chain_s,
            "jobs": [
                {"stage": stage.name, **asdict(job.address), "seconds": job.duration_s} for stage, job in estimate.chain
            ],
        },
        "projects": [
            {
                "project": share.project,
                "path": share.path,
                "tasks": share.tasks,
                "steps": share.steps,
                "pods": round(share.pods, 4),
                "objectBytes": share.object_bytes,
                "documentBytes": share.document_bytes,
                "workS": share.work_s,
            }
            for share in estimate.shares
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _size_fields(size: Size) -> dict[str, int]:
    return {
        "pods": size.pods,
        "nodes": size.nodes,
        "manifestBytes": size.manifest_bytes,
        "statusBytes": size.status_bytes,
        "statusPackedBytes": size.packed_bytes,
        "resultsBytes": size.results_bytes,
        "objectBytes": size.object_bytes,
        "parameterBytes": size.parameter_bytes,
        "templates": size.templates,
    }


def _sizes(estimate: Estimate) -> list[_Row]:
    static, dynamic = estimate.compiled, estimate.submitted
    document = estimate.document_bytes
    rows: list[tuple[str, int, int, int | None]] = [
        ("pods", static.pods, dynamic.pods, None),
        ("pods that want to run at once", *estimate.pods_at_once, PARALLELISM),
        ("nodes", static.nodes, dynamic.nodes, None),
        ("bytes of the manifest", static.manifest_bytes, dynamic.manifest_bytes, None),
        ("bytes of the nodes' status", static.status_bytes, dynamic.status_bytes, None),
        ("  packed", static.packed_bytes, dynamic.packed_bytes, None),
        ("bytes of the pods' results", static.results_bytes, dynamic.results_bytes, None),
        ("bytes of the object, packed", static.object_bytes, dynamic.object_bytes, OBJECT_BYTES_MAX),
        ("bytes of the longest parameter", static.parameter_bytes, dynamic.parameter_bytes, PARAMETER_BYTES_MAX),
        ("templates", static.templates, dynamic.templates, TARGETS[TARGET_DEFAULT].caps.templates),
        ("groups", estimate.groups, estimate.groups, GROUPS_MAX),
        ("projects", estimate.projects, estimate.projects, PROJECTS_MAX),
        ("bytes of the discovery document", document, document, DOCUMENT_BYTES_MAX),
    ]
    head = ("workflow", "compiled", "submitted", "limit", "used")
    return [head, *((what, f"{a:,}", f"{b:,}", *_against(max(a, b), limit)) for what, a, b, limit in rows)]


def _against(value: int, limit: int | None) -> tuple[str, str]:
    return ("", "") if limit is None else (f"{limit:,}", f"{100 * value / limit:.0f} %")


def _durations(estimate: Estimate, history: str | None) -> str:
    if history is None:
        return "time, if every job takes as long as its time limit allows"
    known, unknown = len(estimate.measured), len(estimate.assumed)
    text = f"time, from {escaped(history)}: {known} of {_count(known + unknown, 'job')} measured"
    if unknown:
        names = ", ".join(map(str, estimate.assumed[:ASSUMED_SHOWN_MAX]))
        more = ", ..." if unknown > ASSUMED_SHOWN_MAX else ""
        text += f", {unknown} taken at the time limit ({names}{more})"
    return text


def _schedules(schedules: Sequence[Schedule]) -> list[_Row]:
    head = ("workers", "makespan", "busy", "longest wait", "jobs that expire", f"over {_hours(WORKFLOW_DEADLINE_S)}")
    rows = [
        (
            f"{schedule.workers:,}",
            format_duration(schedule.makespan_s),
            f"{100 * schedule.busy:.0f} %",
            format_duration(schedule.longest_wait.seconds),
            f"{sum(map(is_overdue, schedule.waits)):,}",
            "yes" if schedule.makespan_s > WORKFLOW_DEADLINE_S else "no",
        )
        for schedule in schedules
    ]
    return [head, *rows]


def _chain(estimate: Estimate) -> list[str]:
    head = ("stage", "phase", "project", "step", "takes", "ends at")
    rows: list[_Row] = [head]
    clock = 0.0
    for stage, job in estimate.chain:
        clock += job.duration_s
        at = job.address
        rows.append(
            (stage.name, at.phase, at.project, at.step, format_duration(job.duration_s), format_duration(clock))
        )
    return _table(rows, left=4)


def _shares(shares: Sequence[Share], shares_max: int | None) -> list[str]:
    if not shares:
        return []
    head = ("project", "path", "tasks", "steps", "pods", "object", "document", "work")
    shown = shares[:shares_max]
    rows = [
        (
            share.project,
            escaped(share.path),
            f"{share.tasks:,}",
            f"{share.steps:,}",
            f"{share.pods:.1f}",
            f"{share.object_bytes:,}",
            f"{share.document_bytes:,}",
            format_duration(share.work_s),
        )
        for share in shown
    ]
    left = len(shares) - len(shown)
    more = [f"and {_count(left, 'more project')} (--all)"] if left else []
    return [*_table([head, *rows], left=2), *more]


def _table(rows: Sequence[_Row], *, left: int) -> list[str]:
    """Columns aligned: so many of the first ones left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_cells(row, widths, left)).rstrip() for row in rows]


def _cells(row: _Row, widths: Sequence[int], left: int) -> Iterable[str]:
    for at, (text, width) in enumerate(zip(row, widths, strict=True)):
        yield text.ljust(width) if at < left else text.rjust(width)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.0f} h"
