"""Hiding secrets in text: every line of every value becomes `***`, wherever it stands.

So do the forms in which programs print a value without meaning to: without the blanks around it; base64, also in the
middle of something longer, as in an Authorization header, and wrapped where the value begins; percent-encoded, as in an
address; escaped, as in JSON. Not hidden is what was otherwise cut into pieces or transformed otherwise: whoever may run
a command with a secret can always print it so that nobody knows it.
"""

import base64
import json
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"

FORM_CHARS_MIN: Final = 6
"""Of a value, and of a form of it: shorter ones turn up by chance."""

PART_CHARS_MIN: Final = 4
"""Of a value of several lines, shorter lines are not hidden: the braces of a JSON document are no secrets."""

BASE64_COLUMNS: Final = (76, 64)
"""Of the lines that base64 is printed in: by base64(1) and in mail (RFC 2045), and in PEM files (RFC 7468)."""


class Mask:
    """Grows as secrets come to be known; what was let through before stays as it is."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lines: tuple[str, ...] = ()
        self._bytes: tuple[bytes, ...] = ()
        self._any = re.compile(rb"(?!)")
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        lines = {*self._lines, *(text for secret in secrets for text in (*_lines_of(secret), *_forms_of(secret)))}
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
    kept = lines if len(lines) == 1 else [line for line in lines if len(line.strip()) >= PART_CHARS_MIN]
    # A shell that prints a value without quotes drops the blanks around it, and makes one of several.
    return (text for line in kept for text in (line, line.strip(), " ".join(line.split())))


def _forms_of(secret: str) -> set[str]:
    return {form for value in {secret, secret.strip()} for form in _forms_as_it_is(value)}


def _forms_as_it_is(value: str) -> set[str]:
    if len(value) < FORM_CHARS_MIN:
        return set()
    escaped = {json.dumps(value, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
    quoted = {quote(value, safe=""), quote_plus(value), quote(value)}
    bases = {form for offset in range(3) for form in _base64_within(value.encode(), offset)}
    return {
        form for form in escaped | quoted | bases if len(form) >= FORM_CHARS_MIN and form.strip() and "\n" not in form
    }


def _base64_within(value: bytes, offset: int) -> Iterable[str]:
    """What of the base64 of any text that holds the value, `offset` bytes after a multiple of three, is the value's
    alone: the digits at its borders also hold bits of its neighbours. In one line, and in the lines that it is printed
    in where it begins the text; in both alphabets."""
    digits = base64.b64encode(bytes(offset) + value).decode().rstrip("=")
    begin = (0, 2, 3)[offset]
    end = len(digits) if (offset + len(value)) % 3 == 0 else len(digits) - 1
    for width in (len(digits), *BASE64_COLUMNS):
        for column in range(0, len(digits), width):
            piece = digits[max(begin, column) : min(end, column + width)]
            yield piece
            yield piece.translate(str.maketrans("+/", "-_"))
