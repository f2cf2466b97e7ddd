"""A comparison as a comment on a pull request.

One line that says it all, what to look at, a table by project, and the details folded. GitHub takes comments of up to
65,536 characters: what does not fit is counted, and the command that shows all of it named.

Users' text stands in code spans only, where there are no mentions, links or HTML; in the table, whose cells a `|` would
split even there, only names whose pattern has none. A block of HTML ends at an empty line, so one follows each.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from forgec.diff.effect import Comparison, Concern
from forgec.diff.model import Change, Kind
from forgec.diff.phrase import Section, counted, describe, effects, sections, subject_of, summary
from forgec.render.escape import escaped

BYTES_MAX: Final = 65_536
"""Bytes of UTF-8, which are never fewer than characters, however those are counted."""

VALUE_LENGTH_MAX: Final = 300
CONCERNS_MAX: Final = 20

_BACKTICKS = re.compile(r"`+")
_RESERVED: Final = 400  # for what follows the details
_KINDS: Final = (Kind.ADDED, Kind.REMOVED, Kind.CHANGED)


def render_markdown(comparison: Comparison) -> str:
    before, after = comparison.before, comparison.after
    lines = [
        f"**Pipeline, {_code(before.label)} → {_code(after.label)}: {summary(comparison)}** ({effects(comparison)})",
        "",
    ]
    if comparison.changes:
        parts = sections(comparison.changes)
        lines += [*_concerns(comparison.concerns), *_table(parts)]
        lines += _details(parts, BYTES_MAX - _size(lines) - _RESERVED)
    plan = f"plan `{after.plan}`" if before.plan == after.plan else f"plan `{before.plan}` → `{after.plan}`"
    return "\n".join([*lines, plan]) + "\n"


def _concerns(concerns: tuple[Concern, ...]) -> Iterator[str]:
    if not concerns:
        return
    yield "To look at:"
    yield ""
    for concern in concerns[:CONCERNS_MAX]:
        whose = f" of {_code(concern.project)}" if concern.project else ""
        yield f"- {subject_of(concern.change, _code)}{whose}: {concern.reason}"
    if len(concerns) > CONCERNS_MAX:
        yield f"- and {len(concerns) - CONCERNS_MAX} more"
    yield ""


def _table(parts: Iterable[Section]) -> Iterator[str]:
    yield "| project | added | removed | otherwise |"
    yield "|---|--:|--:|--:|"
    for part in parts:
        changes = [*part.changes, *([part.project] if part.project else [])]
        added = sum(change.kind is Kind.ADDED for change in changes)
        removed = sum(change.kind is Kind.REMOVED for change in changes)
        name = "all" if part.name is None else _code(part.name)
        yield f"| {name} | {added or ''} | {removed or ''} | {len(changes) - added - removed or ''} |"
    yield ""


def _details(parts: Iterable[Section], room: int) -> Iterator[str]:
    """As many lines as fit into `room` bytes."""
    yield "<details><summary>Every change</summary>"
    yield ""
    lines = [line for part in parts for line in _section(part)]
    shown = 0
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        yield line
        shown += 1
    if shown < len(lines):
        yield ""
        left_out = sum(line.startswith("- ") for line in lines[shown:])
        yield f"{counted(left_out, 'change')} left out, for a comment has an end; `forgec diff` prints them all."
        yield ""
    yield "</details>"
    yield ""


def _section(section: Section) -> Iterator[str]:
    yield "**All projects**" if section.name is None else f"**{_code(section.name)}**"
    yield ""
    if section.project is not None:
        yield _item("project", section.project)
    for change in section.changes:
        yield _item(subject_of(change, _code), change)
    yield ""


def _item(subject: str, change: Change) -> str:
    came_or_went = f" {change.kind}" if change.kind in (Kind.ADDED, Kind.REMOVED) else ""
    what = describe(change, _code)
    return f"- {subject}{came_or_went}{': ' if what else ''}{what}"


def _code(text: str) -> str:
    """A code span: a fence of more backticks than the text has in a row, and a space where one would touch it."""
    text = escaped(text)
    if len(text) > VALUE_LENGTH_MAX:
        text = f"{text[:VALUE_LENGTH_MAX]}… ({len(text)} characters)"
    fence = "`" * (max((len(run) for run in _BACKTICKS.findall(text)), default=0) + 1)
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _size(lines: Iterable[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
