"""What an expression refers to, and the one value it has.

Both may need vertices to be expanded first; `expand` is given by the evaluator, which in turn asks here.
"""

from collections.abc import Callable, Mapping
from typing import Final

from forgec.diagnostic import Code, Diagnostic
from forgec.nearest import did_you_mean
from forgec.source import Span
from forgec.syntax import ast
from forgec.syntax.budget import Budget
from forgec.syntax.data import Scalar
from forgec.syntax.problem import possibilities
from forgec.syntax.value import PREDECLARED, Basic, Kind, atom, calculate, checked_text, limit, meet, show
from forgec.syntax.vertex import Conjunct, Scope, State, Vertex

_WRITTEN_MAX: Final = 60


class Unknown(Exception):
    """An expression has no value, for a reason that is reported elsewhere where there is no diagnostic.

    `final`: nothing that is unified later can give it one.
    """

    def __init__(self, diagnostic: Diagnostic | None, *, final: bool = False) -> None:
        super().__init__()
        self.diagnostic = diagnostic
        self.final = final


class Expressions:
    def __init__(self, root: Vertex, budget: Budget, expand: Callable[[Vertex], None]) -> None:
        self._root = root
        self._budget = budget
        self._expand = expand

    def resolve(self, expr: ast.Expr, scope: Scope) -> Vertex | Basic:
        """The vertex an expression refers to or makes, or the values of a predeclared type; or Unknown."""
        match expr:
            case ast.Reference():
                return self._resolve_name(expr, scope)
            case ast.Selector(base=base, name=name, name_span=span):
                target = self._resolve_base(base, scope)
                table = target.fields if span.text.startswith('"') else target.table(name)
                return _selected(target, table, name, span, base)
            case ast.Index(base=base, index=index):
                return _indexed(self._resolve_base(base, scope), self.scalar(index, scope), index.span, base)
            case _:
                return Vertex(scope.vertex, "", [Conjunct(expr, scope)])

    def basic(self, expr: ast.Expr, scope: Scope) -> Basic:
        """The set of values that an expression without fields or items describes; or Unknown."""
        match expr:
            case ast.Bound(operator=operator, operand=operand, span=span):
                value = self.scalar(operand, scope)
                try:
                    return limit(operator, value)
                except ValueError as error:
                    raise _wrong(Code.BAD_VALUE, str(error), span) from None
            case _:
                return atom(self.scalar(expr, scope))

    def covers(self, pattern: ast.Expr, scope: Scope, name: str) -> bool:
        """Whether a field's name is among the values of a pattern; or Unknown."""
        target = self.resolve(pattern, scope)
        if isinstance(target, Basic):
            return meet(target, atom(name)) is not None
        self._expand(target)
        if target.problems or target.unreported:
            raise Unknown(None if target.unreported else target.problems[0], final=True)
        alternatives = [alternative.basic for alternative, _ in target.alternatives] or [target.basic]
        return any(meet(each, atom(name)) is not None for each in alternatives)

    def scalar(self, expr: ast.Expr, scope: Scope) -> Scalar:
        """The one value of an expression; or Unknown."""
        self._budget.enter(scope.vertex)
        try:
            match expr:
                case ast.Literal(value=value):
                    return value
                case ast.Interpolation(parts=parts):
                    return checked_text("".join(self._text(part, scope) for part in parts))
                case ast.Negation(operand=operand):
                    return calculate(0, "-", self.scalar(operand, scope))
                case ast.Arithmetic(first=first, rest=rest):
                    total = self.scalar(first, scope)
                    for operator, operand in rest:
                        total = calculate(total, operator, self.scalar(operand, scope))
                    return total
                case _:
                    return self._value(self.resolve(expr, scope), expr)
        except ValueError as error:
            raise _wrong(Code.BAD_VALUE, str(error), expr.span) from None
        except TypeError as error:
            raise _wrong(Code.WRONG_TYPE, str(error), expr.span) from None
        finally:
            self._budget.leave()

    def _text(self, part: str | ast.Expr, scope: Scope) -> str:
        """A part of an interpolation as text."""
        if isinstance(part, str):
            return part
        value = self.scalar(part, scope)
        if value is None:
            raise _wrong(Code.WRONG_TYPE, "null does not go into a string", part.span)
        return value if isinstance(value, str) else show(value)

    def _value(self, target: Vertex | Basic, expr: ast.Expr) -> Scalar:
        if isinstance(target, Basic):
            raise Unknown(Diagnostic(Code.INCOMPLETE, f"{target} is a type where a value is needed", expr.span))
        if target.state is State.EXPANDING:
            raise _wrong(Code.CYCLE, f"{target.name} needs its own value", expr.span)
        self._expand(target)
        if target.problems or target.unreported:
            raise Unknown(None)
        if target.basic.atom is None or target.is_ambiguous:
            if target.unknown is not None:
                raise Unknown(target.unknown)
            message = f"{_written(expr)} has no concrete value: it can be {possibilities(target)}"
            raise Unknown(Diagnostic(Code.INCOMPLETE, message, expr.span))
        return target.basic.atom.value

    def _resolve_name(self, reference: ast.Reference, scope: Scope) -> Vertex | Basic:
        name = reference.name
        at: Scope | None = scope
        while at is not None:
            match at.literal.names.get(name):
                case ast.Let() as let:
                    if let not in at.lets:
                        at.lets[let] = Vertex(at.vertex, name, [Conjunct(let.value, at)])
                    return at.lets[let]
                case ast.Field():
                    return _given(at.vertex.table(name)[name], name, reference.span)
            at = at.parent
        if name in self._root.table(name):
            return _given(self._root.table(name)[name], name, reference.span)
        if name in PREDECLARED:
            return Basic(PREDECLARED[name])
        raise Unknown(None)  # not defined: the check of names says so

    def _resolve_base(self, expr: ast.Expr, scope: Scope) -> Vertex:
        """What is selected from: a vertex, expanded."""
        self._budget.enter(scope.vertex)
        try:
            target = self.resolve(expr, scope)
            if isinstance(target, Basic):
                raise _wrong(Code.UNRESOLVED, f"{target} is a type and has no fields", expr.span)
            self._expand(target)
        finally:
            self._budget.leave()
        if target.problems or target.unreported:
            raise Unknown(None)
        return target


