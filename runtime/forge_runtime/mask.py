"""Hiding secrets in text: every line of every value becomes `***`, wherever it stands."""

import re
from collections.abc import Iterable
from typing import Final

MASK: Final = "***"

PART_CHARS_MIN: Final = 4
"""Of a value of several lines, shorter lines are not hidden: the braces of a JSON document are no secrets."""


class Mask:
    """Grows as secrets come to be known; what was let through before stays as it is."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lines: tuple[str, ...] = ()
        self._bytes: tuple[bytes, ...] = ()
        self._any = re.compile(rb"(?!)")
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        lines = {*self._lines, *(line for secret in secrets for line in _lines_of(secret))}
        # The longest first, so that a secret within another leaves no rest.
        self._lines = tuple(sorted(lines, key=lambda line: (-len(line), line)))
        self._bytes = tuple(line.encode() for line in self._lines)
        self._any = re.compile(b"|".join(map(re.escape, self._bytes)) or rb"(?!)")

    @property
    def bytes_max(self) -> int:
        """Of the longest line that is hidden: what must be seen together to see all of it."""
        return max(map(len, self._bytes), default=0)

    def text(self, text: str) -> str:
        for line in self._lines:
            text = text.replace(line, MASK)
        return text

    def cut(self, data: bytes) -> int:
        """How much of UTF-8 that goes on may be hidden by itself: no secret lies across this place, however it goes on.

        At least all but `bytes_max`.
        """
        place = max(0, len(data) - self.bytes_max)
        ends = (found.end() for found in self._any.finditer(data) if found.start() < place)
        return max(place, *ends, 0)

    def data(self, data: bytes) -> bytes:
        """The same as `text` of UTF-8."""
        for line in self._bytes:
            data = data.replace(line, MASK.encode())
        return data


def _lines_of(secret: str) -> Iterable[str]:
    lines = [line for line in secret.splitlines() if line.strip()]
    return lines if len(lines) == 1 else [line for line in lines if len(line) >= PART_CHARS_MIN]
