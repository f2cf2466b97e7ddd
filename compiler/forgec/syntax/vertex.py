"""What the evaluator works on: vertices (the fields of the result), the expressions that make them, and scopes.

#Step: {action: "earthly", timeout: *"1m" | string}       vertex #Step
http: #Step & {timeout: "2m"}                             vertex http, conjuncts [#Step & {...}]
                                                            ├ action   conjuncts ["earthly"]
                                                            └ timeout  conjuncts [*"1m" | string, "2m"]
"""

import enum
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from forgec.diagnostic import Diagnostic
from forgec.source import Span
from forgec.syntax import ast
from forgec.syntax.value import ANY, Basic, Kind

T = TypeVar("T")


class Part:
    """One of the values that make up a struct beside its fields: an embedding, or what a comprehension adds."""

    __slots__ = ()


class Closing:
    """One use of a definition. What it marks may only hold the fields that its own conjuncts declare.

    `use`: the reference to it. Where that is a part of a struct, what stands in the struct beside this part is allowed,
    too. `deep`: all this holds below as well; a call of `close`, which is none by a reference, speaks of one level.
    `once`: it does so for that part only.
    """

    __slots__ = ("deep", "once", "span", "use")

    def __init__(self, span: Span, use: "Conjunct | None" = None, *, deep: bool = True) -> None:
        self.span = span
        self.use = use
        self.deep = deep
        self.once = not deep


class Scope(Struct, eq=False):
    """Where names are looked up: a struct literal in the vertex it contributes to, or what a clause or alias names."""

    vertex: "Vertex"
    parent: "Scope | None"
    names: Mapping[str, ast.Definition] = field(default_factory=dict)  # of the literal
    bound: "Mapping[str, Vertex]" = field(default_factory=dict)
    imports: Mapping[str, str] = field(default_factory=dict)  # of a file: names to paths
    lets: "dict[ast.Let, Vertex]" = field(default_factory=dict)

    def binding(self, bound: "Mapping[str, Vertex]") -> "Scope":
        """A scope inside this one with more names."""
        return Scope(self.vertex, self, bound=bound)


class Conjunct(Struct, frozen=True, eq=False):
    """An expression that a vertex must agree with, and the scope of its names.

    `trail` holds the literals in which it came about, each with its scope: one that comes again inside itself has no
    end. `within` is the number of the disjunction, among those of the vertex, that it is an alternative of. `parts` are
    those that it belongs to, of the structs that the vertex is or is in; `beside` are the other parts of these structs:
    where they are closed, what this conjunct declares is allowed all the same.
    """

    expr: ast.Expr
    scope: Scope
    closings: frozenset[Closing] = frozenset()
    trail: "frozenset[tuple[ast.Expr, Scope]]" = frozenset()
    within: int | None = None
    parts: frozenset[Part] = frozenset()
    part: Part | None = None
    whole: "Conjunct | None" = None
    referred: bool = False

    def of(self, expr: ast.Expr) -> "Conjunct":
        """A part of the expression in the same role: a term of `a & b`, an alternative."""
        return replace(self, expr=expr)

    def as_part(self, part: Part, expr: ast.Expr, scope: Scope) -> "Conjunct":
        """A part of the struct that it is.

        The files are no whole, except to what is embedded in a field that is embedded in a file.
        """
        found = replace(self, expr=expr, scope=scope, parts=self.parts | {part}, part=part, referred=False)
        is_alone = scope.vertex.parent is None and self.referred and not isinstance(expr, ast.StructLiteral)
        return replace(found, whole=found) if is_alone else found

    def in_place_of(self, reference: "Conjunct", uses: frozenset[Closing], *, shared: bool) -> "Conjunct":
        """What it is where the reference leads to it; `uses`: of a definition.

        What closes the struct that it stands in says nothing of it elsewhere, except where the two are `shared`: one
        value, with nothing besides. A call of `close` is of itself.
        """
        around = reference.closings | uses
        trail, parts = self.trail | reference.trail, self.parts | reference.parts
        if shared:
            return replace(self, closings=self.closings | around, trail=trail, parts=parts)
        own = frozenset(each for each in self.closings if each.use is None)
        return replace(
            self,
            closings=own | around,
            trail=trail,
            within=reference.within,
            parts=parts,
            part=reference.part,
            whole=reference.whole,
            referred=not uses,
        )

    def inside(self, expr: ast.Expr, scope: Scope) -> "Conjunct":
        """A part of the literal that this conjunct is: a field's value or an item."""
        deep = frozenset(each for each in self.closings if each.deep)
        trail = self.trail | {self.key}
        return Conjunct(expr, scope, deep, trail, parts=self.parts, part=self.part, whole=self.whole)

    @property
    def key(self) -> "tuple[ast.Expr, Scope]":
        return (self.expr, self.scope)


