"""CUE's arithmetic: whole numbers, and decimals of 34 digits, so that 0.1 + 0.2 is 0.3 as it is for CUE.

A decimal becomes the nearest float only where a result leaves the evaluator. Pure; what cannot be calculated is a
TypeError or a ValueError with a message fit for a person.
"""

import decimal
from decimal import Decimal
from typing import Final

from forgec.syntax.data import INTEGER_MAX, Scalar

Exact = bool | int | Decimal | str | None
"""One scalar while it is evaluated: whole numbers are int, all others Decimal."""

Number = int | Decimal

_DIGITS: Final = 34
_CONTEXT: Final = decimal.Context(prec=_DIGITS, rounding=decimal.ROUND_HALF_UP, Emin=-10_000, Emax=10_000)
_FLOAT_EXPONENT_MAX: Final = 308


def checked(value: Number) -> Number:
    """The number itself; ValueError where it is beyond what every reader of the result can hold."""
    if isinstance(value, int):
        if abs(value) > INTEGER_MAX:
            raise ValueError("the number is beyond ±2^53, which readers of the result would round")
    elif not value.is_finite() or value.adjusted() >= _FLOAT_EXPONENT_MAX:
        raise ValueError("the number is too large")
    elif _exponent(value) == 0:
        checked(int(value))
    return value


def calculate(left: Number, operator: str, right: Number) -> Number:
    """`+ - * /`; whole as long as both are, but a quotient is always a decimal."""
    if isinstance(left, int) and isinstance(right, int) and operator != "/":
        if operator == "*" and not left * right and min(left, right) < 0:  # "-0" in a string, and no int of Python
            raise ValueError(f"{left} * {right} is -0, which is no number to most readers")
        return checked(left + right if operator == "+" else left - right if operator == "-" else left * right)
    first, second = Decimal(left), Decimal(right)
    try:
        match operator:
            case "+":
                return checked(_CONTEXT.add(first, second))
            case "-":
                return checked(_CONTEXT.subtract(first, second))
            case "*":
                return checked(_CONTEXT.multiply(first, second))
            case _:
                return checked(_with_point(_CONTEXT.divide(first, second), _exponent(first) - _exponent(second)))
    except (decimal.DivisionByZero, decimal.InvalidOperation):
        raise ValueError("division by zero") from None
    except decimal.DecimalException:
        raise ValueError("the number is too large") from None


def whole_if_possible(value: Number) -> Number:
    """The functions on lists of numbers give `3`, not `3.0`, where the result has no fraction."""
    return checked(int(value) if value == int(value) else value)


def modulo(left: int, right: int) -> int:
    """Euclidean: never negative."""
    return left % abs(_divisor(right))


def divide(left: int, right: int) -> int:
    """Euclidean: what goes with `modulo`."""
    return (left - modulo(left, right)) // right


def quotient(left: int, right: int) -> int:
    """Truncated towards zero."""
    size = abs(left) // abs(_divisor(right))
    return size if (left < 0) == (right < 0) else -size


def remainder(left: int, right: int) -> int:
    """What goes with `quotient`; it has the sign of `left`."""
    return left - right * quotient(left, right)


def to_data(value: Exact) -> Scalar:
    """As a result holds it. A decimal that is written without a fraction, such as 2.5e1, is a whole number there."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if _exponent(value) == 0 else float(value)


def _divisor(value: int) -> int:
    if value == 0:
        raise ValueError("division by zero")
    return value


def _with_point(value: Decimal, exponent: int) -> Decimal:
    """A quotient without trailing zeros, but with a fraction: 4 / 2 is written 2.0. `exponent` is that of a zero."""
    if value == 0:
        return Decimal("0.0" if exponent < 0 else "0")
    reduced = value.normalize(_CONTEXT)
    if _exponent(reduced) >= 0 and reduced.adjusted() < _DIGITS - 1:
        return reduced.quantize(Decimal((0, (1,), _exponent(reduced) - 1)), context=_CONTEXT)
    return reduced


def _exponent(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)  # finite: the context traps the rest
    return exponent
