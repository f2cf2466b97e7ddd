"""The port through which a `.forge` file becomes data, and the evaluator that is always there.

The other adapter runs the cue command (`forgec.adapter.cue`). What both evaluate they evaluate to the same data, so
neither the document nor its configHashes tell which it was.
"""

from collections.abc import Callable, Sequence
from itertools import dropwhile, islice

from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.source import Source
from forgec.syntax.cue_lexer import lex_cue
from forgec.syntax.data import StructNode
from forgec.syntax.parse import parse_file
from forgec.syntax.unify import evaluate

Evaluate = Callable[[Source], StructNode]
"""The concrete data of a file, each value and key with its place in the text; ForgeError with all that is wrong."""


def evaluate_builtin(source: Source) -> StructNode:
    """With the dialect of `forgec.syntax`: in this process, pure, within limits."""
    try:
        return evaluate([parse_file(source)])
    except ForgeError as error:
        raise ForgeError(_causes(error.diagnostics)) from None


def _causes(problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """Without what is said of an expression that begins with a name which is not defined: this is told already."""
    undefined = {each.span.start for each in problems if each.span and each.code is Code.UNRESOLVED}
    return [
        each
        for each in problems
        if each.code is not Code.WRONG_TYPE or each.span is None or each.span.start not in undefined
    ]


def check_package(source: Source, expected: str) -> list[Diagnostic]:
    """A problem where the file is not of this package. Nothing but the clause itself is read, so any engine will do."""
    try:
        tokens = dropwhile(lambda token: token.kind in ("NEWLINE", "ATTRIBUTE"), lex_cue(source))
        clause = list(islice(tokens, 3))
    except ForgeError:  # what is no CUE at all is for the evaluator to tell
        return []
    kinds = [token.kind for token in clause]
    if kinds[:1] == ["PACKAGE"] and kinds[1:] not in (["IDENT"], ["IDENT", "NEWLINE"], ["IDENT", "COMMA"]):
        return []  # and so is this
    if kinds[:1] != ["PACKAGE"]:
        what, span = "names no package", source.span(0, 0)
    elif clause[1].text != expected:
        what, span = f'is of package "{clause[1].text}"', source.span(clause[1].start, clause[1].end)
    else:
        return []
    message = f'{expected}.cue must be of package "{expected}"; this one {what}'
    return [Diagnostic(Code.WRONG_PACKAGE, message, span, help=f'begin it with "package {expected}"')]
