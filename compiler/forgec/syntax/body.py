"""What the text of a struct tells of its fields before anything is evaluated."""

from collections.abc import Iterator, Mapping
from typing import Final

from forgec.source import Span
from forgec.syntax import ast
from forgec.syntax.vertex import Vertex

_CALCULATED: Final = (ast.Operation, ast.Prefix, ast.Interpolation, ast.Conjunction, ast.Disjunction, ast.Call)
"""What an item of a list may be that is no mere reference."""

_COMPARED_MAX: Final = 50
"""Comprehensions of a struct that are held against each other."""


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


def is_settled(vertex: Vertex, body: ast.Expr) -> bool:
    """Whether nothing but the text has a say in which fields the body of a comprehension adds to the vertex."""
    return not is_open(body) and vertex.original is None and not _may_have_patterns(vertex)


def _may_have_patterns(vertex: Vertex) -> bool:
    """Of its own, or of a comprehension that waits. CUE holds them against fields by turns with what says which these
    are."""
    waiting = (each.declaration for each in vertex.deferred)
    return bool(vertex.patterns) or any(isinstance(each, ast.Comprehension) and is_open(each.body) for each in waiting)


def looked_up_in_vain(
    vertex: Vertex, body: ast.Expr, absent: Mapping[str, Span], whole: Mapping[Vertex, Span]
) -> Iterator[tuple[Vertex, ast.Label, Span]]:
    """The fields of a body that are not there because the body is not wanted, which is because they are not there.

    `absent`: names that were looked up, and where; `whole`: structs all of whose fields were. With the place of that.
    """
    for declaration in body.declarations if isinstance(body, ast.StructLiteral) else ():
        match declaration:
            case ast.Field(label=label) if label.name in absent:
                yield vertex, label, absent[label.name]
            case ast.Field(label=label, value=value):
                child = vertex.table(label.name).get(label.name)
                if child is not None:
                    yield from looked_up_in_vain(child, value, child.absent, whole)
                elif vertex in whole:
                    yield vertex, label, whole[vertex]
            case ast.Embedding(value=inner) | ast.Comprehension(body=inner):
                yield from looked_up_in_vain(vertex, inner, absent, whole)


def circular_lets(literal: ast.StructLiteral) -> Iterator[ast.Let]:
    """Those whose value mentions themselves, also by way of others beside them."""
    lets = [each for each in literal.declarations if isinstance(each, ast.Let)]
    names = {each.name for each in lets}
    mentioned = {
        each: names.intersection(part.name for part in _everything(each.value) if isinstance(part, ast.Reference))
        for each in lets
    }
    mentioning: dict[str, list[ast.Let]] = {}
    for let, inner in mentioned.items():
        for name in inner:
            mentioning.setdefault(name, []).append(let)
    settled = [each for each in lets if not mentioned[each]]
    for each in settled:  # which grows meanwhile
        for outer in mentioning.get(each.name, ()):
            mentioned[outer].discard(each.name)
            if not mentioned[outer]:
                settled.append(outer)
    return (each for each in lets if mentioned[each])


def mentions(expr: ast.Expr, name: str) -> bool:
    return any(name == each for each, _ in _references(expr))


def holds(expr: ast.Expr, part: ast.Expr) -> bool:
    return any(each is part for each in _everything(expr))


def early_names(literal: ast.StructLiteral) -> Iterator[tuple[str, Span]]:
    """What may be asked for before a struct's fields are known, by what says which ones there are.

    That is what two comprehensions need of each other; what a loop around a loop calculates of the items that it goes
    through, for names that it computes; what the alternatives of an embedded `or` refer to, and `a` in
    `{[close(a)][0], a: {}}`; and `a: [a.b][0]`.
    """
    yield from _of_each_other(literal)
    for declaration in literal.declarations:
        match declaration:
            case ast.Comprehension():
                yield from _of_outer_loops(declaration)
            case ast.Embedding(value=value) if not isinstance(value, ast.StructLiteral):
                for call in (each for each in _everything(value) if isinstance(each, ast.Call)):
                    if isinstance(call.function, ast.Reference) and call.function.name == "or":
                        yield from _references(call)
                for item in _chosen(value):
                    if isinstance(item, ast.Call) and item.function.span.text == "close":
                        yield from _references(item)
            case ast.Field(label=label, value=value):
                for item in _chosen(value):
                    yield from (found for found in _references(item) if found[0] == label.name)


