"""CUE files of one package to concrete data.

The idea: a field of the result is a *vertex* with a list of *conjuncts*, the expressions it must agree with. Nothing is
evaluated where it is written. `http: #Step & {timeout: "2m"}` gives the vertex `http` the conjuncts of `#Step` and of
the braces, and each struct literal among them gives conjuncts to the vertices of its fields. So a name inside `#Step`
that refers to a sibling finds the sibling in `http`, which is what CUE promises.

Expanding a vertex (once, on demand) means:

    flatten   references -> the conjuncts of what they refer to; literals -> fields, items, facts
    yield     what depends on the fields that are there by now: comprehensions, computed names
    meet      the facts (kinds, atoms, bounds) into one `Basic`; an empty meet is a conflict of two places
    choose    for a disjunction try each alternative on a copy of the vertex and keep those that do not fail
    close     a definition used here allows only what its own conjuncts declare; so each use marks its conjuncts
              with a `Closing`, the mark goes on to the fields below, and at each level it is looked up

Afterwards the root is exported: problems are collected from every vertex, and what is not concrete is one. Untrusted
input cannot make this run away: nesting, depth of evaluation, steps, and the size of numbers and strings are limited.
"""

from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.source import Span
from forgec.syntax import ast, problem
from forgec.syntax.alternative import Alternatives, marks_inside
from forgec.syntax.body import field_names, is_settled, looked_up_in_vain, mentions
from forgec.syntax.budget import Budget
from forgec.syntax.closing import check_closed, close_once, is_shared, names_definition
from forgec.syntax.comprehension import scopes
from forgec.syntax.data import StructNode
from forgec.syntax.export import Export
from forgec.syntax.expression import Expressions
from forgec.syntax.facts import check_ends, meet_facts
from forgec.syntax.items import make_items
from forgec.syntax.names import check_names, check_packages
from forgec.syntax.problem import Unknown, note_unknown
from forgec.syntax.promise import promised
from forgec.syntax.selection import check_absent, is_required
from forgec.syntax.value import ANY, Basic, Kind, meet, show
from forgec.syntax.vertex import Closing, Conjunct, Deferred, Fact, Key, Part, Scope, State, Vertex


def evaluate(files: Sequence[ast.File]) -> StructNode:
    """The package's concrete data; ForgeError with every problem found."""
    assert files, "a package has at least one file"
    problems = [*check_packages(files), *check_names(files)]
    root = Vertex(None, "", presence=ast.Presence.REGULAR)
    for file in files:
        outside = Scope(root, None, imports={each.name: each.path for each in file.imports})
        root.conjuncts.append(Conjunct(file.body, outside))
    evaluator = _Evaluator(root)
    export = Export(evaluator.expand)
    node = export.node(root)
    for let in evaluator.lets:
        if not any(each.is_dropped for each in let.ancestors()):
            export.node(let, concrete=False)
    problems += export.problems
    problems += evaluator.finish()
    problems = [*evaluator.undecided, *problems]  # of two at a place, the one that says why
    if problems:
        raise ForgeError(_once(problems))
    if not isinstance(node, StructNode):
        raise ForgeError([Diagnostic(Code.WRONG_TYPE, "a file holds fields, not a single value", root.place)])
    return node


