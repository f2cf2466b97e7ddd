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

Afterwards the root is exported: problems are collected from every vertex, and what is not concrete is one.

Untrusted input cannot make this run away: nesting, the depth of evaluation, the number of steps and the size of
numbers and strings are limited.
"""

import difflib

from collections.abc import Callable, Collection, Sequence
from typing import Final, Never, TypeVar

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, fail
from forgec.source import Span
from forgec.syntax import ast
from forgec.syntax.data import DEPTH_MAX, FieldNode, ListNode, Node, Scalar, ScalarNode, StructNode
from forgec.syntax.literal import checked_number
from forgec.syntax.value import ANY, PREDECLARED, Atom, Basic, Kind, atom, limit, meet, show
from forgec.syntax.vertex import Closing, Conjunct, Fact, Key, Scope, Vertex

STEPS_MAX: Final = 200_000
"""Vertices and conjuncts looked at: a project file takes some hundreds, and a million take a few seconds."""

LEVEL_MAX: Final = 120
"""Evaluations inside evaluations; about five Python frames each, so the interpreter's limit of 1000 is never met."""

STRING_LENGTH_MAX: Final = 1024 * 1024

T = TypeVar("T")


def evaluate(files: Sequence[ast.File]) -> StructNode:
    """The package's concrete data; ForgeError with every problem found."""
    evaluator = _Evaluator(files)
    node = evaluator.export()
    if evaluator.problems:
        raise ForgeError(_once(evaluator.problems))
    return node


class _Unknown(Exception):
    """An expression has no value. `final`: nothing that is unified later can give it one."""

    def __init__(self, diagnostic: Diagnostic | None, *, final: bool = False) -> None:
        super().__init__()
        self.diagnostic = diagnostic
        self.final = final


