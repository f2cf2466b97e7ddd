r"""CUE text to the terminals of `cue.lark`.

Written by hand because of strings: `"a \(x) b"` holds an expression that may hold a string again, which no regular
expression delimits. The stack of open brackets, which that needs anyway, also finds the bracket that does not fit.

    "host-\(name).local"   ->  STRING_START "host-\(   IDENT name   STRING_END ).local"

A token's text is exactly the source's text. Line ends become NEWLINE in `lex_cue`, and COMMA or nothing in
`lex_with_commas`. `lex_partly` goes on behind what is no token, which becomes WRONG.
"""

import re
from collections.abc import Iterator
from typing import Final, Never

from msgspec import Struct

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, fail
from forgec.source import Source
from forgec.syntax.data import DEPTH_MAX
from forgec.syntax.escape import CUE_ESCAPES, EscapeError, unescape
from forgec.syntax.token import Token

KEYWORDS: Final = {
    word: word.upper() for word in ("package", "import", "for", "in", "if", "let", "true", "false", "null")
}

_TOKEN = re.compile(
    r"""
    (?P<SPACE>[ \t\r]+|//[^\n]*)
  | (?P<NEWLINE>\n)
  | (?P<RAW>(?P<hashes>\#+)(?:\"{3}\r?\n(?s:.*?)\"{3}|"(?!""[^\#])(?>\\(?P=hashes)[^\n]|[^\n])*?")(?P=hashes))
  | (?P<BOTTOM>_\|_)
  | (?P<IDENT>(?:_?\#)?(?:[^\W\d]|\$)[\w$]*)
  | (?P<NUMBER>(?:[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]\w*|\w*))
  | (?P<QUOTE>\"{3}|")
  | (?P<BYTES>'''|')
  | (?P<ATTRIBUTE>@(?!\d)[\w$]*[ \t]*\()
  | (?P<ELLIPSIS>\.\.\.)
  | (?P<COMPARE>!=|<=|>=|=~|!~|<|>)
  | (?P<EQUALS>==)
  | (?P<AND>&&)
  | (?P<OR>\|\|)
  | (?P<OPEN>[{\[(])
  | (?P<CLOSE>[}\])])
  | (?P<SIGN>[:,?!=.|&*/+\-])
    """,
    re.VERBOSE,
)
_SIGNS: Final = {
    ":": "COLON", ",": "COMMA", "?": "QUESTION", "!": "EXCLAMATION", "=": "EQUAL", ".": "DOT", "|": "PIPE",
    "&": "AMPERSAND", "*": "STAR", "/": "SLASH", "+": "PLUS", "-": "MINUS", "{": "LBRACE", "}": "RBRACE",
    "[": "LSQB", "]": "RSQB", "(": "LPAR", ")": "RPAR",
}  # fmt: skip
_ENDING: Final = frozenset(
    {"IDENT", "NUMBER", "STRING", "RAW", "BYTES", "BOTTOM", "STRING_END", "ATTRIBUTE", "QUESTION", "ELLIPSIS"}
    | {"RPAR", "RBRACE", "RSQB", "WRONG"}
    | set(KEYWORDS.values())
)
"""What can end a declaration."""
_CLOSES: Final = {"{": "}", "[": "]", "(": ")"}

# Up to what ends a piece of a string: its quote, an interpolation, or (on one line) the line.
# Groups with a lookahead are not possessive: Python 3.11.2 then forgets the lookahead.
_PIECE: Final = {
    '"': re.compile(r'[^"\\\n]*+(?:\\[^(\n][^"\\\n]*+)*+'),
    # Three quotes inside a line are text, except in the first one, where they are a mistake.
    '"""': re.compile(
        r"""(?:[^"\\\n]|\\[^(\n]|\\(?=\n)|"(?!""))*
        (?:\n(?![ \t]*\"{3})(?:[^\\\n]|\\[^(\n]|\\(?=\n))*)*(?:\n[ \t]*(?=\"{3}))?""",
        re.VERBOSE,
    ),
}
_BYTES: Final = {
    "'": re.compile(r"(?:[^'\\\n]|\\[^\n])*+'"),
    "'''": re.compile(r"(?:[^'\\]|\\.|'(?!''))*'''", re.DOTALL),
}
# An attribute's text is tokens, too, on one line here.
_ATTRIBUTE_PART = re.compile(
    r"""(?:[\w\ \t\r$.,:;?~=!<>&|+\-*]|/(?!/)|\#(?!\#*["']))++|"(?:[^"\\\n]|\\[^(\n])*+"|'(?:[^'\\\n]|\\[^\n])*+'
    |(?P<hashes>\#+)"(?!"")[^\n]*?"(?P=hashes)|[(\[{]|(?P<closing>[)\]}])""",
    re.VERBOSE,
)


TOKENS_MAX: Final = 50_000
"""Of one file: parsing this many takes about a second, and the largest configurations have some thousands."""