class _Evaluator:
    def __init__(self, root: Vertex) -> None:
        self._root = root
        self._budget = Budget()
        self._expressions = Expressions(root, self._budget, self.expand)
        self._waiting: list[tuple[Vertex, Conjunct]] = []
        self._orders: dict[ast.StructLiteral, dict[str, None]] = {}
        self.undecided, self.lets = self._expressions.undecided, self._expressions.lets
        self._alternatives = Alternatives(self.expand, self.undecided, self._budget)

    def expand(self, vertex: Vertex) -> None:
        """Evaluate a vertex, not its fields. One that is being expanded stays as far as it has come."""
        if vertex.state is not State.NEW:
            if vertex.looked_through:
                self._budget.step(vertex.conjuncts[-1].expr.span, len(vertex.looked_through))
                self._expressions.settling.note_again(vertex)
            return
        vertex.state = State.EXPANDING
        span = vertex.conjuncts[-1].expr.span
        self._budget.enter(span)
        self._budget.nest(span, vertex.depth)
        self._expressions.expanding.append(vertex)
        vertex.seen = {vertex, *vertex.originals()}
        self._flatten(vertex, vertex.conjuncts)
        self._apply_patterns(vertex)
        check_ends(vertex)
        if not vertex.disjunctions:
            self._yield(vertex)
        if not vertex.problems:
            meet_facts(vertex, self._budget)
            check_absent(vertex, self._expressions.is_covered)
        if vertex.disjunctions and not vertex.problems:
            self._alternatives.choose(vertex)
        else:
            _make_items(vertex, self._expressions)
        vertex.marked |= marks_inside(vertex)
        self._expressions.expanding.pop()
        self._budget.leave()
        vertex.state = State.EXPANDED
        check_closed(vertex, self.undecided, self.expand)

    def _flatten(self, vertex: Vertex, conjuncts: Sequence[Conjunct]) -> None:
        """Take conjuncts apart into fields, facts, lists, and disjunctions.

        References come later, because they may refer to fields that the vertex's own literals are about to declare, and
        calculations last, because they may need the value that the others give.
        """
        direct = list(reversed(conjuncts))
        references: deque[Conjunct] = deque()
        calculations: list[Conjunct] = []
        shared = conjuncts is vertex.conjuncts and is_shared(conjuncts)
        while direct or references:
            if not direct:
                found = self._dereference(vertex, references.popleft(), shared=shared)
                shared = shared and is_shared(found)
                direct += reversed(found)
                continue
            conjunct = direct.pop()
            self._budget.step(conjunct.expr.span)
            match conjunct.expr:
                case ast.Conjunction(terms=terms):
                    direct += [conjunct.of(term) for term in reversed(terms)]
                case ast.Reference() | ast.Selector() | ast.Index() | ast.Slice() | ast.Call():
                    references.append(conjunct)
                case ast.Named(name=name, value=value):
                    direct.append(replace(conjunct, expr=value, scope=conjunct.scope.binding({name: vertex})))
                case ast.Disjunction(terms=disjuncts):
                    number = len(vertex.met)
                    vertex.met.append((conjunct.within, any(each.default for each in disjuncts)))
                    if number < len(vertex.choices):
                        chosen = disjuncts[vertex.choices[number]].value
                        direct.append(replace(conjunct, expr=chosen, within=number))
                    else:
                        vertex.disjunctions.append(conjunct)
                case ast.StructLiteral() as literal:
                    self._budget.step(literal.span, len(literal.declarations))
                    direct += reversed(self._add_struct(vertex, conjunct, literal))
                case ast.Operation() | ast.Prefix() | ast.Interpolation():
                    calculations.append(conjunct)
                case _:
                    self._add_fact(vertex, conjunct)
        for conjunct in calculations:
            self._calculate(vertex, conjunct)

    def _calculate(self, vertex: Vertex, conjunct: Conjunct) -> None:
        """Add what an expression comes to.

        One that needs the vertex itself can wait until all else is known, if the vertex has a value without it, and is
        not the mere operand of an expression, which is used at once.
        """
        known = len(self.undecided)
        try:
            vertex.facts.append(Fact(self._expressions.basic(conjunct.expr, conjunct.scope), conjunct))
        except Unknown as unknown:
            has_value = any(fact.basic.atom for fact in vertex.facts)
            is_tried = any(each.original for each in (vertex, *vertex.ancestors()))
            if len(self.undecided) > known and has_value and vertex.label and not is_tried:
                del self.undecided[known:]
                self._waiting.append((vertex, conjunct))
            else:
                note_unknown(vertex, unknown)

    def finish(self) -> list[Diagnostic]:
        """Calculate what had to wait; the problems that shows."""
        problems = []
        for vertex, conjunct in self._waiting:
            try:
                fact = Fact(self._expressions.basic(conjunct.expr, conjunct.scope), conjunct)
            except Unknown as unknown:
                problems += [unknown.diagnostic] if unknown.diagnostic else []
                continue
            if not vertex.problems and meet(vertex.basic, fact.basic) is None:
                value = next(each for each in vertex.facts if each.basic.atom)
                problems.append(problem.conflict(vertex, value, fact))
        return problems

    def _dereference(self, vertex: Vertex, conjunct: Conjunct, *, shared: bool) -> list[Conjunct]:
        """The conjuncts of what a conjunct of the vertex refers to; `shared`: which is the vertex."""
        try:
            target = self._expressions.resolve(conjunct.expr, conjunct.scope)
        except Unknown as unknown:
            later = promised(conjunct.expr, conjunct.scope, self._root)
            if later is not None:
                vertex.attributes = [*vertex.attributes, later]
            elif any(is_required(each, conjunct.expr) for each in vertex.ancestors()):
                vertex.problems.append(problem.contains_itself(vertex))
            else:
                note_unknown(vertex, unknown)
            return []
        if isinstance(target, Basic):
            vertex.facts.append(Fact(target, conjunct))
            return []
        if target in vertex.seen:
            vertex.cyclic = True
            return []
        if any(isinstance(each.expr, ast.ListLiteral) for each in target.conjuncts) and vertex.is_deep_in_choice:
            self._undecided(vertex, problem.list_in_choice(vertex, conjunct.expr.span))
        vertex.seen.add(target)
        target.is_taken = True
        if (vertex.shared[-1] if vertex.shared else vertex).is_reference:
            vertex.shared.append(target)
        if isinstance(conjunct.expr, ast.Call) and conjunct.expr.function.span.text == "close":
            close_once(vertex, conjunct)
        is_definition = names_definition(conjunct.expr) or target.label.startswith(("#", "_#"))  # by an alias
        uses = frozenset({Closing(conjunct.expr.span, conjunct)} if is_definition else ())
        return [each.in_place_of(conjunct, uses, shared=shared) for each in target.conjuncts]

    def _add_struct(self, vertex: Vertex, conjunct: Conjunct, literal: ast.StructLiteral) -> list[Conjunct]:
        """Give the literal's fields to the vertex's; what it embeds is given back."""
        scope = Scope(vertex, conjunct.scope, names=literal.names)
        parts = {each: Part() for each in literal.declarations if isinstance(each, ast.Embedding | ast.Comprehension)}
        is_whole = parts and conjunct.whole is None and vertex.parent is not None  # files are no whole
        inner = replace(conjunct, whole=conjunct) if is_whole else conjunct
        vertex.structs.append(inner)
        embedded = []
        vertex.order |= self._order(literal)
        is_struct, is_more = False, False
        for declaration in literal.declarations:
            match declaration:
                case ast.Field(label=label, attributes=attributes):
                    is_struct |= label.is_exported and declaration.presence is ast.Presence.REGULAR
                    table = vertex.fields if label.is_exported else vertex.hidden
                    child = _child(vertex, table, label.name, label.name if label.is_identifier else show(label.name))
                    child.attributes += [each for each in attributes if each.name in ast.REFERENCE_ATTRIBUTES]
                    self._declare(child, label.name, declaration, Key(label.span, conjunct.closings))
                    self._add(child, inner.inside(declaration.value, scope), label.span)
                case ast.Pattern():
                    vertex.patterns.append((declaration, inner, scope))
                case ast.Embedding(value=value):
                    embedded.append(inner.as_part(parts[declaration], value, scope))
                case ast.Computed():
                    vertex.deferred.append(Deferred(declaration, inner, scope))
                    is_struct |= declaration.presence is ast.Presence.REGULAR
                case ast.Comprehension():
                    part = inner.as_part(parts[declaration], literal, conjunct.scope)
                    vertex.deferred.append(Deferred(declaration, part, scope))
                    vertex.late.add(parts[declaration])
                    is_more = True
        if is_struct or not (embedded or is_more):  # else it is what it embeds, which need not be a struct
            vertex.facts.append(Fact(Basic(Kind.STRUCT), conjunct))
        return embedded

    def _order(self, literal: ast.StructLiteral) -> dict[str, None]:
        """The names of its fields, of which those of structs inside it were not counted as steps."""
        if literal not in self._orders:
            self._orders[literal] = dict.fromkeys(field_names(literal))
        order = self._orders[literal]
        self._budget.step(literal.span, max(0, len(order) - len(literal.declarations)))
        return order

    def _declare(self, child: Vertex, name: str, declaration: ast.Field | ast.Computed, key: Key) -> None:
        """Declare a field once more."""
        parent = child.parent
        assert parent is not None
        if name in parent.absent and declaration.presence is ast.Presence.REGULAR:
            self._undecided(parent, problem.added_late(parent, name, key.span, parent.absent[name]))
        child.presence = max(child.presence, declaration.presence)
        child.keys.append(key)

    def _add(self, child: Vertex, conjunct: Conjunct, place: Span) -> None:
        """Give a field one more conjunct. If its value is in use already, that must not change by it."""
        child.conjuncts.append(conjunct)
        if child.state is State.NEW and not child.is_taken:
            return
        if child.state is State.EXPANDED and child.basic.atom is not None and not child.is_ambiguous:
            again = Vertex(child.parent, child.label, child.conjuncts, child.keys, child.presence)
            self.expand(again)
            is_same = again.basic == child.basic and not again.is_ambiguous and again.unknown is None
            if is_same and not again.problems and not mentions(conjunct.expr, child.label):
                return
        self._undecided(child, problem.needed_early(child, place))

    def _undecided(self, vertex: Vertex, diagnostic: Diagnostic) -> None:
        vertex.problems.append(diagnostic)
        self.undecided.append(diagnostic)

    def _apply_patterns(self, vertex: Vertex) -> None:
        """The known fields that a pattern covers get its value as a conjunct."""
        for number, (declaration, conjunct, scope) in enumerate(vertex.patterns):
            if not vertex.fields:  # a pattern that has no value is wrong all the same
                try:
                    self._expressions.covers(declaration.pattern, scope, "")
                except Unknown as unknown:
                    note_unknown(vertex, unknown)
            for name, child in vertex.fields.items():
                if (number, name) in vertex.applied:
                    continue
                self._budget.step(declaration.span)
                try:
                    covered = self._expressions.covers(declaration.pattern, scope, name)
                except Unknown as unknown:
                    note_unknown(vertex, unknown)
                    break
                vertex.applied.add((number, name))
                if not covered:
                    continue
                vertex.matched.add((conjunct.expr, name))
                inner = scope
                if declaration.alias is not None:
                    label = ast.Literal(name, declaration.pattern.span)
                    inner = scope.binding({declaration.alias: Vertex(vertex, name, [Conjunct(label, scope)])})
                self._add(child, conjunct.inside(declaration.value, inner), declaration.span)

    def _yield(self, vertex: Vertex) -> None:
        """Add what depends on the fields beside it, as often as that makes more of it possible."""
        waiting: list[Unknown] = []
        while vertex.deferred and len(waiting) < len(vertex.deferred) and not vertex.disjunctions:
            deferred = vertex.deferred.popleft()
            self._budget.step(deferred.declaration.span)
            try:
                yielded = self._yielded(vertex, deferred)
            except Unknown as unknown:
                waiting.append(unknown)
                vertex.deferred.append(deferred)
                continue
            waiting.clear()
            self._flatten(vertex, yielded)
            self._apply_patterns(vertex)
        if not vertex.disjunctions:
            for each in waiting:
                note_unknown(vertex, each)

    def _yielded(self, vertex: Vertex, deferred: Deferred) -> list[Conjunct]:
        """The conjuncts that a comprehension adds; a field is added to at once. Or Unknown."""
        conjunct, scope = deferred.conjunct, deferred.scope
        literal = conjunct.expr
        assert isinstance(literal, ast.StructLiteral)
        match deferred.declaration:
            case ast.Computed(name=expr) as declaration:
                try:
                    with self._expressions.settling.of(vertex, is_name=True):
                        name = self._expressions.scalar(expr, scope)
                except Unknown as unknown:
                    raise problem.nameless(expr, unknown) from None
                if not isinstance(name, str):
                    raise problem.wrong(Code.WRONG_TYPE, f"{show(name)} is no name of a field", expr.span)
                child = _child(vertex, vertex.fields, name, show(name))
                vertex.matched.add((literal, name))
                if child.conjuncts:
                    vertex.computed.add(child)
                self._declare(child, name, declaration, Key(expr.span, conjunct.closings))
                self._add(child, conjunct.inside(declaration.value, scope), expr.span)
                return []
            case ast.Comprehension(body=body) as comprehension:
                known = set(vertex.absent)
                settling = self._expressions.settling
                with settling.of(vertex, is_name=False, is_settled=is_settled(vertex, body)) as whole:
                    found = scopes(self._expressions, comprehension, scope)
                absent = {name: span for name, span in vertex.absent.items() if name not in known}
                for around, label, span in () if found else looked_up_in_vain(vertex, body, absent, whole):
                    self._undecided(around, problem.added_late(around, label.name, label.span, span))
                if not found and not vertex.facts:
                    vertex.facts.append(Fact(Basic(Kind.STRUCT), conjunct))
                return [replace(conjunct, expr=body, scope=each) for each in found]

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
                    note_unknown(vertex, unknown)


def _child(vertex: Vertex, table: dict[str, Vertex], name: str, shown: str) -> Vertex:
    if name not in table:
        table[name] = Vertex(vertex, shown)
    return table[name]


def _make_items(vertex: Vertex, expressions: Expressions) -> None:
    try:
        make_items(vertex, expressions)
    except Unknown as unknown:
        note_unknown(vertex, unknown)


def _once(problems: list[Diagnostic]) -> list[Diagnostic]:
    """One problem of a kind at a place: what several fields refer to is wrong once."""
    unique: dict[object, Diagnostic] = {}
    for each in problems:
        unique.setdefault((each.code, each.span), each)
    return list(unique.values())
