"""The CUE dialect's syntax tree: frozen nodes, each with the span it was written at.

Nodes compare by identity, since the same text at two places is two things.
"""

import enum
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import force_setattr

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


class Literal(Struct, frozen=True, eq=False):
    value: Exact
    span: Span


class Top(Struct, frozen=True, eq=False):
    """`_`: any value."""

    span: Span


class Bottom(Struct, frozen=True, eq=False):
    """`_|_`: no value, an error on purpose."""

    span: Span


class Interpolation(Struct, frozen=True, eq=False):
    """`"text \\(expression) text"`; the parts alternate as written."""

    parts: "tuple[str | Expr, ...]"
    span: Span


class Reference(Struct, frozen=True, eq=False):
    name: str
    span: Span


class Selector(Struct, frozen=True, eq=False):
    """`base.name`"""

    base: "Expr"
    name: str
    name_span: Span
    span: Span


class Index(Struct, frozen=True, eq=False):
    """`base[index]`"""

    base: "Expr"
    index: "Expr"
    span: Span


class Slice(Struct, frozen=True, eq=False):
    """`base[low:high]`, both ends optional."""

    base: "Expr"
    low: "Expr | None"
    high: "Expr | None"
    span: Span


class Bound(Struct, frozen=True, eq=False):
    """`>=1`, `!="x"`, `=~"pattern"`: the values that compare so with the operand."""

    operator: str
    operand: "Expr"
    span: Span


class Prefix(Struct, frozen=True, eq=False):
    """`-x`, `+x`, `!x`"""

    operator: str
    operand: "Expr"
    span: Span


class Operation(Struct, frozen=True, eq=False):
    """`first + x - y`: operators of one rank (`* /`, `+ -`, comparisons, `&&`, `||`), from left to right."""

    first: "Expr"
    rest: "tuple[tuple[str, Expr], ...]"
    span: Span


class Call(Struct, frozen=True, eq=False):
    """`function(argument, ...)`"""

    function: "Expr"
    arguments: "tuple[Expr, ...]"
    span: Span


class Conjunction(Struct, frozen=True, eq=False):
    """`a & b & c`"""

    terms: "tuple[Expr, ...]"
    span: Span


class Disjunct(Struct, frozen=True, eq=False):
    value: "Expr"
    default: bool


class Disjunction(Struct, frozen=True, eq=False):
    """`a | *b | c`"""

    terms: tuple[Disjunct, ...]
    span: Span


class ListLiteral(Struct, frozen=True, eq=False):
    """`[a, for x in y {z}, ...T]`; `rest` is T (`_` where it is not written), or nothing for a list of fixed length."""

    items: "tuple[Expr | Comprehension, ...]"
    rest: "Expr | None"
    span: Span


class Named(Struct, frozen=True, eq=False):
    """`X=value`: inside the value X is the field that has it."""

    name: str
    value: "Expr"
    span: Span


class Attribute(Struct, frozen=True, eq=False):
    """`@name(text)`, kept and without influence on values. `text` of a reference attribute is what it refers to."""

    name: str
    text: str
    span: Span


class Label(Struct, frozen=True, eq=False):
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


class Field(Struct, frozen=True, eq=False):
    """`label: value`; `alias` is X of `X=label: value`, a second name for the field."""

    label: Label
    presence: Presence
    value: "Expr"
    attributes: tuple[Attribute, ...]
    span: Span
    alias: str | None = None


class Computed(Struct, frozen=True, eq=False):
    """`"\\(expression)": value` or `(expression): value`: a field whose name has to be evaluated."""

    name: "Expr"
    presence: Presence
    value: "Expr"
    span: Span


class Pattern(Struct, frozen=True, eq=False):
    """`[pattern]: value`: every field whose name matches agrees with the value; `[X=pattern]` calls that name X."""

    pattern: "Expr"
    value: "Expr"
    span: Span
    alias: str | None = None


class Let(Struct, frozen=True, eq=False):
    name: str
    value: "Expr"
    span: Span


class Opening(Struct, frozen=True, eq=False):
    """`...` in a struct: fields beyond the declared ones are allowed. `value`, T of `...T`, only inside lists."""

    value: "Expr | None"
    span: Span


class Embedding(Struct, frozen=True, eq=False):
    value: "Expr"
    span: Span


class For(Struct, frozen=True, eq=False):
    """`for value in source` or `for key, value in source`"""

    key: str | None
    value: str
    source: "Expr"
    span: Span


class If(Struct, frozen=True, eq=False):
    condition: "Expr"
    span: Span


Clause = For | If | Let


class Comprehension(Struct, frozen=True, eq=False):
    """`for x in y if z {body}`: the body as often as the clauses say, in a struct or in a list."""

    clauses: tuple[Clause, ...]
    body: "StructLiteral"
    span: Span


class Import(Struct, frozen=True, eq=False):
    """`import name "path"`; without a name it is the path's."""

    path: str
    name: str
    span: Span


Declaration = Field | Computed | Pattern | Let | Opening | Embedding | Comprehension | Attribute
Definition = Field | Let
"""What a name in a struct literal can stand for."""


class StructLiteral(Struct, frozen=True, eq=False):
    """`{...}`, or a file without its package clause. `names`: what the expressions inside can refer to by name."""

    declarations: tuple[Declaration, ...]
    span: Span
    names: Mapping[str, Definition] = {}  # from the declarations

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
        force_setattr(self, "names", names)


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


class Package(Struct, frozen=True, eq=False):
    name: str
    span: Span


class File(Struct, frozen=True, eq=False):
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
