"""Closed structs: which fields a definition, or a call of `close`, allows where it is used."""

from collections.abc import Callable, Iterator, Sequence, Set

from forgec.diagnostic import Diagnostic
from forgec.syntax import ast, problem
from forgec.syntax.vertex import Closing, Conjunct, Part, State, Vertex


def check_closed(vertex: Vertex, undecided: list[Diagnostic], expand: Callable[[Vertex], None]) -> None:
    """Refuse the fields that something which closes the vertex does not declare.

    What is beside it with `...` opens it to others, but not to those in the same part: `{#D & {x: 1}, ...}`. What has
    no value is not refused: in data, that is wrong by itself. In what has none itself, CUE refuses structs and lists.
    """
    if vertex.unreported:
        return
    refused: set[str] = set()
    above = {closing for each in vertex.conjuncts for closing in each.closings}
    closings = {closing for each in vertex.structs for closing in each.closings}
    for closing in sorted(closings, key=lambda each: (each.span.source.name, each.span.start)):
        closed = [each for each in vertex.structs if closing in each.closings]
        is_below = closing in above
        if any(_is_open(each) for each in closed) or (is_below and not closing.deep):
            continue
        use = closing.use or min(closed, key=lambda each: len(each.parts))
        others = [each for each in vertex.structs if closing not in each.closings]
        inside = [each for each in others if use.part is not None and use.part in each.parts]
        beside = [each for each in others if _is_beside(each, use) or (is_below and closing.once and each in inside)]
        found = _not_told_apart(vertex, closing, closed, inside)
        if closing.deep:
            names = _covered_inside(vertex, closed, inside, expand)
            if vertex.parent is None and use.part is not None:
                names |= _loose_in_file(vertex, closed, use.parts - {use.part}, expand)
            found += [problem.covered_inside(vertex, vertex.fields[each], each, closing) for each in sorted(names)]
        vertex.problems += found
        undecided += found
        literals = [each.expr for each in (*closed, *beside)]
        allowed = {name for literal in literals for covered, name in vertex.matched if covered is literal}
        allowed |= _declared(vertex, (*closed, *beside))
        judged = set(vertex.fields)
        if any(_is_open(each) for each in beside):
            known = {*closed, *inside}
            judged &= _declared(vertex, inside)
            judged -= _declared(vertex, [each for each in vertex.structs if each not in known])
        for name, child in vertex.fields.items():
            is_given = name in judged and child.presence is not ast.Presence.OPTIONAL
            if not is_given or name in allowed or name in refused:
                continue
            expand(child)
            if (
                child.unknown is None
                and not child.unreported
                and (vertex.unknown is None or child.is_struct or child.is_list)
            ):
                refused.add(name)
                vertex.problems.append(problem.not_allowed(vertex, child, name, closing, allowed))


def close_once(vertex: Vertex, call: Conjunct) -> None:
    """`#D: close({a: {}}) & {b: {}}`: what refers to such a definition is closed, but nothing below it.

    That is how CUE has it, and not for one of several alternatives. Where it is embedded, it is the part below it.
    """
    above = {closing for each in vertex.conjuncts for closing in each.closings}
    parts = {None, *(each.part for each in vertex.conjuncts)}
    for closing in call.closings - above:
        if closing.use is not None and (closing.use.part, closing.use.within) == (call.part, call.within):
            closing.once = True
            closing.deep = call.part not in parts


def is_shared(conjuncts: Sequence[Conjunct]) -> bool:
    """Whether they are one reference, and nothing else that says anything: what has them is what that leads to."""
    pending = [(each.expr, each.scope) for each in conjuncts]
    found = set()
    while pending:
        expr, scope = pending.pop()
        match expr:
            case ast.Conjunction(terms=terms):
                pending += [(term, scope) for term in terms]
            case ast.Reference() | ast.Selector() | ast.Index():
                found.add((expr.span.text, scope))
            case ast.Top():
                pass
            case _:
                return False
    return len(found) == 1


def _is_beside(conjunct: Conjunct, use: Conjunct) -> bool:
    """Whether it is in the struct that the use is a part of, and not in this part. All files are one such struct."""
    return use.part is not None and use.part not in conjunct.parts and use.whole in (None, conjunct.whole)


def _not_told_apart(
    vertex: Vertex, closing: Closing, closed: Sequence[Conjunct], inside: Sequence[Conjunct]
) -> list[Diagnostic]:
    """`c: {}, #E & {c: a: 1}` where #E has no c: what there may be in c is for `c: {}` alone to say."""
    declared = {each.label.name for conjunct in closed for each in _fields(conjunct)}
    return [
        problem.not_told_apart(vertex, each.label, closing)
        for conjunct in inside
        for each in _fields(conjunct)
        if each.label.name not in declared and not isinstance(each.value, ast.Literal)
        if vertex.fields[each.label.name].presence is not ast.Presence.OPTIONAL
    ]


