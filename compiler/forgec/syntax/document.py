"""JSON text to a tree that knows the place of every key and value (RFC 8259).

The parser of the standard library forgets places and keeps the last of two equal keys, so this one is our own.
It scans token by token with compiled expressions (1 MB takes about a third of a second). A mistake of form ends it;
duplicate keys and numbers out of range are collected, so that one run shows them all.

Integers beyond ±2^53 are refused: other readers of the same document would round them silently.
"""

import codecs
import json
import re
from typing import Final

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, fail
from forgec.source import Source, Span
from forgec.syntax.data import DEPTH_MAX, INTEGER_MAX, FieldNode, ListNode, Node, ScalarNode, StructNode
from forgec.syntax.escape import JSON_ESCAPES, EscapeError, unescape

SIZE_BYTES_MAX: Final = 10 * 1024 * 1024

_SPACE = re.compile(r"[ \t\n\r]*+")
_STRING = re.compile(r'"([^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+)"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(\.[0-9]++)?([eE][+-]?[0-9]++)?(?![0-9A-Za-z_.+-])")
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*+")
_NUMBER_LIKE = re.compile(r"[-+.0-9][-+.0-9A-Za-z_]*+")
_KEYWORDS: Final = {"true": True, "false": False, "null": None}
_DIGITS_MAX: Final = 16
"""Of an integer within ±2^53."""


def read_text(name: str, data: bytes, *, limited: bool = True) -> Source:
    """The text of a file: UTF-8, with or without a byte order mark; if `limited`, at most 10 MB."""
    if limited and len(data) > SIZE_BYTES_MAX:
        raise fail(Code.TOO_DEEP, "the file is larger than the limit of 10 MB", Source(name, "").span(0, 0))
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise fail(Code.NOT_UTF8, "the file is UTF-16", Source(name, "").span(0, 0), help="save it as UTF-8")
    body = data.removeprefix(codecs.BOM_UTF8)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        shown = Source(name, body.decode("utf-8", errors="replace"))
        at = len(body[: error.start].decode("utf-8"))
        message = f"byte 0x{body[error.start]:02x} is not valid UTF-8"
        raise fail(Code.NOT_UTF8, message, shown.span(at, at + 1), help="save the file as UTF-8") from None
    return Source(name, text)


def parse_json(source: Source) -> Node:
    """The document; ForgeError with every problem that could be found."""
    parser = _Parser(source)
    try:
        node = parser.document()
    except ForgeError as error:
        raise ForgeError((*parser.problems, *error.diagnostics)) from None
    if parser.problems:
        raise ForgeError(parser.problems)
    return node


class _Parser:
    def __init__(self, source: Source) -> None:
        self.problems: list[Diagnostic] = []
        self._source = source
        self._text = source.text
        self._at = 0
        self._open: list[int] = []  # offsets of the brackets that are open: depth, and what a short text lacks

    def document(self) -> Node:
        self._skip_space()
        if self._at == len(self._text):
            raise self._refusal("the file is empty; a JSON document is expected")
        node = self._value()
        self._skip_space()
        if self._at < len(self._text):
            raise self._refusal(f"the document ends before this: found {self._found()}")
        return node

    def _value(self) -> Node:
        text, start = self._text, self._at
        first = text[start : start + 1]
        if first == '"':
            return ScalarNode(self._string(), Span(self._source, start, self._at))
        if first == "{":
            return self._object()
        if first == "[":
            return self._array()
        if number := _NUMBER.match(text, start):
            self._at = number.end()
            return ScalarNode(self._number(number), Span(self._source, start, self._at))
        word = _WORD.match(text, start)
        if word and word[0] in _KEYWORDS:
            self._at = word.end()
            return ScalarNode(_KEYWORDS[word[0]], Span(self._source, start, self._at))
        raise self._refusal(f"a value is expected, found {self._found()}", self._advice(word))

    def _object(self) -> Node:
        start = self._enter()
        fields: dict[str, FieldNode] = {}
        if not self._closes("}"):
            while True:
                if self._text[self._at : self._at + 1] != '"':
                    raise self._refusal(
                        f"a key in double quotes is expected, found {self._found()}", self._key_advice()
                    )
                key_start = self._at
                key = self._string()
                key_span = Span(self._source, key_start, self._at)
                self._skip_space()
                if self._text[self._at : self._at + 1] != ":":
                    raise self._refusal(f'":" is expected after the key, found {self._found()}')
                self._at += 1
                self._skip_space()
                value = self._value()
                if key in fields:
                    first = Related(fields[key].key_span, "first given here")
                    message = f"the key {json.dumps(key)} is there twice"
                    self.problems.append(Diagnostic(Code.DUPLICATE_KEY, message, key_span, (first,)))
                else:
                    fields[key] = FieldNode(key_span, value)
                if self._ends("}"):
                    break
        self._open.pop()
        return StructNode(fields, Span(self._source, start, self._at))

    def _array(self) -> Node:
        start = self._enter()
        items: list[Node] = []
        if not self._closes("]"):
            while True:
                items.append(self._value())
                if self._ends("]"):
                    break
        self._open.pop()
        return ListNode(tuple(items), Span(self._source, start, self._at))

    def _enter(self) -> int:
        start = self._at
        if len(self._open) >= DEPTH_MAX:
            raise fail(Code.TOO_DEEP, f"nested deeper than {DEPTH_MAX} levels", self._source.span(start, start + 1))
        self._open.append(start)
        self._at += 1
        self._skip_space()
        return start

    def _closes(self, bracket: str) -> bool:
        if self._text[self._at : self._at + 1] != bracket:
            return False
        self._at += 1
        return True

    def _ends(self, bracket: str) -> bool:
        """After a value: true past the closing bracket, false at the start of the next item."""
        self._skip_space()
        if self._closes(bracket):
            return True
        comma = self._at
        if self._text[comma : comma + 1] != ",":
            raise self._refusal(f'"," or "{bracket}" is expected, found {self._found()}')
        self._at += 1
        self._skip_space()
        if self._text[self._at : self._at + 1] == bracket:
            self._at = comma
            raise self._refusal(f'JSON allows no "," before "{bracket}"', "remove the comma")
        return False

    def _string(self) -> str:
        start = self._at
        found = _STRING.match(self._text, start)
        if not found:
            raise self._string_refusal(start)
        self._at = found.end()
        try:
            return unescape(found[1], JSON_ESCAPES)
        except EscapeError as error:
            span = self._source.span(start + 1 + error.start, start + 1 + error.end)
            raise fail(Code.JSON_SYNTAX, str(error), span) from None

    def _number(self, number: re.Match[str]) -> int | float:
        span = self._source.span(*number.span())
        if number[1] or number[2]:
            value = float(number[0])
            if value in (float("inf"), float("-inf")):
                self.problems.append(Diagnostic(Code.BAD_VALUE, "the number is too large", span))
            return value
        if len(number[0].lstrip("-")) > _DIGITS_MAX or abs(int(number[0])) > INTEGER_MAX:
            message = "the number is beyond ±2^53, which other readers of JSON would round"
            self.problems.append(Diagnostic(Code.BAD_VALUE, message, span, help="write it as a string"))
            return 0
        return int(number[0])

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None
        self._at = found.end()

    def _found(self) -> str:
        """What stands here, in words."""
        rest = self._text[self._at : self._at + 1]
        if not rest:
            if not self._open:
                return "the end of the text"
            start = self._open[-1]
            kind = "object" if self._text[start] == "{" else "array"
            return f"the end of the text inside the {kind} opened at line {self._source.position(start).line}"
        word = _WORD.match(self._text, self._at) or _NUMBER_LIKE.match(self._text, self._at)
        return json.dumps(word[0][:40] if word else rest, ensure_ascii=False)

    def _refusal(self, message: str, advice: str | None = None) -> ForgeError:
        word = _WORD.match(self._text, self._at) or _NUMBER_LIKE.match(self._text, self._at)
        end = word.end() if word else min(self._at + 1, len(self._text))
        return fail(Code.JSON_SYNTAX, message, self._source.span(self._at, end), help=advice)

    def _string_refusal(self, start: int) -> ForgeError:
        """The string at `start` has no end, or a character that JSON wants escaped."""
        body = re.compile(r"(?:[^\"\\\x00-\x1f]|\\[^\x00-\x1f])*+").match(self._text, start + 1)
        assert body is not None
        self._at = body.end()
        stopped_by = self._text[self._at : self._at + 1]
        if stopped_by in ("", "\n", "\r", "\\"):
            span = self._source.span(start, self._at)
            return fail(Code.JSON_SYNTAX, "the string is not closed on its line", span, help='close it with "')
        code = ord(stopped_by)
        return self._refusal(f"control character U+{code:04X} inside a string", f"write it as \\u{code:04x}")

    def _advice(self, word: re.Match[str] | None) -> str | None:
        if word:
            if word[0].lower() in ("true", "false", "null", "none"):
                return "JSON writes true, false and null in lower case"
            if word[0] in ("NaN", "Infinity", "undefined"):
                return f"JSON has no {word[0]}"
            return "text needs double quotes"
        number = _NUMBER_LIKE.match(self._text, self._at)
        if number and number[0][0] != "." and any(digit.isdigit() for digit in number[0]):
            return "a number is digits without leading zeros or plus sign, then perhaps a fraction and an exponent"
        return self._key_advice()

    def _key_advice(self) -> str | None:
        if self._text.startswith(("//", "/*", "#"), self._at):
            return "JSON has no comments"
        if self._text.startswith("'", self._at):
            return "JSON uses double quotes"
        return None
