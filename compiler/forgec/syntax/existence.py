"""`x != _|_`: whether something that is referred to, or calculated, has a value."""

from typing import TYPE_CHECKING, Final

from forgec.diagnostic import Code, Diagnostic
from forgec.syntax import ast
from forgec.syntax.problem import OTHER_ENGINE, Unknown, wrong
from forgec.syntax.value import Basic, Kind
from forgec.syntax.vertex import Scope, State

if TYPE_CHECKING:
    from forgec.syntax.expression import Expressions

_COMPUTED: Final = (ast.Reference, ast.Selector, ast.Index, ast.Slice, ast.Call, ast.Operation, ast.Prefix)


def exists(expr: ast.Expr, scope: Scope, expressions: "Expressions") -> bool:
    """A type is no value. Raises Unknown."""
    if not isinstance(expr, _COMPUTED):
        message = "comparing this with _|_ is valid CUE that the built-in evaluator does not support"
        raise expressions.unsupported(Diagnostic(Code.UNSUPPORTED, message, expr.span, help=OTHER_ENGINE))
    try:
        target = expressions.resolve(expr, scope)
        if isinstance(target, Basic):
            raise wrong(Code.WRONG_TYPE, f"{target} is a type; only values are compared", expr.span)
        if target.state is State.EXPANDING or expressions.is_evaluated_inside(target):
            raise expressions.early(f"{target.name} is needed to find out what it is itself", expr.span)
        expressions.expand(target)
    except Unknown as unknown:
        if unknown.diagnostic is None or unknown.diagnostic in expressions.undecided:
            raise
        _check_alternatives(expr, scope, expressions)
        return False
    if target.problems or target.unknown is not None:
        return False
    is_open = target.basic.kinds & (Kind.LIST | Kind.STRUCT) or target.is_ambiguous
    return target.basic.atom is not None or bool(is_open)


def _check_alternatives(expr: ast.Expr, scope: Scope, expressions: "Expressions") -> None:
    """What may be there after all is a circle to CUE. Raises Unknown.

    That is a field that an alternative lacks, which another might have, and one of a struct that lacks something else.
    """
    while isinstance(expr, ast.Selector | ast.Index):
        try:
            target = expressions.base(expr.base, scope)
            is_alternative = target.original is not None
            if not is_alternative and target.unknown is None:
                return
            name = expr.name if isinstance(expr, ast.Selector) else expressions.scalar(expr.index, scope)
        except Unknown:
            expr = expr.base
            continue
        if is_alternative is not (name in target.fields or name in target.hidden):
            raise expressions.early(f"{target.name} is needed to find out what it is itself", expr.span)
        return
