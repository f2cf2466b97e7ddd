"""CUE files of one package to concrete data.

The idea: a field of the result is a *vertex* with a list of *conjuncts*, the expressions it must agree with. Nothing is
evaluated where it is written. `http: #Step & {timeout: "2m"}` gives the vertex `http` the conjuncts of `#Step` and of
the braces, and each struct literal among them gives conjuncts to the vertices of its fields. So a name inside `#Step`
that refers to a sibling finds the sibling in `http`, which is what CUE promises.

Expanding a vertex (once, on demand) means:

    flatten   references -> the conjuncts of what they refer to; literals -> fields, items, facts
    meet      the facts (kinds, atoms, bounds) into one `Basic`; an empty meet is a conflict of two places
    choose    for a disjunction try each alternative on a copy of the vertex and keep those that do not fail
    close     a definition used here allows only what its own conjuncts declare; so each use marks its conjuncts
              with a `Closing`, the mark goes on to the fields below, and at each level it is looked up

Afterwards the root is exported: problems are collected from every vertex, and what is not concrete is one. Untrusted
input cannot make this run away: nesting, the depth of evaluation, the number of steps and the size of numbers and
strings are limited.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related
from forgec.syntax import ast, problem
from forgec.syntax.budget import Budget
from forgec.syntax.data import StructNode
from forgec.syntax.export import Export
from forgec.syntax.expression import Expressions, Unknown
from forgec.syntax.names import unresolved
from forgec.syntax.value import ANY, Basic, Kind, meet, show
from forgec.syntax.vertex import Closing, Conjunct, Fact, Key, Scope, State, Vertex

ALTERNATIVES_MAX: Final = 256
"""Of one value, all combinations of its disjunctions counted."""


def evaluate(files: Sequence[ast.File]) -> StructNode:
    """The package's concrete data; ForgeError with every problem found."""
    assert files, "a package has at least one file"
    problems = [*_foreign_packages(files), *unresolved(files)]
    root = Vertex(None, "", presence=ast.Presence.REGULAR)
    for file in files:
        outside = Scope(ast.StructLiteral((), file.body.span), root, None)
        root.conjuncts.append(Conjunct(file.body, outside))
    export = Export(_Evaluator(root).expand)
    node = export.node(root)
    problems += export.problems
    if problems:
        raise ForgeError(_once(problems))
    if not isinstance(node, StructNode):
        raise ForgeError([Diagnostic(Code.WRONG_TYPE, "a file holds fields, not a single value", root.place)])
    return node


