"""Calls: of the functions that are part of the language, and of those of imported packages.

A call gives a vertex made of an expression, so that its result takes part in evaluation like anything that is written:
`list.Concat([a, b])` is a list literal whose items refer to the items of a and b. A function that tells true from false
and lacks its first argument gives the set of values that it is true of.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, Related
from forgec.source import Span
from forgec.syntax import ast, number
from forgec.syntax.body import holds
from forgec.syntax.number import Exact
from forgec.syntax.operators import combine
from forgec.syntax.problem import Unknown, unknown_function, wrong, wrong_value
from forgec.syntax.selection import cut, is_no_list, taking, written
from forgec.syntax.standard.function import Function, Item, Order, Parameter
from forgec.syntax.standard.packages import PACKAGES
from forgec.syntax.value import PREDECLARED, Basic, Check, Kind, TooLarge, show
from forgec.syntax.vertex import Closing, Conjunct, Scope, State, Vertex

if TYPE_CHECKING:
    from forgec.syntax.expression import Expressions

_DIVISIONS: Final = {
    name: Function((Parameter.WHOLE, Parameter.WHOLE), function)
    for name, function in (
        ("div", number.divide), ("mod", number.modulo), ("quo", number.quotient), ("rem", number.remainder),
    )
}  # fmt: skip

PREDECLARED_FUNCTIONS: Final = frozenset({"len", "close", "and", "or", "error"}) | _DIVISIONS.keys()
"""Known without an import; a field of the same name hides them."""

_ORDERS: Final = {"Ascending": "<", "Descending": ">"}


class _Item(Struct, frozen=True):
    """An item of a list as it stands."""

    vertex: Vertex
    expressions: "Expressions"

    def items(self) -> "list[Item] | None":
        inner = self.expressions.items(self.vertex)
        if self.vertex.unknown is not None:
            told = _of_every_item("a list that is made of others", self.vertex.unknown, self.vertex.unknown.span)
            raise self.expressions.unsupported(told)
        return None if inner is None else [_Item(each, self.expressions) for each in inner]


class Calls:
    def __init__(self, expressions: "Expressions") -> None:
        self._expressions = expressions
        self._language: Final[dict[str, Callable[[ast.Call, ast.Expr, Scope], Vertex]]] = {
            "len": self._len, "close": self._close, "and": self._and, "or": self._or, "error": self._error,
        }  # fmt: skip

    def result(self, call: ast.Call, scope: Scope) -> Vertex | Basic:
        """What a call gives; or Unknown."""
        self._expressions.budget.enter(call.span)
        try:
            name = call.function.name if isinstance(call.function, ast.Reference) else ""
            if name in self._language and self._expressions.is_predeclared(name, scope):
                _check_count(name, 1, call)
                return self._language[name](call, call.arguments[0], scope)
            shown, function = self._function(call.function, scope)
            if function.is_check and len(call.arguments) == len(function.parameters) - 1:
                return self._check(shown, function, call.arguments, scope)
            _check_count(shown, len(function.parameters), call)
            values = self._arguments(shown, function.parameters, call.arguments, scope)
            length = sum(len(value) for value in values if isinstance(value, str))
            self._expressions.budget.read(call.span, length * function.weight)
            return self._made(function.apply(*values), call.span, scope)
        except (TypeError, ValueError) as error:
            raise wrong_value(error, call.span) from None
        finally:
            self._expressions.budget.leave()

    def uncalled(self, selector: ast.Selector, scope: Scope) -> Vertex | Basic:
        """`list.UniqueItems`, where no argument is missing but the value; or Unknown."""
        shown, function = self._function(selector, scope)
        if not function.is_check or len(function.parameters) > 1:
            raise wrong(Code.WRONG_TYPE, f"{shown} is a function; it is called as {shown}(...)", selector.span)
        return self._check(shown, function, (), scope)

    def cut(self, expr: ast.Slice, scope: Scope) -> Vertex:
        """`list[1:3]`: a list of what is there already; or Unknown."""
        expressions = self._expressions
        target = expressions.base(expr.base, scope)
        if not is_no_list(target):
            target = expressions.whole(expr.base, scope)
        if not target.is_list:
            raise wrong(Code.WRONG_TYPE, f"{written(expr.base)} is {target.basic}; only lists are cut", expr.span)
        low = 0 if expr.low is None else self._end(expr.low, scope)
        high = len(target.items) if expr.high is None else self._end(expr.high, scope)
        return self._made([self._item(item) for item in cut(target, low, high, expr.span)], expr.span, scope)

    def _end(self, expr: ast.Expr, scope: Scope) -> Exact:
        with taking(Kind.INT, "the end of a cut", "a whole number", expr):
            return self._expressions.scalar(expr, scope)

    def _function(self, expr: ast.Expr, scope: Scope) -> tuple[str, Function]:
        match expr:
            case ast.Reference(name=name) if name in _DIVISIONS and self._expressions.is_predeclared(name, scope):
                return name, _DIVISIONS[name]
            case ast.Selector(base=base, name=name):
                package = self._expressions.package(base, scope)
                if package is not None:
                    return f"{package}.{name}", self._of_package(package, name, expr.span)
            case ast.Reference(name=name) if self._expressions.is_predeclared(name, scope) and name not in PREDECLARED:
                raise Unknown(None)  # not defined: the check of names says so
        raise wrong(Code.WRONG_TYPE, f"{expr.span.text} is no function", expr.span)

    def _of_package(self, package: str, name: str, span: Span) -> Function:
        functions = PACKAGES.get(package)
        if functions is None:
            raise Unknown(None)  # the check of names says so
        if name not in functions:
            raise self._expressions.unsupported(unknown_function(package, name, span, functions))
        return functions[name]

    def _check(self, shown: str, function: Function, arguments: Sequence[ast.Expr], scope: Scope) -> Basic:
        first, *others = function.parameters
        values = self._arguments(shown, others, arguments, scope)
        check = Check(
            identity=f"{shown}{values!r}",
            text=f"{shown}({', '.join(' '.join(each.span.text.split()) for each in arguments)})",
            kinds=Kind.STRING if first is Parameter.TEXT else Kind.LIST,
            test=lambda value: _is_true(function, value, values),
            counts=first is Parameter.ITEMS,
            grows=function.grows,
        )
        return Basic(check.kinds, limits=(check,))

    def _arguments(
        self, shown: str, parameters: Sequence[Parameter], arguments: Sequence[ast.Expr], scope: Scope
    ) -> list[Any]:
        pairs = list(zip(parameters, arguments, strict=True))
        return self._expressions.every(pairs, lambda pair: self._argument(shown, *pair, scope))

    def _argument(self, shown: str, parameter: Parameter, expr: ast.Expr, scope: Scope) -> Any:
        """Of a list that is cut as it is handed over, CUE goes on without an item that is wrong."""
        try:
            return self._value(shown, parameter, expr, scope)
        except Unknown as unknown:
            cause = unknown.diagnostic
            if not isinstance(expr, ast.Slice) or not unknown.final or cause is None or cause.span == expr.span:
                raise
            raise self._expressions.unsupported(_of_every_item(shown, cause, expr.span)) from None

    def _value(self, shown: str, parameter: Parameter, expr: ast.Expr, scope: Scope) -> Any:
        expressions = self._expressions
        match parameter:
            case Parameter.ORDER:
                return self._order(expr, scope)
            case Parameter.VALUE:
                return expressions.plain(expr, scope)
            case Parameter.ITEMS:
                vertex = self._list(shown, parameter, expr, scope)
                if vertex.is_list:
                    expressions.budget.step(expr.span, len(vertex.items))
                    self._use(vertex)
                    return [self._item(item) for item in vertex.items]
                value: Any = None if vertex.basic.atom is None else vertex.basic.atom.value
            case Parameter.TEXTS | Parameter.NUMBERS:
                vertex = self._list(shown, parameter, expr, scope)
                value = [] if vertex.is_list else expressions.plain_vertex(vertex, expr)
                for item in vertex.items if vertex.is_list else ():
                    with taking(parameter.kinds, shown, parameter.value, expr):
                        value.append(self._single(item, expr))
                    if not _fits(value, parameter):  # which counts before one that is not known yet
                        break
            case Parameter.VALUES:
                value = self._every_value(shown, expr, scope)
            case _:
                with taking(parameter.kinds, shown, parameter.value, expr):
                    value = expressions.scalar(expr, scope)
        if not _fits(value, parameter):
            found = show(value) if not isinstance(value, list | dict) else "this"
            raise wrong(Code.WRONG_TYPE, f"{shown} takes {parameter.value} here, not {found}", expr.span)
        return value

    def _single(self, item: Vertex, expr: ast.Expr) -> Any:
        """An item's value; of one that is a struct or list whatever is known, since it is wrong with any content."""
        try:
            return self._expressions.plain_vertex(item, expr)
        except Unknown:
            if item.is_struct or item.is_list:
                return {} if item.is_struct else []
            raise

    def _list(self, shown: str, parameter: Parameter, expr: ast.Expr, scope: Scope) -> Vertex:
        with taking(Kind.LIST, shown, parameter.value, expr):
            return self._expressions.whole(expr, scope)

    def _every_value(self, shown: str, expr: ast.Expr, scope: Scope) -> Any:
        """What is searched as a whole: CUE goes on without an item that has no value."""
        try:
            return self._expressions.plain(expr, scope)
        except Unknown as unknown:
            cause = unknown.diagnostic
            if unknown.final or cause is None:
                raise
            raise self._expressions.unsupported(_of_every_item(shown, cause, expr.span)) from None

    def _order(self, expr: ast.Expr, scope: Scope) -> Order:
        expressions = self._expressions
        if isinstance(expr, ast.Selector) and expressions.package(expr.base, scope) == "list":
            operator = _ORDERS.get(expr.name)
            if operator is None:
                raise wrong(Code.WRONG_TYPE, f"list.{expr.name} is no order", expr.span)

            def by_value(left: Any, right: Any) -> bool:
                expressions.budget.step(expr.span)
                values = [expressions.plain_vertex(item.vertex, expr) for item in (left, right)]
                if any(isinstance(value, bool | list | dict | None) for value in values):
                    raise TypeError(f"list.{expr.name} orders numbers or strings")
                return bool(combine(values[0], operator, values[1]))  # type: ignore[arg-type]  # single values

            return by_value

        order = expressions.base(expr, scope)
        if not order.is_struct or "less" not in order.fields:
            raise wrong(Code.WRONG_TYPE, f"a sort takes {Parameter.ORDER.value} here, not {order.basic}", expr.span)

        def by_comparison(left: Any, right: Any) -> bool:
            span = expr.span
            fields = [(name, ast.Reference(f" {name}", span)) for name in ("x", "y")]
            literal = ast.StructLiteral(tuple(_field(name, value, span) for name, value in fields), span)
            inside = scope.binding({" x": left.vertex, " y": right.vertex})
            both = Vertex(scope.vertex, "", [Conjunct(expr, scope), Conjunct(literal, inside)])
            asked = ast.Selector(ast.Reference(" order", span), "less", span, span)
            return expressions.truth(asked, scope.binding({" order": both}))

        return by_comparison

    def _made(self, value: Any, span: Span, scope: Scope) -> Vertex:
        """A vertex of a plain value, or of a list with items as they stand."""
        bound: dict[str, Vertex] = {}
        expr = self._expression(value, span, bound)
        return Vertex(scope.vertex, "", [Conjunct(expr, scope.binding(bound) if bound else scope)])

    def _expression(self, value: Any, span: Span, bound: dict[str, Vertex]) -> ast.Expr:
        self._expressions.budget.step(span)
        match value:
            case _Item(vertex=vertex):
                name = f" {len(bound)}"  # no name that can be written
                bound[name] = vertex
                return ast.Reference(name, span)
            case list():
                return ast.ListLiteral(tuple(self._expression(each, span, bound) for each in value), None, span)
            case dict():
                pairs = [(name, self._expression(each, span, bound)) for name, each in value.items()]
                return ast.StructLiteral(tuple(_field(name, each, span) for name, each in pairs), span)
            case str():
                self._expressions.budget.read(span, len(value))
        return ast.Literal(value, span)

    def _use(self, vertex: Vertex) -> None:
        """Evaluate the items, and those inside them: what they refer to must not change any more."""
        pending = [vertex]
        while pending:
            pending += reversed(self._expressions.items(pending.pop()) or ())

    def _item(self, vertex: Vertex) -> _Item:
        return _Item(vertex, self._expressions)

    def _len(self, call: ast.Call, argument: ast.Expr, scope: Scope) -> Vertex:
        expressions = self._expressions
        with taking(Kind.STRING | Kind.LIST | Kind.STRUCT, "len", "a string, a list or a struct", argument):
            vertex = expressions.whole(argument, scope)
        value = None if vertex.basic.atom is None else vertex.basic.atom.value
        if vertex.is_list:
            length = len(vertex.items)
        elif vertex.is_struct:
            expressions.settling.check_whole(vertex, argument.span)
            self._check_tried(vertex, call)
            length = sum(each.presence is ast.Presence.REGULAR for each in vertex.fields.values())
        elif isinstance(value, str):
            length = len(value.encode())
        else:
            message = f"len takes a string, a list or a struct, not {vertex.basic}"
            raise wrong(Code.WRONG_TYPE, message, argument.span)
        return self._made(length, call.span, scope)

    def _check_tried(self, vertex: Vertex, call: ast.Call) -> None:
        """`{*{a: 1} | {a: 2}, a: n, n: len(c), c: {}}`: a circle to CUE, where a asks for n. Raises Unknown."""
        inside = (each for each in self._expressions.expanding if any(around.original for around in each.ancestors()))
        asking = next(inside, None)
        is_tried = any(each.original for each in vertex.ancestors())
        if is_tried and asking is not None and not any(holds(each.expr, call) for each in asking.conjuncts):
            message = f"{asking.name} needs all of {vertex.name}, and is needed to find out what is in it"
            raise self._expressions.early(message, call.span)

    def _close(self, call: ast.Call, argument: ast.Expr, scope: Scope) -> Vertex:
        vertex = self._expressions.base(argument, scope)
        if vertex.alternatives:  # CUE closes some of them
            message = "close of a value with alternatives is not supported"
            diagnostic = Diagnostic(Code.UNSUPPORTED, message, argument.span, help="close each of the alternatives")
            raise self._expressions.unsupported(diagnostic)
        if vertex.state is State.EXPANDING and not vertex.is_struct:
            raise self._expressions.early(f"{vertex.name} is closed to find out what it is itself", argument.span)
        if vertex.unknown is not None:  # which fields a struct has is asked for before it is unified with others
            raise Unknown(vertex.unknown)
        if not vertex.is_struct:
            raise wrong(Code.WRONG_TYPE, f"close takes a struct, not {vertex.basic}", argument.span)
        for host in self._expressions.expanding[-1:]:  # nothing is, where a calculation has waited for all else
            is_referred = len(host.seen) > 1 + sum(1 for _ in host.originals())
            if is_referred and any(each.label and each.is_inside(host) for each in vertex.seen):
                message = f"{vertex.name} is closed to find out what {host.name}, which it is in, refers to"
                raise self._expressions.early(message, argument.span)
        closing = frozenset({Closing(call.span, deep=False)})
        return Vertex(scope.vertex, "", [replace(each, closings=each.closings | closing) for each in vertex.conjuncts])

    def _and(self, call: ast.Call, argument: ast.Expr, scope: Scope) -> Vertex:
        terms, inside = self._terms("and", call, argument, scope)
        expr = ast.Conjunction(terms, call.span) if terms else ast.Top(call.span)
        return Vertex(scope.vertex, "", [Conjunct(expr, inside)])

    def _or(self, call: ast.Call, argument: ast.Expr, scope: Scope) -> Vertex:
        terms, inside = self._terms("or", call, argument, scope)
        if not terms:
            raise Unknown(Diagnostic(Code.INCOMPLETE, "or of an empty list is no value", call.span))
        expr = ast.Disjunction(tuple(ast.Disjunct(term, False) for term in terms), call.span)
        return Vertex(scope.vertex, "", [Conjunct(expr, inside)])

    def _terms(
        self, name: str, call: ast.Call, argument: ast.Expr, scope: Scope
    ) -> tuple[tuple[ast.Reference, ...], Scope]:
        """The items of the list that `and` or `or` puts together."""
        with taking(Kind.LIST, name, "a list", argument):
            vertex = self._expressions.whole(argument, scope)
        if not vertex.is_list:
            raise wrong(Code.WRONG_TYPE, f"{name} takes a list, not {vertex.basic}", argument.span)
        self._expressions.budget.step(call.span, len(vertex.items))
        bound = {f" {at}": item for at, item in enumerate(vertex.items)}
        return tuple(ast.Reference(each, call.span) for each in bound), scope.binding(bound)

    def _error(self, call: ast.Call, argument: ast.Expr, scope: Scope) -> Vertex:
        message = self._argument("error", Parameter.TEXT, argument, scope)
        raise wrong(Code.BAD_VALUE, message, call.span)


