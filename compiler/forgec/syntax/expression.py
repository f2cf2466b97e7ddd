"""What an expression refers to, and the value it has.

Both may need vertices to be expanded first; `expand` is given by the evaluator, which in turn asks here.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from forgec.diagnostic import Code, Diagnostic
from forgec.source import Span
from forgec.syntax import ast
from forgec.syntax.budget import Budget
from forgec.syntax.call import PREDECLARED_FUNCTIONS, Calls
from forgec.syntax.existence import exists
from forgec.syntax.number import Exact
from forgec.syntax.operators import combine, signed
from forgec.syntax.plain import Plain, same
from forgec.syntax.problem import Unknown, missing, possibilities, without_value, wrong, wrong_value
from forgec.syntax.selection import check_key, given, indexed, regular_fields, selected, taking, valueless, written
from forgec.syntax.settling import Settling
from forgec.syntax.value import PREDECLARED, Basic, Kind, atom, checked_text, limit, meet, show
from forgec.syntax.vertex import Conjunct, Scope, State, Vertex

_WAY_MAX: Final = 5
"""Fields of a circle that are named."""

S = TypeVar("S")
T = TypeVar("T")


class Expressions:
    """`undecided` gathers what cannot be evaluated in the order that this evaluator works in.

    Such a problem makes the whole evaluation fail, even inside an alternative that another one could replace: CUE might
    keep the alternative, and an error is better than another value. `lets` are those that were used, `expanding` the
    vertices that are being expanded, innermost last.
    """

    def __init__(self, root: Vertex, budget: Budget, expand: Callable[[Vertex], None]) -> None:
        self.undecided: list[Diagnostic] = []
        self.lets: list[Vertex] = []
        self.budget = budget
        self.expanding: list[Vertex] = []
        self.settling = Settling(self.expanding, self.early)
        self._root = root
        self.expand = expand
        self._calls = Calls(self)

    def resolve(self, expr: ast.Expr, scope: Scope) -> Vertex | Basic:
        """The vertex an expression refers to or makes, or the values of a predeclared type; or Unknown."""
        match expr:
            case ast.Reference():
                return self._latest(self._resolve_name(expr, scope), expr.span)
            case ast.Selector(base=base, name=name, name_span=span):
                if self.package(base, scope) is not None:
                    return self._calls.uncalled(expr, scope)
                target = self._selected_from(base, scope)
                table = target.fields if span.text.startswith('"') else target.table(name)
                if target.state is State.EXPANDING and name not in table and self.expanding[-1] is not target:
                    raise self.early(f"{target.name} is needed to find out what it is itself", expr.span)
                return self._latest(selected(target, table, name, expr, self.is_covered), expr.span)
            case ast.Index(base=base, index=index):
                target = self._selected_from(base, scope)
                return self._latest(indexed(target, self._key(index, scope), expr, self.is_covered), expr.span)
            case ast.Slice():
                return self._calls.cut(expr, scope)
            case ast.Call():
                return self._calls.result(expr, scope)
            case _:
                return Vertex(scope.vertex, "", [Conjunct(expr, scope)])

    def package(self, expr: ast.Expr, scope: Scope) -> str | None:
        """The path of the package that an expression names."""
        if not isinstance(expr, ast.Reference):
            return None
        at: Scope | None = scope
        while at is not None:
            if expr.name in at.names or expr.name in at.bound:
                return None
            if expr.name in at.imports:
                return at.imports[expr.name]
            at = at.parent
        return None

    def is_predeclared(self, name: str, scope: Scope) -> bool:
        """Whether nothing in the package has the name."""
        at: Scope | None = scope
        while at is not None:
            if name in at.names or name in at.bound or name in at.imports:
                return False
            at = at.parent
        return name not in self._root.table(name)

    def basic(self, expr: ast.Expr, scope: Scope) -> Basic:
        """The set of values that an expression without fields or items describes; or Unknown."""
        match expr:
            case ast.Bound(operator=operator, operand=operand, span=span):
                with taking(Kind.ANY & ~Kind.BOOL, operator, "a number or a string", operand):
                    value = self.scalar(operand, scope)
                try:
                    return limit(operator, value)
                except ValueError as error:
                    raise wrong_value(error, span) from None
            case _:
                return atom(self.scalar(expr, scope))

    def covers(self, pattern: ast.Expr, scope: Scope, name: str) -> bool:
        """Whether a field's name is among the values of a pattern; or Unknown."""
        self.budget.read(pattern.span, len(name))
        target = self.resolve(pattern, scope)
        if isinstance(target, Basic):
            return meet(target, atom(name)) is not None
        self.expand(target)
        if target.problems or target.unreported:
            raise Unknown(None if target.unreported else target.problems[0], final=True)
        if target.unknown is not None:
            raise Unknown(target.unknown)
        alternatives = [alternative.basic for alternative, _ in target.alternatives] or [target.basic]
        return any(meet(each, atom(name)) is not None for each in alternatives)

    def is_covered(self, vertex: Vertex, name: str) -> bool:
        return any(self.covers(each.pattern, scope, name) for each, _, scope in vertex.patterns)

    def scalar(self, expr: ast.Expr, scope: Scope) -> Exact:
        """The one value of an expression; or Unknown."""
        self.budget.enter(expr.span)
        try:
            match expr:
                case ast.Literal(value=value):
                    return value
                case ast.Interpolation(parts=parts):
                    texts = self.every(parts, lambda part: self._text(part, scope))
                    checked_text(sum(len(text) for text in texts))
                    self.budget.read(expr.span, sum(len(text) for text in texts))
                    return "".join(texts)
                case ast.Prefix(operator="!", operand=operand):
                    return not self.truth(operand, scope)
                case ast.Prefix(operator=operator, operand=operand):
                    with taking(Kind.NUMBER, operator, "a number", operand):
                        value = self.scalar(operand, scope)
                    return signed(operator, value)
                case ast.Operation():
                    return self._operation(expr, scope)
                case _:
                    return self._value(self._operand(expr, scope), expr)
        except (TypeError, ValueError) as error:
            raise wrong_value(error, expr.span) from None
        finally:
            self.budget.leave()

    def truth(self, expr: ast.Expr, scope: Scope) -> bool:
        with taking(Kind.BOOL, "a condition", "true or false", expr):
            value = self.scalar(expr, scope)
        if not isinstance(value, bool):
            raise wrong(Code.WRONG_TYPE, f"{show(value)} is neither true nor false", expr.span)
        return value

    def base(self, expr: ast.Expr, scope: Scope) -> Vertex:
        """What is selected from: a vertex, expanded as far as it is."""
        self.budget.enter(expr.span)
        try:
            target = self._operand(expr, scope)
            if isinstance(target, Basic):
                raise wrong(Code.WRONG_TYPE, f"{target} is a type where a value is needed", expr.span)
            self.expand(target)
        finally:
            self.budget.leave()
        if target.unreported:
            raise Unknown(None)
        if target.problems:
            raise self._of_operand(target.problems[0], expr, final=True)
        if target.is_ambiguous:
            message = f"{written(expr)} is not decided: it can be {possibilities(target)}"
            raise without_value(target, message, expr, self.undecided)
        return target

    def _selected_from(self, expr: ast.Expr, scope: Scope) -> Vertex:
        """A vertex that lacks nothing, or is not evaluated to the end."""
        target = self.base(expr, scope)
        if target.unknown is not None and target.state is State.EXPANDED:
            raise Unknown(target.unknown)
        return target

    def whole(self, expr: ast.Expr, scope: Scope) -> Vertex:
        """A vertex whose fields and items are all known; or Unknown."""
        target = self.base(expr, scope)
        if target.state is State.EXPANDING:
            raise self.early(f"{target.name} is needed to find out what it is itself", expr.span)
        if target.unknown is not None:
            raise self._of_operand(target.unknown, expr, final=False)
        if not (target.is_list or target.is_struct) and target.basic.atom is None:
            message = f"{written(expr)} has no concrete value: it can be {possibilities(target)}"
            raise without_value(target, message, expr, self.undecided)
        return target

    def plain(self, expr: ast.Expr, scope: Scope) -> Plain:
        """The value of an expression with everything below it; or Unknown."""
        return self.plain_vertex(self.whole(expr, scope), expr)

    def plain_vertex(self, vertex: Vertex, expr: ast.Expr) -> Plain:
        self.budget.enter(expr.span)
        try:
            self.expand(vertex)
            if vertex.is_list and not vertex.problems and vertex.unknown is None:
                return [self.plain_vertex(item, expr) for item in vertex.items]
            if vertex.is_struct and not vertex.problems:
                self.settling.check_whole(vertex, expr.span)
                for child in vertex.hidden.values():
                    if child.presence is ast.Presence.REQUIRED:
                        raise Unknown(missing(vertex, child))
                    self._check_hidden(child)
                return {name: self.plain_vertex(child, expr) for name, child in regular_fields(vertex, expr)}
            return self._value(vertex, expr)
        finally:
            self.budget.leave()

    def _check_hidden(self, vertex: Vertex) -> None:
        """A conflict in a hidden field is one of the value around it. Raises Unknown."""
        if vertex.presence is ast.Presence.OPTIONAL:
            return
        self.expand(vertex)
        if vertex.problems:
            raise Unknown(vertex.problems[0], final=True)
        for child in (*vertex.fields.values(), *vertex.hidden.values(), *vertex.items):
            self._check_hidden(child)

    def items(self, vertex: Vertex) -> Sequence[Vertex] | None:
        """The items of a list, or None of anything else."""
        self.expand(vertex)
        if vertex.problems:
            raise Unknown(vertex.problems[0], final=True)
        return vertex.items if vertex.is_list else None

    def every(self, operands: Sequence[S], value: Callable[[S], T]) -> list[T]:
        """The value of each operand; or Unknown, rather for one that can never have a value."""
        values = []
        waiting: Unknown | None = None
        for operand in operands:
            try:
                values.append(value(operand))
            except Unknown as unknown:
                if unknown.final:
                    raise
                waiting = waiting or unknown
        if waiting is not None:
            raise waiting
        return values

    def early(self, message: str, span: Span) -> Unknown:
        """Something is needed before it is known. Final, whatever is tried around it."""
        diagnostic = Diagnostic(Code.CYCLE, message, span)
        self.undecided.append(diagnostic)
        return Unknown(diagnostic, final=True)

    def unsupported(self, diagnostic: Diagnostic) -> Unknown:
        self.undecided.append(diagnostic)
        return Unknown(diagnostic, final=True)

    def _operation(self, expr: ast.Operation, scope: Scope) -> Exact:
        (operator, operand), *others = expr.rest
        if operator in ("==", "!=") and not others:
            return self._equality(expr.first, operator, operand, scope)
        operands = (expr.first, *(operand for _, operand in expr.rest))
        total, *values = self.every(operands, lambda operand: self.scalar(operand, scope))
        for (operator, _), value in zip(expr.rest, values, strict=True):
            self.budget.read(expr.span, sum(len(text) for text in (total, value) if isinstance(text, str)))
            total = combine(total, operator, value)
        return total

    def _equality(self, left: ast.Expr, operator: str, right: ast.Expr, scope: Scope) -> bool:
        """Of any two values; and `x != _|_` asks whether x has one."""
        for side, other in ((left, right), (right, left)):
            if isinstance(side, ast.Bottom):
                return exists(other, scope, self) == (operator == "!=")
        first, second = self.every((left, right), lambda side: self._compared(side, scope))
        self.budget.read(left.span, sum(len(text) for text in (first, second) if isinstance(text, str)))
        return same(first, second, outermost=True) == (operator == "==")

    def _compared(self, side: ast.Expr, scope: Scope) -> Plain:
        """One side of `==`. What is wrong inside one that is written out is told of it as a whole."""
        try:
            return self.plain(side, scope)
        except Unknown as unknown:
            if unknown.diagnostic is None or isinstance(side, ast.Reference | ast.Selector | ast.Index):
                raise
            raise Unknown(valueless(side, unknown.diagnostic), final=unknown.final) from None

    def _key(self, index: ast.Expr, scope: Scope) -> Exact:
        """What selects from a list or a struct; or Unknown, which is final where it need be no number and no string."""
        try:
            return self.scalar(index, scope)
        except Unknown as unknown:
            if not unknown.final and isinstance(index, ast.Reference | ast.Selector):
                check_key(self.resolve(index, scope), index)
            raise

    def _operand(self, expr: ast.Expr, scope: Scope) -> Vertex | Basic:
        """What a part of an expression refers to; or Unknown."""
        if isinstance(expr, ast.Call) and expr.function.span.text == "and":  # CUE mostly does not look into it
            message = "a call of and inside an expression is not supported"
            advice = "give the call a field of its own, and refer to that"
            raise self.unsupported(Diagnostic(Code.UNSUPPORTED, message, expr.span, help=advice))
        return self.resolve(expr, scope)

    def _text(self, part: str | ast.Expr, scope: Scope) -> str:
        """A part of an interpolation as text."""
        if isinstance(part, str):
            return part
        value = self.scalar(part, scope)
        if value is None:
            raise wrong(Code.WRONG_TYPE, "null does not go into a string", part.span)
        return value if isinstance(value, str) else show(value)

    def _way(self, target: Vertex) -> str:
        """What is needed to find out what a vertex is, which is needed for that again."""
        first = next((at for at, each in enumerate(self.expanding, 1) if each is target), len(self.expanding))
        names = dict.fromkeys(each.name for each in self.expanding[first:][:_WAY_MAX] if each.label)
        return f", by way of {', '.join(names)}" if names else ""

    def _value(self, target: Vertex | Basic, expr: ast.Expr) -> Exact:
        if isinstance(target, Basic):
            incomplete = Diagnostic(Code.INCOMPLETE, f"{target} is a type where a value is needed", expr.span)
            raise Unknown(incomplete, possible=(expr, target))
        if target.state is State.EXPANDING:
            raise self.early(f"{target.name} needs its own value{self._way(target)}", expr.span)
        self.expand(target)
        if target.unreported:
            raise Unknown(None)
        if target.problems:
            raise self._of_operand(target.problems[0], expr, final=True)
        if target.unknown is not None:
            raise self._of_operand(target.unknown, expr, final=False)
        if target.basic.atom is None or target.is_ambiguous:
            each_is_no_scalar = all(each.is_list or each.is_struct for each, _ in target.alternatives)
            if target.is_list or target.is_struct or (target.is_ambiguous and each_is_no_scalar):
                if self.is_evaluated_inside(target):  # to CUE mostly a circle
                    raise self.early(f"{target.name} is needed to find out what is in it", expr.span)
                message = f"{written(expr)} is {possibilities(target)} where a single value is needed"
                raise wrong(Code.WRONG_TYPE, message, expr.span)
            message = f"{written(expr)} has no concrete value: it can be {possibilities(target)}"
            raise without_value(target, message, expr, self.undecided)
        return target.basic.atom.value

    def _resolve_name(self, reference: ast.Reference, scope: Scope) -> Vertex | Basic:
        name, span = reference.name, reference.span
        at: Scope | None = scope
        while at is not None:
            if name in at.bound:
                return at.bound[name]
            match at.names.get(name):
                case ast.Let() as let:
                    if let not in at.lets:
                        at.lets[let] = Vertex(at.vertex, name, [Conjunct(let.value, at)])
                        self.lets.append(at.lets[let])
                    return at.lets[let]
                case ast.Field(label=label):
                    table = at.vertex.table(label.name) if label.is_identifier else at.vertex.fields
                    if label.name not in table:
                        raise self.early(f"{name} is needed before the struct that it is in is put together", span)
                    return given(at.vertex, table[label.name], name, span)
            if name in at.imports:
                raise wrong(Code.WRONG_TYPE, f'"{name}" is a package, not a value', span)
            at = at.parent
        if name in self._root.table(name):
            return given(self._root, self._root.table(name)[name], name, span)
        if name in PREDECLARED:
            return PREDECLARED[name]
        if name in PREDECLARED_FUNCTIONS:
            raise wrong(Code.WRONG_TYPE, f"{name} is a function; it is called as {name}(...)", span)
        raise Unknown(None)  # not defined: the check of names says so

    def is_evaluated_inside(self, vertex: Vertex) -> bool:
        """Whether what is evaluated now is a part of the vertex; values that have no name are parts of what asks."""
        named = next((each for each in reversed(self.expanding) if each.label or each.parent is None), None)
        return named is not None and named.is_inside(vertex)

    def _latest(self, target: Vertex | Basic, span: Span) -> Vertex | Basic:
        """Inside an alternative that is tried, its vertex; from elsewhere there is no telling yet."""
        while isinstance(target, Vertex) and target.trying is not None:
            if not self.is_evaluated_inside(target.trying):
                raise self.early(f"{target.name} is needed to find out what it is itself", span)
            target = target.trying
        if isinstance(target, Vertex):
            self.settling.check_late(target, span)
        return target

    def _of_operand(self, diagnostic: Diagnostic, expr: ast.Expr, *, final: bool) -> Unknown:
        """What is wrong with `a & b` inside an expression is told there: its sides may be right, each by itself.

        CUE may overlook one of them, so that is undecided.
        """
        if not isinstance(expr, ast.Conjunction | ast.Disjunction):
            return Unknown(diagnostic, final=final)
        told = valueless(expr, diagnostic)
        if isinstance(expr, ast.Conjunction):
            self.undecided.append(told)
        return Unknown(told, final=final)