class _Evaluator:
    def __init__(self, files: Sequence[ast.File]) -> None:
        assert files, "a package has at least one file"
        self.problems: list[Diagnostic] = [*_foreign_packages(files)]
        self._steps = 0
        self._level = 0
        self._names: dict[ast.StructLiteral, dict[str, ast.Field | ast.Let]] = {}
        self._root = Vertex(None, "")
        for file in files:
            outside = Scope(ast.StructLiteral((), file.body.span), self._root, None)
            self._root.conjuncts.append(Conjunct(file.body, outside))

    # Export: from the root down, collecting what is wrong

    def export(self) -> StructNode:
        node = self._export(self._root, concrete=True)
        return node if isinstance(node, StructNode) else StructNode({}, self._root.place)

    def _export(self, vertex: Vertex, *, concrete: bool) -> Node | None:
        """The data below a vertex; not `concrete` (in definitions and hidden fields) only conflicts are problems."""
        self._expand(vertex)
        self.problems += vertex.problems
        fields = {}
        for name, child in vertex.fields.items():
            if child.presence is ast.Presence.REGULAR:
                value = self._export(child, concrete=concrete)
                if value is not None:
                    fields[name] = FieldNode(_own(child.keys, lambda key: key.closings).span, value)
            elif child.presence is ast.Presence.REQUIRED and concrete and not vertex.problems:
                self.problems.append(_missing(vertex, child))
        for child in vertex.hidden.values():
            if child.presence is ast.Presence.REGULAR:
                self._export(child, concrete=False)
        items = [self._export(item, concrete=concrete) for item in vertex.items]
        if vertex.problems or not concrete:
            return None
        if vertex.basic.atom is not None:
            fact = _own([fact for fact in vertex.facts if fact.basic.atom], lambda fact: fact.conjunct.closings)
            return ScalarNode(vertex.basic.atom.value, fact.span)
        if vertex.basic.kinds is Kind.LIST and not _is_ambiguous(vertex):
            span = _own(vertex.lists, lambda each: each.closings).expr.span
            return ListNode(tuple(item for item in items if item is not None), span)
        if vertex.basic.kinds is Kind.STRUCT and not _is_ambiguous(vertex):
            return StructNode(fields, _own(vertex.structs, lambda each: each.closings).expr.span)
        if not vertex.unreported:
            self.problems.append(vertex.unknown or _incomplete(vertex))
        return None

    # Expansion

    def _expand(self, vertex: Vertex) -> None:
        """Evaluate a vertex, not its fields. One that is being expanded stays as far as it has come."""
        if vertex.state != "new":
            return
        vertex.state = "expanding"
        self._enter(vertex)
        disjunctions = self._flatten(vertex)
        self._check_ends(vertex)
        if not vertex.problems:
            self._meet(vertex)
        if disjunctions and not vertex.problems:
            self._choose(vertex, disjunctions)
        else:
            self._make_items(vertex)
        self._check_closed(vertex)
        self._level -= 1
        vertex.state = "expanded"

    def _enter(self, vertex: Vertex) -> None:
        self._level += 1
        self._step(vertex)
        if vertex.depth > DEPTH_MAX:
            self._stop(vertex, f"the value is nested deeper than {DEPTH_MAX} levels")
        if self._level > LEVEL_MAX:
            self._stop(vertex, f"references and expressions lead through more than {LEVEL_MAX} others")

    def _step(self, vertex: Vertex) -> None:
        self._steps += 1
        if self._steps > STEPS_MAX:
            self._stop(vertex, f"the evaluation takes more than {STEPS_MAX} steps")

    def _stop(self, vertex: Vertex, message: str) -> Never:
        problem = Diagnostic(Code.TOO_DEEP, message, vertex.place, help="look for definitions that contain each other")
        raise ForgeError(_once([*self.problems, problem]))

    def _flatten(self, vertex: Vertex) -> list[Conjunct]:
        """Take apart the conjuncts: into fields, facts and lists of the vertex, and the disjunctions that are given back.

        References come last, because they may refer to fields that the vertex's own literals are about to declare.
        """
        direct = list(reversed(vertex.conjuncts))
        references: list[Conjunct] = []
        disjunctions: list[Conjunct] = []
        seen = {vertex}
        while direct or references:
            self._step(vertex)
            if not direct:
                direct += reversed(self._dereference(vertex, references.pop(0), seen))
                continue
            conjunct = direct.pop()
            match conjunct.expr:
                case ast.Conjunction(terms=terms):
                    direct += [conjunct.of(term) for term in reversed(terms)]
                case ast.StructLiteral():
                    direct += reversed(self._add_struct(vertex, conjunct, conjunct.expr))
                case ast.ListLiteral():
                    vertex.lists.append(conjunct)
                    vertex.facts.append(Fact(Basic(Kind.LIST), conjunct))
                case ast.Disjunction():
                    disjunctions.append(conjunct)
                case ast.Reference() | ast.Selector() | ast.Index():
                    references.append(conjunct)
                case ast.Top():
                    vertex.facts.append(Fact(ANY, conjunct))
                case ast.Bottom(span=span):
                    vertex.problems.append(
                        Diagnostic(Code.CONFLICT, f"{_named(vertex)} is marked as an error (_|_)", span)
                    )
                case _:
                    try:
                        vertex.facts.append(Fact(self._basic(conjunct), conjunct))
                    except _Unknown as unknown:
                        _set_unknown(vertex, unknown)
        return disjunctions

    def _dereference(self, vertex: Vertex, conjunct: Conjunct, seen: set[Vertex]) -> list[Conjunct]:
        """The conjuncts of what a conjunct of the vertex refers to."""
        try:
            target = self._resolve(conjunct.expr, conjunct.scope)
        except _Unknown as unknown:
            _set_unknown(vertex, unknown)
            return []
        if isinstance(target, Basic):
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
            Conjunct(
                each.expr,
                each.scope,
                each.closings | closings,
                conjunct.hosts + each.hosts,
                each.trail | conjunct.trail,
            )
            for each in target.conjuncts
        ]

    def _add_struct(self, vertex: Vertex, conjunct: Conjunct, literal: ast.StructLiteral) -> list[Conjunct]:
        """Give the literal's fields to the vertex's; what it embeds is given back."""
        vertex.structs.append(conjunct)
        scope = Scope(literal, vertex, conjunct.scope)
        embedded = []
        is_struct = True
        for declaration in literal.declarations:
            self._step(vertex)
            match declaration:
                case ast.Field(label=label):
                    table = vertex.fields if label.is_exported else vertex.hidden
                    child = table.get(label.name)
                    if child is None:
                        child = table[label.name] = Vertex(vertex, _shown(label))
                    if child.state != "new":
                        message = f"{_named(child)} is needed to find out what it is"
                        vertex.problems.append(Diagnostic(Code.CYCLE, message, label.span))
                    child.presence = max(child.presence, declaration.presence)
                    child.keys.append(Key(label.span, conjunct.closings))
                    child.conjuncts.append(conjunct.inside(declaration.value, scope))
                case ast.Embedding(value=value):
                    hosts = (*conjunct.hosts, literal)
                    embedded.append(Conjunct(value, scope, conjunct.closings, hosts, conjunct.trail))
                    is_struct = False
        if is_struct or any(isinstance(each, ast.Field) and each.label.is_exported for each in literal.declarations):
            vertex.facts.append(Fact(Basic(Kind.STRUCT), conjunct))
        return embedded

    def _check_ends(self, vertex: Vertex) -> None:
        """A struct or list made of nothing but literals that it is inside of already goes on for ever."""
        literals = [*vertex.structs, *vertex.lists]
        if literals and all(each.key in each.trail for each in literals):
            message = f"{_named(vertex)} contains itself: it refers to a value around it"
            vertex.problems.append(Diagnostic(Code.CYCLE, message, vertex.place))
            vertex.fields.clear()
            vertex.lists.clear()

    def _meet(self, vertex: Vertex) -> None:
        for index, fact in enumerate(vertex.facts):
            met = meet(vertex.basic, fact.basic)
            if met is None:
                earlier = vertex.facts[:index]
                other = next((each for each in earlier if meet(each.basic, fact.basic) is None), earlier[-1])
                vertex.problems.append(_conflict(vertex, other, fact))
                return
            vertex.basic = met

    def _make_items(self, vertex: Vertex) -> None:
        """The items of a list; each has a conjunct from every list literal."""
        literals = [(each, each.expr) for each in vertex.lists if isinstance(each.expr, ast.ListLiteral)]
        length = max((len(literal.items) for _, literal in literals), default=0)
        for conjunct, literal in literals:
            if literal.rest is None and len(literal.items) < length:
                longest = next(each for each in vertex.lists if len(each.expr.items) == length)  # type: ignore[union-attr]
                message = f"{_named(vertex)} has {length} items here and {len(literal.items)} elsewhere"
                related = Related(conjunct.expr.span, f"a list of {len(literal.items)}")
                vertex.problems.append(Diagnostic(Code.CONFLICT, message, longest.expr.span, (related,)))
                return
        for index in range(length):
            item = Vertex(vertex, f"[{index}]", presence=ast.Presence.REGULAR)
            for conjunct, literal in literals:
                expr = literal.items[index] if index < len(literal.items) else literal.rest
                assert expr is not None
                item.conjuncts.append(conjunct.inside(expr, conjunct.scope))
            vertex.items.append(item)

    def _choose(self, vertex: Vertex, disjunctions: list[Conjunct]) -> None:
        """Try the first disjunction's alternatives on copies of the vertex; each copy goes on with the others."""
        first, *others = disjunctions
        assert isinstance(first.expr, ast.Disjunction)
        leaves = [each.conjunct for each in vertex.facts]
        leaves += [each for each in vertex.structs if each not in leaves]
        marked = any(term.default for term in first.expr.terms)
        failures: list[Diagnostic] = []
        for term in first.expr.terms:
            copy = Vertex(vertex.parent, vertex.label, [*leaves, *others, first.of(term.value)], vertex.keys)
            failed = self._failure(copy)
            if failed is not None:
                failures.append(failed)
                continue
            default = term.default or not marked
            for alternative, inner in copy.alternatives or [(copy, True)]:
                known = [each for each, _ in vertex.alternatives if _same_atom(each, alternative)]
                if not known:
                    vertex.alternatives.append((alternative, default and inner))
                elif default and inner:
                    vertex.alternatives = [(each, mark or each is known[0]) for each, mark in vertex.alternatives]
        if not vertex.alternatives:
            vertex.problems.append(_no_alternative(vertex, first, failures))
            return
        defaults = [alternative for alternative, mark in vertex.alternatives if mark]
        if len(vertex.alternatives) == 1:
            vertex.adopt(vertex.alternatives[0][0])
        elif len(defaults) == 1:
            vertex.adopt(defaults[0])

    def _failure(self, vertex: Vertex) -> Diagnostic | None:
        """The first conflict in a vertex or below it."""
        self._step(vertex)
        self._expand(vertex)
        if vertex.problems:
            return vertex.problems[0]
        children = [child for child in vertex.fields.values() if child.presence is ast.Presence.REGULAR]
        for child in (*children, *vertex.items):
            if failed := self._failure(child):
                return failed
        return None

    def _check_closed(self, vertex: Vertex) -> None:
        refused: set[str] = set()
        for closing in frozenset[Closing]().union(*(each.closings for each in vertex.structs)):
            literals = [each for each in vertex.structs if closing in each.closings]
            allowed: set[str] = set()
            is_open = False
            for literal in (part for each in literals for part in (each.expr, *each.hosts)):
                assert isinstance(literal, ast.StructLiteral)
                for declaration in literal.declarations:
                    is_open |= isinstance(declaration, ast.Ellipsis)
                    if isinstance(declaration, ast.Field):
                        allowed.add(declaration.label.name)
            for name, child in vertex.fields.items():
                if not is_open and child.presence is ast.Presence.REGULAR and name not in allowed | refused:
                    refused.add(name)
                    vertex.problems.append(_not_allowed(vertex, child, name, closing, allowed))

    # Expressions

    def _resolve(self, expr: ast.Expr, scope: Scope) -> Vertex | Basic:
        """The vertex an expression refers to (or makes), or the set of values of a predeclared type."""
        match expr:
            case ast.Reference():
                return self._resolve_name(expr, scope)
            case ast.Selector(base=base, name=name, name_span=span):
                is_hidden = name.startswith(("#", "_")) and not span.text.startswith('"')
                return self._select(self._resolve_base(base, scope), name, span, is_hidden=is_hidden)
            case ast.Index(base=base, index=index):
                target = self._resolve_base(base, scope)
                key = self._scalar(index, scope)
                if isinstance(key, str):
                    return self._select(target, key, index.span, is_hidden=False)
                if type(key) is not int or target.basic.kinds is not Kind.LIST:
                    what = f"{show(key)} does not select from {target.path or target.basic}"
                    raise _Unknown(Diagnostic(Code.UNRESOLVED, what, index.span), final=True)
                if not 0 <= key < len(target.items):
                    what = f"{target.path} has {len(target.items)} items, no item {key}"
                    raise _Unknown(Diagnostic(Code.UNRESOLVED, what, index.span))
                return target.items[key]
            case _:
                return Vertex(scope.vertex, "", [Conjunct(expr, scope)])

    def _resolve_name(self, reference: ast.Reference, scope: Scope) -> Vertex | Basic:
        name = reference.name
        at: Scope | None = scope
        while at is not None:
            declaration = self._names_of(at.literal).get(name)
            if isinstance(declaration, ast.Let):
                if declaration not in at.lets:
                    at.lets[declaration] = Vertex(at.vertex, name, [Conjunct(declaration.value, at)])
                return at.lets[declaration]
            if declaration is not None:
                return self._present(_table(at.vertex, name)[name], name, reference.span)
            at = at.parent
        visible = {name for each in self._root.conjuncts for name in self._file_names(each)}
        if name in visible:
            return self._present(_table(self._root, name)[name], name, reference.span)
        if name in PREDECLARED:
            return Basic(PREDECLARED[name])
        while scope.parent is not None:
            visible |= self._names_of(scope.literal).keys()
            scope = scope.parent
        message = f'"{name}" is not defined'
        raise _Unknown(
            Diagnostic(Code.UNRESOLVED, message, reference.span, help=_suggestion(name, visible | PREDECLARED.keys())),
            final=True,
        )

    def _resolve_base(self, expr: ast.Expr, scope: Scope) -> Vertex:
        """What is selected from: a vertex, expanded."""
        target = self._resolve(expr, scope)
        if isinstance(target, Basic):
            message = f"{expr.span.text} is a type and has no fields"
            raise _Unknown(Diagnostic(Code.UNRESOLVED, message, expr.span), final=True)
        self._expand(target)
        if target.problems:
            raise _Unknown(None)
        return target

    def _select(self, vertex: Vertex, name: str, span: Span, *, is_hidden: bool) -> Vertex:
        table = vertex.hidden if is_hidden else vertex.fields
        if name in table:
            return self._present(table[name], name, span)
        where = vertex.path or "the package"
        if not vertex.basic.kinds & Kind.STRUCT:
            message = f"{where} is {vertex.basic} and has no fields"
            raise _Unknown(Diagnostic(Code.UNRESOLVED, message, span), final=True)
        message = f'{where} has no field "{name}"'
        raise _Unknown(Diagnostic(Code.UNRESOLVED, message, span, help=_suggestion(name, table.keys())))

    def _present(self, vertex: Vertex, name: str, span: Span) -> Vertex:
        if vertex.presence is ast.Presence.REGULAR:
            return vertex
        raise _Unknown(Diagnostic(Code.UNRESOLVED, f'the field "{name}" is declared but has no value', span))

    def _basic(self, conjunct: Conjunct) -> Basic:
        """The set of values that an expression without fields or items describes."""
        match conjunct.expr:
            case ast.Bound(operator=operator, operand=operand, span=span):
                try:
                    return limit(operator, self._scalar(operand, conjunct.scope))
                except ValueError as error:
                    raise _Unknown(Diagnostic(Code.BAD_VALUE, str(error), span), final=True) from None
            case _:
                return atom(self._scalar(conjunct.expr, conjunct.scope))

    def _scalar(self, expr: ast.Expr, scope: Scope) -> Scalar:
        """The one value of an expression."""
        self._level += 1
        self._enter_expression(expr, scope)
        try:
            match expr:
                case ast.Literal(value=value):
                    return value
                case ast.Interpolation(parts=parts):
                    texts = [part if isinstance(part, str) else self._interpolated(part, scope) for part in parts]
                    return _checked_text("".join(texts), expr.span)
                case ast.Negation(operand=operand):
                    return _calculate(0, "-", self._scalar(operand, scope), expr.span)
                case ast.Arithmetic(first=first, rest=rest):
                    value = self._scalar(first, scope)
                    for operator, operand in rest:
                        value = _calculate(value, operator, self._scalar(operand, scope), expr.span)
                    return value
            return self._scalar_of(self._resolve(expr, scope), expr)
        finally:
            self._level -= 1

    def _enter_expression(self, expr: ast.Expr, scope: Scope) -> None:
        self._steps += 1
        if self._level > LEVEL_MAX or self._steps > STEPS_MAX:
            self._level -= 1
            self._enter(Vertex(scope.vertex, "", [Conjunct(expr, scope)]))

    def _scalar_of(self, target: Vertex | Basic, expr: ast.Expr) -> Scalar:
        if isinstance(target, Basic):
            raise _Unknown(Diagnostic(Code.INCOMPLETE, f"{target} is a type where a value is needed", expr.span))
        if target.state == "expanding":
            raise _Unknown(Diagnostic(Code.CYCLE, f"{_named(target)} needs its own value", expr.span), final=True)
        self._expand(target)
        if target.problems or target.unreported or (target.unknown and not target.basic.atom):
            raise _Unknown(target.unknown)
        if target.basic.atom is None:
            raise _Unknown(
                Diagnostic(Code.INCOMPLETE, f"{expr.span.text} has no value yet: {_about(target)}", expr.span)
            )
        return target.basic.atom.value

    def _interpolated(self, expr: ast.Expr, scope: Scope) -> str:
        value = self._scalar(expr, scope)
        if value is None:
            raise _Unknown(Diagnostic(Code.WRONG_TYPE, "null does not go into a string", expr.span), final=True)
        return value if isinstance(value, str) else show(value)

    def _names_of(self, literal: ast.StructLiteral) -> dict[str, ast.Field | ast.Let]:
        """The names that a literal declares for the expressions inside it."""
        names = self._names.get(literal)
        if names is None:
            names = self._names[literal] = {}
            for declaration in literal.declarations:
                match declaration:
                    case ast.Field(label=ast.Label(name=name, is_identifier=True)) | ast.Let(name=name):
                        names[name] = declaration
        return names

    def _file_names(self, conjunct: Conjunct) -> list[str]:
        assert isinstance(conjunct.expr, ast.StructLiteral)
        names = self._names_of(conjunct.expr)
        return [name for name, declaration in names.items() if isinstance(declaration, ast.Field)]


