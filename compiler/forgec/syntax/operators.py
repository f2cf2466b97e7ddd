"""The binary operators on single values: arithmetic, comparison, logic.

What an operator does not take is a TypeError, what has no result a ValueError, both with a message fit for a person.
"""

from decimal import Decimal
from typing import Any, Final

from forgec.syntax import number
from forgec.syntax.number import Exact
from forgec.syntax.pattern import matches
from forgec.syntax.value import checked_text, kind_of, show

REPEATS_MAX: Final = 1_000_000
"""Of a string or a list; CUE's own limit."""


def combine(left: Exact, operator: str, right: Exact) -> Exact:
    """`left operator right`, both evaluated: `&&` and `||` need both of their sides in CUE too.

    What the right side is does not matter where the left one decides: `true || 1`.
    """
    match operator:
        case "==":
            return equal(left, right)
        case "!=":
            return not equal(left, right)
        case "+" | "-" | "*" | "/":
            return _calculate(left, operator, right)
        case "&&" | "||":
            if not isinstance(left, bool):
                raise _misfit(left, operator, right)
            if left == (operator == "||"):
                return left
            if not isinstance(right, bool):
                raise _misfit(left, operator, right)
            return right
        case "=~" | "!~":
            if not isinstance(left, str) or not isinstance(right, str):
                raise _misfit(left, operator, right)
            return matches(right, left) == (operator == "=~")
        case _:
            return _order(left, operator, right)


def equal(left: Exact, right: Exact) -> bool:
    """Whole numbers and decimals compare by their value; nothing else equals a value of another kind."""
    if _is_number(left) and _is_number(right):
        return bool(left == right)
    return kind_of(left) == kind_of(right) and left == right


def signed(operator: str, value: Exact) -> Exact:
    """`-x` and `+x`"""
    if not _is_number(value):
        raise TypeError(f'{operator}{show(value)}: "{operator}" takes a number')
    if operator == "+":
        return value
    return value and (value.copy_negate() if isinstance(value, Decimal) else combine(0, "-", value))  # no -0.0


def repeated(text: str, count: int) -> str:
    if count < 0:
        raise ValueError(f"{count} is no number of repetitions")
    if count > REPEATS_MAX:
        raise ValueError(f"{count} repetitions are more than {REPEATS_MAX}")
    checked_text(len(text) * count)
    return text * count


def _calculate(left: Exact, operator: str, right: Exact) -> Exact:
    if isinstance(left, str) and isinstance(right, str) and operator == "+":
        checked_text(len(left) + len(right))
        return left + right
    if operator == "*" and isinstance(left, str) and type(right) is int:
        return repeated(left, right)
    if operator == "*" and isinstance(right, str) and type(left) is int:
        return repeated(right, left)
    if isinstance(left, bool | str | None) or isinstance(right, bool | str | None):
        raise _misfit(left, operator, right)
    return number.calculate(left, operator, right)


def _order(left: Exact, operator: str, right: Exact) -> bool:
    texts = isinstance(left, str) and isinstance(right, str)
    if not texts and not (_is_number(left) and _is_number(right)):
        raise _misfit(left, operator, right)
    order: Any = (left > right) - (left < right)  # type: ignore[operator]  # both of one kind
    return bool({"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[operator])


def _is_number(value: Exact) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _misfit(left: Exact, operator: str, right: Exact) -> TypeError:
    takes = {
        "&&": "true and false", "||": "true and false", "=~": "a string and a pattern", "!~": "a string and a pattern",
        "-": "numbers", "/": "numbers",
    }.get(operator, "two numbers or two strings")  # fmt: skip
    return TypeError(f'{show(left)} {operator} {show(right)}: "{operator}" takes {takes}')
