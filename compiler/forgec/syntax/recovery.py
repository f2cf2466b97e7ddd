"""The tokens of a text without its broken declarations.

    ci: phases: {                 brackets fit, so a declaration ends with its line's comma or before "}"
        check lint: {...}         the parser cannot go on at "lint": this one is taken out
        test: unit: {...}         and stays
    }

A mistake inside a list or parentheses takes out the declaration that has these.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from forgec.source import Source, Span
from forgec.syntax.lalr import END
from forgec.syntax.token import Token

_OPENS: Final = frozenset({"LBRACE", "LSQB", "LPAR", "STRING_START"})
_CLOSES: Final = frozenset({"RBRACE", "RSQB", "RPAR", "STRING_END"})
_PLAIN_NAME = re.compile(r"[^\W\d_]\w*")


class Lost(Struct, frozen=True):
    """A declaration that was taken out; `names` are the fields that it certainly is about, from the outside in."""

    span: Span
    names: tuple[str, ...]


class Kept:
    """The tokens that are left; the declarations with what is no token at all go at once."""

    def __init__(self, source: Source, tokens: Sequence[Token]) -> None:
        self.tokens = list(tokens)
        self.lost: list[Lost] = []
        self._source = source
        declarations = _Declarations(self.tokens)
        wrong = {declarations.around(at) for at, token in enumerate(tokens) if token.kind == "WRONG"}
        self._remove(wrong)

    def place(self, token: Token) -> int:
        """How many tokens are before one."""
        return len(self.tokens) if token.kind == END else self.tokens.index(token)

    def take_out(self, at: int) -> bool:
        """The declaration in which a parser cannot go on; False if there is nothing to take out."""
        declarations = _Declarations(self.tokens)
        start, end = declarations.around(at)
        if start == at and at > 0 and self.tokens[at - 1].kind == "COMMA":  # it may go on with the one before
            start, _ = declarations.around(at - 1)
        if start < end:
            self._remove({(start, end)})
        return start < end

    def _remove(self, ranges: Iterable[tuple[int, int]]) -> None:
        kept: list[Token] = []
        at = 0
        for start, end in sorted(ranges, key=lambda each: (each[0], -each[1])):
            if start < at:  # it is inside another one
                continue
            kept += self.tokens[at:start]
            span = self._source.span(self.tokens[start].start, self.tokens[end - 1].end)
            self.lost.append(Lost(span, _names(self.tokens[start:end])))
            at = end + 1 if end < len(self.tokens) and self.tokens[end].kind == "COMMA" else end
        self.tokens = kept + self.tokens[at:]


class _Declarations:
    """Which declaration each token is in: the innermost one; a comma and a brace are in the one that they end."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._of: list[int] = []
        opened: list[tuple[str, int]] = []  # kinds of brackets, and the declarations that these are in
        current = self._begin(0)
        for at, token in enumerate(tokens):
            holder = current
            if token.kind in _OPENS:
                opened.append((token.kind, current))
                if token.kind == "LBRACE":
                    current = self._begin(at + 1)
            elif token.kind in _CLOSES:
                bracket, outer = opened.pop()
                if bracket == "LBRACE":
                    self._ends[current] = at
                    holder = current if self._starts[current] < at else outer
                    current = outer
            elif token.kind == "COMMA" and (not opened or opened[-1][0] == "LBRACE"):
                self._ends[current] = at
                current = self._begin(at + 1)
            self._of.append(holder)
        self._ends[current] = len(tokens)
        self._of.append(current)

    def around(self, at: int) -> tuple[int, int]:
        """Where the declaration around a token begins and ends; `at` may be the end of all."""
        return self._starts[self._of[at]], self._ends[self._of[at]]

    def _begin(self, at: int) -> int:
        self._starts.append(at)
        self._ends.append(at)
        return len(self._starts) - 1


def _names(tokens: Sequence[Token]) -> tuple[str, ...]:
    """The names of fields at the front: those of `a: "b": ...`."""
    names: list[str] = []
    for name, colon in zip(tokens[::2], tokens[1::2], strict=False):
        text = name.text[1:-1] if name.kind == "STRING" else name.text
        if name.kind not in ("IDENT", "STRING") or colon.kind != "COLON" or not _PLAIN_NAME.fullmatch(text):
            break
        names.append(text)
    return tuple(names)
