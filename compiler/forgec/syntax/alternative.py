"""The alternatives of a disjunction: which of them fit, which say the same, and which are defaults."""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic
from forgec.syntax import ast, problem
from forgec.syntax.budget import Budget
from forgec.syntax.value import Kind
from forgec.syntax.vertex import Vertex

ALTERNATIVES_MAX: Final = 256
"""Of one value, all combinations of its disjunctions counted."""

Tried = tuple[ast.Disjunct, bool, list[tuple[Vertex, bool]]]
"""A term, whether it has marks inside, as the first of `(*1 | 2) | 3` has, and what fits of it: is that a default?"""


class Alternatives:
    def __init__(self, expand: Callable[[Vertex], None], undecided: list[Diagnostic], budget: Budget) -> None:
        self._expand = expand
        self._undecided = undecided
        self._budget = budget
        # Failures that something without a value may be the reason of, by identity: there may be thousands
        self._doubted: dict[int, Diagnostic] = {}

    def choose(self, vertex: Vertex) -> None:
        """Try the first disjunction's alternatives on copies of the vertex; each copy goes on with the others.

        A copy is evaluated from the start, so that the names in it lead to its own fields.
        """
        first = vertex.disjunctions[0]
        assert isinstance(first.expr, ast.Disjunction)
        failures: list[Diagnostic] = []
        copies: list[Vertex] = []
        unfinished: Vertex | None = None
        doubtful: Vertex | None = None
        tried: list[Tried] = []
        is_flat = vertex.original is None and len(vertex.disjunctions) <= 2
        found = 0
        for number, term in enumerate(first.expr.terms):
            copy = Vertex(vertex.parent, vertex.label, vertex.conjuncts, vertex.keys)
            copy.original, copy.choices, copy.attributes = vertex, (*vertex.choices, number), vertex.attributes
            vertex.trying = copy
            failed = self._failure(copy)
            vertex.trying = None
            vertex.marked |= copy.marked
            vertex.is_unsure |= copy.is_unsure
            is_flat &= len(copy.met) <= len(vertex.disjunctions)
            lacking = _unfinished(copy)
            doubtful = doubtful or lacking
            unfinished = unfinished or (None if failed else lacking)
            fitting = [] if failed or lacking else copy.alternatives or [(copy, True)]
            tried.append((term, len(vertex.choices) in copy.marked, fitting))
            found += len(fitting)
            copies.append(copy)
            if failed:
                failures.append(failed)
                if copy.endless and _is_part_of_endless(copy, first.expr):
                    self._undecided.append(failed)
            if found > ALTERNATIVES_MAX:
                vertex.problems.append(problem.too_many_alternatives(vertex, first, ALTERNATIVES_MAX))
                return
        is_lost = any(term.default for term, _, _ in tried) and not any(
            term.default and fits for term, _, fits in tried
        )
        vertex.is_unsure |= is_lost and found > 0
        self._keep(vertex, _without_lost_marks(tried) if is_flat else tried)
        if vertex.is_unsure and vertex.original is None and (vertex.marked or not is_flat):
            vertex.alternatives = [(each, False) for each, _ in vertex.alternatives]
        is_alone = vertex.original is None and len(vertex.disjunctions) == 1
        if not vertex.alternatives and unfinished is not None and (is_alone or not failures):
            vertex.unknown, vertex.unreported = unfinished.unknown, unfinished.unreported
            if vertex.unknown is not None and unfinished.original is vertex:
                vertex.unknown = problem.beside_alternatives(vertex, vertex.unknown)
        elif not vertex.alternatives:
            texts = [term.value.span.text for term in first.expr.terms]
            doubt = doubtful.unknown if doubtful is not None else self._doubt(failures, copies)
            failed = problem.no_alternative(vertex, first, texts, failures, doubt)
            vertex.problems.append(failed)
            self._doubted |= {} if doubt is None else {id(failed): failed}
        elif not vertex.is_ambiguous:
            best = next((each for each, default in vertex.alternatives if default), vertex.alternatives[0][0])
            vertex.adopt(best)

    def _doubt(self, failures: Sequence[Diagnostic], copies: Sequence[Vertex]) -> Diagnostic | None:
        """Why alternatives that all failed might not have, if what has no value had one."""
        for each in failures:
            if each.code is Code.UNRESOLVED or id(each) in self._doubted:
                return each
        known = len(self._undecided)
        for copy in copies:
            for child in (*copy.fields.values(), *copy.hidden.values()):
                self._expand(child)
        del self._undecided[known:]
        return next((found.unknown for copy in copies if (found := _unfinished(copy))), None)

    def _keep(self, vertex: Vertex, tried: list[Tried]) -> None:
        """The alternatives that fit, and which of them are defaults.

        Marks inside a term count where no term itself is marked; but where they have nothing left to choose from,
        CUE's own rules depend on the order of evaluation, and there is no default.
        """
        marked = any(term.default for term, _, _ in tried)
        marked_inside = any(inside for _, inside, _ in tried)
        unsure = any(
            inside and not _is_choice(fitting) and (term.default or not marked) for term, inside, fitting in tried
        )
        for term, inside, fitting in tried:
            default = not unsure and (term.default if marked else inside or not marked_inside)
            for alternative, inner in fitting:
                _add(vertex, alternative, default=default and inner)

    def _failure(self, vertex: Vertex) -> Diagnostic | None:
        """The first conflict in a vertex or below it."""
        self._expand(vertex)
        if vertex.problems:
            return vertex.problems[0]
        children = (*vertex.fields.values(), *vertex.hidden.values(), *vertex.items)
        for child in children:
            self._budget.step(child.conjuncts[-1].expr.span)
            if child.presence is not ast.Presence.OPTIONAL and (failed := self._failure(child)):
                return failed
        return None


