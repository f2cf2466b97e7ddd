"""Values with everything below them and nothing else, as functions of the standard library take and give them."""

from typing import TypeAlias

from forgec.syntax.number import Exact
from forgec.syntax.operators import equal
from forgec.syntax.value import kind_of

Plain: TypeAlias = Exact | list["Plain"] | dict[str, "Plain"]


def same(left: Plain, right: Plain, *, outermost: bool = False) -> bool:
    """Equality. The outermost values may be a whole number and a decimal; below, these are different things."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(same(*pair) for pair in zip(left, right, strict=True))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[name]) for name, value in left.items())
    if isinstance(left, list | dict) or isinstance(right, list | dict):
        return False
    return equal(left, right) if outermost else kind_of(left) == kind_of(right) and left == right
