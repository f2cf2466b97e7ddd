"""Selection: the field or item of an expanded vertex that a name or number leads to."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from forgec.diagnostic import Code, Diagnostic, Related
from forgec.nearest import did_you_mean
from forgec.source import Span
from forgec.syntax import ast
from forgec.syntax.closing import is_shut, is_shut_by_call
from forgec.syntax.number import Exact
from forgec.syntax.problem import Unknown, wrong
from forgec.syntax.value import ANY, Basic, Kind, show
from forgec.syntax.vertex import State, Vertex

_WRITTEN_MAX: Final = 60


Covers = Callable[[Vertex, str], bool]
"""Whether a pattern of the vertex allows a field with the name."""


def selected(
    vertex: Vertex, table: Mapping[str, Vertex], name: str, asked: ast.Selector | ast.Index, is_covered: Covers
) -> Vertex:
    """A field of the vertex that the base of `asked` refers to."""
    base, span = asked.base, asked.name_span if isinstance(asked, ast.Selector) else asked.index.span
    if name in table:
        return given(vertex, table[name], name, span)
    for each in (vertex, *vertex.shared):
        each.absent.setdefault(name, span)
    if not vertex.basic.kinds & Kind.STRUCT:
        diagnostic = Diagnostic(Code.UNRESOLVED, f"{written(base)} is {vertex.basic} and has no fields", span)
        raise Unknown(diagnostic, final=table is vertex.fields and vertex.state is State.EXPANDED)
    is_named = table is vertex.fields and isinstance(base, ast.Reference | ast.Selector | ast.Index)
    if is_named and is_shut(vertex) and not is_covered(vertex, name):
        raise wrong(Code.UNRESOLVED, f'{written(base)} is closed and has no field "{name}"', span)
    message = f'{written(base)} has no field "{name}"'
    if vertex.state is State.EXPANDING:
        message = f"{message} where it is needed to find out what {vertex.name} is itself"
        raise Unknown(Diagnostic(Code.CYCLE, message, span))
    raise Unknown(Diagnostic(Code.UNRESOLVED, message, span, help=did_you_mean(name, table)))


def check_absent(vertex: Vertex, is_covered: Covers) -> None:
    """`a: 5, a: a.b`: what turns out to be no struct has no field that was looked up meanwhile, to be its value.

    Nor has `a: close({}) & a.b`.
    """
    for name, span in vertex.absent.items() if vertex.unknown is not None else ():
        is_own = vertex.unknown is not None and vertex.unknown.span == span
        if name.startswith(("#", "_")):
            continue
        if is_own and not vertex.basic.kinds & Kind.STRUCT:
            message = f"{vertex.name} is {vertex.basic} and has no fields"
            vertex.problems.append(Diagnostic(Code.UNRESOLVED, message, span))
        elif is_shut_by_call(vertex) and name not in vertex.fields and not is_covered(vertex, name):
            message = f'{vertex.name} is closed and has no field "{name}"'
            vertex.problems.append(Diagnostic(Code.UNRESOLVED, message, span))


def indexed(vertex: Vertex, key: Exact, asked: ast.Index, is_covered: Covers) -> Vertex:
    """The same for `base[key]`, or an item of a list."""
    if isinstance(key, str):
        return selected(vertex, vertex.fields, key, asked, is_covered)
    base, span = asked.base, asked.index.span
    if type(key) is int and vertex.basic is ANY and vertex.state is State.EXPANDED:
        raise Unknown(Diagnostic(Code.INCOMPLETE, f"{written(base)} can be any value, it may be no list", span))
    if type(key) is not int or vertex.basic.kinds is not Kind.LIST:
        raise wrong(Code.UNRESOLVED, f"{written(base)} is {vertex.basic}; {show(key)} selects nothing from it", span)
    if not 0 <= key < len(vertex.items) and vertex.state is State.EXPANDED and not vertex.may_grow:
        raise wrong(Code.UNRESOLVED, f"{written(base)} has {len(vertex.items)} items, no item {key}", span)
    if not 0 <= key < len(vertex.items):
        message = f"{written(base)} has {len(vertex.items)} items, no item {key}"
        raise Unknown(Diagnostic(Code.UNRESOLVED, message, span))
    return vertex.items[key]


def is_no_list(vertex: Vertex) -> bool:
    """Whether a vertex is known to be none: one that can be any value is no list to cut."""
    is_known = vertex.state is State.EXPANDED and vertex.unknown is None
    return is_known and (vertex.basic is ANY or not vertex.basic.kinds & Kind.LIST)


def cut(vertex: Vertex, low: Exact, high: Exact, span: Span) -> list[Vertex]:
    """Some of the items of a list."""
    if type(low) is not int or type(high) is not int or not 0 <= low <= high <= len(vertex.items):
        message = f"{show(low)}:{show(high)} is no part of a list of {len(vertex.items)} items"
        raise wrong(Code.BAD_VALUE, message, span)
    return vertex.items[low:high]


def check_key(found: Vertex | Basic, index: ast.Expr) -> None:
    """What is no single value yet, and need be neither a whole number nor a string, selects nothing. Raises Unknown."""
    if isinstance(found, Vertex) and (found.unknown is not None or found.is_ambiguous):
        return
    basic = found.basic if isinstance(found, Vertex) else found
    if basic is ANY or not basic.kinds & (Kind.INT | Kind.STRING):
        raise wrong(Code.WRONG_TYPE, f"{written(index)} is {basic}, which selects nothing", index.span)


@contextmanager
def taking(kinds: Kind, taker: str, wanted: str, expr: ast.Expr) -> Iterator[None]:
    """While an operand is evaluated: one that is a type without any value of the kinds is wrong, whatever it becomes.

    One that has alternatives waits for them.
    """
    try:
        yield
    except Unknown as unknown:
        if unknown.possible is None or unknown.possible[0] is not expr or unknown.possible[1].kinds & kinds:
            raise
        raise wrong(Code.WRONG_TYPE, f"{taker} takes {wanted} here, not {unknown.possible[1]}", expr.span) from None


def given(parent: Vertex, vertex: Vertex, name: str, span: Span) -> Vertex:
    """The vertex of a field that is given, not only allowed."""
    if vertex.presence is ast.Presence.REGULAR:
        return vertex
    parent.absent.setdefault(name, span)
    raise Unknown(Diagnostic(Code.UNRESOLVED, f'the field "{name}" is declared but not given', span))


def is_required(around: Vertex, expr: ast.Expr) -> bool:
    """Whether a name that refers to nothing yet is that of a field around it, which whoever gives it cannot end."""
    return around.presence is ast.Presence.REQUIRED and isinstance(expr, ast.Reference) and around.label == expr.name


def regular_fields(vertex: Vertex, asked: ast.Expr) -> list[tuple[str, Vertex]]:
    """The fields that a struct has; or Unknown where one that it must have is not given."""
    for child in vertex.fields.values():
        if child.presence is ast.Presence.REQUIRED:
            related = (Related(child.keys[0].span, "required here"),)
            message = f"{child.path or child.label} is required but not given"
            raise Unknown(Diagnostic(Code.MISSING_FIELD, message, asked.span, related))
    return [(name, child) for name, child in vertex.fields.items() if child.presence is ast.Presence.REGULAR]


def written(expr: ast.Expr) -> str:
    """The text of an expression, short enough for a message."""
    text = " ".join(expr.span.text.split())
    return text if len(text) <= _WRITTEN_MAX else f"{text[: _WRITTEN_MAX - 3]}..."


def valueless(operand: ast.Expr, cause: Diagnostic) -> Diagnostic:
    """What is wrong with a part of an expression, told of the part as a whole."""
    related = Related(cause.span or operand.span, cause.message)
    message = f"the operand {written(operand)} has no value"
    return Diagnostic(cause.code, message, operand.span, (related, *cause.related), help=cause.help)
