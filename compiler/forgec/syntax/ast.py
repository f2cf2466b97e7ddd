"""The CUE dialect's syntax tree: frozen nodes, each with the span it was written at.

Nodes compare by identity, since the same text at two places is two things.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from forgec.source import Source, Span
from forgec.syntax.data import Scalar


class Presence(enum.IntEnum):
    """How a field was declared: `x?:`, `x!:` or `x:`. The highest one decides where declarations meet."""

    OPTIONAL = 0
    REQUIRED = 1
    REGULAR = 2


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    value: Scalar
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Top:
    """`_`: any value."""

    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Bottom:
    """`_|_`: no value, an error on purpose."""

    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Interpolation:
    """`"text \\(expression) text"`; the parts alternate as written."""

    parts: "tuple[str | Expr, ...]"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    name: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Selector:
    """`base.name`"""

    base: "Expr"
    name: str
    name_span: Span
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """`base[index]`"""

    base: "Expr"
    index: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """`>=1`, `!="x"`, `=~"pattern"`: the values that compare so with the operand."""

    operator: str
    operand: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Negation:
    """`-x`"""

    operand: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Arithmetic:
    """`first + x - y`, or `first * x / y`: operators of one rank, from left to right."""

    first: "Expr"
    rest: "tuple[tuple[str, Expr], ...]"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Conjunction:
    """`a & b & c`"""

    terms: "tuple[Expr, ...]"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Disjunct:
    value: "Expr"
    default: bool


@dataclass(frozen=True, slots=True, eq=False)
class Disjunction:
    """`a | *b | c`"""

    terms: tuple[Disjunct, ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class ListLiteral:
    """`[a, b, ...T]`; `rest` is T (`_` where it is not written), or nothing for a list of fixed length."""

    items: "tuple[Expr, ...]"
    rest: "Expr | None"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """`@name(text)`, kept and without influence on values."""

    name: str
    text: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """A field's name; only one written as an identifier can be referred to by its name alone."""

    name: str
    is_identifier: bool
    span: Span

    @property
    def is_definition(self) -> bool:
        return self.is_identifier and self.name.startswith(("#", "_#"))

    @property
    def is_exported(self) -> bool:
        """Neither a definition nor hidden."""
        return not (self.is_identifier and self.name.startswith(("#", "_")))


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    label: Label
    presence: Presence
    value: "Expr"
    attributes: tuple[Attribute, ...]
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """`[pattern]: value`: every field whose name matches agrees with the value."""

    pattern: "Expr"
    value: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Let:
    name: str
    value: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """`...` in a struct: fields beyond the declared ones are allowed. `value`, T of `...T`, only inside lists."""

    value: "Expr | None"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    value: "Expr"
    span: Span


Declaration = Field | Pattern | Let | Opening | Embedding | Attribute


@dataclass(frozen=True, slots=True, eq=False)
class StructLiteral:
    """`{...}`, or a file without its package clause. `names`: what the expressions inside can refer to by name."""

    declarations: tuple[Declaration, ...]
    span: Span
    names: Mapping[str, Field | Let] = field(init=False)

    def __post_init__(self) -> None:
        names: dict[str, Field | Let] = {}
        for declaration in self.declarations:
            match declaration:
                case Field(label=Label(name=name, is_identifier=True)) | Let(name=name):
                    names[name] = declaration
        object.__setattr__(self, "names", names)


Expr = (
    Literal
    | Top
    | Bottom
    | Interpolation
    | Reference
    | Selector
    | Index
    | Bound
    | Negation
    | Arithmetic
    | Conjunction
    | Disjunction
    | ListLiteral
    | StructLiteral
)


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    name: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """A file is a struct literal without braces, after an optional package clause."""

    source: Source
    package: Package | None
    body: StructLiteral


def parts(expr: Expr) -> tuple[Expr, ...]:
    """The expressions directly inside one that is not a struct."""
    match expr:
        case Interpolation(parts=pieces):
            return tuple(piece for piece in pieces if not isinstance(piece, str))
        case Selector(base=base):
            return (base,)
        case Index(base=base, index=index):
            return (base, index)
        case Bound(operand=operand) | Negation(operand=operand):
            return (operand,)
        case Arithmetic(first=first, rest=rest):
            return (first, *(operand for _, operand in rest))
        case Conjunction(terms=terms):
            return terms
        case Disjunction(terms=disjuncts):
            return tuple(disjunct.value for disjunct in disjuncts)
        case ListLiteral(items=items, rest=rest_type):
            return items if rest_type is None else (*items, rest_type)
        case _:
            return ()
