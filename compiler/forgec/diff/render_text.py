"""A comparison for a terminal.

main → .: 1 added, 1 removed, 1 moved, 1 changed

  ~ phase test: timeout 30m → 10m
project web: path apps/web → web
  + step lint/fmt: target +fmt
  - step test/old: target +old

to look at
  ! step test/old of web: no longer runs

jobs 12 → 13, pods 5
plan sha256:… → sha256:…
"""

from collections.abc import Iterator
from typing import Final

from forgec.diff.effect import Comparison
from forgec.diff.model import Change, Kind
from forgec.diff.phrase import Section, describe, effects, sections, subject_of, summary
from forgec.render.escape import escaped

_MARKS: Final = {
    Kind.ADDED: "+",
    Kind.REMOVED: "-",
    Kind.RENAMED: ">",
    Kind.MOVED: ">",
    Kind.RENUMBERED: "=",
    Kind.REORDERED: "=",
    Kind.CHANGED: "~",
}


def render_text(comparison: Comparison) -> str:
    before, after = comparison.before, comparison.after
    lines = [f"{escaped(before.label)} → {escaped(after.label)}: {summary(comparison)}", ""]
    if comparison.changes:
        lines += [line for section in sections(comparison.changes) for line in _section(section)]
        lines += ["", *_concerns(comparison)]
    lines.append(effects(comparison))
    lines.append(f"plan {after.plan}" if before.plan == after.plan else f"plan {before.plan} → {after.plan}")
    return "\n".join(lines) + "\n"


def _section(section: Section) -> Iterator[str]:
    if section.name is not None:
        yield f"project {section.name}{_project(section.project)}"
    for change in section.changes:
        yield f"  {_MARKS[change.kind]} {subject_of(change, escaped)}{_after(': ', describe(change, escaped))}"


def _project(change: Change | None) -> str:
    if change is None:
        return ""
    came_or_went = f" {change.kind}" if change.kind in (Kind.ADDED, Kind.REMOVED) else ""
    return came_or_went + _after(": ", describe(change, escaped))


def _concerns(comparison: Comparison) -> Iterator[str]:
    if comparison.concerns:
        yield "to look at"
    for concern in comparison.concerns:
        whose = f" of {concern.project}" if concern.project else ""
        yield f"  ! {subject_of(concern.change, escaped)}{whose}: {concern.reason}"
    if comparison.concerns:
        yield ""


def _after(separator: str, text: str) -> str:
    return separator + text if text else ""
