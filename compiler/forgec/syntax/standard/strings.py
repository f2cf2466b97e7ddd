"""The package `strings`. Positions count bytes of UTF-8, as they do in CUE; `...Runes` count characters."""

from collections.abc import Callable
from typing import Final

from forgec.syntax.operators import repeated
from forgec.syntax.standard.function import Function, Parameter, checked_length
from forgec.syntax.value import checked_text

_SPACES: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""What Unicode calls white space; Python's own idea of it has four control characters more."""


_OWN_CASE: Final = frozenset("\u0130" + "".join(map(chr, range(0x1F80, 0x2000))))
"""Characters with a change of case for them alone beside the one that makes two characters; Python tells the latter."""


def _cased(text: str, change: Callable[[str], str]) -> str:
    """Character by character. What would become two characters stays as it is, as it does in CUE."""
    if text.isascii():
        return change(text)
    characters = []
    for character in text:
        changed = change(character)
        if len(changed) > 1 and character in _OWN_CASE:
            raise ValueError(f'"{character}" has a case that the built-in evaluator does not know')
        characters.append(changed if len(changed) == 1 else character)
    return "".join(characters)


def _at_words(text: str, change: Callable[[str], str]) -> str:
    """Change the first character after each space."""
    before = " "
    characters = []
    for character in text:
        characters.append(_cased(character, change) if before in _SPACES else character)
        before = character
    return "".join(characters)


def _fields(text: str) -> list[str]:
    spaced = text.translate({ord(space): " " for space in _SPACES})
    words = [word for word in spaced.split(" ") if word]
    checked_length(len(words))
    return words


def _split(text: str, separator: str, most: int = -1, *, keep: bool = False) -> list[str]:
    """Go's rules: `most` parts, all where it is negative; between all characters where the separator is empty."""
    if most == 0:
        return []
    checked_length(min(text.count(separator) + 1, most if most > 0 else len(text) + 1))
    if separator:
        parts = text.split(separator, most - 1 if most > 0 else -1)
        return [part + separator for part in parts[:-1]] + parts[-1:] if keep else parts
    if most < 0 or most >= len(text):
        return list(text)
    return [*text[: most - 1], text[most - 1 :]]


def _join(texts: list[str], separator: str) -> str:
    checked_text(sum(len(text) for text in texts) + len(separator) * len(texts))
    return separator.join(texts)


def _replace(text: str, old: str, new: str, most: int) -> str:
    found = text.count(old) if most < 0 else min(text.count(old), most)
    checked_text(len(text) + found * len(new))
    return text.replace(old, new, most)


def _offset(text: str, at: int) -> int:
    return -1 if at < 0 else len(text[:at].encode())


def _runes(text: str) -> list[int]:
    checked_length(len(text))
    return [ord(character) for character in text]


def _slice_runes(text: str, start: int, end: int) -> str:
    if not 0 <= start <= end <= len(text):
        raise ValueError(f"{start}:{end} is no part of a string of {len(text)} characters")
    return text[start:end]


def _compare(left: str, right: str) -> int:
    return (left > right) - (left < right)


_T, _W, _TS = Parameter.TEXT, Parameter.WHOLE, Parameter.TEXTS

FUNCTIONS: Final = {
    "Compare": Function((_T, _T), _compare),
    "Contains": Function((_T, _T), lambda text, part: part in text, is_check=True),
    "ContainsAny": Function((_T, _T), lambda text, characters: not set(text).isdisjoint(characters), is_check=True),
    "Count": Function((_T, _T), lambda text, part: text.count(part)),
    "Fields": Function((_T,), _fields),
    "HasPrefix": Function((_T, _T), lambda text, start: text.startswith(start), is_check=True),
    "HasSuffix": Function((_T, _T), lambda text, end: text.endswith(end), is_check=True),
    "Index": Function((_T, _T), lambda text, part: _offset(text, text.find(part))),
    "Join": Function((_TS, _T), _join),
    "LastIndex": Function((_T, _T), lambda text, part: _offset(text, text.rfind(part))),
    "MaxRunes": Function((_T, _W), lambda text, most: len(text) <= most, is_check=True),
    "MinRunes": Function((_T, _W), lambda text, least: len(text) >= least, is_check=True),
    "Repeat": Function((_T, _W), repeated),
    "Replace": Function((_T, _T, _T, _W), _replace),
    "Runes": Function((_T,), _runes),
    "SliceRunes": Function((_T, _W, _W), _slice_runes),
    "Split": Function((_T, _T), _split),
    "SplitAfter": Function((_T, _T), lambda text, separator: _split(text, separator, keep=True)),
    "SplitAfterN": Function((_T, _T, _W), lambda text, separator, most: _split(text, separator, most, keep=True)),
    "SplitN": Function((_T, _T, _W), _split),
    "ToCamel": Function((_T,), lambda text: _at_words(text, str.lower)),
    "ToLower": Function((_T,), lambda text: _cased(text, str.lower)),
    "ToTitle": Function((_T,), lambda text: _at_words(text, str.title)),
    "ToUpper": Function((_T,), lambda text: _cased(text, str.upper)),
    "Trim": Function((_T, _T), lambda text, characters: text.strip(characters)),
    "TrimLeft": Function((_T, _T), lambda text, characters: text.lstrip(characters)),
    "TrimPrefix": Function((_T, _T), lambda text, start: text.removeprefix(start)),
    "TrimRight": Function((_T, _T), lambda text, characters: text.rstrip(characters)),
    "TrimSpace": Function((_T,), lambda text: text.strip(_SPACES)),
    "TrimSuffix": Function((_T, _T), lambda text, end: text.removesuffix(end)),
}  # fmt: skip
