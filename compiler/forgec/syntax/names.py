"""Names that mean nothing: found in the text alone, so also where no evaluation comes by.

A name is looked up in the struct literals around it, from the inside out, then among the fields of all files of the
package, then among the predeclared types. Only fields written as identifiers have a name in this sense.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from forgec.diagnostic import Code, Diagnostic
from forgec.nearest import did_you_mean
from forgec.syntax import ast
from forgec.syntax.value import PREDECLARED

_Names = tuple[Mapping[str, object], "_Names | None"]
"""The names of a literal, and those around it."""

_ADVISED_MAX: Final = 100
"""Problems that get an advice: looking for a similar name takes a millisecond, and a text may hold thousands."""


def unresolved(files: Sequence[ast.File]) -> list[Diagnostic]:
    """A problem for every reference to a name that is not defined."""
    names_by_file = ((name, found) for file in files for name, found in file.body.names.items())
    outermost = PREDECLARED.keys() | {name for name, found in names_by_file if isinstance(found, ast.Field)}
    problems: list[Diagnostic] = []
    # A stack of our own: the depth of a text is not bounded by its brackets alone.
    pending: list[tuple[ast.Expr, _Names | None]] = [(file.body, None) for file in files]
    while pending:
        expr, names = pending.pop()
        match expr:
            case ast.Reference(name=name, span=span):
                if name not in outermost and not _is_visible(name, names):
                    advised = len(problems) < _ADVISED_MAX
                    advice = did_you_mean(name, _visible(names) | outermost) if advised else None
                    problems.append(Diagnostic(Code.UNRESOLVED, f'"{name}" is not defined', span, help=advice))
            case ast.StructLiteral(declarations=declarations):
                inner = (expr.names, names)
                pending += [(each, inner) for declaration in declarations for each in _expressions(declaration)]
            case _:
                pending += [(part, names) for part in ast.parts(expr)]
    return problems


def _is_visible(name: str, names: _Names | None) -> bool:
    while names is not None:
        own, names = names
        if name in own:
            return True
    return False


def _visible(names: _Names | None) -> set[str]:
    visible: set[str] = set()
    while names is not None:
        own, names = names
        visible |= own.keys()
    return visible


def _expressions(declaration: ast.Declaration) -> tuple[ast.Expr, ...]:
    match declaration:
        case ast.Field(value=value) | ast.Let(value=value) | ast.Embedding(value=value):
            return (value,)
        case ast.Pattern(pattern=pattern, value=value):
            return (pattern, value)
        case _:
            return ()