class _Evaluator:
    def __init__(self, root: Vertex) -> None:
        self._budget = Budget()
        self._expressions = Expressions(root, self._budget, self.expand)

    def expand(self, vertex: Vertex) -> None:
        """Evaluate a vertex, not its fields. One that is being expanded stays as far as it has come."""
        if vertex.state is not State.NEW:
            return
        vertex.state = State.EXPANDING
        self._budget.enter(vertex)
        self._flatten(vertex)
        self._apply_patterns(vertex)
        _check_ends(vertex)
        if not vertex.problems:
            _meet(vertex)
        if vertex.disjunctions and not vertex.problems:
            self._choose(vertex)
        else:
            _make_items(vertex)
        _check_closed(vertex)
        self._budget.leave()
        vertex.state = State.EXPANDED

    def _flatten(self, vertex: Vertex) -> None:
        """Take the conjuncts apart: into leaves (which give fields, facts and lists) and disjunctions.

        References come last, because they may refer to fields that the vertex's own literals are about to declare.
        """
        direct = list(reversed(vertex.conjuncts))
        references: list[Conjunct] = []
        seen = {vertex, *vertex.originals()}
        while direct or references:
            self._budget.step(vertex)
            if not direct:
                direct += reversed(self._dereference(vertex, references.pop(0), seen))
                continue
            conjunct = direct.pop()
            match conjunct.expr:
                case ast.Conjunction(terms=terms):
                    direct += [conjunct.of(term) for term in reversed(terms)]
                case ast.Reference() | ast.Selector() | ast.Index():
                    references.append(conjunct)
                case ast.Disjunction():
                    vertex.disjunctions.append(conjunct)
                case ast.StructLiteral() as literal:
                    self._budget.step(vertex, len(literal.declarations))
                    vertex.leaves.append(replace(conjunct, unpacked=True))
                    direct += reversed(_add_struct(vertex, conjunct, literal))
                case _:
                    vertex.leaves.append(conjunct)
                    self._add_fact(vertex, conjunct)

    def _dereference(self, vertex: Vertex, conjunct: Conjunct, seen: set[Vertex]) -> list[Conjunct]:
        """The conjuncts of what a conjunct of the vertex refers to."""
        try:
            target = self._expressions.resolve(conjunct.expr, conjunct.scope)
        except Unknown as unknown:
            vertex.leaves.append(conjunct)
            _set_unknown(vertex, unknown)
            return []
        if isinstance(target, Basic):
            vertex.leaves.append(conjunct)
            vertex.facts.append(Fact(target, conjunct))
            return []
        if target in seen:
            vertex.cyclic = True
            return []
        seen.add(target)
        closings = conjunct.closings
        if _names_definition(conjunct.expr):
            closings |= {Closing(conjunct.expr.span)}
        return [
            replace(
                each,
                closings=each.closings | closings,
                hosts=each.hosts + conjunct.hosts,
                trail=each.trail | conjunct.trail,
            )
            for each in target.conjuncts
        ]

    def _apply_patterns(self, vertex: Vertex) -> None:
        """Once all fields are known: those that a pattern covers get its value as a conjunct."""
        for declaration, conjunct, scope in vertex.patterns:
            for name, child in vertex.fields.items():
                self._budget.step(vertex)
                try:
                    if not self._expressions.covers(declaration.pattern, scope, name):
                        continue
                except Unknown as unknown:
                    _set_unknown(vertex, unknown)
                    break
                if child.state is not State.NEW:
                    vertex.problems.append(problem.needed_early(child, declaration.span))
                vertex.matched.add((conjunct.expr, name))
                child.conjuncts.append(conjunct.inside(declaration.value, scope))

    def _add_fact(self, vertex: Vertex, conjunct: Conjunct) -> None:
        match conjunct.expr:
            case ast.ListLiteral():
                vertex.lists.append(conjunct)
                vertex.facts.append(Fact(Basic(Kind.LIST), conjunct))
            case ast.Top():
                vertex.facts.append(Fact(ANY, conjunct))
            case ast.Bottom() as bottom:
                vertex.problems.append(problem.marked(vertex, bottom))
            case expr:
                try:
                    vertex.facts.append(Fact(self._expressions.basic(expr, conjunct.scope), conjunct))
                except Unknown as unknown:
                    _set_unknown(vertex, unknown)

    def _choose(self, vertex: Vertex) -> None:
        """Try the first disjunction's alternatives on copies of the vertex; each copy goes on with the others."""
        first, *others = vertex.disjunctions
        assert isinstance(first.expr, ast.Disjunction)
        terms = first.expr.terms
        marked = any(term.default for term in terms)
        failures: list[Diagnostic] = []
        for term in terms:
            conjuncts = [*vertex.leaves, *others, first.of(term.value)]
            copy = Vertex(vertex.parent, vertex.label, conjuncts, vertex.keys, original=vertex)
            failed = self._failure(copy)
            if failed is not None:
                failures.append(failed)
                continue
            default = term.default or not marked
            for alternative, inner in copy.alternatives or [(copy, True)]:
                self._budget.step(vertex)
                _add_alternative(vertex, alternative, default=default and inner)
            if len(vertex.alternatives) > ALTERNATIVES_MAX:
                vertex.problems.append(problem.too_many_alternatives(vertex, first, ALTERNATIVES_MAX))
                return
        if not vertex.alternatives:
            texts = [term.value.span.text for term in terms]
            vertex.problems.append(problem.no_alternative(vertex, first, texts, failures))
        elif not vertex.is_ambiguous:
            best = next((each for each, default in vertex.alternatives if default), vertex.alternatives[0][0])
            vertex.adopt(best)

    def _failure(self, vertex: Vertex) -> Diagnostic | None:
        """The first conflict in a vertex or below it."""
        self._budget.step(vertex)
        self.expand(vertex)
        if vertex.problems:
            return vertex.problems[0]
        children = (*vertex.fields.values(), *vertex.hidden.values(), *vertex.items)
        for child in children:
            if child.presence is ast.Presence.REGULAR and (failed := self._failure(child)):
                return failed
        return None


def _add_struct(vertex: Vertex, conjunct: Conjunct, literal: ast.StructLiteral) -> list[Conjunct]:
    """Give the literal's fields to the vertex's; what it embeds is given back."""
    vertex.structs.append(conjunct)
    scope = Scope(literal, vertex, conjunct.scope)
    embedded = []
    has_fields = False
    for declaration in literal.declarations:
        match declaration:
            case ast.Field(label=label):
                has_fields |= label.is_exported
                _add_field(vertex, declaration, conjunct, scope)
            case ast.Pattern() as pattern:
                vertex.patterns.append((pattern, conjunct, scope))
            case ast.Embedding(value=value):
                embedded.append(replace(conjunct, expr=value, scope=scope, hosts=(*conjunct.hosts, literal)))
    if has_fields or not embedded:  # else it is what it embeds, which need not be a struct
        vertex.facts.append(Fact(Basic(Kind.STRUCT), conjunct))
    return [] if conjunct.unpacked else embedded


def _add_field(vertex: Vertex, declaration: ast.Field, conjunct: Conjunct, scope: Scope) -> None:
    label = declaration.label
    table = vertex.fields if label.is_exported else vertex.hidden
    child = table.get(label.name)
    if child is None:
        shown = label.name if label.is_identifier else show(label.name)
        child = table[label.name] = Vertex(vertex, shown)
    if child.state is not State.NEW:
        vertex.problems.append(problem.needed_early(child, label.span))
    child.presence = max(child.presence, declaration.presence)
    child.keys.append(Key(label.span, conjunct.closings))
    child.conjuncts.append(conjunct.inside(declaration.value, scope))


