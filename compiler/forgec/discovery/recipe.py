"""The recipes of a repository's Earthfiles, as far as steps lead to them, and which of them calls which.

    step +test ─▶ +test ─▶ +base of its file           every target begins with its file's base recipe
                     └────▶ ../lib+dist ─▶ ...         FROM, COPY, BUILD, WITH DOCKER --load
                     └────▶ ../lib+SETUP, ../lib+base  DO: a function runs after the base of its own file

A recipe is walked once, whoever calls it, so the work is linear in the size of what is reached. What a call names and
is not there is reported at the call, with the way that leads to it from a step.
"""

import posixpath
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, Related, Severity
from forgec.discovery.earthfiles import Earthfiles, NoEarthfile
from forgec.discovery.reference import Elsewhere, Imports, Matching, Unknown, locate, misnamed
from forgec.nearest import KNOWN_MAX, did_you_mean
from forgec.source import Span
from forgec.syntax import earthfile_ast as ast
from forgec.syntax.earthfile_call import Call, calls, declared_args, placed

BASE: Final = "base"
"""The language's own name for the commands before the first header."""

HOPS_MAX: Final = 3
"""Calls that a finding shows at each end of the way from the step: more nobody follows with the eye."""


class RecipeId(Struct, frozen=True):
    """A target, a function or the base recipe of the Earthfile in a directory."""

    directory: str
    name: str

    def __str__(self) -> str:
        return f"+{self.name}" if self.directory == "." else f"{self.directory}+{self.name}"


class Edge(Struct, frozen=True, kw_only=True):
    """A call that leads to a recipe. `inherits`: what the caller was given is given to the callee as well.

    `call` is None where the language calls without a word: the base recipe.
    """

    callee: RecipeId
    span: Span
    inherits: bool
    certain: bool
    call: Call | None = None


class Recipe(Struct, kw_only=True):
    """`caller` is the call that first led here, None for a step's own target; so many `depth` calls from the step.

    `first_hops` are the first places of the way, beginning with what the step asks for.
    `leads_anywhere`: what it is given may reach recipes that cannot be told before it runs.
    """

    id: RecipeId
    earthfile: ast.Earthfile
    commands: ast.Recipe
    span: Span
    declared: Mapping[str, ast.Arg]
    caller: tuple[RecipeId, Span] | None
    depth: int
    first_hops: tuple[Related, ...]
    edges: list[Edge] = field(default_factory=list)
    leads_anywhere: bool = False


