"""A finding: a diagnostic without the text it is about, as programs read it.

Lines and columns count from 1, columns in code points; `end` is the place behind the last character. A finding that a
discovery document tells of (a warning of the discovery that wrote it) has a place but no end, since the text is not
there.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from forgec.diagnostic import Diagnostic, Severity
from forgec.source import Position, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file, or a place in it; `text` is what stands there, as far as it is known."""

    file: str
    start: Position | None = None
    end: Position | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    code: str
    severity: Severity
    message: str
    help: str | None = None
    project: str | None = None
    place: Place | None = None
    related: tuple[tuple[Place, str], ...] = ()

    def sort_key(self) -> tuple[str, int, int, str, str]:
        place = self.place or Place(file="")
        start = place.start or Position(0, 0)
        return (place.file, start.line, start.column, self.code, self.message)


def finding_of(diagnostic: Diagnostic) -> Finding:
    return Finding(
        code=diagnostic.code.id,
        severity=diagnostic.severity,
        message=diagnostic.message,
        help=diagnostic.help,
        project=diagnostic.project,
        place=None if diagnostic.span is None else _place(diagnostic.span),
        related=tuple((_place(related.span), related.message) for related in diagnostic.related),
    )


def count(findings: Iterable[Finding | Diagnostic]) -> tuple[int, int]:
    """Errors and warnings."""
    errors = [finding.severity is Severity.ERROR for finding in findings]
    return sum(errors), len(errors) - sum(errors)


def counted(findings: Iterable[Finding | Diagnostic]) -> str:
    """How many there are, in words; empty for none."""
    numbers = zip(count(findings), ("error", "warning"), strict=True)
    return ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in numbers if number)


def _place(span: Span) -> Place:
    """The whole file where its text is not known."""
    name = span.source.name
    if not span.source.text:
        return Place(file=name)
    return Place(file=name, start=span.position, end=span.source.position(span.end), text=span.text)
