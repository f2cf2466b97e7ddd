"""What recipes take and need of the arguments that are passed along the calls between them.

The build tool's rules: what a recipe is given, it gives on to the targets of the same Earthfile that it calls, and to
any other, or to a function, only with `--pass-args`; a function is given what its DO passes. An argument that nobody
declares has no effect, which is a mistake but no failure. An ARG that is `--required` and empty is a failure.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, Related, Severity
from forgec.discovery.recipe import BASE, Edge, Recipe, RecipeId, Recipes
from forgec.nearest import did_you_mean
from forgec.source import Span
from forgec.syntax import earthfile_ast as ast
from forgec.syntax.earthfile_builtin import BUILT_IN_ARGS
from forgec.syntax.earthfile_call import placed

NEEDS_MAX: Final = 20
"""Required arguments that are followed from one recipe; so many keep the walk linear, and no build has more."""

REACH_MAX: Final = 500
"""Recipes that one argument is followed through; beyond, it counts as declared somewhere."""

ADVICE_REACH_MAX: Final = 50
"""Recipes whose ARGs are offered in place of one that nobody declares."""

CYCLE_SHOWN_MAX: Final = 6


class Need(Struct, frozen=True, kw_only=True):
    """A required ARG that nobody on `way` passes. `sure`: it fails whatever the environment holds."""

    name: str
    span: Span
    way: tuple[Span, ...]
    sure: bool

    @property
    def related(self) -> tuple[Related, ...]:
        return (Related(self.span, "required here"), *(Related(span, "needed by way of this") for span in self.way))

    @property
    def severity(self) -> Severity:
        return Severity.ERROR if self.sure else Severity.WARNING


class _Visit(Struct, frozen=True):
    """A recipe that is being settled: the call that led to it, and its own calls that are still to follow."""

    recipe: Recipe
    entered_by: Edge | None
    waiting: Iterator[Edge]


class Arguments:
    """The arguments of recipes that were reached; every recipe is settled once."""

    def __init__(self, recipes: Recipes) -> None:
        self._recipes = recipes
        self._needs: dict[RecipeId, dict[str, Need]] = {}
        self._takes: dict[tuple[RecipeId, str], bool] = {}

    def needs(self, id_: RecipeId) -> Sequence[Need]:
        """What must be passed to a recipe, once it is settled."""
        return tuple(self._needs.get(id_, {}).values())

    def takes(self, id_: RecipeId, name: str) -> bool:
        """Whether an argument makes, or may make, a difference to a recipe or to what it gives it on to."""
        key = (id_, name)
        if key not in self._takes:
            self._takes[key] = self._reaches_declaration(id_, name)
        return self._takes[key]

    def settle(self, reached: Sequence[RecipeId]) -> Iterator[Diagnostic]:
        """Follow every call that is certain, callees first; a recipe that is reached again on its way never ends."""
        for start in reached:
            yield from self._settle_from(start)
        for id_ in reached:
            recipe = self._recipes.get(id_)
            assert recipe is not None
            for edge in recipe.edges:
                yield from self._check_passed(edge, recipe)

    def _settle_from(self, start: RecipeId) -> Iterator[Diagnostic]:
        way: list[_Visit] = []
        places: dict[RecipeId, int] = {}

        def enter(id_: RecipeId, edge: Edge | None) -> None:
            recipe = self._recipes.get(id_)
            if recipe is not None and id_ not in self._needs:
                places[id_] = len(way)
                way.append(_Visit(recipe, edge, iter([each for each in recipe.edges if each.certain])))

        enter(start, None)
        while way:
            recipe = way[-1].recipe
            edge = next(way[-1].waiting, None)
            if edge is None:
                way.pop()
                del places[recipe.id]
                yield from self._finish(recipe)
            elif edge.callee in places:
                yield self._cycle(way[places[edge.callee] :], edge)
            else:
                enter(edge.callee, edge)

    def _cycle(self, visits: "Sequence[_Visit]", closing: Edge) -> Diagnostic:
        edges = [*(visit.entered_by for visit in visits[1:]), closing]
        hops = [
            Related(edge.span, f"{visit.recipe.id} leads to {edge.callee}")
            for visit, edge in zip(visits, edges, strict=True)
            if edge is not None and edge.call is not None
        ]
        names = [str(visit.recipe.id) for visit in (*visits, visits[0])]
        if len(names) > CYCLE_SHOWN_MAX:
            names[CYCLE_SHOWN_MAX // 2 : -(CYCLE_SHOWN_MAX // 2)] = ["..."]
            del hops[CYCLE_SHOWN_MAX // 2 : -(CYCLE_SHOWN_MAX // 2)]
        return Diagnostic(
            Code.TARGET_CYCLE,
            f"targets need each other: {' -> '.join(names)}",
            hops[-1].span,
            (*hops[:-1], *self._recipes.way(visits[0].recipe)),
            help="no build of them can end; take one of the calls out",
        )

    def _finish(self, recipe: Recipe) -> Iterator[Diagnostic]:
        needs = {need.name: need for need in _own_needs(recipe, self._recipes.get(RecipeId(recipe.id.directory, BASE)))}
        self._needs[recipe.id] = needs
        for edge in recipe.edges:
            if not edge.certain:
                continue
            for need in self._needs.get(edge.callee, {}).values():
                if self._is_passed(need.name, edge, recipe):
                    continue
                if not edge.inherits:
                    yield self._unmet(need, edge, recipe)
                elif len(needs) < NEEDS_MAX:
                    needs.setdefault(need.name, replace(need, way=(edge.span, *need.way)[:CYCLE_SHOWN_MAX]))

    def _is_passed(self, name: str, edge: Edge, recipe: Recipe) -> bool:
        if edge.call is None:
            return False
        if any(arg.name == name or "$" in arg.name for arg in edge.call.args):
            return True
        return edge.call.pass_args and self._declares(recipe, name)

    def _unmet(self, need: Need, edge: Edge, recipe: Recipe) -> Diagnostic:
        return Diagnostic(
            Code.ARG_REQUIRED,
            f'{edge.callee} requires the argument "{need.name}", which is not passed',
            edge.span,
            (*need.related, *self._recipes.way(recipe)),
            help=f"pass --{need.name}=value",
            severity=need.severity,
        )

    def _check_passed(self, edge: Edge, recipe: Recipe) -> Iterator[Diagnostic]:
        """What a call passes in so many words; a Dockerfile's ARGs are not known here."""
        if edge.call is None or (edge.callee.name == BASE and edge.call.reference.name != BASE):
            return
        for arg in edge.call.args:
            if "$" in arg.name:
                continue
            way = self._recipes.way(recipe)
            if not arg.span.text.startswith(("-", "(")):
                message = f"{arg.name[:60]!r} does not belong here"
                yield Diagnostic(Code.EARTHFILE_SYNTAX, message, arg.span, way, help="arguments are --name=value")
            elif not arg.span.text.startswith(("--", "(")):
                message = f"-{arg.name} has one hyphen only, which newer versions of the build tool refuse"
                advice = f"write --{arg.name}"
                severity = Severity.WARNING
                yield Diagnostic(Code.EARTHFILE_SYNTAX, message, arg.span, way, help=advice, severity=severity)
            elif arg.value is None:
                message = f"--{arg.name} is passed without a value"
                advice = f"write --{arg.name}=value"
                yield Diagnostic(Code.EARTHFILE_SYNTAX, message, arg.span, way, help=advice)
            elif arg.name in BUILT_IN_ARGS:
                yield reserved(arg.name, arg.span, way)
            elif not edge.call.to_dockerfile and not self.takes(edge.callee, arg.name):
                yield self.undeclared(edge.callee, arg.name, arg.span, way, severity=Severity.WARNING)

    def undeclared(
        self, id_: RecipeId, name: str, span: Span, related: tuple[Related, ...], *, severity: Severity
    ) -> Diagnostic:
        recipe = self._recipes.get(id_)
        assert recipe is not None
        reached = islice(self._given_on(id_), ADVICE_REACH_MAX)
        known = sorted({name for each in reached if each is not None for name in each.declared})
        advice = f"declare it with ARG {name}, or leave it out: it has no effect"
        if known:
            advice = did_you_mean(name, known) or f"it declares {', '.join(known[:10])}"
        message = f'"+{id_.name}" declares no argument "{name}"'
        place = Related(recipe.span, f"+{id_.name} begins here")
        return Diagnostic(Code.ARG_UNDECLARED, message, span, (place, *related), help=advice, severity=severity)

    def _declares(self, recipe: Recipe, name: str) -> bool:
        """By itself or by the base of its file."""
        base = self._recipes.get(RecipeId(recipe.id.directory, BASE))
        return name in recipe.declared or (base is not None and name in base.declared)

    def _reaches_declaration(self, start: RecipeId, name: str) -> bool:
        return any(
            recipe is None or recipe.leads_anywhere or name in recipe.declared for recipe in self._given_on(start)
        )

    def _given_on(self, start: RecipeId) -> "Iterator[Recipe | None]":
        """The recipes that are given what `start` is given; None where that cannot be told."""
        seen = {start}
        waiting = [start]
        while waiting:
            recipe = self._recipes.get(waiting.pop())
            yield recipe
            if recipe is None or len(seen) > REACH_MAX:
                yield None
                return
            for edge in recipe.edges:
                if edge.inherits and edge.callee not in seen:
                    seen.add(edge.callee)
                    waiting.append(edge.callee)


def reserved(name: str, span: Span, related: tuple[Related, ...] = ()) -> Diagnostic:
    message = f'"{name}" is an argument that the build tool sets itself; it refuses to be given one'
    return Diagnostic(Code.ARG_RESERVED, message, span, related, help="leave it out, or give the ARG another name")


def _own_needs(recipe: Recipe, base: Recipe | None) -> Iterator[Need]:
    """Before version 0.8 an ARG could take its value from the image's or the base recipe's environment."""
    found = 0
    for command, certain in placed(recipe.commands):
        if not (isinstance(command, ast.Arg) and command.required and certain) or command.name in BUILT_IN_ARGS:
            continue
        sure = recipe.earthfile.is_at_least(0, 8)
        if not sure and base is not None and base is not recipe and command.name in base.declared:
            continue
        found += 1
        if found > NEEDS_MAX:
            return
        yield Need(name=command.name, span=command.span, way=(), sure=sure)
