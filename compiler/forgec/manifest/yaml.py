"""JSON-like values as YAML text that every reader takes for the same values.

Block style, two spaces, keys in the order given, no folding. A string is plain only where no version of YAML can see
anything else in it: it begins with a letter or a slash, holds no space, and is none of the words that YAML 1.1 or 1.2
reads as a boolean, null or number. Everything else is quoted: double, with all but printable ASCII escaped, or single
where that saves escapes.
"""

import math
import re
from collections.abc import Iterator
from typing import Any, Final

KEY_LENGTH_MAX: Final = 100
"""YAML gives up on a key on one line after 1024 characters, and an escape can take ten for one."""

_PLAIN = re.compile(r"[A-Za-z/](?:[A-Za-z0-9_./@:+-]*[A-Za-z0-9_./+-])?")
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
_SINGLE = re.compile(r"""[ -&(-~]*["\\][ -&(-~]*""")  # a double quote or backslash, no single quote, printable ASCII
_SHORT_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNPRINTABLE = re.compile(r'[^\x20-\x7e]|["\\]')


def emit_yaml(value: Any) -> str:
    """A document of dictionaries, lists, strings, whole and finite numbers, booleans and None; ends with a newline."""
    return "\n".join(_block(value)) + "\n"


def _block(value: Any) -> Iterator[str]:
    """The lines of a value that stands on lines of its own."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _entry(f"{_key(key)}:", item, nested=isinstance(item, dict))
    elif isinstance(value, list | tuple) and value:
        for item in value:
            yield from _item(item)
    else:
        yield _scalar(value)


def _entry(key: str, value: Any, *, nested: bool) -> Iterator[str]:
    if not isinstance(value, dict | list | tuple) or not value:
        yield f"{key} {_scalar(value)}"
        return
    yield key
    indent = "  " if nested else ""  # items of a list stand below their key without more indentation
    for line in _block(value):
        yield indent + line


def _item(value: Any) -> Iterator[str]:
    marker = "- "
    for line in _block(value):
        yield marker + line
        marker = "  "


def _key(key: Any) -> str:
    if not isinstance(key, str) or len(key) > KEY_LENGTH_MAX:
        raise ValueError(f"a key is a text of at most {KEY_LENGTH_MAX} characters, not {key!r:.200}")
    return _string(key)


def _scalar(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return _float(value)
        case str():
            return _string(value)
        case {}:
            return "{}"
        case []:
            return "[]"
    raise TypeError(f"{type(value).__name__} has no form in YAML here")


def _float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} has no form in JSON")
    text = repr(value)
    mantissa, exponent, rest = text.partition("e")
    if exponent and "." not in mantissa:
        return f"{mantissa}.0e{rest}"  # without the point YAML 1.1 reads a string
    return text


def _string(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    if _SINGLE.fullmatch(text):
        return f"'{text}'"
    return f'"{_UNPRINTABLE.sub(_escape, text)}"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
