"""Words of an Earthfile command, cut into what is literal, what is a variable and what a shell must answer.

Quotes and escapes are gone in the pieces: `"a $b"'$c'` is the literal `a `, the variable `b`, the literal `$c`.
"""

import enum
import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from forgec.syntax.earthfile_line import unit_end


class PieceKind(enum.StrEnum):
    LITERAL = "literal"
    VARIABLE = "variable"
    SHELL = "shell"


class Piece(Struct, frozen=True):
    """`text` is the literal, the variable's name, or the script inside `$(...)`."""

    kind: PieceKind
    text: str


def parse_word(text: str) -> tuple[Piece, ...]:
    """Raises ValueError for an expansion other than `$name`, `${name}` and `$(...)`, or one that is never closed."""
    pieces: list[Piece] = []
    for piece in _pieces(text):
        if pieces and piece.kind is pieces[-1].kind is PieceKind.LITERAL:
            pieces[-1] = Piece(PieceKind.LITERAL, pieces[-1].text + piece.text)
        else:
            pieces.append(piece)
    return tuple(pieces)


def _pieces(text: str) -> Iterator[Piece]:
    at, quoted = 0, False
    while at < len(text):
        char = text[at]
        if char == '"':
            quoted = not quoted
            at += 1
        elif char == "'" and not quoted:
            end = unit_end(text, at, group=False)
            if end is None:
                raise ValueError("the quote ' is never closed")
            yield Piece(PieceKind.LITERAL, text[at + 1 : end - 1])
            at = end
        elif char == "\\" and at + 1 < len(text) and (not quoted or text[at + 1] in '"\\$`\n'):
            yield Piece(PieceKind.LITERAL, text[at + 1])
            at += 2
        elif text.startswith("$(", at):
            end = unit_end(text, at, group=False)
            if end is None:
                raise ValueError("$( is never closed")
            yield Piece(PieceKind.SHELL, text[at + 2 : end - 1])
            at = end
        elif match := _VARIABLE.match(text, at):
            yield Piece(PieceKind.VARIABLE, match[1] or match[2])
            at = match.end()
        elif text.startswith("${", at):
            raise ValueError(f"only ${{name}} is supported, not {text[at : at + 30]}")
        else:
            yield Piece(PieceKind.LITERAL, char)
            at += 1


_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