def _selected(vertex: Vertex, table: Mapping[str, Vertex], name: str, span: Span, base: ast.Expr) -> Vertex:
    """A field of the vertex that `base` refers to."""
    if name in table:
        return _given(table[name], name, span)
    if not vertex.basic.kinds & Kind.STRUCT:
        raise _wrong(Code.UNRESOLVED, f"{_written(base)} is {vertex.basic} and has no fields", span)
    message = f'{_written(base)} has no field "{name}"'
    raise Unknown(Diagnostic(Code.UNRESOLVED, message, span, help=did_you_mean(name, table)))


def _indexed(vertex: Vertex, key: Scalar, span: Span, base: ast.Expr) -> Vertex:
    if isinstance(key, str):
        return _selected(vertex, vertex.fields, key, span, base)
    if type(key) is not int or vertex.basic.kinds is not Kind.LIST:
        raise _wrong(Code.UNRESOLVED, f"{_written(base)} is {vertex.basic}; {show(key)} selects nothing from it", span)
    if not 0 <= key < len(vertex.items):
        message = f"{_written(base)} has {len(vertex.items)} items, no item {key}"
        raise Unknown(Diagnostic(Code.UNRESOLVED, message, span))
    return vertex.items[key]


def _written(expr: ast.Expr) -> str:
    """The text of an expression, short enough for a message."""
    text = " ".join(expr.span.text.split())
    return text if len(text) <= _WRITTEN_MAX else f"{text[: _WRITTEN_MAX - 3]}..."


def _given(vertex: Vertex, name: str, span: Span) -> Vertex:
    """The vertex of a field that is given, not only allowed."""
    if vertex.presence is ast.Presence.REGULAR:
        return vertex
    raise Unknown(Diagnostic(Code.UNRESOLVED, f'the field "{name}" is declared but not given', span))


def _wrong(code: Code, message: str, span: Span) -> Unknown:
    return Unknown(Diagnostic(code, message, span), final=True)
