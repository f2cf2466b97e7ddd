"""The lattice of CUE's values below structs: kinds, atoms, bounds, and how two of them meet.

A value is a set of possibilities: `string` is every text, `>=1` every number from 1, `"a"` exactly one. `meet` is set
intersection (CUE's `&`), and an empty intersection is a conflict. Structs and lists take part by their kind
only; what is inside them is unified field by field elsewhere. Pure: no places, no diagnostics.
"""

import enum
from dataclasses import dataclass
from typing import Any, Final

from forgec.syntax.data import Scalar
from forgec.syntax.literal import checked_number


class Kind(enum.Flag):
    NULL = enum.auto()
    BOOL = enum.auto()
    INT = enum.auto()
    FLOAT = enum.auto()
    STRING = enum.auto()
    LIST = enum.auto()
    STRUCT = enum.auto()
    NUMBER = INT | FLOAT
    ANY = NULL | BOOL | INT | FLOAT | STRING | LIST | STRUCT


PREDECLARED: Final = {
    "string": Kind.STRING,
    "bool": Kind.BOOL,
    "int": Kind.INT,
    "float": Kind.FLOAT,
    "number": Kind.NUMBER,
}
"""The types that are names; a field of the same name hides them."""

_NAMES: Final = {
    Kind.NULL: "null",
    Kind.BOOL: "bool",
    Kind.INT: "int",
    Kind.FLOAT: "float",
    Kind.STRING: "string",
    Kind.LIST: "a list",
    Kind.STRUCT: "a struct",
}


@dataclass(frozen=True, slots=True)
class Atom:
    """Exactly one scalar. (A wrapper, so that "no atom" and `null` differ.)"""

    value: Scalar

    @property
    def kind(self) -> Kind:
        return kind_of(self.value)


@dataclass(frozen=True, slots=True)
class Limit:
    """Values that compare with the operand as the operator says: `>= 1`, `!= "x"`, `=~ "^a"`."""

    operator: str
    operand: Scalar

    @property
    def kinds(self) -> Kind:
        """What can satisfy it at all."""
        kind = kind_of(self.operand)
        if kind in Kind.NUMBER:
            return Kind.NUMBER
        if self.operator == "!=" and kind is Kind.NULL:
            return Kind.ANY & ~Kind.NULL
        return kind

    def admits(self, value: Scalar) -> bool:
        """Whether a value of a fitting kind satisfies it."""
        left: Any = value
        right: Any = self.operand
        match self.operator:
            case "!=":
                return bool(left != right)
            case "<":
                return bool(left < right)
            case "<=":
                return bool(left <= right)
            case ">":
                return bool(left > right)
            case ">=":
                return bool(left >= right)
            case "=~":
                return matches(right, left)
            case _:
                return not matches(right, left)

    def __str__(self) -> str:
        return f"{self.operator}{show(self.operand)}"


@dataclass(frozen=True, slots=True)
class Basic:
    """The values of some kinds, or one atom of them, within limits."""

    kinds: Kind
    atom: Atom | None = None
    limits: tuple[Limit, ...] = ()

    def __str__(self) -> str:
        if self.atom is not None:
            return show(self.atom.value)
        if self.limits:
            implied = all(limit.kinds == self.kinds for limit in self.limits)
            return " & ".join(([] if implied else [_kinds(self.kinds)]) + [str(limit) for limit in self.limits])
        return _kinds(self.kinds)


ANY: Final = Basic(Kind.ANY)


def atom(value: Scalar) -> Basic:
    return Basic(kind_of(value), Atom(value))


def limit(operator: str, operand: Scalar) -> Basic:
    """The set of values a bound describes; ValueError where the operand does not fit the operator."""
    kind = kind_of(operand)
    if operator in ("=~", "!~"):
        if kind is not Kind.STRING:
            raise ValueError(f"{operator} needs a pattern in quotes, not {show(operand)}")
        matches(str(operand), "")  # refuses a pattern that is none
    elif operator != "!=" and not kind & (Kind.NUMBER | Kind.STRING):
        raise ValueError(f"{operator} compares numbers or strings, not {show(operand)}")
    result = Limit(operator, operand)
    return Basic(result.kinds, limits=(result,))


def meet(left: Basic, right: Basic) -> Basic | None:
    """What is in both, or None where nothing is."""
    kinds = left.kinds & right.kinds
    if not kinds:
        return None
    if left.atom and right.atom and left.atom != right.atom:
        return None
    single = left.atom or right.atom
    limits = left.limits + tuple(each for each in right.limits if each not in left.limits)
    if single is not None:
        if not all(each.admits(single.value) for each in limits):
            return None
        return Basic(single.kind, single)
    if _contradict(limits):
        return None
    return Basic(kinds, None, limits)


def kind_of(value: Scalar) -> Kind:
    match value:
        case None:
            return Kind.NULL
        case bool():
            return Kind.BOOL
        case int():
            return Kind.INT
        case float():
            return Kind.FLOAT
        case str():
            return Kind.STRING


def matches(pattern: str, text: str) -> bool:
    """RE2 search, in linear time, since neither pattern nor text is trusted; ValueError where it is no pattern."""
    import re2  # here, since most configurations have no pattern

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options).search(text) is not None
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        words = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"{show(pattern)} is not a pattern: {words}") from None


def show(value: Scalar) -> str:
    """A scalar as CUE writes it, cut to a readable length."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            text = value if len(value) <= _SHOWN_MAX else value[: _SHOWN_MAX - 3] + "..."
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        case _:
            return str(value)


def calculate(left: Scalar, operator: str, right: Scalar) -> Scalar:
    """`+ - * /` on numbers and `+` on strings; TypeError or ValueError with a message fit for a person."""
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return checked_text(left + right)
    if isinstance(left, bool | str | None) or isinstance(right, bool | str | None):
        raise TypeError(f"{show(left)} {operator} {show(right)} is not arithmetic on numbers")
    try:
        match operator:
            case "+":
                return checked_number(left + right)
            case "-":
                return checked_number(left - right)
            case "*":
                return checked_number(left * right)
            case _:
                return checked_number(left / right)
    except ZeroDivisionError:
        raise ValueError("division by zero") from None
    except OverflowError:
        raise ValueError("the number is too large") from None


def checked_text(text: str) -> str:
    """The text itself; ValueError where it has grown beyond 1 MB, as repeated doubling does."""
    if len(text) > _TEXT_LENGTH_MAX:
        raise ValueError(f"the string is longer than {_TEXT_LENGTH_MAX} characters")
    return text


_SHOWN_MAX: Final = 60
_TEXT_LENGTH_MAX: Final = 1024 * 1024


def _kinds(kinds: Kind) -> str:
    if kinds == Kind.ANY:
        return "any value"
    if kinds & Kind.NUMBER == Kind.NUMBER:
        rest = [name for kind, name in _NAMES.items() if kind & kinds and not kind & Kind.NUMBER]
        return " or ".join(["number", *rest])
    return " or ".join(name for kind, name in _NAMES.items() if kind & kinds)


def _contradict(limits: tuple[Limit, ...]) -> bool:
    """Whether a lower limit lies above an upper one."""
    for low in limits:
        for high in limits:
            if low.operator in (">", ">=") and high.operator in ("<", "<=") and low.kinds == high.kinds:
                strict = low.operator == ">" or high.operator == "<"
                low_value: Any = low.operand
                high_value: Any = high.operand
                if low_value > high_value or (strict and low_value == high_value):
                    return True
    return False
