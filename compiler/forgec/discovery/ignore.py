"""`.gitignore`: which paths of a tree its own ignore files exclude.

The rules are git's: the last matching pattern of the nearest file decides, and nothing below an excluded directory
comes back. They are applied to tracked paths too, so that a working directory and a commit give the same projects.

A pattern becomes a regular expression over bytes, because git matches bytes. Patterns come from strangers, so it must
not backtrack without bound: the text between two stars is taken where it first fits, in an atomic group. That loses no
match, since whatever follows a later place also follows the first, after a longer star.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct


class IgnoreRules:
    """The rules of all ignore files added so far; files must be added before paths below them are asked for."""

    def __init__(self) -> None:
        self._rules: dict[bytes, tuple[_Rule, ...]] = {}
        self._excluded: dict[bytes, bool] = {}

    def add(self, directory: str, text: bytes) -> None:
        """The ignore file of `directory` ("" is the root)."""
        self._rules[_bytes(f"{directory}/") if directory else b""] = tuple(_parse(text))

    def ignores(self, path: str, *, is_directory: bool = False) -> bool:
        """Whether a path, or a directory above it, is excluded."""
        name = _bytes(path)
        above: list[tuple[int, tuple[_Rule, ...]]] = []
        start = 0
        while True:
            rules = self._rules.get(name[:start])
            if rules:
                above.append((start, rules))
            end = name.find(b"/", start)
            if end < 0:
                return _excludes(above, name, is_directory)
            directory = name[:end]
            if directory not in self._excluded:
                self._excluded[directory] = _excludes(above, directory, is_directory=True)
            if self._excluded[directory]:
                return True
            start = end + 1


def _bytes(path: str) -> bytes:
    return path.encode(errors="surrogateescape")


def _excludes(above: Sequence[tuple[int, Sequence["_Rule"]]], name: bytes, is_directory: bool) -> bool:
    """By the rules of the directories above, outermost first, each with where the path below it begins."""
    for start, rules in reversed(above):
        for rule in reversed(rules):
            if rule.matches(name[start:], is_directory):
                return not rule.negated
    return False


class _Rule(Struct, frozen=True, kw_only=True):
    """`anchored` patterns hold for the path from the ignore file's directory, others for the last name alone."""

    pattern: re.Pattern[bytes]
    anchored: bool
    directories_only: bool
    negated: bool

    def matches(self, relative: bytes, is_directory: bool) -> bool:
        if self.directories_only and not is_directory:
            return False
        subject = relative if self.anchored else relative.rpartition(b"/")[2]
        return self.pattern.fullmatch(subject) is not None


def _parse(text: bytes) -> Iterator[_Rule]:
    for raw in text.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        line = _without_trailing_spaces(raw.removesuffix(b"\r"))
        if line.startswith(b"#"):
            continue
        negated = line.startswith(b"!")
        pattern = line.removeprefix(b"!")
        directories_only = pattern.endswith(b"/")
        pattern = pattern.removesuffix(b"/")
        anchored = b"/" in pattern
        tokens = _tokens(pattern.removeprefix(b"/"))
        if tokens:
            yield _Rule(
                pattern=re.compile(_path_expression(tokens), re.DOTALL),
                anchored=anchored,
                directories_only=directories_only,
                negated=negated,
            )


def _without_trailing_spaces(line: bytes) -> bytes:
    """Trailing spaces count only after a backslash."""
    kept = re.match(rb"(?:\\.|[^ \\]|\\\Z| +(?! |\Z))*", line, re.DOTALL)
    assert kept is not None
    return kept[0]


_STAR: Final = b"*"
_SLASH: Final = b"/"
_NEVER: Final = b"(?!)"


