"""The package `strconv`."""

import re
import unicodedata
from decimal import Decimal
from typing import Final

from forgec.syntax.number import checked
from forgec.syntax.standard.function import Function, Parameter
from forgec.syntax.value import checked_text, show

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BASE_OF_ONE_CASE: Final = 36
"""Up to it, small and capital letters are the same digits."""
_WHOLE = re.compile(r"[+-]?[0-9a-zA-Z]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_LENGTH_MAX: Final = 400
_ESCAPES: Final = {
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"',
}  # fmt: skip


def _parse_int(text: str, base: int, bits: int, *, signed: bool = True) -> int:
    """`bits` limit the number, 0 leaves it unlimited; base 0 takes it from a prefix such as 0x."""
    if base != 0 and not 2 <= base <= len(_DIGITS):
        raise ValueError(f"{base} is no base of a number (0, or 2 to {len(_DIGITS)})")
    try:
        if not _WHOLE.fullmatch(text) or len(text) > _LENGTH_MAX:
            raise ValueError
        value = _value(text, base) if base else int(text, 0)
    except ValueError:
        raise ValueError(f"{show(text)} is not a whole number of base {base}") from None
    checked(value)
    size = value.bit_length() if value >= 0 else (value + 1).bit_length()
    if bits < 0 or (value < 0 and not signed) or (bits and size + signed > bits):
        raise ValueError(f"{show(text)} does not fit {bits} bits")
    return value


def _value(text: str, base: int) -> int:
    value = 0
    for digit in (text.lower() if base <= _BASE_OF_ONE_CASE else text).lstrip("+-"):
        value = value * base + _DIGITS.index(digit, 0, base)
    return -value if text.startswith("-") else value


def _parse_float(text: str, bits: int) -> Decimal:
    """The nearest number of 64 bits."""
    if bits != 64:
        raise ValueError("only numbers of 64 bits are parsed")
    if not _FLOAT.fullmatch(text) or len(text) > _LENGTH_MAX:
        raise ValueError(f"{show(text)} is not a number")
    value = Decimal(repr(float(text)))
    checked(value)
    return value


def _parse_bool(text: str) -> bool:
    if text in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if text in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise ValueError(f"{show(text)} is neither true nor false")


def _format_int(value: int, base: int) -> str:
    if not 2 <= base <= len(_DIGITS):
        raise ValueError(f"{base} is no base of a number (2 to {len(_DIGITS)})")
    digits: list[str] = []
    rest = abs(value)
    while rest or not digits:
        rest, digit = divmod(rest, base)
        digits.append(_DIGITS[digit])
    return ("-" if value < 0 else "") + "".join(reversed(digits))


def _quote(text: str, *, ascii_only: bool = False) -> str:
    checked_text(len(text) * 10)
    return '"' + "".join(_quoted(character, ascii_only=ascii_only) for character in text) + '"'


def _quoted(character: str, *, ascii_only: bool) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if unicodedata.category(character) == "Cn":
        raise ValueError(f"U+{ord(character):04X} is no character that is known to be printable or not")
    if character.isprintable() and (character.isascii() or not ascii_only):
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


_T, _W = Parameter.TEXT, Parameter.WHOLE

FUNCTIONS: Final = {
    "Atoi": Function((_T,), lambda text: _parse_int(text, 10, 0)),
    "FormatBool": Function((Parameter.TRUTH,), lambda value: "true" if value else "false"),
    "FormatInt": Function((_W, _W), _format_int),
    "FormatUint": Function((_W, _W), _format_int),
    "ParseBool": Function((_T,), _parse_bool),
    "ParseFloat": Function((_T, _W), _parse_float),
    "ParseInt": Function((_T, _W, _W), _parse_int),
    "ParseUint": Function((_T, _W, _W), lambda text, base, bits: _parse_int(text, base, bits, signed=False)),
    "Quote": Function((_T,), _quote),
    "QuoteToASCII": Function((_T,), lambda text: _quote(text, ascii_only=True)),
}  # fmt: skip
