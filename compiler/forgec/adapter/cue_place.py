"""Places for values that an engine gives without: where the text itself has a literal for a path.

`ci: phases: test: unit: timeout: "2m"` is found by walking the braces. What a definition, a reference or a
comprehension contributes is not in the literals at its path, and gets the place of the nearest field around it; a text
that our own parser does not take has no place but its beginning.
"""

from collections.abc import Iterator, Sequence

from forgec.diagnostic import ForgeError
from forgec.source import Source, Span
from forgec.syntax import ast
from forgec.syntax.data import FieldNode, ListNode, Node, ScalarNode, StructNode
from forgec.syntax.parse import parse_file


def place_values(node: Node, source: Source) -> Node:
    """The same data, with places in `source`."""
    return _placed(node, _body(source), source.span(0, 0))


def place_path(path: Sequence[str], source: Source) -> Span:
    """The key or item at a path of names and indexes, or the last one on the way to it that was written."""
    span = source.span(0, 0)
    written = _body(source)
    for step in path:
        literals = list(_literals(written))
        fields = _declared(literals, step)
        items = _items(literals, int(step)) if step.isdecimal() else []
        if not fields and not items:
            break
        span = fields[0].label.span if fields else items[0].span
        written = [*(field.value for field in fields), *items]
    return span


def _body(source: Source) -> Sequence[ast.Expr]:
    try:
        return [parse_file(source).body]
    except ForgeError:
        return []


def _placed(node: Node, written: Sequence[ast.Expr], around: Span) -> Node:
    """`written`: the expressions that the text has for this value, perhaps none."""
    span = written[0].span if written else around
    literals = list(_literals(written))
    match node:
        case ScalarNode(value=value):
            return ScalarNode(value, span)
        case ListNode(items=items):
            placed = (_placed(item, _items(literals, index), span) for index, item in enumerate(items))
            return ListNode(tuple(placed), span)
        case StructNode(fields=fields):
            return StructNode({name: _field(name, each, literals, span) for name, each in fields.items()}, span)


def _field(name: str, field: FieldNode, literals: Sequence[ast.Expr], around: Span) -> FieldNode:
    declared = [each for each in _declared(literals, name) if each.label.is_exported]
    key_span = declared[0].label.span if declared else around
    return FieldNode(key_span, _placed(field.value, [each.value for each in declared], key_span))


def _declared(literals: Sequence[ast.Expr], name: str) -> list[ast.Field]:
    return [
        declaration
        for literal in literals
        if isinstance(literal, ast.StructLiteral)
        for declaration in literal.declarations
        if isinstance(declaration, ast.Field) and declaration.label.name == name
    ]


def _items(literals: Sequence[ast.Expr], index: int) -> list[ast.Expr]:
    """The expressions at an index; a comprehension before it makes the count of the text another one."""
    found = []
    for literal in literals:
        if isinstance(literal, ast.ListLiteral) and all(isinstance(each, ast.Expr) for each in literal.items[:index]):
            found += [each for each in literal.items[index : index + 1] if isinstance(each, ast.Expr)]
    return found


def _literals(exprs: Sequence[ast.Expr]) -> Iterator[ast.Expr]:
    """The struct and list literals that expressions consist of: terms of `&` and `|`, and what is embedded."""
    pending = list(reversed(exprs))
    while pending:
        match pending.pop():
            case ast.Conjunction(terms=terms):
                pending += reversed(terms)
            case ast.Disjunction(terms=disjuncts):
                pending += [each.value for each in reversed(disjuncts)]
            case ast.Named(value=value):
                pending.append(value)
            case ast.StructLiteral(declarations=declarations) as literal:
                yield literal
                pending += [each.value for each in reversed(declarations) if isinstance(each, ast.Embedding)]
            case ast.ListLiteral() as literal:
                yield literal