class Lexed(Struct, frozen=True):
    """A text's tokens, as of `lex_with_commas`, and what is none.

    If they are not `balanced`, brackets do not fit, or the text ends before its end: the tokens are those before.
    """

    tokens: tuple[Token, ...]
    mistakes: tuple[Diagnostic, ...]
    balanced: bool


def lex_partly(source: Source) -> Lexed:
    """As much of the tokens as there is. What is not closed on a line ends before the brackets at the line's end."""
    mistakes: list[Diagnostic] = []
    tokens: list[Token] = []
    try:
        tokens += _with_commas(source.text, _Scan(source, mistakes).tokens())
    except ForgeError:
        return Lexed(tuple(tokens), tuple(mistakes), False)
    return Lexed(tuple(tokens), tuple(mistakes), True)


def lex_cue(source: Source) -> Iterator[Token]:
    """Raises ForgeError where the text is no token, or a bracket does not fit."""
    return _Scan(source).tokens()


def lex_with_commas(source: Source) -> Iterator[Token]:
    """CUE's one rule for line ends: after a token that can end a declaration, a line end is a comma.

    Not before a line that begins with `,` or `:`, as JSON may. The last line ends with or without a line break.
    """
    return _with_commas(source.text, lex_cue(source))


def _with_commas(text: str, tokens: Iterator[Token]) -> Iterator[Token]:
    kind, end = "", 0  # of the token before
    line_ended = False
    for token in tokens:
        if token.kind == "NEWLINE":
            line_ended = True
            continue
        if line_ended and kind in _ENDING:
            goes_on = token.text in (",", ":") and "//" not in text[end : token.start]
            if not goes_on:
                yield Token("COMMA", "\n", end, end)
        yield token
        kind, end, line_ended = token.kind, token.end, False
    if kind in _ENDING:
        yield Token("COMMA", "\n", end, end)


class _NoToken(ForgeError):
    """What stands here is no token, but there are others behind it."""