def _is_true(function: Function, value: Any, others: list[Any]) -> bool:
    try:
        return bool(function.apply(value, *others))
    except TooLarge:
        raise
    except ValueError:  # `regexp.Valid` of what is no pattern
        return False


def _of_every_item(shown: str, cause: Diagnostic, span: Span | None) -> Diagnostic:
    related = () if cause.span is None else (Related(cause.span, cause.message),)
    return Diagnostic(cause.code, f"{shown} needs the value of every item here", span, related)


def _check_count(shown: str, wanted: int, call: ast.Call) -> None:
    found = len(call.arguments)
    if found != wanted:
        raise wrong(Code.WRONG_TYPE, f"{shown} takes {wanted} argument{'s' * (wanted != 1)}, not {found}", call.span)


def _fits(value: Any, parameter: Parameter) -> bool:
    match parameter:
        case Parameter.TEXT:
            return isinstance(value, str)
        case Parameter.WHOLE:
            return type(value) is int
        case Parameter.NUMBER:
            return type(value) in (int, Decimal)
        case Parameter.TRUTH:
            return isinstance(value, bool)
        case Parameter.TEXTS:
            return isinstance(value, list) and all(_fits(each, Parameter.TEXT) for each in value)
        case Parameter.NUMBERS:
            return isinstance(value, list) and all(_fits(each, Parameter.NUMBER) for each in value)
        case _:
            return isinstance(value, list)


def _field(name: str, value: ast.Expr, span: Span) -> ast.Field:
    return ast.Field(ast.Label(name, False, span), ast.Presence.REGULAR, value, (), span)