class Fact(Struct, frozen=True):
    """What one conjunct says about a vertex's kind, value or limits."""

    basic: Basic
    conjunct: Conjunct

    @property
    def span(self) -> Span:
        return self.conjunct.expr.span


class Key(Struct, frozen=True):
    """A place where a field is declared."""

    span: Span
    closings: frozenset[Closing]


class Deferred(Struct, frozen=True):
    """A declaration whose fields are known only when those beside it are, with the literal that it is in."""

    declaration: ast.Computed | ast.Comprehension
    conjunct: Conjunct
    scope: Scope


class State(enum.Enum):
    NEW = enum.auto()
    EXPANDING = enum.auto()
    EXPANDED = enum.auto()


class Vertex(Struct, eq=False):
    """A field, list item, let or intermediate value. Filled by its parent, then expanded once, on demand."""

    parent: "Vertex | None"
    label: str
    conjuncts: list[Conjunct] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    presence: ast.Presence = ast.Presence.OPTIONAL
    attributes: list[ast.Attribute] = field(default_factory=list)

    # Of a copy made to try an alternative: what is copied, and which alternative of each disjunction, as they are met
    original: "Vertex | None" = None
    choices: tuple[int, ...] = ()

    # Results of expansion
    state: State = State.NEW
    basic: Basic = ANY
    met: list[tuple[int | None, bool]] = field(default_factory=list)  # disjunctions: inside which one, with a mark?
    marked: set[int] = field(default_factory=set)  # disjunctions whose alternatives, chosen here, have marks inside
    is_unsure: bool = False  # all marked alternatives of some disjunction, in some combination, fell away
    trying: "Vertex | None" = None  # the copy that is being evaluated
    endless: frozenset[ast.Expr] = frozenset()  # literals that would come again inside themselves for ever
    is_taken: bool = False  # something that refers here has taken the conjuncts over
    seen: "set[Vertex]" = field(default_factory=set)  # what references have led to
    shared: "list[Vertex]" = field(default_factory=list)  # those of them that it is nothing but a reference to
    looked_through: "dict[Vertex, Span]" = field(default_factory=dict)  # structs that were needed as a whole, and where
    deferred: deque[Deferred] = field(default_factory=deque)
    late: set[Part] = field(default_factory=set)  # what comprehensions add
    computed: "set[Vertex]" = field(default_factory=set)  # declared fields that a computed name leads to besides
    absent: dict[str, Span] = field(default_factory=dict)  # names that were looked up in vain, and where
    disjunctions: list[Conjunct] = field(default_factory=list)  # not chosen from yet
    facts: list[Fact] = field(default_factory=list)
    structs: list[Conjunct] = field(default_factory=list)
    lists: list[Conjunct] = field(default_factory=list)
    fields: "dict[str, Vertex]" = field(default_factory=dict)
    order: dict[str, None] = field(default_factory=dict)  # names as they are written, also of what may not come
    hidden: "dict[str, Vertex]" = field(default_factory=dict)  # definitions and _hidden fields
    patterns: "list[tuple[ast.Pattern, Conjunct, Scope]]" = field(default_factory=list)  # with the literal they are in
    matched: set[tuple[ast.Expr, str]] = field(default_factory=set)  # literals, and fields that they cover unnamed
    applied: set[tuple[int, str]] = field(default_factory=set)  # numbers of patterns, and fields they were held against
    items: "list[Vertex]" = field(default_factory=list)
    alternatives: "list[tuple[Vertex, bool]]" = field(default_factory=list)  # with: is it a default?
    adopted: "Vertex | None" = None  # the alternative that was chosen
    problems: list[Diagnostic] = field(default_factory=list)
    unknown: Diagnostic | None = None  # why an expression here has no value yet
    unreported: bool = False  # an expression here has no value, for a reason that is reported elsewhere
    cyclic: bool = False

    @property
    def depth(self) -> int:
        return sum(1 for _ in self.ancestors())

    def ancestors(self) -> "Iterator[Vertex]":
        at = self.parent
        while at is not None:
            yield at
            at = at.parent

    def originals(self) -> "Iterator[Vertex]":
        at = self.original
        while at is not None:
            yield at
            at = at.original

    @property
    def is_dropped(self) -> bool:
        """Whether it was a copy, and another alternative was chosen, or none."""
        return any(each.original is None and each.adopted is not self for each in self.originals())

    @property
    def is_deep_in_choice(self) -> bool:
        """Whether a struct around the one that the field is in has alternatives inside alternatives."""
        around = list(self.ancestors())[1:]
        return any(within is not None for each in around if each.original for within, _ in each.met)

    @property
    def path(self) -> str:
        """As people write it: `ci.phases.test.unit`, `release.on[0].branch`."""
        labels = [self.label, *(vertex.label for vertex in self.ancestors())]
        text = "".join(label if label.startswith("[") else f".{label}" for label in reversed(labels) if label)
        return text.removeprefix(".")

    @property
    def name(self) -> str:
        """The path, for messages; of a list that is written inside an expression, there is none."""
        path = self.path
        return f"the operand {path}" if path.startswith("[") else path or "the package"

    def is_inside(self, other: "Vertex") -> bool:
        return self is other or any(each is other for each in self.ancestors())

    def table(self, name: str) -> "dict[str, Vertex]":
        """Where a field written as this identifier is found."""
        return self.hidden if name.startswith(("#", "_")) else self.fields

    @property
    def is_reference(self) -> bool:
        own = [each.expr for each in self.conjuncts if not isinstance(each.expr, ast.Top)]
        return len(own) == 1 and isinstance(own[0], ast.Reference | ast.Selector | ast.Index)

    @property
    def is_list(self) -> bool:
        """A list with items, not only the type of one."""
        return self.basic.kinds is Kind.LIST and bool(self.lists) and not self.is_ambiguous

    @property
    def may_grow(self) -> bool:
        """A list that may have more items than are known."""
        literals = (each.expr for each in self.lists)
        return not any(isinstance(each, ast.ListLiteral) and each.rest is None for each in literals)

    @property
    def is_struct(self) -> bool:
        return self.basic.kinds is Kind.STRUCT and not self.is_ambiguous

    @property
    def is_ambiguous(self) -> bool:
        """Several alternatives fit and the defaults single out none of them."""
        return len(self.alternatives) > 1 and sum(default for _, default in self.alternatives) != 1

    @property
    def place(self) -> Span:
        """Where its user, rather than a definition, wrote it; else where the struct around it is written."""
        for vertex in (self, *self.ancestors()):
            own = [each.expr.span for each in (*vertex.structs, *vertex.conjuncts) if not each.closings]
            if own:
                return own[0]
        return self.conjuncts[0].expr.span

    def adopt(self, other: "Vertex") -> None:
        """Take over what another vertex at the same place was expanded to."""
        self.adopted, self.cyclic = other, other.cyclic
        self.basic, self.facts = other.basic, other.facts
        self.structs, self.lists = other.structs, other.lists
        self.fields, self.hidden, self.items = other.fields, other.hidden, other.items
        self.order = other.order
        self.patterns, self.matched = other.patterns, other.matched
        self.attributes = other.attributes or self.attributes
        self.problems, self.unknown, self.unreported = other.problems, other.unknown, other.unreported


def own(entries: Sequence[T], closings: Callable[[T], frozenset[Closing]]) -> T:
    """The entry that its user wrote, rather than a definition; else the first."""
    if len(entries) == 1:
        return entries[0]
    return next((entry for entry in entries if not closings(entry)), entries[0])
