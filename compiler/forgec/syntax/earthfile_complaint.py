"""What is said of an Earthfile whose words do not follow each other."""

from typing import Final

from forgec.diagnostic import Code, Diagnostic, ForgeError, fail
from forgec.source import Source
from forgec.syntax.earthfile_lexer import BrokenBlock
from forgec.syntax.lalr import Unexpected


def syntax_error(source: Source, unexpected: Unexpected) -> ForgeError:
    token = unexpected.token
    span = source.span(token.start, token.end)
    if token.kind in ("END", "ELSE", "ELSE_IF", "CATCH", "FINALLY"):
        message = f"{token.text} closes no block that is open here"
        return BrokenBlock([Diagnostic(Code.EARTHFILE_SYNTAX, message, span)])
    if token.kind == "VERSION":
        message = "VERSION must be the first command, once"
    elif token.kind == "EOL":
        wanted = sorted(_SPOKEN[kind] for kind in unexpected.accepted if kind in _SPOKEN)
        message = f"the command ends too early: {' or '.join(wanted)} is missing"
    else:
        message = f"{token.text[:60]!r} does not belong here"
    return fail(Code.EARTHFILE_SYNTAX, message, span)


_SPOKEN: Final = {
    "WORD": "a word",
    "GROUP": "a reference in parentheses",
    "TEXT": "a command",
    "NAME": "a name",
    "EQUAL": "=",
    "VALUE": "a value",
    "IN": "IN",
    "AS": "AS",
    "LOCAL": "LOCAL",
}