class Recipes:
    """All recipes that were reached so far."""

    def __init__(self, earthfiles: Earthfiles) -> None:
        self._earthfiles = earthfiles
        self._known: dict[RecipeId, Recipe] = {}
        self._remote_noted = False

    def get(self, id_: RecipeId) -> Recipe | None:
        """None for one that is not there or cannot be read, which was reported when it was reached."""
        return self._known.get(id_)

    def find(self, id_: RecipeId) -> ast.Target | NoEarthfile | None:
        """What an id names; None where the Earthfile is there and the name is not in it."""
        earthfile = self._earthfiles.at(id_.directory)
        if isinstance(earthfile, NoEarthfile):
            return earthfile
        if id_.name == BASE:
            start = earthfile.source.span(0, 0)
            return ast.Target(name=BASE, docs="", recipe=earthfile.base, span=start)
        return earthfile.functions.get(id_.name) or earthfile.targets.get(id_.name)

    def reach(self, start: RecipeId, asked: Span) -> tuple[list[RecipeId], list[Diagnostic]]:
        """Walk to all that a step needs; gives what was not reached before, nearest first, and what is wrong there."""
        reached: list[RecipeId] = []
        findings: list[Diagnostic] = []
        waiting: deque[tuple[RecipeId, tuple[RecipeId, Span] | None]] = deque([(start, None)])
        while waiting:
            id_, caller = waiting.popleft()
            found = None if id_ in self._known else self.find(id_)
            earthfile = self._earthfiles.at(id_.directory)
            if not isinstance(found, ast.Target) or isinstance(earthfile, NoEarthfile):
                continue
            recipe = self._known[id_] = Recipe(
                id=id_,
                earthfile=earthfile,
                commands=found.recipe,
                span=found.span,
                declared=declared_args(found.recipe),
                caller=caller,
                depth=0 if caller is None else self._known[caller[0]].depth + 1,
                first_hops=self._first_hops(id_, caller, asked),
            )
            reached.append(id_)
            findings += self._follow(recipe)
            waiting.extend((edge.callee, (id_, edge.span)) for edge in recipe.edges)
        return reached, findings

    def way(self, recipe: Recipe) -> tuple[Related, ...]:
        """From a recipe back to the step that leads to it; of a long way both ends."""
        hops: list[Related] = []
        at = recipe
        while at.caller is not None and at.depth >= len(at.first_hops) and len(hops) < HOPS_MAX:
            hops += self._hop(at.id, at.caller)
            at = self._known[at.caller[0]]
        return (*hops, *reversed(at.first_hops))

    def _first_hops(self, id_: RecipeId, caller: tuple[RecipeId, Span] | None, asked: Span) -> tuple[Related, ...]:
        if caller is None:
            return (Related(asked, f"{id_} is asked for here"),)
        before = self._known[caller[0]].first_hops
        return before if len(before) > HOPS_MAX else (*before, *self._hop(id_, caller))

    def _hop(self, id_: RecipeId, caller: tuple[RecipeId, Span]) -> tuple[Related, ...]:
        """Nothing for the base recipe, which is called without a word."""
        by, span = caller
        return () if span == self._known[by].span else (Related(span, f"{by} leads to {id_}"),)

    def elsewhere(self, id_: RecipeId) -> str | None:
        """Where else a name that is missing could be meant to lead."""
        earthfile = self._earthfiles.at(id_.directory)
        if isinstance(earthfile, NoEarthfile):
            return None
        known = earthfile.functions if id_.name[:1].isupper() else earthfile.targets
        if len(known) <= KNOWN_MAX and (near := did_you_mean(f"+{id_.name}", (f"+{name}" for name in known))):
            return near
        holders = self._earthfiles.holders(id_.name, id_.directory)
        if holders:
            return f"another Earthfile has one of this name: {' or '.join(holders)}"
        names = ", ".join(f"+{name}" for name in islice(known, 10))
        return f"there is {names}{', ...' if len(known) > 10 else ''}" if names else "there is none"

    def _follow(self, recipe: Recipe) -> Iterator[Diagnostic]:
        """Every call of a recipe becomes an edge or a finding."""
        is_function = recipe.id.name[:1].isupper()
        imports = Imports()
        if recipe.id.name != BASE:
            imports = Imports(recipe.earthfile.base)
            base = RecipeId(recipe.id.directory, BASE)
            # A function's base runs where the function is called, with what its caller was given.
            recipe.edges.append(Edge(callee=base, span=recipe.span, inherits=True, certain=not is_function))
        if is_function:
            yield from self._told(_check_function(recipe), recipe)
        for command, certain in placed(recipe.commands):
            if isinstance(command, ast.Import):
                imports.add(command)
            for call in calls(command, certain=certain):
                yield from self._told(self._follow_call(recipe, call, imports), recipe)

    def _follow_call(self, recipe: Recipe, call: Call, imports: Imports) -> Iterator[Diagnostic]:
        reference = call.reference
        wrong = misnamed(reference)
        if wrong is not None:
            yield wrong
            return
        place = locate(reference, recipe.id.directory, imports)
        same_file = not isinstance(place, Diagnostic) and place.same_file
        inherits = call.pass_args or (same_file and not reference.function)  # DO gives no more than it says
        if isinstance(place, Diagnostic):
            yield place
        elif isinstance(place, Unknown):
            recipe.leads_anywhere |= inherits
            yield Diagnostic(Code.TARGET_DYNAMIC, place.message, reference.span, severity=Severity.WARNING)
        elif isinstance(place, Matching):
            yield from self._follow_pattern(recipe, call, place)
        elif isinstance(place, Elsewhere):
            recipe.leads_anywhere |= inherits
            yield from self._check_elsewhere(place, reference, recipe)
        else:
            callee = RecipeId(place.directory, reference.name)
            missing = self._missing(callee, call, place.imported, recipe)
            if missing is not None:
                recipe.leads_anywhere |= inherits
                yield from missing
                return
            _connect(recipe, callee, call, inherits=inherits)

    def _follow_pattern(self, recipe: Recipe, call: Call, place: Matching) -> Iterator[Diagnostic]:
        """Of the directories that match, those count whose Earthfile has the target; one at least must."""
        reference = call.reference
        found = [RecipeId(directory, reference.name) for directory in self._earthfiles.matching(place.pattern)]
        found = [each for each in found if isinstance(self.find(each), ast.Target)]
        for callee in found:
            _connect(recipe, callee, call, inherits=call.pass_args)
        if not found:
            message = f'no Earthfile in a directory like "{reference.project}" has a target "+{reference.name}"'
            severity = Severity.ERROR if call.certain else Severity.WARNING
            yield Diagnostic(Code.REFERENCE_MISSING, message, reference.span, severity=severity)

    def _missing(
        self, callee: RecipeId, call: Call, imported: ast.Import | None, recipe: Recipe
    ) -> Iterable[Diagnostic] | None:
        """What is wrong with a call that leads nowhere; None for one that leads to a recipe."""
        found = self.find(callee)
        if isinstance(found, ast.Target):
            return None
        reference = call.reference
        if found is None:
            what = "function" if reference.function else "target"
            earthfile = self._earthfiles.at(callee.directory)
            assert isinstance(earthfile, ast.Earthfile)
            message = f'{earthfile.source.name} has no {what} "+{callee.name}"'
            return [Diagnostic(Code.REFERENCE_MISSING, message, reference.span, help=self.elsewhere(callee))]
        if found.findings:
            named = Related(reference.span, f"{recipe.id} leads there")
            return [replace(finding, related=(*finding.related, named)) for finding in found.findings]
        span = reference.span if imported is None else imported.span
        sure = found.certain and (call.certain or imported is not None)
        message = f'"{reference.target}" cannot be found: {found.reason}'
        if not found.certain:
            message = f'"{reference.target}" cannot be checked before it runs: {found.reason}'
        return [
            Diagnostic(
                Code.REFERENCE_NO_EARTHFILE if found.certain else Code.TARGET_DYNAMIC,
                message,
                span,
                () if imported is None else (Related(reference.span, "used here"),),
                help=self._earthfiles.near(callee.directory, recipe.id.directory) if found.certain else None,
                severity=Severity.ERROR if sure else Severity.WARNING,
            )
        ]

    def _check_elsewhere(self, place: Elsewhere, reference: ast.Reference, recipe: Recipe) -> Iterator[Diagnostic]:
        """Said once, for all other repositories: it is no mistake, and nobody can do anything about it."""
        directory = posixpath.normpath(posixpath.join(recipe.id.directory, place.repository))
        if "." not in place.repository.partition("/")[0] and self._earthfiles.is_there(directory):
            message = f'"{place.repository}" is read as another repository, since it does not begin with a dot'
            advice = f"for the directory write ./{place.repository}"
            yield Diagnostic(Code.REFERENCE_NO_EARTHFILE, message, reference.span, help=advice)
        elif not self._remote_noted:
            self._remote_noted = True
            message = f"targets of other repositories are not checked before they run, such as {place.repository}"
            yield Diagnostic(Code.TARGET_REMOTE, message, reference.span, severity=Severity.WARNING)

    def _told(self, findings: Iterable[Diagnostic], recipe: Recipe) -> Iterator[Diagnostic]:
        """With the way from the step."""
        for finding in findings:
            yield replace(finding, related=(*finding.related, *self.way(recipe)))


def _connect(recipe: Recipe, callee: RecipeId, call: Call, *, inherits: bool) -> None:
    edge = Edge(callee=callee, span=call.reference.span, inherits=inherits, certain=call.certain, call=call)
    recipe.edges.append(edge)
    base = RecipeId(callee.directory, BASE)
    if call.reference.function and recipe.id != base:
        recipe.edges.append(replace(edge, callee=base, inherits=True))


def _check_function(recipe: Recipe) -> Iterator[Diagnostic]:
    """Before version 0.8 the keyword was COMMAND, and a flag of the language changed it."""
    first = recipe.commands[0] if recipe.commands else None
    keyword = first.keyword if isinstance(first, ast.Other) else None
    old = not recipe.earthfile.is_at_least(0, 8)
    if keyword == "FUNCTION" or (keyword == "COMMAND" and old):
        return
    wanted = "COMMAND" if old else "FUNCTION"
    message = f"function +{recipe.id.name} does not begin with {wanted}, and cannot be run"
    span = recipe.span if first is None else first.span
    yield Diagnostic(
        Code.FUNCTION_KEYWORD, message, span, help=f"write {wanted} on a line of its own, above the others"
    )