# What goes wrong, in words


def _named(vertex: Vertex) -> str:
    return vertex.path or "the package"


def _about(vertex: Vertex) -> str:
    if vertex.alternatives and not vertex.basic.atom:
        return " or ".join(str(alternative.basic) for alternative, _ in vertex.alternatives[:8])
    return str(vertex.basic)


def _conflict(vertex: Vertex, first: Fact, second: Fact) -> Diagnostic:
    """Reported at the user's own value; the other place, often a definition's, is related."""
    rank = [(bool(fact.conjunct.closings), fact.basic.atom is None) for fact in (first, second)]
    main, other = (first, second) if rank[0] < rank[1] else (second, first)
    message = f"{_named(vertex)}: {main.basic} conflicts with {other.basic}"
    return Diagnostic(Code.CONFLICT, message, main.span, (Related(other.span, f"{other.basic} is asked for here"),))


def _no_alternative(vertex: Vertex, conjunct: Conjunct, failures: list[Diagnostic]) -> Diagnostic:
    assert isinstance(conjunct.expr, ast.Disjunction)
    basics = [fact for fact in vertex.facts if fact.basic.atom]
    related = (Related(conjunct.expr.span, "the alternatives"),)
    if basics:
        fact = _own(basics, lambda each: each.conjunct.closings)
        texts = [term.value.span.text for term in conjunct.expr.terms]
        message = f"{_named(vertex)}: {fact.basic} is none of {', '.join(texts)}"
        advice = _suggestion(str(fact.basic), texts)
        return Diagnostic(Code.CONFLICT, message, fact.span, related, help=advice)
    related += tuple(Related(failure.span, failure.message) for failure in failures[:4] if failure.span)
    return Diagnostic(Code.CONFLICT, f"{_named(vertex)} fits none of its alternatives", vertex.place, related)


