"""A difference between two discovery documents, as a value.

A change has a place before, a place after, or both, and the fields that differ. It says nothing that depends on the
direction of the comparison, so the changes from B to A are those from A to B, mirrored.
"""

import enum
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final


class Subject(enum.StrEnum):
    """What changed, in the order in which changes are listed: first what concerns every project."""

    REPOSITORY = "repository"
    PHASE = "phase"
    PUBLISHER = "publisher"
    PROJECT = "project"
    STEP = "step"
    ARTIFACT = "artifact"


class Kind(enum.StrEnum):
    """How. One change has one kind, the first of these that fits; its fields say what else there is.

    Moved are projects with another `path` and steps with another `phase`. Renumbered are groups and priorities that
    keep the order; reordered are lists with the same items.
    """

    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    MOVED = "moved"
    RENUMBERED = "renumbered"
    REORDERED = "reordered"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose, in which phase, and what: by the names of that side. Only steps have a phase."""

    name: str
    project: str | None = None
    phase: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field's values as JSON has them, None where it is not set; `timeoutS` is in seconds.

    `neutral`: the text is another, what runs when and with what is not (a number that keeps the order, a description).
    """

    name: str
    before: Any
    after: Any
    neutral: bool = False

    @property
    def reordered(self) -> bool:
        """A list with the same items in another order."""
        lists = isinstance(self.before, list) and isinstance(self.after, list)
        return lists and Counter(map(_text, self.before)) == Counter(map(_text, self.after))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`before` is None for what was added, `after` for what was removed."""

    subject: Subject
    kind: Kind
    before: Place | None
    after: Place | None
    fields: tuple[Field, ...] = ()

    @property
    def place(self) -> Place:
        """Where it is now, or was last."""
        place = self.after or self.before
        assert place is not None, "a change has a place"
        return place

    def field(self, name: str) -> Field | None:
        return next((field for field in self.fields if field.name == name), None)

    @property
    def neutral(self) -> bool:
        """Whether what runs, when and with what is as it was."""
        return self.kind in (Kind.CHANGED, Kind.RENUMBERED) and all(field.neutral for field in self.fields)

    def mirrored(self) -> "Change":
        """The same difference, looked at from the other side."""
        fields = tuple(replace(field, before=field.after, after=field.before) for field in self.fields)
        kind = _MIRRORED.get(self.kind, self.kind)
        return replace(self, kind=kind, before=self.after, after=self.before, fields=fields)

    def sort_key(self) -> tuple[Any, ...]:
        """What concerns all projects first, then project by project; within one by subject, phase and name."""
        place = self.place
        subject = _SUBJECTS.index(self.subject)
        return (place.project or "", subject, place.phase or "", place.name, self.kind, self.before is None)


def projects_now(changes: Iterable[Change]) -> dict[str, str]:
    """The names of projects that changed or have another name: before, and after."""
    return {
        change.before.name: change.after.name
        for change in changes
        if change.subject is Subject.PROJECT and change.before and change.after
    }


_MIRRORED: Final = {Kind.ADDED: Kind.REMOVED, Kind.REMOVED: Kind.ADDED}
_SUBJECTS: Final = tuple(Subject)


def _text(item: Any) -> str:
    return json.dumps(item, sort_keys=True)
