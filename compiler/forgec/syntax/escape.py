"""Backslash escapes of string literals: JSON's, and CUE's, which are JSON's and a few more."""

import re
from collections.abc import Mapping
from typing import Final

JSON_ESCAPES: Final[Mapping[str, str]] = {
    '"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
CUE_ESCAPES: Final[Mapping[str, str]] = {**JSON_ESCAPES, "a": "\a", "v": "\v"}

_ESCAPE = re.compile(
    r"\\(?:u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|u(?P<four>[0-9a-fA-F]{4})|U(?P<eight>[0-9a-fA-F]{8})|(?P<simple>.)|\Z)",
    re.DOTALL,
)


class EscapeError(ValueError):
    """An escape that means nothing; `start` and `end` are offsets into the text that was given."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start = start
        self.end = end


def unescape(text: str, escapes: Mapping[str, str]) -> str:
    """The text with every escape replaced; `\\U` with eight digits only where `escapes` is CUE's."""
    if "\\" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        if match["high"]:
            return chr(0x10000 + ((int(match["high"], 16) - 0xD800) << 10) + int(match["low"], 16) - 0xDC00)
        digits = match["four"] or (match["eight"] if escapes is CUE_ESCAPES else None)
        if digits:
            number = int(digits, 16)
            if 0xD800 <= number <= 0xDFFF:
                raise EscapeError(f'"{match[0]}" is half of a surrogate pair, not a character', *match.span())
            if number > 0x10FFFF:
                raise EscapeError(f'"{match[0]}" is beyond the last character of Unicode', *match.span())
            return chr(number)
        simple = match["simple"]
        if simple is None or simple not in escapes:
            known = " ".join(f"\\{name}" for name in escapes)
            raise EscapeError(f'"{match[0]}" is not an escape (known are {known} \\uXXXX)', *match.span())
        return escapes[simple]

    return _ESCAPE.sub(replace, text)