def _not_allowed(vertex: Vertex, child: Vertex, name: str, closing: Closing, allowed: set[str]) -> Diagnostic:
    key = next((key for key in child.keys if closing not in key.closings), child.keys[0])
    where = f"{vertex.path}: " if vertex.path else ""
    related = Related(closing.span, "closed by this definition")
    message = f'{where}the field "{name}" is not allowed'
    return Diagnostic(Code.UNKNOWN_FIELD, message, key.span, (related,), help=_suggestion(name, allowed))


def _missing(vertex: Vertex, child: Vertex) -> Diagnostic:
    related = Related(child.keys[0].span, "required here")
    return Diagnostic(Code.MISSING_FIELD, f"{child.path} is required but not given", vertex.place, (related,))


def _incomplete(vertex: Vertex) -> Diagnostic:
    if vertex.cyclic:
        return Diagnostic(Code.CYCLE, f"{_named(vertex)} is defined by itself alone", vertex.place)
    message = f"{_named(vertex)} has no concrete value: it can be {_about(vertex)}"
    declared = vertex.conjuncts[0].expr.span
    related = () if declared == vertex.place else (Related(declared, "declared here"),)
    return Diagnostic(Code.INCOMPLETE, message, vertex.place, related)


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


def _suggestion(name: str, known: Collection[str]) -> str | None:
    close = difflib.get_close_matches(name, known, 1)
    return f"did you mean {close[0]}?" if close else None


