"""The lattice of CUE's values below structs: kinds, atoms, bounds, and how two of them meet.

A value is a set of possibilities: `string` is every text, `>=1` every number from 1, `"a"` exactly one. `meet` is set
intersection (CUE's `&`), and an empty intersection is a conflict. Structs and lists take part by their kind
only; what is inside them is unified field by field elsewhere. Pure: no places, no diagnostics.
"""

import enum
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from msgspec import Struct

from forgec.syntax.number import Exact
from forgec.syntax.pattern import compiled, matches


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


_NAMES: Final = {
    Kind.NULL: "null",
    Kind.BOOL: "bool",
    Kind.INT: "int",
    Kind.FLOAT: "float",
    Kind.STRING: "string",
    Kind.LIST: "a list",
    Kind.STRUCT: "a struct",
}


class Atom(Struct, frozen=True):
    """Exactly one scalar. (A wrapper, so that "no atom" and `null` differ.)"""

    value: Exact

    @property
    def kind(self) -> Kind:
        return kind_of(self.value)


class Limit(Struct, frozen=True):
    """Values that compare with the operand as the operator says: `>= 1`, `!= "x"`, `=~ "^a"`."""

    operator: str
    operand: Exact

    @property
    def kinds(self) -> Kind:
        """What can satisfy it at all."""
        kind = kind_of(self.operand)
        if kind in Kind.NUMBER:
            return Kind.NUMBER
        if self.operator == "!=" and kind is Kind.NULL:
            return Kind.ANY & ~Kind.NULL
        return kind

    def admits(self, value: Exact) -> bool:
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


class Check(Struct, frozen=True, kw_only=True, eq=False):
    """Values that a function of a standard package is true of: `strings.MinRunes(3)`, `list.UniqueItems()`.

    `identity` is the function with the values of its arguments, `text` the call as written. What has an atom is tested
    where values meet; a list once its items are known, or only their number where the check `counts`. `grows`: a list
    that fails may pass with more items.
    """

    identity: str
    text: str
    kinds: Kind
    test: Callable[[Any], bool]
    counts: bool
    grows: bool

    def admits(self, value: Any) -> bool:
        """Whether a value of a fitting kind satisfies it."""
        return self.test(value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Check) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __str__(self) -> str:
        return self.text


class Basic(Struct, frozen=True):
    """The values of some kinds, or one atom of them, within limits."""

    kinds: Kind
    atom: Atom | None = None
    limits: tuple[Limit | Check, ...] = ()

    @property
    def checks(self) -> tuple[Check, ...]:
        return tuple(each for each in self.limits if isinstance(each, Check))

    def __str__(self) -> str:
        if self.atom is not None:
            return show(self.atom.value)
        if self.limits:
            implied = all(limit.kinds == self.kinds for limit in self.limits)
            return " & ".join(([] if implied else [_kinds(self.kinds)]) + [str(limit) for limit in self.limits])
        return _kinds(self.kinds)


ANY: Final = Basic(Kind.ANY)


def _whole(low: int, high: int | None = None) -> Basic:
    """The whole numbers of a range, both ends included."""
    limits = [Limit(">=", low)] if high is None else [Limit(">=", low), Limit("<=", high)]
    return Basic(Kind.INT, limits=tuple(limits))


PREDECLARED: Final[Mapping[str, Basic]] = {
    "string": Basic(Kind.STRING),
    "bool": Basic(Kind.BOOL),
    "int": Basic(Kind.INT),
    "float": Basic(Kind.FLOAT),
    "number": Basic(Kind.NUMBER),
    "uint": _whole(0),
    **{f"int{bits}": _whole(-(1 << (bits - 1)), (1 << (bits - 1)) - 1) for bits in (8, 16, 32, 64, 128)},
    **{f"uint{bits}": _whole(0, (1 << bits) - 1) for bits in (8, 16, 32, 64, 128)},
}
"""The types that are names; a field of the same name hides them."""


def atom(value: Exact) -> Basic:
    return Basic(kind_of(value), Atom(value))


def limit(operator: str, operand: Exact) -> Basic:
    """The set of values a bound describes; ValueError where the operand does not fit the operator."""
    kind = kind_of(operand)
    if operator in ("=~", "!~"):
        if kind is not Kind.STRING:
            raise ValueError(f"{operator} needs a pattern in quotes, not {show(operand)}")
        compiled(str(operand))  # refuses a pattern that is none
    elif operator != "!=" and not kind & (Kind.NUMBER | Kind.STRING):
        raise ValueError(f"{operator} compares numbers or strings, not {show(operand)}")
    result = Limit(operator, operand)
    return Basic(result.kinds, limits=(result,))


def meet(left: Basic, right: Basic) -> Basic | None:
    """What is in both, or None where nothing is."""
    if left is ANY and not right.limits:  # nothing was known before, as most often
        return right
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


def kind_of(value: Exact) -> Kind:
    match value:
        case None:
            return Kind.NULL
        case bool():
            return Kind.BOOL
        case int():
            return Kind.INT
        case Decimal():
            return Kind.FLOAT
        case str():
            return Kind.STRING


def show(value: Exact) -> str:
    """A scalar as CUE writes it, cut to a readable length."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            text = value if len(value) <= _SHOWN_MAX else value[: _SHOWN_MAX - 3] + "..."
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        case Decimal() if value == 0 and -_ZEROS_MAX <= value.adjusted() < 0:
            return format(value, "f")
        case _:
            return str(value)


class TooLarge(ValueError):
    """A value that would take more room or time than an evaluation gets."""


def checked_text(length: int) -> None:
    """TooLarge where a string of this length would be too long, as one that is doubled again and again is."""
    if length > TEXT_LENGTH_MAX:
        raise TooLarge(f"the string is longer than {TEXT_LENGTH_MAX} characters")


TEXT_LENGTH_MAX: Final = 1024 * 1024
"""Characters in one string that is computed."""

_SHOWN_MAX: Final = 60
_ZEROS_MAX: Final = 2000
"""Of a zero's fraction that is written out; so many digits after the point are kept of every result."""


def _kinds(kinds: Kind) -> str:
    if kinds == Kind.ANY:
        return "any value"
    if kinds & Kind.NUMBER == Kind.NUMBER:
        rest = [name for kind, name in _NAMES.items() if kind & kinds and not kind & Kind.NUMBER]
        return " or ".join(["number", *rest])
    return " or ".join(name for kind, name in _NAMES.items() if kind & kinds)


def _contradict(limits: tuple[Limit | Check, ...]) -> bool:
    """Whether a lower limit lies above an upper one."""
    bounds = [each for each in limits if isinstance(each, Limit)]
    for low in bounds:
        for high in bounds:
            if low.operator in (">", ">=") and high.operator in ("<", "<=") and low.kinds == high.kinds:
                strict = low.operator == ">" or high.operator == "<"
                low_value: Any = low.operand
                high_value: Any = high.operand
                if low_value > high_value or (strict and low_value == high_value):
                    return True
    return False
