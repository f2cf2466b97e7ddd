"""Two texts line by line, as much of the difference as one wants to read."""

import difflib
from typing import Final

from forgec.render.escape import escaped

SHOWN_MAX: Final = 40
"""Lines of difference that are shown; the rest is counted."""

COMPARED_MAX: Final = 5_000
"""Lines of a text that are compared: its time grows with their square at worst."""

_CONTEXT: Final = 2


def unified(before: bytes, after: bytes, *, labels: tuple[str, str]) -> list[str]:
    """A unified diff; none for equal texts."""
    old, new = _lines(before), _lines(after)
    if max(len(old), len(new)) > COMPARED_MAX:
        at = next((at for at, (one, other) in enumerate(zip(old, new, strict=False), 1) if one != other), len(old))
        return [f"the texts have {len(old)} and {len(new)} lines and differ from line {at} on"] if old != new else []
    lines = list(difflib.unified_diff(old, new, *labels, n=_CONTEXT, lineterm=""))
    shown = [escaped(line) for line in lines[:SHOWN_MAX]]
    return [*shown, f"... and {len(lines) - SHOWN_MAX} lines more"] if len(lines) > SHOWN_MAX else shown


def _lines(text: bytes) -> list[str]:
    return text.decode(errors="replace").split("\n")
