"""CUE's number and string literals to values."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

from forgec.syntax.escape import CUE_ESCAPES, EscapeError, unescape
from forgec.syntax.number import Number, checked

_BASED = re.compile(r"0(?:x[0-9A-Fa-f]+|o[0-7]+|b[01]+)")
_DECIMAL = re.compile(
    r"(?P<number>(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?P<exponent>[eE][+-]?[0-9]+)?(?P<suffix>[KMGTP]i?)?"
)
_UNDERSCORE = re.compile(r"(?<=[0-9])_(?=[0-9])")
_UNDERSCORE_BASED = re.compile(r"(?<=[0-9A-Fa-f])_(?=[0-9A-Fa-f])")
_DIGITS_MAX: Final = 400
_LONE_RETURN: Final = "a carriage return that ends no line is not supported in a raw or multi-line string"


def number_value(text: str) -> Number:
    """`1_000`, `0x1F`, `1.5e3`, `10Mi`; ValueError with a message fit for a person."""
    if text[:2].lower() in ("0x", "0o", "0b"):
        plain = _UNDERSCORE_BASED.sub("", text.lower())
    else:
        plain = _UNDERSCORE.sub("", text)
    if len(plain) > _DIGITS_MAX:
        raise ValueError(f"the number has more than {_DIGITS_MAX} digits")
    if _BASED.fullmatch(plain):
        return checked(int(plain, 0))
    found = _DECIMAL.fullmatch(plain)
    if not found or (found["exponent"] and found["suffix"]):
        hint = "; a decimal number has no leading zero" if re.match("0[0-9]", plain) else ""
        raise ValueError(f'"{text[:40]}" is not a number{hint}')
    if suffix := found["suffix"]:
        base = 1024 if suffix.endswith("i") else 1000
        exact = Fraction(found["number"].rstrip(".")) * base ** ("KMGTP".index(suffix[0]) + 1)
        if exact.denominator != 1:
            raise ValueError(f'"{text}" is not a whole number')
        return checked(exact.numerator)
    if found["exponent"] or "." in found["number"]:
        try:
            return checked(Decimal(plain))
        except InvalidOperation:  # an exponent of 19 digits
            raise ValueError("the number is too large, or too close to zero") from None
    return checked(int(plain))


def string_parts(tokens: Sequence[str]) -> list[str]:
    """The text before, between and after the interpolations of one string.

    `tokens` are as written, with their delimiters: `"a`, `\\(`, `)`, `"`. EscapeError's `start` counts from the
    beginning of the first token, with interpolations left out.
    """
    if len(tokens) == 1 and "\\" not in tokens[0] and not tokens[0].startswith('"""'):
        return [tokens[0][1:-1]]  # as most are
    quote = '"""' if tokens[0].startswith('"""') else '"'
    bodies = []
    offsets = []
    offset = 0
    for index, token in enumerate(tokens):
        first, last = index == 0, index == len(tokens) - 1
        start = len(quote) if first else 1
        bodies.append(token[start : len(token) - (len(quote) if last else 2)])
        offsets.append(offset + start)
        offset += len(token)
    if quote == '"""':
        bodies = _dedent(bodies, offset)
    parts = []
    for body, at in zip(bodies, offsets, strict=True):
        try:
            parts.append(unescape(body, CUE_ESCAPES))
        except EscapeError as error:
            if quote == '"""':
                raise EscapeError(str(error), 0, offset) from None
            raise EscapeError(str(error), at + error.start, at + error.end) from None
    return parts


def raw_string(token: str) -> str:
    """`#"text"#`, also over several lines: backslashes are text, except before as many `#` as the quotes have."""
    hashes = len(token) - len(token.lstrip("#"))
    quoted = token[hashes : len(token) - hashes]
    if "\\" + "#" * hashes in quoted:
        raise ValueError("an escape inside a raw string is not supported")
    if "\r" in quoted and "\n" not in quoted:
        raise ValueError(_LONE_RETURN)
    if quoted.startswith('"""') and len(quoted) > len('"""'):
        (text,) = _dedent([quoted[3:-3]], len(token))
        return text
    return quoted[1:-1]


def _dedent(bodies: list[str], length: int) -> list[str]:
    """Text of a multi-line string without the first line end, the last one, and the closing quotes' indentation.

    Line ends of two characters become one, but a line of nothing else than them is, as for CUE, no empty line.
    """
    if any(re.search(r"\r(?!\n)", body) for body in bodies):
        raise EscapeError(_LONE_RETURN, 0, length)
    if not re.match(r"\r?\n", bodies[0]):
        raise EscapeError('the text of a multi-line string begins on the line after """', 0, length)
    *_, indentation = bodies[-1].rpartition("\n")
    if indentation.strip(" \t") or "\n" not in bodies[-1]:
        raise EscapeError('the closing """ stands on a line of its own', 0, length)
    if len(bodies) > 1 or bodies[0].count("\n") > 1:
        pieces = [*bodies[:-1], bodies[-1].removesuffix(indentation).removesuffix("\n")]
    else:
        pieces = ["\n"]
    lines = re.compile(r"\n(?P<indent>" + re.escape(indentation) + r")?(?P<blank>(?=\n|\Z))?")
    result = []
    for at, piece in enumerate(pieces, 1):
        for line in lines.finditer(piece):
            goes_on = line.end() == len(piece) and at < len(pieces)  # with an interpolation
            if line["indent"] is None and (line["blank"] is None or goes_on):
                raise EscapeError('a line of the text is indented less than the closing """', 0, length)
        result.append(re.sub(r"\n" + re.escape(indentation), "\n", piece).replace("\r", ""))
    result[0] = result[0].removeprefix("\n")
    return result
