"""The package `regexp`, on RE2, which is what Go's expressions are."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from forgec.syntax.pattern import compiled, matches
from forgec.syntax.standard.function import Function, Parameter
from forgec.syntax.value import TooLarge, checked_text

_READ_BYTES_MAX: Final = 2 * 1024 * 1024
"""Searching goes on after each match, and may read all of the rest again."""

_WEIGHT: Final = 8
"""Searching for all matches with their groups is slower than other work on texts."""

_SPECIAL: Final = frozenset(r"\.+*?()|[]{}^$")
_TEMPLATE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<braced>\w+)\}|(?P<bare>\w+))", re.ASCII)


def _searched(pattern: str, text: str, most: int = -1) -> Iterator[Any]:
    """The matches from left to right. An empty one that touches the one before it does not count."""
    expression = compiled(pattern)
    encoded = text.encode()  # once; re2 would do it for every search
    at, end, count, read = 0, -1, 0, 0
    while at <= len(encoded) and count != most:
        read += len(encoded) - at
        if read > _READ_BYTES_MAX:
            raise TooLarge(f"finding all matches may read more than {_READ_BYTES_MAX} bytes")
        found = expression.search(encoded, at)
        if found is None:
            return
        is_empty_here = found.end() == at
        accepted = not (is_empty_here and found.start() == end)
        at = _next_character(encoded, at) if is_empty_here else found.end()
        end = found.end()
        if accepted:
            count += 1
            yield found


def _next_character(encoded: bytes, at: int) -> int:
    at += 1
    while at < len(encoded) and encoded[at] & 0xC0 == 0x80:
        at += 1
    return at


def _texts(found: Any) -> list[str]:
    """The match and its groups; a group that took no part is empty."""
    return [(found.group(at) or b"").decode() for at in range(found.re.groups + 1)]


def _named(found: Any) -> dict[str, str]:
    texts = _texts(found)
    return {_name(name): texts[at] for name, at in found.re.groupindex.items()}


def _name(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _all(pattern: str, text: str, most: int) -> list[Any]:
    found = list(_searched(pattern, text, most))
    if not found:
        raise ValueError("no match")
    return found


def _first(pattern: str, text: str) -> Any:
    return _all(pattern, text, 1)[0]


def _replace(pattern: str, text: str, replacement: str, *, literal: bool = False) -> str:
    encoded = text.encode()
    pieces: list[str] = []
    at = length = 0
    for found in _searched(pattern, text):
        new = replacement if literal else _expanded(replacement, found)
        pieces += (encoded[at : found.start()].decode(), new)
        at = found.end()
        length += len(new)
        checked_text(len(text) + length)
    return "".join((*pieces, encoded[at:].decode()))


def _expanded(template: str, found: Any) -> str:
    """`$1`, `${1}`, `$name` and `$$`; what names no group is empty."""
    texts = _texts(found)
    names = {_name(name): at for name, at in found.re.groupindex.items()}

    def replace(part: re.Match[str]) -> str:
        if part["dollar"]:
            return "$"
        name = part["braced"] or part["bare"]
        at = int(name) if name.isdigit() and not (len(name) > 1 and name[0] == "0") else names.get(name, -1)
        return texts[at] if 0 <= at < len(texts) else ""

    return _TEMPLATE.sub(replace, template)


def _quoted(text: str) -> str:
    return "".join(f"\\{character}" if character in _SPECIAL else character for character in text)


def _valid(pattern: str) -> bool:
    """CUE does not give false either: a pattern that is none is an error."""
    compiled(pattern)
    return True


_T, _W = Parameter.TEXT, Parameter.WHOLE


def _search(apply: Callable[..., Any], *parameters: Parameter) -> Function:
    return Function(parameters, apply, weight=_WEIGHT)


FUNCTIONS: Final = {
    "Find": _search(lambda pattern, text: _texts(_first(pattern, text))[0], _T, _T),
    "FindAll": _search(lambda *searched: [_texts(each)[0] for each in _all(*searched)], _T, _T, _W),
    "FindAllNamedSubmatch": _search(lambda *searched: [_named(each) for each in _all(*searched)], _T, _T, _W),
    "FindAllSubmatch": _search(lambda *searched: [_texts(each) for each in _all(*searched)], _T, _T, _W),
    "FindNamedSubmatch": _search(lambda pattern, text: _named(_first(pattern, text)), _T, _T),
    "FindSubmatch": _search(lambda pattern, text: _texts(_first(pattern, text)), _T, _T),
    "Match": Function((_T, _T), matches),
    "QuoteMeta": Function((_T,), _quoted),
    "ReplaceAll": _search(_replace, _T, _T, _T),
    "ReplaceAllLiteral": _search(lambda pattern, text, new: _replace(pattern, text, new, literal=True), _T, _T, _T),
    "Valid": Function((_T,), _valid, is_check=True),
}