def _meet(vertex: Vertex) -> None:
    for index, fact in enumerate(vertex.facts):
        met = meet(vertex.basic, fact.basic)
        if met is None:
            earlier = vertex.facts[:index]
            other = next((each for each in earlier if meet(each.basic, fact.basic) is None), earlier[-1])
            vertex.problems.append(problem.conflict(vertex, other, fact))
            return
        vertex.basic = met


def _make_items(vertex: Vertex) -> None:
    """The items of a list; each has a conjunct from every list literal."""
    literals = [(each, each.expr) for each in vertex.lists if isinstance(each.expr, ast.ListLiteral)]
    if not literals:
        return
    longest, most = max(literals, key=lambda pair: len(pair[1].items))
    for conjunct, literal in literals:
        if literal.rest is None and len(literal.items) < len(most.items):
            lengths = (len(most.items), len(literal.items))
            vertex.problems.append(problem.list_lengths(vertex, longest, conjunct, lengths))
            return
    for index in range(len(most.items)):
        item = Vertex(vertex, f"[{index}]", presence=ast.Presence.REGULAR)
        for conjunct, literal in literals:
            expr = literal.items[index] if index < len(literal.items) else literal.rest
            assert expr is not None
            item.conjuncts.append(conjunct.inside(expr, conjunct.scope))
        vertex.items.append(item)


def _check_ends(vertex: Vertex) -> None:
    """A struct or list made of nothing but literals that it is inside of already goes on for ever."""
    literals = [*vertex.structs, *vertex.lists]
    if literals and all(each.key in each.trail for each in literals):
        vertex.problems.append(problem.contains_itself(vertex))
        vertex.fields.clear()
        vertex.lists.clear()


def _check_closed(vertex: Vertex) -> None:
    """Refuse the fields that a definition used here does not declare."""
    refused: set[str] = set()
    closings = {closing for each in vertex.structs for closing in each.closings}
    for closing in sorted(closings, key=lambda each: (each.span.source.name, each.span.start)):
        literals = [part for each in vertex.structs if closing in each.closings for part in (each.expr, *each.hosts)]
        declarations = [
            declaration
            for literal in literals
            if isinstance(literal, ast.StructLiteral)
            for declaration in literal.declarations
        ]
        if any(isinstance(each, ast.Opening) for each in declarations):
            continue
        allowed = {name for literal in literals for covered, name in vertex.matched if covered is literal}
        allowed |= {each.label.name for each in declarations if isinstance(each, ast.Field) and each.label.is_exported}
        for name, child in vertex.fields.items():
            if child.presence is ast.Presence.REGULAR and name not in allowed and name not in refused:
                refused.add(name)
                vertex.problems.append(problem.not_allowed(vertex, child, name, closing, allowed))


def _add_alternative(vertex: Vertex, alternative: Vertex, *, default: bool) -> None:
    """One that says the same as an earlier one is not another possibility."""
    for index, (earlier, mark) in enumerate(vertex.alternatives):
        if earlier.basic == alternative.basic and not earlier.basic.kinds & (Kind.STRUCT | Kind.LIST):
            vertex.alternatives[index] = (earlier, mark or default)
            return
    vertex.alternatives.append((alternative, default))


def _set_unknown(vertex: Vertex, unknown: Unknown) -> None:
    if unknown.diagnostic is None:
        vertex.unreported = True
    elif unknown.final:
        vertex.problems.append(unknown.diagnostic)
    else:
        vertex.unknown = vertex.unknown or unknown.diagnostic


def _names_definition(expr: ast.Expr) -> bool:
    """Whether a path leads through a definition."""
    while isinstance(expr, ast.Selector | ast.Index):
        if isinstance(expr, ast.Selector) and expr.name.startswith(("#", "_#")):
            return True
        expr = expr.base
    return isinstance(expr, ast.Reference) and expr.name.startswith(("#", "_#"))


def _foreign_packages(files: Sequence[ast.File]) -> list[Diagnostic]:
    first = files[0].package
    problems = []
    for file in files[1:]:
        if (file.package and file.package.name) != (first and first.name):
            ours, theirs = (f"package {each.name}" if each else "no package" for each in (first, file.package))
            span = file.package.span if file.package else file.source.span(0, 0)
            related = (Related(first.span, "the package of the first file"),) if first else ()
            problems.append(Diagnostic(Code.WRONG_PACKAGE, f"{theirs} among files of {ours}", span, related))
    return problems


def _once(problems: list[Diagnostic]) -> list[Diagnostic]:
    """One problem of a kind at a place: what several fields refer to is wrong once."""
    unique: dict[object, Diagnostic] = {}
    for each in problems:
        unique.setdefault((each.code, each.span), each)
    return list(unique.values())