def _chosen(expr: ast.Expr) -> Iterator[ast.Expr]:
    """The items of lists that are written out to choose from, `[a, b][0]`, outside of structs."""
    pending: list[ast.Expr | ast.Comprehension] = [expr]
    while pending:
        match pending.pop():
            case ast.Comprehension():
                pass
            case part:
                if isinstance(part, ast.Index | ast.Slice) and isinstance(part.base, ast.ListLiteral):
                    yield from (each for each in part.base.items if not isinstance(each, ast.Comprehension))
                pending += ast.parts(part)


def _of_each_other(literal: ast.StructLiteral) -> Iterator[tuple[str, Span]]:
    """`if a != _|_ {b: 1}`, `if b != _|_ {a: 2}`; and `if len(a) > 1 {a: b: 1}`, by a call"""
    found = [each for each in literal.declarations if isinstance(each, ast.Comprehension)][:_COMPARED_MAX]
    added = [frozenset(field_names(each.body)) for each in found]
    asked = [dict(_asked(each)) for each in found]
    for one, names in enumerate(asked):
        called = dict(_asked(found[one], by_call=True))
        yield from ((name, called[name]) for name in called.keys() & added[one])
        for other, fields in enumerate(added):
            if one != other and not asked[other].keys().isdisjoint(added[one]):
                yield from ((name, names[name]) for name in names.keys() & fields)


def _asked(comprehension: ast.Comprehension, *, by_call: bool = False) -> Iterator[tuple[str, Span]]:
    for clause in comprehension.clauses:
        match clause:
            case ast.For(source=expr) | ast.If(condition=expr) | ast.Let(value=expr):
                for part in (each for each in _everything(expr) if isinstance(each, ast.Call)) if by_call else (expr,):
                    yield from _references(part)


def _of_outer_loops(comprehension: ast.Comprehension) -> Iterator[tuple[str, Span]]:
    loops = [each.source for each in comprehension.clauses if isinstance(each, ast.For)]
    pending: list[ast.Expr] = [comprehension.body]
    has_names = False
    inner = 0
    while pending:
        body = pending.pop()
        for each in body.declarations if isinstance(body, ast.StructLiteral) else ():
            match each:
                case ast.Computed():
                    has_names = True
                case ast.Embedding(value=value):
                    pending.append(value)
                case ast.Comprehension(clauses=clauses, body=value):
                    inner += sum(isinstance(clause, ast.For) for clause in clauses)
                    pending.append(value)
    for source in loops[: None if inner else -1] if has_names else ():
        if isinstance(source, ast.ListLiteral | ast.StructLiteral):
            for part in _everything(source):
                if isinstance(part, _CALCULATED):
                    yield from _references(part)


def _references(expr: ast.Expr) -> Iterator[tuple[str, Span]]:
    """The names that values are taken from; a definition as a whole asks for none."""
    for part in _everything(expr):
        match part:
            case ast.Selector(base=ast.Reference(name=name, span=span)):
                yield name, span
            case ast.Reference(name=name, span=span) if not name.startswith("#"):
                yield name, span


def _everything(expr: ast.Expr) -> Iterator[ast.Expr]:
    """An expression and all that is in it, also in structs and comprehensions."""
    pending: list[ast.Expr | ast.Declaration | ast.Clause] = [expr]
    while pending:
        match pending.pop():
            case ast.StructLiteral(declarations=declarations):
                pending += declarations
            case ast.Comprehension(clauses=clauses, body=inner):
                pending += [*clauses, inner]
            case ast.Pattern(pattern=name, value=inner) | ast.Computed(name=name, value=inner):
                pending += [name, inner]
            case (
                ast.Field(value=inner)
                | ast.Embedding(value=inner)
                | ast.Named(value=inner)
                | ast.Let(value=inner)
                | ast.For(source=inner)
                | ast.If(condition=inner)
            ):
                pending.append(inner)
            case ast.Opening() | ast.Attribute():
                pass
            case part:
                yield part
                pending += ast.parts(part)
