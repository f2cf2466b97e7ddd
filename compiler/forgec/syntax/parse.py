"""CUE text to its syntax tree: lark runs the grammar, `builder` makes the nodes, and this module words the errors.

The only module that runs lark on CUE, imported only when CUE is read: import and tables cost 0.2 s.
"""

import functools
from typing import Final, cast

from lark import Lark
from lark.exceptions import UnexpectedToken

from forge_grammar.resource import text as grammar_text
from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.source import Source
from forgec.syntax import ast
from forgec.syntax.builder import Builder
from forgec.syntax.cue_lexer import AutomaticCommas, CueLexer


def parse_file(source: Source) -> ast.File:
    """The syntax tree of a file; ForgeError with the first mistake of form, or all that is not supported."""
    try:
        tree = parser().parse(cast("str", source))  # the lexer takes the Source itself
    except UnexpectedToken as error:
        raise ForgeError([_unexpected(source, error)]) from None
    builder = Builder(source)
    file = builder.transform(tree)
    if builder.problems:
        raise ForgeError(builder.problems)
    assert isinstance(file, ast.File)
    return file


@functools.cache
def parser(*, strict: bool = False) -> Lark:
    """The parser, built once per process; `strict` refuses a grammar with a conflict."""
    return Lark(
        grammar_text("cue.lark"),
        parser="lalr",
        lexer=CueLexer,
        postlex=AutomaticCommas(),
        maybe_placeholders=False,
        strict=strict,
    )


_WORDS: Final = {
    "COLON": '":"', "RBRACE": '"}"', "RSQB": '"]"', "RPAR": '")"', "IDENT": "a name", "EQUAL": '"="',
    "STRING_END": "the rest of the string", "IN": '"in"', "LBRACE": '"{"', "$END": "the end of the file",
}  # fmt: skip


def _unexpected(source: Source, error: UnexpectedToken) -> Diagnostic:
    """What was found and what could have stood there, in words."""
    token = error.token
    ends = token.type == "$END"
    start = len(source.text) if ends or token.start_pos is None else token.start_pos
    line_ended = token.type == "COMMA" and str(token) == "\n"
    # The comma of a line's end has no text of its own, and the last line may end without a line break.
    span = source.span(start, start if ends or line_ended else start + len(token))
    accepted = error.accepts or set()
    if ends:
        found = "the end of the file"
    elif line_ended:
        found = "the end of the line"
    else:
        found = str(token).partition("\n")[0][:40]
        found = found if found.startswith('"') else f'"{found}"'
    message = f"{_expected(accepted)} is expected, found {found}"
    advice = None
    begins_line = not source.text[:start].rpartition("\n")[2].strip()
    if begins_line and token.type in ("PIPE", "AMPERSAND", "PLUS", "MINUS", "STAR", "SLASH", "DOT"):
        advice = "an expression that goes on in the next line ends its line with the operator"
    elif token.type == "IMPORT" or str(token).startswith("import "):
        advice = "imports come first in a file, after its package"
    elif token.type == "EQUAL" or "COLON" in accepted:
        advice = 'a field is written "name: value"'
    return Diagnostic(Code.SYNTAX, message, span, help=advice)


def _expected(accepted: set[str]) -> str:
    words = []
    if "NUMBER" in accepted:
        words.append("a field or a value" if "LET" in accepted else "a value")
        accepted = accepted - {"IDENT", "LBRACE", "IN"}
    elif "STRING" in accepted:
        words.append("a field's name")
        accepted = accepted - {"IDENT", "IN"}
    if "COMMA" in accepted:
        words.append('"," or a new line')
    words += [word for terminal, word in _WORDS.items() if terminal in accepted]
    return " or ".join(words) or "something else"
