"""Findings, for whoever called the command."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from forgec.diagnostic import Diagnostic
from forgec.render import escaped, render_text

if TYPE_CHECKING:
    from forgec.discovery.model import Discovery


def report(diagnostics: Sequence[Diagnostic]) -> None:
    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    sys.stderr.write(render_text(diagnostics, color=color))


def warn(discovery: "Discovery") -> None:
    """The document holds places as numbers, not the text they are in, so a warning is one line."""
    for warning in discovery.warnings:
        place = ":".join(str(part) for part in (warning.file, warning.line, warning.column) if part is not None)
        text = f"{warning.message} ({place})" if place else warning.message
        print(escaped(f"warning[{warning.code}]: {text}"), file=sys.stderr)
