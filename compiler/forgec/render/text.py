"""Diagnostics for people: text with the lines they are about.

error[FC203]: unknown field "tareget"
  --> .forge/project.cue:5:3
   |
 5 |         tareget: "+lint"
   |         ^^^^^^^
   |
   = help: did you mean "target"?
"""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Final

from forgec.diagnostic import Diagnostic
from forgec.render.escape import escaped
from forgec.render.finding import Finding, counted
from forgec.source import Span

LINE_WIDTH_MAX: Final = 140
"""Columns of a source line that are shown; of a longer one, those around the place."""

_TAB: Final = "    "
_COLORS: Final = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "place": "\x1b[1;34m", "strong": "\x1b[1m"}
_RESET: Final = "\x1b[0m"

Paint = Callable[[str, str], str]
"""(style, text) to text."""


def render_text(diagnostics: Sequence[Diagnostic], *, color: bool) -> str:
    """All diagnostics and a line that counts them; empty for none."""
    if not diagnostics:
        return ""
    paint = _painted if color else _plain
    parts = ["\n".join(_block(diagnostic, paint)) for diagnostic in diagnostics]
    return "\n\n".join([*parts, counted(diagnostics)]) + "\n"


def render_line(finding: Finding) -> str:
    """A finding whose text is not at hand."""
    place = ""
    if finding.place is not None:
        at = finding.place.start
        place = f" ({finding.place.file}:{at.line}:{at.column})" if at else f" ({finding.place.file})"
    return escaped(f"{finding.severity.value}[{finding.code}]: {finding.message}{place}") + "\n"


def _block(diagnostic: Diagnostic, paint: Paint) -> list[str]:
    level = diagnostic.severity.value
    project = f"{diagnostic.project}: " if diagnostic.project else ""
    head = paint(level, f"{level}[{diagnostic.code.id}]")
    lines = [f"{head}{paint('strong', ': ' + escaped(project + diagnostic.message))}"]
    places = [] if diagnostic.span is None else [(diagnostic.span, "", "-->", "^", level)]
    places += [(related.span, related.message, ":::", "-", "place") for related in diagnostic.related]
    margin = max((len(str(span.position.line)) for span, *_ in places), default=1)
    bar = paint("place", f"{' ' * margin} |")
    for span, label, arrow, mark, style in places:
        at = span.position
        lines.append(f"{' ' * margin}{paint('place', arrow)} {escaped(span.source.name)}:{at.line}:{at.column}")
        excerpt = _excerpt(span, mark, label)
        if excerpt is not None:
            text, marks = excerpt
            lines += [bar, f"{paint('place', f'{at.line:>{margin}} |')} {text}", f"{bar} {paint(style, marks)}"]
        elif label:
            lines.append(f"{bar} {escaped(label)}")
    if diagnostic.help:
        if places:
            lines.append(bar)
        lines.append(f"{' ' * margin} {paint('place', '=')} {paint('strong', 'help:')} {escaped(diagnostic.help)}")
    return [line.rstrip() for line in lines]


def _excerpt(span: Span, mark: str, label: str) -> tuple[str, str] | None:
    """The span's first line and the marks under it; None where the source has no text."""
    if not span.source.text:
        return None
    at = span.position
    line = span.source.line(at.line)
    start = min(at.column - 1, len(line))
    end = min(start + max(span.end - span.start, 1), max(len(line), start + 1))
    first, last = _window(line, start, end)
    before = "..." if first else ""
    after = "..." if last < len(line) else ""
    shown = _visible(line[first:last])
    indent = len(before) + _width(_visible(line[first:start]))
    length = max(_width(_visible(line[start : min(end, last)])), 1)
    marks = " " * indent + mark * length
    return before + shown + after, f"{marks} {escaped(label)}" if label else marks


def _window(line: str, start: int, end: int) -> tuple[int, int]:
    """The part of a line to show, in code points: all of it, or what surrounds the start of the place."""
    if len(line) <= LINE_WIDTH_MAX:
        return 0, len(line)
    end = min(end, start + LINE_WIDTH_MAX // 2)
    first = max(0, min(start - LINE_WIDTH_MAX // 4, len(line) - LINE_WIDTH_MAX))
    return first, max(end, min(first + LINE_WIDTH_MAX, len(line)))


def _visible(text: str) -> str:
    return escaped(text.replace("\t", _TAB))


def _width(text: str) -> int:
    """Terminal columns: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    widths = (
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text
    )
    return sum(widths)


def _painted(style: str, text: str) -> str:
    return f"{_COLORS[style]}{text}{_RESET}"


def _plain(_style: str, text: str) -> str:
    return text