def _once(problems: list[Diagnostic]) -> list[Diagnostic]:
    """One problem of a kind at a place: what is referred to from several fields is wrong once."""
    unique: dict[object, Diagnostic] = {}
    for problem in problems:
        unique.setdefault((problem.code, problem.span), problem)
    return list(unique.values())


# Small decisions


def _calculate(left: Scalar, operator: str, right: Scalar, span: Span) -> Scalar:
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        return _checked_text(left + right, span)
    numbers = [value for value in (left, right) if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) < 2:
        message = f"{show(left)} {operator} {show(right)} is not arithmetic on numbers"
        raise _Unknown(Diagnostic(Code.WRONG_TYPE, message, span), final=True)
    first, second = numbers
    try:
        match operator:
            case "+":
                return checked_number(first + second)
            case "-":
                return checked_number(first - second)
            case "*":
                return checked_number(first * second)
            case _:
                return checked_number(first / second)
    except ZeroDivisionError:
        raise _Unknown(Diagnostic(Code.BAD_VALUE, "division by zero", span), final=True) from None
    except (ValueError, OverflowError) as error:
        raise _Unknown(Diagnostic(Code.BAD_VALUE, str(error), span), final=True) from None


def _checked_text(text: str, span: Span) -> str:
    if len(text) > STRING_LENGTH_MAX:
        message = f"the string is longer than {STRING_LENGTH_MAX} characters"
        raise _Unknown(Diagnostic(Code.TOO_DEEP, message, span), final=True)
    return text


