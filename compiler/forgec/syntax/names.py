"""Names that mean nothing, or are there for nothing: found in the text alone, so also where no evaluation comes by.

A name is looked up in the struct literals, clauses and aliases around it, from the inside out, then among the imports
of its file and the fields of all files of the package, then among the predeclared types and functions. Only fields
written as identifiers have a name in this sense. An import, a `let` or an alias that nobody uses is a mistake.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Final

from msgspec import Struct

from forgec.diagnostic import Code, Diagnostic, Related
from forgec.nearest import did_you_mean
from forgec.source import Span
from forgec.syntax import ast
from forgec.syntax.body import circular_lets, early_names
from forgec.syntax.call import PREDECLARED_FUNCTIONS
from forgec.syntax.problem import OTHER_ENGINE
from forgec.syntax.standard.packages import PACKAGES
from forgec.syntax.value import PREDECLARED

_ADVISED_MAX: Final = 100
"""Problems that get an advice: looking for a similar name takes a millisecond, and a text may hold thousands."""

_OUTSIDE: Final = frozenset({"bytes", "rune", "float32", "float64", "matchN", "matchIf"})
"""Predeclared in CUE, and not in the dialect."""


class _Binding(Struct, frozen=True, eq=False):
    """A name that is no field, and there for nothing but its use."""

    what: str
    name: str
    span: Span


_Names = Mapping[str, _Binding | None]
_Scopes = tuple[_Names, "_Scopes | None"]
"""The names of a scope, and those around it."""

_ASKED_EARLY: Final = "give the list that is gone through, or chosen from, a field around this struct"

_IMPORT: Final = "the import"
_VALUE: Final[_Names] = {}
"""Stands among scopes where those further inside are in the value of a field, or of a `let`."""


def check_names(files: Sequence[ast.File]) -> list[Diagnostic]:
    """A problem for every reference to a name that is not defined, and for every name that is not used."""
    names = _NameCheck(files)
    for file in files:
        names.check(file)
    return names.problems


def check_packages(files: Sequence[ast.File]) -> list[Diagnostic]:
    """A problem for every file that names another package than the first one does."""
    first = files[0].package
    problems = []
    for file in files[1:]:
        if (file.package and file.package.name) != (first and first.name):
            ours, theirs = (f"package {each.name}" if each else "no package" for each in (first, file.package))
            span = file.package.span if file.package else file.source.span(0, 0)
            related = (Related(first.span, "the package of the first file"),) if first else ()
            problems.append(Diagnostic(Code.WRONG_PACKAGE, f"{theirs} among files of {ours}", span, related))
    return problems


class _NameCheck:
    def __init__(self, files: Sequence[ast.File]) -> None:
        fields = {name for file in files for name, found in file.body.names.items() if isinstance(found, ast.Field)}
        self.problems: list[Diagnostic] = []
        self._outermost = fields | PREDECLARED.keys() | PREDECLARED_FUNCTIONS
        self._fields = fields
        self._bindings: list[_Binding] = []
        self._used: set[_Binding] = set()
        self._hosts: dict[ast.StructLiteral, ast.StructLiteral] = {}  # of what is embedded, or comes of a comprehension

    def check(self, file: ast.File) -> None:
        outside: _Scopes = (self._imports(file), None)
        # A stack of our own: the depth of a text is not bounded by its brackets alone.
        pending: list[tuple[ast.Expr | ast.Comprehension, _Scopes]] = [(file.body, outside)]
        while pending:
            expr, scopes = pending.pop()
            match expr:
                case ast.Reference():
                    self._use(expr, scopes)
                case ast.StructLiteral():
                    pending += self._inside(expr, scopes)
                case ast.Call(function=ast.Reference(name="close"), arguments=[ast.StructLiteral() as closed]):
                    self._check_closed(closed)
                    pending.append((closed, scopes))
                case ast.Operation() | ast.Prefix():
                    self._check_operands(expr, scopes)
                    pending += [(part, scopes) for part in ast.parts(expr)]
                case ast.Comprehension(clauses=clauses, body=body):
                    for clause in clauses:
                        pending.append((_source(clause), scopes))
                        scopes = (self._clause_names(clause, scopes), scopes)
                    pending.append((body, scopes))
                case ast.Named(name=name, value=value, span=span):
                    self._check_kind(name, span, scopes, is_field=False)
                    pending.append((value, (_VALUE, ({name: self._bind("the alias", name, span)}, scopes))))
                case _:
                    pending += [(part, scopes) for part in ast.parts(expr)]
        for binding in self._bindings:
            if binding not in self._used:
                message = f'{binding.what} "{binding.name}" is not used'
                self.problems.append(Diagnostic(Code.UNUSED_NAME, message, binding.span, help="remove it"))
        self._bindings.clear()

    def _imports(self, file: ast.File) -> _Names:
        names: dict[str, _Binding | None] = {}
        for each in file.imports:
            if each.path not in PACKAGES:
                message = f'the package "{each.path}" is not one that the built-in evaluator knows'
                advice = did_you_mean(each.path, PACKAGES) or OTHER_ENGINE
                self.problems.append(Diagnostic(Code.UNSUPPORTED, message, each.span, help=advice))
                names[each.name] = None
                continue
            if each.name in names or each.name in self._fields:
                self._redeclared(each.name, each.span, names.get(each.name))
            else:
                names[each.name] = self._bind(_IMPORT, each.name, each.span)
        return names

    def _inside(
        self, literal: ast.StructLiteral, scopes: _Scopes
    ) -> "list[tuple[ast.Expr | ast.Comprehension, _Scopes]]":
        own: dict[str, _Binding | None] = {}
        inner = (own, scopes)
        within = (_VALUE, inner)
        found: list[tuple[ast.Expr | ast.Comprehension, _Scopes]] = []
        for declaration in literal.declarations:
            match declaration:
                case ast.Field(label=label, value=value, alias=alias, span=span):
                    found.append((value, within))
                    if label.is_identifier:
                        self._declare(inner, label.name, None, label.span)
                    if alias is not None:
                        self._declare(inner, alias, "the alias", span)
                case ast.Let(name=name, value=value, span=span):
                    found.append((value, within))
                    self._declare(inner, name, "let", span)
                case ast.Embedding(value=value):
                    found.append((value, inner))
                    if isinstance(value, ast.StructLiteral):
                        self._hosts[value] = literal
                case ast.Computed(name=computed, value=value):
                    found += [(computed, inner), (value, within)]
                case ast.Pattern(pattern=pattern, value=value, alias=alias, span=span):
                    named = {} if alias is None else {alias: _Binding("the alias", alias, span)}  # it need not be used
                    found += [(pattern, inner), (value, (_VALUE, (named, inner)))]
                case ast.Comprehension(body=body):
                    found.append((declaration, inner))
                    self._hosts[body] = literal
        for declaration in literal.declarations:  # once all names are there
            if isinstance(declaration, ast.Pattern):
                self._check_pattern(declaration.pattern, inner)
                if declaration.alias is not None:
                    self._check_kind(declaration.alias, declaration.span, inner, is_field=False)
        self._check_own_parts(literal)
        self._check_order(literal)
        self._check_lets(literal)
        return found

    def _check_own_parts(self, literal: ast.StructLiteral) -> None:
        """A struct that one of its own fields is embedded in gets fields too late for those who ask for them."""
        if not any(_referred(each).keys() & literal.names.keys() for each in _embedded(literal)):
            return
        for expr, names in _asking(literal):
            for name, span in _referred(expr).items():
                if name in names:
                    message = f'"{name}" is asked for to find out what a struct is that embeds a field of its own'
                    advice = "declare what is embedded in a struct around this one"
                    self.problems.append(Diagnostic(Code.CYCLE, message, span, help=advice))

    def _check_order(self, literal: ast.StructLiteral) -> None:
        """Fields that are needed to find out which ones there are, where CUE finds a circle by its order."""
        names = set(literal.names)
        host: ast.StructLiteral | None = literal
        while host is not None:
            names |= host.names.keys()
            host = self._hosts.get(host)
        for name, span in early_names(literal):
            if name in names:
                message = f'"{name}" is asked for to find out which fields there are beside it'
                self.problems.append(Diagnostic(Code.CYCLE, message, span, help=_ASKED_EARLY))

    def _check_lets(self, literal: ast.StructLiteral) -> None:
        """A let is no part of its own value.

        `let L = #E & x, #E: L`: CUE does not go round such a circle, so sees no conflict in it.
        """
        for circular in circular_lets(literal):
            message = f'the value of let "{circular.name}" refers to itself, or to a let whose value does'
            self.problems.append(Diagnostic(Code.CYCLE, message, circular.span))
        embeds = any(True for _ in _embedded(literal))
        for each in literal.declarations:
            match each:
                case ast.Field(value=ast.StructLiteral() as closed, label=label) if embeds and not label.is_exported:
                    self._check_closed(closed)
                case ast.Field(label=label, value=ast.Reference(name=name, span=span)):
                    let = literal.names.get(name)
                    if not isinstance(let, ast.Let) or (label.is_exported and isinstance(let.value, ast.Reference)):
                        continue
                    if label.name in _referred(let.value):
                        message = f'"{name}" and "{label.name}" are each other\'s value'
                        self.problems.append(Diagnostic(Code.CYCLE, message, span))

    def _check_closed(self, literal: ast.StructLiteral) -> None:
        """`close({a: a})`: a field that says nothing of itself is one that CUE does not allow there.

        Nor does it in a definition beside what is embedded: `{#D: a: a, #E}`.
        """
        for each in literal.declarations:
            if (
                isinstance(each, ast.Field)
                and isinstance(each.value, ast.Reference)
                and each.value.name == each.label.name
            ):
                message = f'"{each.value.name}" refers to itself, in what is closed'
                self.problems.append(Diagnostic(Code.CYCLE, message, each.value.span))

    def _check_operands(self, expr: ast.Expr, scopes: _Scopes) -> None:
        """A type is nothing to calculate with, wherever it stands."""
        for part in ast.parts(expr):
            if isinstance(part, ast.Top):
                self.problems.append(Diagnostic(Code.WRONG_TYPE, "_ stands where a value is needed", part.span))
            if isinstance(part, ast.Reference) and part.name in PREDECLARED and part.name not in self._fields:
                around: _Scopes | None = scopes
                while around is not None and part.name not in around[0]:
                    around = around[1]
                if around is None:
                    message = f"{part.name} is a type where a value is needed"
                    self.problems.append(Diagnostic(Code.WRONG_TYPE, message, part.span))

    def _check_pattern(self, pattern: ast.Expr, scopes: _Scopes) -> None:
        """A pattern says which fields its struct may have, so nothing beside it can say what the pattern is.

        As CUE does, all names in the pattern are held against all that are declared up to the value that it is in.
        """
        names: set[str] = set()
        around: _Scopes | None = scopes
        while around is not None and around[0] is not _VALUE:
            names |= around[0].keys()
            around = around[1]
        for name, span in _identifiers(pattern).items():
            if name in names:
                message = f'the pattern refers to "{name}" beside it, which it might be matched with'
                advice = f'declare "{name}" in a struct around this one'
                self.problems.append(Diagnostic(Code.CYCLE, message, span, help=advice))

    def _declare(
        self, scopes: tuple[dict[str, _Binding | None], _Scopes], name: str, what: str | None, span: Span
    ) -> None:
        """A field may be declared again and again; any other name (`what` it is) stands for one thing in its struct."""
        own, outside = scopes
        if name not in own:
            self._check_kind(name, span, outside, is_field=what is None)
            own[name] = None if what is None else self._bind(what, name, span)
        elif own[name] is not None or what is not None:
            self._redeclared(name, span, own[name])

    def _check_kind(self, name: str, span: Span, scopes: _Scopes, *, is_field: bool) -> None:
        """A name that hides one further outside is a field where that is one, and none where that is none."""
        around: _Scopes | None = scopes
        while around is not None and name not in around[0]:
            around = around[1]
        hidden = None if around is None else around[0][name]
        if around is not None and is_field is not (hidden is None or hidden.what == _IMPORT):
            message = f'"{name}" is the name of a field, and elsewhere of an alias or let around it'
            if not is_field:
                message = f'"{name}" names an alias or let here, and a field or import around it'
            related = () if hidden is None else (Related(hidden.span, "declared here"),)
            self.problems.append(Diagnostic(Code.REDECLARED, message, span, related, help="rename one of them"))

    def _redeclared(self, name: str, span: Span, earlier: _Binding | None) -> None:
        related = () if earlier is None else (Related(earlier.span, "declared here first"),)
        message = f'"{name}" is declared a second time in one scope'
        self.problems.append(Diagnostic(Code.REDECLARED, message, span, related, help="rename one of them"))

    def _clause_names(self, clause: ast.Clause, scopes: _Scopes) -> _Names:
        """Names of a clause may be there for nothing, also those of a `let`. They count as fields."""
        names: list[str] = []
        match clause:
            case ast.For(key=key, value=value):
                names = [value] if key is None else [key, value]
            case ast.Let(name=name):
                names = [name]
        for name in names:
            self._check_kind(name, clause.span, scopes, is_field=True)
        return dict.fromkeys(names)

    def _bind(self, what: str, name: str, span: Span) -> _Binding:
        binding = _Binding(what, name, span)
        self._bindings.append(binding)
        return binding

    def _use(self, reference: ast.Reference, scopes: _Scopes | None) -> None:
        name = reference.name
        around = scopes
        while around is not None:
            names, around = around
            if name in names:
                binding = names[name]
                if binding is not None:
                    self._used.add(binding)
                return
        if name in self._outermost:
            return
        if name in _OUTSIDE:
            message = f'"{name}" is valid CUE that the built-in evaluator does not support'
            self.problems.append(Diagnostic(Code.UNSUPPORTED, message, reference.span, help=OTHER_ENGINE))
            return
        advice = None
        if len(self.problems) < _ADVISED_MAX:
            advice = self._advice(name, scopes)
        self.problems.append(Diagnostic(Code.UNRESOLVED, f'"{name}" is not defined', reference.span, help=advice))

    def _advice(self, name: str, scopes: _Scopes | None) -> str | None:
        if name in PACKAGES:
            return f'import "{name}"'
        visible = set(self._outermost)
        while scopes is not None:
            names, scopes = scopes
            visible |= names.keys()
        return did_you_mean(name, visible)


def _embedded(literal: ast.StructLiteral) -> Iterator[ast.Expr]:
    """What is embedded in a struct, also by way of structs that are."""
    pending = [literal]
    while pending:
        for each in pending.pop().declarations:
            if isinstance(each, ast.Embedding):
                if isinstance(each.value, ast.StructLiteral):
                    pending.append(each.value)
                else:
                    yield each.value


def _asking(literal: ast.StructLiteral) -> Iterator[tuple[ast.Expr, Set[str]]]:
    """What says which fields and values a struct has, and the names of its fields that must not be part of that."""
    names = literal.names.keys()
    for declaration in literal.declarations:
        match declaration:
            case ast.Comprehension(clauses=clauses):
                yield from ((_source(each), names) for each in clauses)
            case ast.Computed(name=expr):
                yield expr, names
            case ast.Field(label=label, value=ast.Reference() as value) if label.is_identifier:
                yield value, {label.name}


def _identifiers(expr: ast.Expr) -> dict[str, Span]:
    """The names that stand in an expression: referred to, selected, or declared in a struct in it."""
    found: dict[str, Span] = {}
    pending: list[ast.Expr | ast.Comprehension] = [expr]
    while pending:
        match pending.pop():
            case ast.Reference(name=name, span=span):
                found[name] = span
            case ast.Selector(base=base, name=name, name_span=span):
                pending.append(base)
                if not span.text.startswith('"'):
                    found[name] = span
            case ast.StructLiteral(names=names, span=span):
                found |= dict.fromkeys(names, span)
            case ast.Comprehension():
                pass
            case part:
                pending += ast.parts(part)
    return found


def _referred(expr: ast.Expr) -> dict[str, Span]:
    """The names that an expression refers to, outside of structs and comprehensions in it."""
    found: dict[str, Span] = {}
    pending: list[ast.Expr | ast.Comprehension] = [expr]
    while pending:
        match pending.pop():
            case ast.Reference(name=name, span=span):
                found[name] = span
            case ast.Comprehension() | ast.StructLiteral():
                pass
            case part:
                pending += ast.parts(part)
    return found


def _source(clause: ast.Clause) -> ast.Expr:
    match clause:
        case ast.For(source=source):
            return source
        case ast.If(condition=condition):
            return condition
        case ast.Let(value=value):
            return value
