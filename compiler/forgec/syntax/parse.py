"""CUE text to its syntax tree: `builder` makes the nodes of what the grammar's table finds, this words the errors.

A declaration that breaks the form is taken out of the tokens, and the rest is parsed again, so that one run shows what
is wrong in each. That needs brackets that fit: of a text whose brackets do not, the first mistake is told, and what is
no token in any other line.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.source import Source
from forgec.syntax import ast
from forgec.syntax.builder import Builder
from forgec.syntax.cue_lexer import KEYWORDS, TOKENS_MAX, lex_partly, lex_with_commas
from forgec.syntax.lalr import END, Unexpected, parse
from forgec.syntax.recovery import Kept, Lost
from forgec.syntax.table import table
from forgec.syntax.token import Token


def parse_file(source: Source) -> ast.File:
    """The syntax tree of a file; ForgeError with the mistakes of form of all its declarations."""
    builder = Builder(source)
    try:
        file = parse(table("cue.lark"), lex_with_commas(source), builder.make)
    except Unexpected as error:
        raise ForgeError(_one_a_line([_unexpected(source, error), *parse_partly(source).problems])) from None
    except ForgeError as error:
        raise ForgeError(_one_a_line([*error.diagnostics, *parse_partly(source).problems])) from None
    if builder.problems:
        raise ForgeError(builder.problems)
    assert isinstance(file, ast.File)
    return file


class Parsed(Struct, frozen=True):
    """The tree of what is right, None if there is none, and what is wrong. `lost`: the declarations taken out."""

    file: ast.File | None
    problems: tuple[Diagnostic, ...]
    lost: tuple[Lost, ...] = ()


MISTAKES_MAX: Final = 20
"""Told of one file; a text with more is none of this language."""


def parse_partly(source: Source) -> Parsed:
    """The tree of a file without the declarations that break the form."""
    lexed = lex_partly(source)
    problems = list(lexed.mistakes[:MISTAKES_MAX])
    if not lexed.balanced:
        return Parsed(None, tuple(problems))
    kept = Kept(source, lexed.tokens)
    parsed = 0
    while len(problems) < MISTAKES_MAX and parsed <= TOKENS_MAX:
        builder = Builder(source)
        try:
            file = parse(table("cue.lark"), kept.tokens, builder.make)
        except Unexpected as error:
            problems.append(_unexpected(source, error))
            at = kept.place(error.token)
            parsed += at
            if not kept.take_out(at):
                break
        else:
            assert isinstance(file, ast.File)
            return Parsed(file, (*problems, *builder.problems), tuple(kept.lost))
    return Parsed(None, tuple(problems))


def _one_a_line(problems: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The first of those that break the form: another one on its line may follow from it."""
    told: set[int] = set()
    found = []
    for each in problems:
        line = each.span.position.line if each.span is not None and each.code is Code.SYNTAX else 0
        if line not in told:
            found.append(each)
        if line:
            told.add(line)
    return found


_WORDS: Final = {
    "COLON": '":"', "RBRACE": '"}"', "RSQB": '"]"', "RPAR": '")"', "IDENT": "a name", "EQUAL": '"="',
    "STRING_END": "the rest of the string", "IN": '"in"', "LBRACE": '"{"', END: "the end of the file",
}  # fmt: skip


_LANGUAGE: Final = KEYWORDS.keys() - {"true", "false", "null"}
_LAST_WORD: Final = re.compile(r"[\w$#]+\Z")
_WORD_CHARS_MAX: Final = 40
"""Looked at of the word before a mistake: more than any of the language has, and no search through a long text."""

_COMMA_IS_IDLE: Final = ({"STRING_END"}, {"COLON", "RSQB"}, {"LBRACE"})
"""What follows a comma, in an interpolation, after an index and after a clause, that may as well do without it."""


def _unexpected(source: Source, error: Unexpected) -> Diagnostic:
    """What was found and what could have stood there, in words."""
    token = error.token
    ends = token.kind == END
    start = len(source.text) if ends else token.start
    line_ended = token.kind == "COMMA" and token.text == "\n"
    # The comma of a line's end has no text of its own, and the last line may end without a line break.
    span = source.span(start, start if ends or line_ended else token.end)
    accepted = error.accepted
    if ends:
        found = "the end of the file"
    elif line_ended:
        found = "the end of the line"
    else:
        found = token.text.partition("\n")[0][:40]
        found = found if found.startswith('"') else f'"{found}"'
    so_far = source.text[:start].rstrip()
    before = _LAST_WORD.search(so_far[-_WORD_CHARS_MAX:])
    word = before[0] if before and before[0] in _LANGUAGE and "COLON" in accepted else ""
    message = f"{_expected(accepted)} is expected, found {found}"
    if word:
        message = f'{_expected(accepted)} is expected after "{word}", a word of the language, found {found}'
    elif "IDENT" in accepted and token.text in _LANGUAGE:
        message = f"{message}, a word of the language"
    begins_line = not source.text[:start].rpartition("\n")[2].strip()
    if begins_line and token.kind in ("PIPE", "AMPERSAND", "PLUS", "MINUS", "STAR", "SLASH", "DOT"):
        advice: str | None = "an expression that goes on in the next line ends its line with the operator"
    elif so_far.endswith("="):
        advice = 'a field is written "name: value"'
    else:
        advice = _advice(token, accepted, word, after_name=before is not None)
    return Diagnostic(Code.SYNTAX, message, span, help=advice)


def _advice(token: Token, accepted: frozenset[str], word: str, *, after_name: bool) -> str | None:
    """What was probably meant; `word`: of the language, right before."""
    if "import" in (word, token.text) or token.text.startswith("import "):
        return "imports come first in a file, after its package"
    if word == "package":
        return "a file begins with its package"
    if token.text in ("else", "otherwise"):
        return 'the other case is an "if" of its own, with the opposite condition'
    if token.kind == "EQUALS" and "NUMBER" in accepted:
        return '"==" compares two values; a value by itself is what a field must be'
    if token.kind == "NUMBER" and token.text.startswith("."):
        return 'text is written in "double quotes"'
    if "COMMA" in accepted and token.kind in ("IDENT", "STRING", "NUMBER") and not ("COLON" in accepted and after_name):
        return 'what stands on one line is separated by ","'
    if token.kind == "EQUAL" or "COLON" in accepted:
        return 'a field is written "name: value"'
    return None


def _expected(accepted: frozenset[str]) -> str:
    words = []
    if "NUMBER" in accepted:
        words.append("a field or a value" if "LET" in accepted else "a value")
        accepted = accepted - {"IDENT", "LBRACE", "IN"}
    elif "STRING" in accepted:
        words.append("a field's name")
        accepted = accepted - {"IDENT", "IN"}
    if "COMMA" in accepted and not any(each <= accepted for each in _COMMA_IS_IDLE):
        words.append('"," or a new line')
    words += [word for terminal, word in _WORDS.items() if terminal in accepted]
    return " or ".join(words) or "something else"
