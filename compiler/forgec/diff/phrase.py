"""Changes in words: the same ones in text and in markdown, which differ in how they quote what users wrote."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from forgec.diff.effect import Comparison
from forgec.diff.model import Change, Field, Kind, Subject, projects_now

Quote: TypeAlias = Callable[[str], str]
"""Makes text that a user wrote safe where it is shown."""

_LABELS: Final = {"timeoutS": "timeout", "releaseTriggered": "released", "deploymentTriggered": "deployed"}
_BARE = re.compile(r"[A-Za-z0-9_+./:@=-]+")
_UNITS: Final = ((3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The changes of one project by its name now, or (None) of what concerns them all.

    `project`: the change of the project itself, None where there is none.
    """

    name: str | None
    project: Change | None
    changes: tuple[Change, ...]


def sections(changes: Sequence[Change]) -> list[Section]:
    names = projects_now(changes)
    grouped: dict[str, list[Change]] = {}
    for change in changes:
        name = change.place.project or ""
        grouped.setdefault(names.get(name, name), []).append(change)
    return [_section(name or None, grouped[name]) for name in sorted(grouped)]


def summary(comparison: Comparison) -> str:
    """What there is, counted: `1 added, 2 renamed`."""
    changes = comparison.changes
    if not changes:
        return "no change"
    counts = [(sum(change.kind is kind for change in changes), kind) for kind in Kind]
    told = ", ".join(f"{count} {kind}" for count, kind in counts if count)
    return f"{told}; what runs and in which order stays" if all(change.neutral for change in changes) else told


def effects(comparison: Comparison) -> str:
    before, after = comparison.before, comparison.after
    return f"jobs {_transition(before.jobs, after.jobs)}, pods {_transition(before.pods, after.pods)}"


def subject_of(change: Change, quote: Quote) -> str:
    """`step test/unit`, `phase test`."""
    place = change.place
    if change.subject is Subject.REPOSITORY:
        return change.subject.value
    return f"{change.subject.value} {quote(f'{place.phase}/{place.name}' if place.phase else place.name)}"


def describe(change: Change, quote: Quote) -> str:
    """What happened to it; empty for something that came or went and has no fields worth a word."""
    return "; ".join(_details(change, quote))


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _section(name: str | None, changes: Sequence[Change]) -> Section:
    project = next((change for change in changes if change.subject is Subject.PROJECT), None)
    rest = tuple(change for change in changes if change is not project)
    return Section(name=name, project=project, changes=rest)


def _details(change: Change, quote: Quote) -> Iterator[str]:
    before, after = change.before, change.after
    if before is None or after is None:
        for field in change.fields:
            if field.name == "action":  # there is only one
                continue
            value = field.before if after is None else field.after
            yield f"{_LABELS.get(field.name, field.name)} {quote(_value(field.name, value))}"
        return
    if before.name != after.name:
        yield f"renamed from {quote(before.name)}"
    for field in change.fields:
        yield from _difference(field, quote)


def _difference(field: Field, quote: Quote) -> Iterator[str]:
    before, after = field.before, field.after
    label = _LABELS.get(field.name, field.name)
    if field.reordered:
        yield f"{label} in another order"
    elif isinstance(before, list) and isinstance(after, list):
        yield f"{label} {_items(before, after, quote)}"
    elif isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            old, new = before.get(name), after.get(name)
            if old != new:
                yield f"{quote(f'{label}.{_shown(name)}')} {_arrow(_shown(old), _shown(new), quote)}"
    else:
        note = ", which keeps the order" if field.neutral and field.name in ("group", "priority") else ""
        yield f"{label} {_arrow(_value(field.name, before), _value(field.name, after), quote)}{note}"


def _items(before: list[Any], after: list[Any], quote: Quote) -> str:
    """Which items went and which came; all of them where only how often they are there differs."""
    gone = [quote(_shown(item)) for item in before if item not in after]
    come = [quote(_shown(item)) for item in after if item not in before]
    parts = [f"{word} {', '.join(items)}" for word, items in (("without", gone), ("with", come)) if items]
    return ", ".join(parts) or _arrow(_shown(before), _shown(after), quote)


def _arrow(before: str, after: str, quote: Quote) -> str:
    return f"{quote(before)} → {quote(after)}"


def _value(name: str, value: Any) -> str:
    return _duration(value) if name == "timeoutS" and value else _shown(value)


def _shown(value: Any) -> str:
    """A value of a document on one line: words as they are, all else as JSON has it."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case str() if _BARE.fullmatch(value):
            return value
        case list():
            return f"[{', '.join(map(_shown, value))}]"
        case dict():
            return f"{{{', '.join(f'{_shown(key)}: {_shown(item)}' for key, item in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def _duration(seconds: float) -> str:
    """As configuration has it: `1h30m`, `90s` is `1m30s`."""
    parts = []
    for size, unit in _UNITS:
        count, seconds = divmod(seconds, size)
        parts += [f"{count:g}{unit}"] if count else []
    return "".join(parts) + (f"{seconds * 1000:g}ms" if seconds else "")


def _transition(before: int, after: int) -> str:
    return str(after) if before == after else f"{before} → {after}"