def _unfinished(vertex: Vertex) -> Vertex | None:
    """The vertex or one of its fields, where an expression has no value. Such an alternative gives way to any other.

    What is missing deeper inside does not matter, in CUE as well.
    """
    children = (*vertex.fields.values(), *vertex.hidden.values(), *vertex.items)
    given = (each for each in children if each.presence is not ast.Presence.OPTIONAL)
    return next((each for each in (vertex, *given) if each.unknown is not None or each.unreported), None)


def _is_part_of_endless(vertex: Vertex, disjunction: ast.Disjunction) -> bool:
    """Whether it is all there is to an alternative of the same disjunction around it: m[0] in `m: *[m] | [...]`.

    CUE then drops the alternative as a whole, and here only its innermost part would fail.
    """
    return any(
        {each.expr for each in (*around.structs, *around.lists) if not each.parts & around.late} <= vertex.endless
        for around in vertex.ancestors()
        if any(each.expr is disjunction for copied in around.originals() for each in copied.disjunctions)
    )


def _without_lost_marks(tried: list[Tried]) -> list[Tried]:
    """A mark of which no alternative is left, in any combination, counts for nothing: `(*1 | int) & (*"x" | int)` is 1.

    Of two disjunctions at most, without others inside: of more, it depends on the order of evaluation what is left.
    """
    marked = any(term.default and fitting for term, _, fitting in tried)
    marked_beside = any(default for _, _, fitting in tried for _, default in fitting)
    return [
        (
            term if marked else replace(term, default=False),
            inside,
            [(alternative, default or not marked_beside) for alternative, default in fitting],
        )
        for term, inside, fitting in tried
    ]


def marks_inside(vertex: Vertex) -> set[int]:
    """The disjunctions of a vertex of which the chosen alternative has, at any depth, a disjunction with a mark."""
    found = set()
    for within, marked in vertex.met:
        at = within if marked else None
        while at is not None:
            found.add(at)
            at = vertex.met[at][0]
    return found


def _add(vertex: Vertex, alternative: Vertex, *, default: bool) -> None:
    """One that says the same as an earlier one is not another possibility."""
    for index, (earlier, mark) in enumerate(vertex.alternatives):
        if _is_same(earlier, alternative):
            vertex.alternatives[index] = (earlier, mark or default)
            return
    vertex.alternatives.append((alternative, default))


def _is_choice(fitting: list[tuple[Vertex, bool]]) -> bool:
    """Whether there are different values among the alternatives, also to CUE."""
    return any(not _is_same(fitting[0][0], each, by_data=True) for each, _ in fitting[1:])


def _is_same(left: Vertex, right: Vertex, *, by_data: bool = False) -> bool:
    """Whether two expanded vertices are one value; structs and lists that differ in what they allow are two.

    `by_data`: what they allow besides does not count, only whether they do.
    """
    if left.basic != right.basic or left.alternatives or right.alternatives:
        return False
    if not left.basic.kinds & (Kind.STRUCT | Kind.LIST):
        return True
    if left.is_list and right.is_list:
        is_fixed = left.may_grow is right.may_grow if by_data else not (left.may_grow or right.may_grow)
        pairs = list(zip(left.items, right.items, strict=False))
        return is_fixed and len(left.items) == len(right.items) and _are_same(pairs, by_data=by_data)
    if not (left.is_struct and right.is_struct) or _is_closed(left) != _is_closed(right):
        return False
    tables = ((left.fields, right.fields), (left.hidden, right.hidden))
    return all(
        one.keys() == other.keys()
        and all(child.presence is other[name].presence for name, child in one.items())
        and _are_same([(child, other[name]) for name, child in one.items()], by_data=by_data)
        for one, other in tables
    )


def _are_same(pairs: list[tuple[Vertex, Vertex]], *, by_data: bool) -> bool:
    return all(
        (by_data and left.presence is right.presence is ast.Presence.OPTIONAL)
        or (left.presence is right.presence is ast.Presence.REGULAR and _is_same(left, right, by_data=by_data))
        for left, right in pairs
    )


def _is_closed(vertex: Vertex) -> bool:
    return any(each.closings for each in vertex.structs)
