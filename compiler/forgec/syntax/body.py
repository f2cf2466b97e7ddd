"""What the text of a struct tells of its fields before anything is evaluated."""

from collections.abc import Iterator, Set

from forgec.syntax import ast
from forgec.syntax.vertex import Vertex


def field_names(expr: ast.Expr) -> Iterator[str]:
    """The fields of a struct, as they are written: its own, and those of structs that are embedded or added."""
    match expr:
        case ast.StructLiteral(declarations=declarations):
            for declaration in declarations:
                match declaration:
                    case ast.Field(label=label):
                        yield label.name
                    case ast.Embedding(value=inner) | ast.Comprehension(body=inner):
                        yield from field_names(inner)
        case ast.Conjunction(terms=terms):
            for term in terms:
                yield from field_names(term)


def is_open(body: ast.Expr) -> bool:
    """Whether the text does not tell which fields the body of a comprehension adds."""
    for declaration in body.declarations if isinstance(body, ast.StructLiteral) else ():
        match declaration:
            case ast.Embedding(value=inner) | ast.Comprehension(body=inner):
                if not isinstance(inner, ast.StructLiteral) or is_open(inner):
                    return True
            case ast.Field() | ast.Let():
                pass
            case _:
                return True
    return False


def looked_up_in_vain(vertex: Vertex, body: ast.Expr, absent: Set[str]) -> Iterator[tuple[Vertex, ast.Label]]:
    """The fields of a body that are not there because the body is not wanted, which is because they are not there."""
    for declaration in body.declarations if isinstance(body, ast.StructLiteral) else ():
        match declaration:
            case ast.Field(label=label) if label.name in absent:
                yield vertex, label
            case ast.Field(label=label, value=value):
                child = vertex.table(label.name).get(label.name)
                if child is not None:
                    yield from looked_up_in_vain(child, value, child.absent.keys())
            case ast.Embedding(value=inner) | ast.Comprehension(body=inner):
                yield from looked_up_in_vain(vertex, inner, absent)
