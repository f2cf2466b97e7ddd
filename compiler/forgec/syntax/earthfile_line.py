"""Earthfile text to logical lines, and lines to words, each character with its place.

A logical line is one or more physical lines joined by a backslash at the end, or by a quote that is still open. Blank
lines and comments inside it vanish; ` # ...` ends it. Each character of a logical line remembers its offset in the
file, so that every token has an exact place.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from forgec.diagnostic import Code, fail
from forgec.source import Source
from forgec.syntax.token import Token


class LogicalLine(Struct, frozen=True):
    """`offsets[i]` is where `text[i]` stands in the file; the extra last one is the line's end."""

    text: str
    offsets: Sequence[int]
    at_margin: bool
    docs: str

    def token(self, kind: str, start: int, end: int) -> Token:
        last = self.offsets[end - 1] + 1 if end > start else self.offsets[start]
        return Token(kind, self.text[start:end], self.offsets[start], last)


def logical_lines(source: Source, start: int = 0, end: int | None = None) -> Iterator[LogicalLine]:
    """Lines with content, each with the comment block that stands directly above it."""
    text, at = source.text, start
    stop = len(text) if end is None else end
    docs: list[str] = []
    while at < stop:
        line_end = _line_end(text, at)
        content = text[at:line_end].strip()
        if content.startswith("#"):
            docs.append(content[1:].removeprefix(" "))
            at = line_end + 1
            continue
        if content:
            line, at = _cut(source, at, "\n".join(docs))
            if line.text:
                yield line
        else:
            at = line_end + 1
        docs.clear()


def split_words(text: str, *, grouped_values: bool = False) -> Iterator[tuple[int, int]]:
    """Where the words of a line begin and end; quotes, `$(...)` and a `(...)` at a word's start hold together.

    `grouped_values`: so does a `(...)` behind an equals sign.
    """
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        start = at
        while at < len(text) and not text[at].isspace():
            group = at == start or (grouped_values and text[at - 1] == "=")
            at = unit_end(text, at, group=group) or len(text)
        yield start, at


def unit_end(text: str, at: int, *, group: bool, substitution: bool = True) -> int | None:
    """The end of what must stay together at `at`: an escape, a quote, `$(...)`, `(...)` if `group`, or one character.

    None if it is never closed. Written with a stack and not by recursion: the nesting is the input's.
    """
    if text[at] == "\\":
        return min(at + 2, len(text))
    if text[at] == "$" and substitution and text.startswith("$(", at):
        closing, at = [")"], at + 2
    elif text[at] == "(" and group:
        closing, at = [")"], at + 1
    elif text[at] in "'\"":
        closing, at = [text[at]], at + 1
    else:
        return at + 1
    while closing and at < len(text):
        char, inner = text[at], closing[-1]
        if char == inner:
            closing.pop()
        elif inner == "'":
            pass
        elif char == "\\":
            at += 1
        elif char == "(" and (inner == ")" or text[at - 1] == "$"):
            closing.append(")")
        elif char == '"' or (char == "'" and inner == ")"):
            closing.append(char)
        at += 1
    return None if closing else at


def _cut(source: Source, start: int, docs: str) -> tuple[LogicalLine, int]:
    """The logical line that begins at a physical one, and where the next begins."""
    text = source.text
    chars: list[str] = []
    offsets: list[int] = []
    at = start
    while text[at] in " \t":
        at += 1
    at_margin = at == start
    line_end = _line_end(text, at)
    if not _SPECIAL.search(text, at, line_end):  # of most lines a character is a character
        content = text[at:line_end].rstrip()
        return LogicalLine(content, range(at, at + len(content) + 1), at_margin, docs), line_end + 1
    arithmetic = False  # where `<<` shifts
    while at < len(text) and text[at] != "\n":
        if text[at] == "#" and chars and chars[-1].isspace():
            at = _line_end(text, at)
            break
        if joined := _CONTINUATION.match(text, at):
            at = joined.end()
            continue
        arithmetic = arithmetic or text.startswith("((", at)
        if not arithmetic and (here := _HEREDOC.match(text, at)):
            raise fail(
                Code.UNSUPPORTED,
                "here-documents are not supported in an Earthfile",
                source.span(at, here.end()),
                help="put the text into a file and COPY it, or use printf",
            )
        end = unit_end(text, at, group=False, substitution=False)
        if end is None:
            raise fail(Code.EARTHFILE_SYNTAX, f"the quote {text[at]} is never closed", source.span(at, at + 1))
        chars.extend(text[at:end])
        offsets.extend(range(at, end))
        at = end
    while chars and chars[-1].isspace():
        chars.pop()
        offsets.pop()
    offsets.append(offsets[-1] + 1 if offsets else start)
    return LogicalLine("".join(chars), tuple(offsets), at_margin, docs), at + 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


_SPECIAL: Final = re.compile(r"""[\\'"#<]""")
_CONTINUATION: Final = re.compile(r"\\[ \t\r]*(?:#[^\n]*)?(?:\n|\Z)(?:[ \t\r]*(?:#[^\n]*)?\n)*")
_HEREDOC: Final = re.compile(r"(?<!<)<<-?[ \t]*['\"]?[A-Za-z_]\w*")