def _covered_inside(
    vertex: Vertex, closed: Sequence[Conjunct], inside: Sequence[Conjunct], expand: Callable[[Vertex], None]
) -> set[str]:
    """`{[string]: _} & #E, c: a: 1` where #E has no c: to CUE, c may hold nothing, and loses alternatives that do."""
    literals = {each.expr for each in inside}
    covered = {name for literal, name in vertex.matched if literal in literals}
    return {name for name in covered & _unknown_to(vertex, closed) if _may_hold(vertex.fields[name], expand)}


def _loose_in_file(
    vertex: Vertex, closed: Sequence[Conjunct], around: Set[Part], expand: Callable[[Vertex], None]
) -> set[str]:
    """`{c: _, #E}, c: a: 1`, of a file: the same, where nothing in the braces says what there may be.

    `around`: what the struct is a part of in which the definition is embedded.
    """
    unknown = _unknown_to(vertex, closed) if around else set()
    return {name for name in unknown if _is_loose(vertex.fields[name], around, expand)}


def _is_loose(vertex: Vertex, around: Set[Part], expand: Callable[[Vertex], None]) -> bool:
    if not any(around <= each.parts for each in vertex.conjuncts):
        return False
    expand(vertex)
    if not any(around <= each.parts for each in (*vertex.structs, *vertex.lists)):
        return _may_hold(vertex, expand)
    given = (each for each in vertex.fields.values() if each.presence is not ast.Presence.OPTIONAL)
    return any(_is_loose(each, around, expand) for each in (*given, *vertex.items))


def _unknown_to(vertex: Vertex, closed: Sequence[Conjunct]) -> set[str]:
    """The fields that are given and that these neither declare nor cover."""
    literals = {each.expr for each in closed}
    known = _declared(vertex, closed) | {name for literal, name in vertex.matched if literal in literals}
    return {
        name
        for name, child in vertex.fields.items()
        if name not in known and child.presence is not ast.Presence.OPTIONAL
    }


def _may_hold(vertex: Vertex, expand: Callable[[Vertex], None]) -> bool:
    """Whether it may have items, or fields that are seen."""
    expand(vertex)
    if vertex.state is not State.EXPANDED or vertex.items:
        return True
    if any(each.presence is not ast.Presence.OPTIONAL for each in vertex.fields.values()):
        return True
    return vertex.is_ambiguous and any(_may_hold(each, expand) for each, _ in vertex.alternatives)


def _is_open(conjunct: Conjunct) -> bool:
    return any(
        isinstance(each, ast.Opening)
        for each in (conjunct.expr.declarations if isinstance(conjunct.expr, ast.StructLiteral) else ())
    )


def _declared(vertex: Vertex, conjuncts: Sequence[Conjunct]) -> set[str]:
    """The fields that are written out in them, or whose names they compute."""
    names = {each.label.name for conjunct in conjuncts for each in _fields(conjunct)}
    computing = {
        conjunct.expr
        for conjunct in conjuncts
        if isinstance(conjunct.expr, ast.StructLiteral)
        and any(isinstance(each, ast.Computed) for each in conjunct.expr.declarations)
    }
    return names | {name for literal, name in vertex.matched if literal in computing}


def _fields(conjunct: Conjunct) -> Iterator[ast.Field]:
    for each in conjunct.expr.declarations if isinstance(conjunct.expr, ast.StructLiteral) else ():
        if isinstance(each, ast.Field) and each.label.is_exported:
            yield each


def is_shut(vertex: Vertex) -> bool:
    """Whether a struct is known to never get a field that neither it nor a pattern of it declares."""
    if vertex.state is not State.EXPANDED or not vertex.is_struct or any(_is_open(each) for each in vertex.structs):
        return False
    is_defined = any(each.label.startswith(("#", "_#")) for each in (vertex, *vertex.ancestors()))
    return is_defined or any(each.closings for each in vertex.structs)


def is_shut_by_call(vertex: Vertex) -> bool:
    """Whether `close` tells so, which holds at once: `#D` may turn out to declare more."""
    is_closed = any(not closing.deep for each in vertex.structs for closing in each.closings)
    return is_closed and not any(_is_open(each) for each in vertex.structs)


def names_definition(expr: ast.Expr) -> bool:
    """Whether a path leads through a definition."""
    while isinstance(expr, ast.Selector | ast.Index):
        if isinstance(expr, ast.Selector) and expr.name.startswith(("#", "_#")):
            return True
        expr = expr.base
    return isinstance(expr, ast.Reference) and expr.name.startswith(("#", "_#"))