def _set_unknown(vertex: Vertex, unknown: _Unknown) -> None:
    if unknown.diagnostic is None:
        vertex.unreported = True
    elif unknown.final:
        vertex.problems.append(unknown.diagnostic)
    else:
        vertex.unknown = vertex.unknown or unknown.diagnostic


def _own(entries: Sequence[T], closings: Callable[[T], frozenset[Closing]]) -> T:
    """The entry that the user wrote, rather than a definition; else the first."""
    return next((entry for entry in entries if not closings(entry)), entries[0])


def _is_ambiguous(vertex: Vertex) -> bool:
    return len(vertex.alternatives) > 1 and sum(mark for _, mark in vertex.alternatives) != 1


def _same_atom(left: Vertex, right: Vertex) -> bool:
    return left.basic.atom is not None and left.basic == right.basic


def _names_definition(expr: ast.Expr) -> bool:
    match expr:
        case ast.Reference(name=name):
            return name.startswith(("#", "_#"))
        case ast.Selector(base=base, name=name):
            return name.startswith(("#", "_#")) or _names_definition(base)
        case ast.Index(base=base):
            return _names_definition(base)
        case _:
            return False


def _table(vertex: Vertex, name: str) -> dict[str, Vertex]:
    return vertex.hidden if name.startswith(("#", "_")) else vertex.fields


def _shown(label: ast.Label) -> str:
    return label.name if label.is_identifier or label.name.isidentifier() else show(label.name)
