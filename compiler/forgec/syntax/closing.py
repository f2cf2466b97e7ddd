"""Closed structs: which fields a definition, or a call of `close`, allows where it is used."""

from collections.abc import Iterator, Sequence

from forgec.syntax import ast, problem
from forgec.syntax.vertex import Closing, Conjunct, State, Vertex


def check_closed(vertex: Vertex) -> None:
    """Refuse the fields that something which closes the vertex does not declare."""
    refused: set[str] = set()
    closings = {closing for each in vertex.structs for closing in each.closings}
    for closing in sorted(closings, key=lambda each: (each.span.source.name, each.span.start)):
        closed = [each for each in vertex.structs if closing in each.closings]
        parts = closing.parts.union(*(each.parts for each in closed))
        literals = [each.expr for each in (*closed, *(each for each in vertex.structs if each.beside & parts))]
        declarations = [
            declaration
            for literal in literals
            if isinstance(literal, ast.StructLiteral)
            for declaration in literal.declarations
        ]
        if any(isinstance(each, ast.Opening) for each in declarations):
            continue
        _check_beside(vertex, closing, closed)
        allowed = {name for literal in literals for covered, name in vertex.matched if covered is literal}
        allowed |= {each.label.name for each in declarations if isinstance(each, ast.Field) and each.label.is_exported}
        for name, child in vertex.fields.items():
            if child.presence is not ast.Presence.OPTIONAL and name not in allowed and name not in refused:
                refused.add(name)
                vertex.problems.append(problem.not_allowed(vertex, child, name, closing, allowed))


def _check_beside(vertex: Vertex, closing: Closing, closed: Sequence[Conjunct]) -> None:
    """Refuse `c: {}, #E & {c: a: 1}` where #E has no c: what there may be in c is for `c: {}` alone to say."""
    declared = {each.label.name for conjunct in closed for each in _fields(conjunct)}
    for conjunct in vertex.structs:
        if closing not in conjunct.closings and conjunct.parts & closing.parts:
            for each in _fields(conjunct):
                if each.label.name not in declared and not isinstance(each.value, ast.Literal):
                    vertex.problems.append(problem.not_told_apart(vertex, each.label, closing))


def _fields(conjunct: Conjunct) -> Iterator[ast.Field]:
    for each in conjunct.expr.declarations if isinstance(conjunct.expr, ast.StructLiteral) else ():
        if isinstance(each, ast.Field) and each.label.is_exported:
            yield each


def is_shut(vertex: Vertex) -> bool:
    """Whether a struct is known to never get a field that neither it nor a pattern of it declares."""
    if vertex.state is not State.EXPANDED or not vertex.is_struct:
        return False
    literals = [each.expr for each in vertex.structs if isinstance(each.expr, ast.StructLiteral)]
    if any(isinstance(each, ast.Opening) for literal in literals for each in literal.declarations):
        return False
    is_defined = any(each.label.startswith(("#", "_#")) for each in (vertex, *vertex.ancestors()))
    return is_defined or any(each.closings for each in vertex.structs)


def names_definition(expr: ast.Expr) -> bool:
    """Whether a path leads through a definition."""
    while isinstance(expr, ast.Selector | ast.Index):
        if isinstance(expr, ast.Selector) and expr.name.startswith(("#", "_#")):
            return True
        expr = expr.base
    return isinstance(expr, ast.Reference) and expr.name.startswith(("#", "_#"))
