"""Findings, for whoever called the command: collected while it runs, shown once at its end.

As text they go to standard error, so that standard output is what the command makes. As JSON, SARIF or annotations
they are what standard output is: one document, also when nothing was found. A command that makes something else as
well then needs `--output FILE`: findings and output are never in one stream.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from forgec.cli.output import write
from forgec.diagnostic import Diagnostic, ForgeError, Severity, has_errors, ordered
from forgec.source import Position

if TYPE_CHECKING:
    from forgec.discovery.model import DocumentWarning
    from forgec.render.finding import Finding

FORMATS: Final = ("text", "json", "sarif", "github")


def add_format(parser: argparse.ArgumentParser) -> None:
    """The options of how findings are shown; `arguments.report` obeys them, also where a command has none of them."""
    group = parser.add_argument_group("findings")
    group.add_argument(
        "--format",
        dest="report_format",
        choices=FORMATS,
        default="text",
        help="text on standard error (default); the others on standard output",
    )
    group.add_argument("--deny-warnings", action="store_true", help="treat warnings as errors")


class Report:
    """The findings of one run of a command; `arguments.report` of every command."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._format: str = getattr(arguments, "report_format", "text")
        self._deny: bool = getattr(arguments, "deny_warnings", False)
        self._diagnostics: list[Diagnostic] = []
        self._carried: list[Finding] = []
        self._notes: dict[str, None] = {}
        if not self.as_text and getattr(arguments, "output", "") is None:
            message = f"--format {self._format} has standard output to itself: write the output with -o FILE"
            arguments.usage.error(message)

    @property
    def as_text(self) -> bool:
        """Whether standard output is free for what the command makes or says."""
        return self._format == "text"

    @property
    def has_errors(self) -> bool:
        return has_errors(self._diagnostics) or any(each.severity is Severity.ERROR for each in self._carried)

    def add(self, diagnostics: Iterable[Diagnostic]) -> None:
        self._diagnostics += (replace(each, severity=self._severity(each.severity)) for each in diagnostics)

    def add_carried(self, warnings: "Iterable[DocumentWarning]") -> None:
        """The warnings that a document tells of: their places are numbers, and the text is elsewhere."""
        for each in warnings:
            from forgec.render.finding import Finding, Place  # most documents have none

            place = None
            if each.file is not None:
                line, column = each.line or 0, each.column or 1
                start = Position(line, max(column, 1)) if line > 0 else None  # a document may say anything
                place = Place(file=each.file, start=start)
            self._carried.append(
                Finding(
                    code=each.code,
                    severity=self._severity(Severity.WARNING),
                    message=each.message,
                    project=each.project,
                    place=place,
                )
            )

    def note(self, message: str) -> None:
        """Something to know that is no finding: told to people, once."""
        self._notes[message] = None

    def settle(self) -> None:
        """Before anything is made: raises where there are errors, warnings that are denied among them."""
        if self.has_errors:
            raise Refused

    def show(self) -> None:
        """Raises ForgeError where standard output takes no more."""
        diagnostics = ordered(self._diagnostics)
        if self.as_text:
            _show_text(diagnostics, self._carried)
            _show_notes(self._notes)
            return
        from forgec.render.finding import finding_of

        findings = [*self._carried, *map(finding_of, diagnostics)]
        findings.sort(key=lambda finding: finding.sort_key())
        write(_renderer(self._format)(findings).encode("utf-8", errors="backslashreplace"))

    def _severity(self, given: Severity) -> Severity:
        return Severity.ERROR if self._deny else given


class Refused(Exception):
    """The report has errors, and the command ends with them."""


def show_error(error: ForgeError) -> None:
    """On standard error, whatever the format: for what keeps the report itself from being shown."""
    _show_text(error.diagnostics, ())


def _show_text(diagnostics: "tuple[Diagnostic, ...]", carried: "Sequence[Finding]") -> None:
    if not diagnostics and not carried:
        return
    from forgec.render.text import render_line, render_text

    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    sys.stderr.write("".join(map(render_line, carried)) + render_text(diagnostics, color=color))


def _show_notes(notes: Iterable[str]) -> None:
    if notes:
        from forgec.render.escape import escaped

        sys.stderr.write("".join(f"note: {escaped(note)}\n" for note in notes))


def _renderer(name: str) -> "Callable[[list[Finding]], str]":
    if name == "json":
        from forgec.render.json import render_json

        return render_json
    if name == "sarif":
        from forgec.render.sarif import render_sarif

        return render_sarif
    from forgec.render.github import render_github

    return render_github
