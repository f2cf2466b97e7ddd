"""The items of a list: what each of them must agree with, and what must be true of all."""

from msgspec.structs import replace

from forgec.syntax import ast, problem
from forgec.syntax.comprehension import scopes
from forgec.syntax.expression import Expressions
from forgec.syntax.problem import Unknown
from forgec.syntax.value import Kind
from forgec.syntax.vertex import Closing, Conjunct, Scope, Vertex


def make_items(vertex: Vertex, expressions: Expressions) -> None:
    """Give a list its items, each with a conjunct from every list literal; or Unknown."""
    opened = _opened(vertex)
    lists = [(replace(each, closings=each.closings - opened), *_elements(each, expressions)) for each in vertex.lists]
    if not lists:
        return
    longest, most, _ = max(lists, key=lambda each: len(each[1]))
    for conjunct, elements, rest in lists:
        if rest is None and len(elements) < len(most):
            lengths = (len(most), len(elements))
            vertex.problems.append(problem.list_lengths(vertex, longest, conjunct, lengths))
            return
    for index in range(len(most)):
        item = Vertex(vertex, f"[{index}]", presence=ast.Presence.REGULAR)
        for conjunct, elements, rest in lists:
            expr, scope = elements[index] if index < len(elements) else (rest, conjunct.scope)
            assert expr is not None
            expressions.budget.step(expr.span)
            item.conjuncts.append(conjunct.inside(expr, scope))
        vertex.items.append(item)
    _check(vertex, expressions)


def _opened(vertex: Vertex) -> frozenset[Closing]:
    """What does not close the items: to CUE, a definition that says `[...{a: int}] & list.MinItems(1)`."""
    checked = (each for each in vertex.facts if any(check.kinds is Kind.LIST for check in each.basic.checks))
    return frozenset(closing for each in checked for closing in each.conjunct.closings)


def _elements(conjunct: Conjunct, expressions: Expressions) -> tuple[list[tuple[ast.Expr, Scope]], ast.Expr | None]:
    """The items of one literal with the scopes of their names, and what further ones must be; or Unknown."""
    assert isinstance(conjunct.expr, ast.ListLiteral)
    elements: list[tuple[ast.Expr, Scope]] = []
    for item in conjunct.expr.items:
        if isinstance(item, ast.Comprehension):
            elements += [(item.body, scope) for scope in scopes(expressions, item, conjunct.scope)]
        else:
            elements.append((item, conjunct.scope))
    return elements, conjunct.expr.rest


def _check(vertex: Vertex, expressions: Expressions) -> None:
    """Hold the items against the functions that must be true of them."""
    for fact in vertex.facts:
        for check in fact.basic.checks:
            if check.kinds is not Kind.LIST:
                continue
            try:
                passed = check.test(
                    vertex.items
                    if check.counts
                    else [expressions.plain_vertex(each, fact.conjunct.expr) for each in vertex.items]
                )
            except Unknown:
                continue  # an item is not concrete, which is reported with the item
            except ValueError as error:
                raise problem.wrong_value(error, fact.span) from None
            if not passed:
                raise Unknown(problem.check_failed(vertex, fact, check), final=not (vertex.may_grow and check.grows))
