"""The CUE dialect's syntax tree: frozen nodes, each with the span it was written at.

Nodes compare by identity, since the same text at two places is two things.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from forgec.source import Source, Span
from forgec.syntax.number import Exact

REFERENCE_ATTRIBUTES: Final = frozenset({"artifact", "repo"})
"""Attributes that stand for a value which is known later: of an artifact that a release has built, of `repo.cue`.

They come after a type, `image: string @artifact("a.uri")`, or where the value would be, `image: @artifact("a.uri")`.
"""


class Presence(enum.IntEnum):
    """How a field was declared: `x?:`, `x!:` or `x:`. The highest one decides where declarations meet."""

    OPTIONAL = 0
    REQUIRED = 1
    REGULAR = 2


@dataclass(frozen=True, slots=True, eq=False)
class Literal:
    value: Exact
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
class Slice:
    """`base[low:high]`, both ends optional."""

    base: "Expr"
    low: "Expr | None"
    high: "Expr | None"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """`>=1`, `!="x"`, `=~"pattern"`: the values that compare so with the operand."""

    operator: str
    operand: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """`-x`, `+x`, `!x`"""

    operator: str
    operand: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """`first + x - y`: operators of one rank (`* /`, `+ -`, comparisons, `&&`, `||`), from left to right."""

    first: "Expr"
    rest: "tuple[tuple[str, Expr], ...]"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """`function(argument, ...)`"""

    function: "Expr"
    arguments: "tuple[Expr, ...]"
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
    """`[a, for x in y {z}, ...T]`; `rest` is T (`_` where it is not written), or nothing for a list of fixed length."""

    items: "tuple[Expr | Comprehension, ...]"
    rest: "Expr | None"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """`X=value`: inside the value X is the field that has it."""

    name: str
    value: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Attribute:
    """`@name(text)`, kept and without influence on values. `text` of a reference attribute is what it refers to."""

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
    """`label: value`; `alias` is X of `X=label: value`, a second name for the field."""

    label: Label
    presence: Presence
    value: "Expr"
    attributes: tuple[Attribute, ...]
    span: Span
    alias: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Computed:
    """`"\\(expression)": value` or `(expression): value`: a field whose name has to be evaluated."""

    name: "Expr"
    presence: Presence
    value: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """`[pattern]: value`: every field whose name matches agrees with the value; `[X=pattern]` calls that name X."""

    pattern: "Expr"
    value: "Expr"
    span: Span
    alias: str | None = None


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


@dataclass(frozen=True, slots=True, eq=False)
class For:
    """`for value in source` or `for key, value in source`"""

    key: str | None
    value: str
    source: "Expr"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class If:
    condition: "Expr"
    span: Span


Clause = For | If | Let


@dataclass(frozen=True, slots=True, eq=False)
class Comprehension:
    """`for x in y if z {body}`: the body as often as the clauses say, in a struct or in a list."""

    clauses: tuple[Clause, ...]
    body: "StructLiteral"
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class Import:
    """`import name "path"`; without a name it is the path's."""

    path: str
    name: str
    span: Span


Declaration = Field | Computed | Pattern | Let | Opening | Embedding | Comprehension | Attribute
Definition = Field | Let
"""What a name in a struct literal can stand for."""


@dataclass(frozen=True, slots=True, eq=False)
class StructLiteral:
    """`{...}`, or a file without its package clause. `names`: what the expressions inside can refer to by name."""

    declarations: tuple[Declaration, ...]
    span: Span
    names: Mapping[str, Definition] = field(init=False)

    def __post_init__(self) -> None:
        names: dict[str, Definition] = {}
        for declaration in self.declarations:
            match declaration:
                case Field(label=label, alias=alias):
                    if label.is_identifier:
                        names[label.name] = declaration
                    if alias is not None:
                        names[alias] = declaration
                case Let(name=name):
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
    | Slice
    | Call
    | Bound
    | Prefix
    | Operation
    | Conjunction
    | Disjunction
    | ListLiteral
    | StructLiteral
    | Named
)


@dataclass(frozen=True, slots=True, eq=False)
class Package:
    name: str
    span: Span


@dataclass(frozen=True, slots=True, eq=False)
class File:
    """A file is a struct literal without braces, after an optional package clause and imports."""

    source: Source
    package: Package | None
    imports: tuple[Import, ...]
    body: StructLiteral


def parts(expr: Expr) -> "tuple[Expr | Comprehension, ...]":
    """What is directly inside an expression that opens no scope of names."""
    match expr:
        case Interpolation(parts=pieces):
            return tuple(piece for piece in pieces if not isinstance(piece, str))
        case Selector(base=base):
            return (base,)
        case Index(base=base, index=index):
            return (base, index)
        case Slice(base=base, low=low, high=high):
            return (base, *(end for end in (low, high) if end is not None))
        case Call(function=function, arguments=arguments):
            return (function, *arguments)
        case Bound(operand=operand) | Prefix(operand=operand):
            return (operand,)
        case Operation(first=first, rest=rest):
            return (first, *(operand for _, operand in rest))
        case Conjunction(terms=terms):
            return terms
        case Disjunction(terms=disjuncts):
            return tuple(disjunct.value for disjunct in disjuncts)
        case ListLiteral(items=items, rest=rest_type):
            return items if rest_type is None else (*items, rest_type)
        case _:
            return ()