class _Scan:
    def __init__(self, source: Source, mistakes: list[Diagnostic] | None = None) -> None:
        """With a list for mistakes, it goes on behind them."""
        self._source = source
        self._mistakes = mistakes
        self._mistaken = -1  # the line of the last mistake
        self._text = source.text
        self._at = 0
        self._open: list[tuple[str, int]] = []  # brackets, and the quotes of strings around an interpolation

    def tokens(self) -> Iterator[Token]:
        text, end = self._text, len(self._text)
        mark = text.find("\ufeff")
        if mark >= 0:
            span = self._source.span(mark, mark + 1)
            raise fail(
                Code.SYNTAX, "a byte order mark (U+FEFF) inside the text", span, help="remove it; it is not visible"
            )
        count = 0
        while self._at < end:
            start = self._at
            found = _TOKEN.match(text, start)
            try:
                if not found:
                    self._refuse_character(start)
                kind, self._at = found.lastgroup, found.end()
                match kind:
                    case "SPACE":
                        continue
                    case "IDENT":
                        kind = KEYWORDS.get(found[0], "IDENT")
                        self._check_letters(found[0], start)
                    case "SIGN":
                        kind = _SIGNS[found[0]]
                    case "OPEN":
                        kind = _SIGNS[found[0]]
                        self._push(found[0], start)
                    case "CLOSE":
                        kind = self._pop(found[0], start)
                    case "QUOTE":
                        kind = self._string(found[0], start, begins=True)
                    case "BYTES":
                        self._bytes(found[0], start)
                    case "ATTRIBUTE":
                        self._attribute(start)
            except _NoToken as error:
                kind = self._skip(start, error)
            assert kind is not None
            count += 1
            if count > TOKENS_MAX:
                message = f"the file has more than {TOKENS_MAX} words and signs"
                raise fail(Code.TOO_DEEP, message, self._source.span(start, self._at))
            yield Token(kind, text[start : self._at], start, self._at)
        if self._open:
            bracket, start = self._open[-1]
            what = "interpolation of this string" if bracket.startswith('"') else f'"{bracket}"'
            span = self._source.span(start, start + len(bracket))
            raise fail(Code.SYNTAX, f"the {what} is not closed: the file ends inside it", span)

    def _skip(self, start: int, error: _NoToken) -> str:
        """Go on behind a mistake, of which one a line is told. The brackets at the end of a line still count."""
        if self._mistakes is None:
            raise error
        line = self._source.position(start).line
        if line != self._mistaken:
            self._mistakes += error.diagnostics
            self._mistaken = line
        character = self._text[start]
        end = self._text.find("\n", start)
        end = len(self._text) if end < 0 else end
        if character == "#":  # a comment, to those who come from other languages
            self._at = end
        elif character in "\"'@`)":
            self._at = start + self._closing(self._text[start:end])
        else:
            self._at = start + 1
        return "WRONG"

    def _closing(self, rest: str) -> int:
        """Where in the rest of a line the brackets at its end begin that close what is open; else where it ends."""
        text, _, _ = rest.replace("\t//", " //").partition(" //")
        brackets: list[int] = []  # from the end
        for at in range(len(text) - 1, 0, -1):
            if text[at] in ")]}" and len(brackets) < len(self._open):
                brackets.append(at)
            elif text[at] not in " \t\r,":
                break
        while brackets:
            closing = zip(reversed(brackets), reversed(self._open), strict=False)
            if all(_CLOSES.get(bracket) == text[at] for at, (bracket, _) in closing):
                return brackets[-1]
            brackets.pop()
        return len(text)

    def _push(self, bracket: str, start: int) -> None:
        if len(self._open) >= DEPTH_MAX:
            raise fail(Code.TOO_DEEP, f"nested deeper than {DEPTH_MAX} levels", self._source.span(start, start + 1))
        self._open.append((bracket, start))

    def _pop(self, bracket: str, start: int) -> str:
        span = self._source.span(start, start + 1)
        if not self._open:
            raise fail(Code.SYNTAX, f'"{bracket}" closes nothing', span)
        opening, opened_at = self._open.pop()
        if opening.startswith('"') and bracket == ")":
            return self._string(opening, opened_at, begins=False)
        if _CLOSES.get(opening) != bracket:
            shown = "\\(" if opening.startswith('"') else opening
            opened = Related(self._source.span(opened_at, opened_at + 1), "opened here")
            line = self._source.position(opened_at).line
            message = f'"{bracket}" does not close the "{shown}" of line {line}'
            raise ForgeError([Diagnostic(Code.SYNTAX, message, span, (opened,))])
        return _SIGNS[bracket]

    def _string(self, quote: str, start: int, *, begins: bool) -> str:
        """Read on to the end of the string or to its next interpolation; the kind of token that makes."""
        found = _PIECE[quote].match(self._text, self._at)
        assert found is not None
        self._at = found.end()
        if self._text.startswith("\\(", self._at):
            self._at += 2
            self._push(quote, start)
            return "STRING_START" if begins else "STRING_MIDDLE"
        if self._text.startswith(quote, self._at):
            self._at += len(quote)
            return "STRING" if begins else "STRING_END"
        where = "on its line" if quote == '"' else "before the file ends"
        error = _NoToken if quote == '"' else ForgeError
        span = self._source.span(start, self._at)
        raise error([Diagnostic(Code.SYNTAX, f"the string is not closed {where}", span, help=f"close it with {quote}")])

    def _bytes(self, quote: str, start: int) -> None:
        found = _BYTES[quote].match(self._text, self._at)
        if not found:
            span = self._source.span(start, start + len(quote))
            error = _NoToken if quote == "'" else ForgeError
            advice = 'text is written in "double quotes"'
            raise error([Diagnostic(Code.SYNTAX, "the bytes literal is not closed", span, help=advice)])
        self._at = found.end()

    def _attribute(self, start: int) -> None:
        opened = ["("]
        while opened:
            part = _ATTRIBUTE_PART.match(self._text, self._at)
            if not part or (part["closing"] and part[0] != _CLOSES[opened[-1]]):
                span = self._source.span(start, self._at)
                message = "the attribute is not closed on its line"
                raise _NoToken([Diagnostic(Code.SYNTAX, message, span, help='close it with ")"')])
            if part[0] in _CLOSES:
                opened.append(part[0])
            elif part["closing"]:
                opened.pop()
            try:
                unescape(part[0] if part[0].startswith('"') else "", CUE_ESCAPES)
            except EscapeError as error:
                span = self._source.span(self._at + error.start, self._at + error.end)
                raise _NoToken([Diagnostic(Code.SYNTAX, str(error), span)]) from None
            self._at = part.end()

    def _check_letters(self, name: str, start: int) -> None:
        """To Python, a superscript and a Roman numeral are part of a word, too."""
        for at, character in enumerate("" if name.isascii() else name):
            if not (character in "_$#" or character.isalpha() or character.isdecimal()):
                self._refuse_character(start + at)

    def _refuse_character(self, start: int) -> Never:
        character = self._text[start]
        span = self._source.span(start, start + 1)
        advice = {
            "#": 'a comment begins with "//"',
            ";": "declarations end with their line, or with a comma",
            "`": 'text is written in "double quotes"',
            "@": "an attribute is written @name(text)",
            **dict.fromkeys("\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb", 'text is written in plain "double quotes"'),
        }.get(character)
        shown = f'"{character}"' if character.isprintable() else f"U+{ord(character):04X}"
        if not character.isprintable():
            advice = "it looks like white space or like nothing; write a plain space, or remove it"
        message = f"the character {shown} has no meaning here"
        raise _NoToken([Diagnostic(Code.SYNTAX, message, span, help=advice)])
