"""The clauses of a comprehension: one scope for each time that its body is wanted."""

from collections.abc import Iterator

from forgec.diagnostic import Code, Diagnostic
from forgec.syntax import ast
from forgec.syntax.expression import Expressions
from forgec.syntax.number import Exact
from forgec.syntax.problem import wrong
from forgec.syntax.selection import regular_fields, taking
from forgec.syntax.value import Kind
from forgec.syntax.vertex import Conjunct, Scope, Vertex


def scopes(expressions: Expressions, comprehension: ast.Comprehension, scope: Scope) -> list[Scope]:
    """In order; or Unknown. Clause by clause rather than nested, since a text may hold thousands of them."""
    found = [scope]
    for clause in comprehension.clauses:
        found = [inner for outer in found for inner in _within(expressions, clause, outer)]
    return found


def _within(expressions: Expressions, clause: ast.Clause, scope: Scope) -> Iterator[Scope]:
    expressions.budget.step(clause.span)
    match clause:
        case ast.If(condition=condition):
            if expressions.truth(condition, scope):
                yield scope
        case ast.Let(name=name, value=value):
            yield scope.binding({name: Vertex(scope.vertex, name, [Conjunct(value, scope)])})
        case ast.For(key=key, value=value, source=source):
            for label, item in _entries(expressions, source, scope):
                expressions.budget.step(clause.span)
                bound = {value: item}
                if key is not None:
                    bound[key] = Vertex(scope.vertex, key, [Conjunct(ast.Literal(label, clause.span), scope)])
                yield scope.binding(bound)


def _entries(expressions: Expressions, source: ast.Expr, scope: Scope) -> list[tuple[Exact, Vertex]]:
    """The items of a list with their positions, or the fields of a struct with their names."""
    for each in source.terms if isinstance(source, ast.Conjunction) else (source,):
        called = each.function.span.text if isinstance(each, ast.Call) else None
        if called == "close" or (called == "and" and each is not source):  # a circle to CUE, or overlooked
            message = f"a comprehension over a call of {called} is not supported"
            diagnostic = Diagnostic(Code.UNSUPPORTED, message, source.span, help="name the value, and go through that")
            raise expressions.unsupported(diagnostic)
    with taking(Kind.LIST | Kind.STRUCT, "for", "a list or a struct", source):
        vertex = expressions.whole(source, scope)
    if vertex.is_list:
        return list(enumerate(vertex.items))
    if vertex.is_struct:
        expressions.settling.note_loop(vertex, source.span)
        return [*_ordered(expressions, vertex, source)]
    raise wrong(Code.WRONG_TYPE, f"for goes through a list or a struct, not {vertex.basic}", source.span)


def _ordered(expressions: Expressions, vertex: Vertex, source: ast.Expr) -> list[tuple[str, Vertex]]:
    """Fields in the order in which CUE goes through them: as they are written, then those with computed names."""
    late = [each for each in vertex.structs if any(each.parts & around.late for around in vertex.ancestors())]
    if late and len(vertex.structs) > 1:
        message = f"a comprehension adds to {vertex.name}, and the order of its fields is not decided"
        raise expressions.early(message, source.span)
    fields = dict(regular_fields(vertex, source))
    return [(name, fields[name]) for name in vertex.order | fields if name in fields]