def _tokens(pattern: bytes) -> Sequence[bytes] | None:
    """Stars, slashes, and expressions of one byte each; None if the pattern is empty or can never match."""
    tokens: list[bytes] = []
    at = 0
    while at < len(pattern):
        byte = pattern[at : at + 1]
        at += 1
        if byte in (_STAR, _SLASH):
            tokens.append(byte)
        elif byte == b"?":
            tokens.append(b"[^/]")
        elif byte == b"\\":
            if at == len(pattern):
                return None
            tokens.append(re.escape(pattern[at : at + 1]))
            at += 1
        elif byte == b"[":
            parsed = _bracket(pattern, at)
            if parsed is None:
                return None
            expression, at = parsed
            tokens.append(expression)
        else:
            tokens.append(re.escape(byte))
    return tokens or None


_CLASSES: Final = {
    b"alnum": rb"0-9A-Za-z",
    b"alpha": rb"A-Za-z",
    b"blank": rb" \t",
    b"cntrl": rb"\x00-\x1f\x7f",
    b"digit": rb"0-9",
    b"graph": rb"!-~",
    b"lower": rb"a-z",
    b"print": rb" -~",
    b"punct": rb"!-/:-@\[-`{-~",
    b"space": rb" \t-\r",
    b"upper": rb"A-Z",
    b"xdigit": rb"0-9A-Fa-f",
}


def _bracket(pattern: bytes, at: int) -> tuple[bytes, int] | None:
    """The expression of a bracket whose first byte is at `at`, and where it ends; None if it does not end."""
    negated = pattern[at : at + 1] in (b"!", b"^")
    at += negated
    members: list[bytes] = []
    first = True
    while True:
        byte = pattern[at : at + 1]
        if not byte:
            return None
        if byte == b"]" and not first:
            break
        first = False
        name = re.compile(rb"\[:([^\]]*):\]").match(pattern, at)
        if name:
            if name[1] not in _CLASSES:
                return None
            members.append(_CLASSES[name[1]])
            at = name.end()
            continue
        low, at = _member(pattern, at)
        high = low
        if pattern[at : at + 1] == b"-" and pattern[at + 1 : at + 2] not in (b"", b"]"):
            high, at = _member(pattern, at + 1)
        if low is None or high is None:
            return None
        members.append(re.escape(low))  # in a reversed range git still takes the first byte
        if low < high:
            members.append(re.escape(low) + b"-" + re.escape(high))
    inside = b"".join(members)
    if negated:
        return b"[^/" + inside + b"]", at + 1
    return (b"(?!/)[" + inside + b"]" if inside else _NEVER), at + 1


def _member(pattern: bytes, at: int) -> tuple[bytes | None, int]:
    """One byte of a bracket, perhaps behind a backslash."""
    if pattern[at : at + 1] == b"\\":
        at += 1
    return pattern[at : at + 1] or None, at + 1


def _path_expression(tokens: Sequence[bytes]) -> bytes:
    """Segments between slashes; a segment of two stars or more stands for any number of directories."""
    segments: list[list[bytes]] = [[]]
    for token in tokens:
        if token == _SLASH:
            segments.append([])
        else:
            segments[-1].append(token)
    if not all(segments):
        return _NEVER  # as in `a//b`: no name is empty
    blocks: list[list[bytes]] = [[]]
    for segment in segments:
        if len(segments) > 1 and len(segment) > 1 and set(segment) == {_STAR}:
            blocks.append([])
        else:
            blocks[-1].append(_segment_expression(segment))
    if len(blocks) == 1:
        return _SLASH.join(blocks[0])
    first, *middle, last = (_SLASH.join(block) for block in blocks)
    expression = first + _SLASH if first else b""
    for block in middle:
        if block:
            expression += b"(?>(?:[^/]+/)*?" + block + b"/)"
    return expression + (b"(?:[^/]+/)*" + last if last else b".+")


def _segment_expression(segment: Sequence[bytes]) -> bytes:
    pieces = [b""]
    for token in segment:
        if token == _STAR:
            pieces.append(b"")
        else:
            pieces[-1] += token
    first, *rest = pieces
    if not rest:
        return first
    return first + b"".join(b"(?>[^/]*?" + piece + b")" for piece in rest[:-1]) + b"[^/]*" + rest[-1]
