"""The alternatives of a disjunction: which of them say the same, and where their default marks count."""

from forgec.syntax import ast
from forgec.syntax.value import Kind
from forgec.syntax.vertex import Vertex


def add_alternative(vertex: Vertex, alternative: Vertex, *, default: bool) -> None:
    """One that says the same as an earlier one is not another possibility."""
    for index, (earlier, mark) in enumerate(vertex.alternatives):
        if _is_same(earlier, alternative):
            vertex.alternatives[index] = (earlier, mark or default)
            return
    vertex.alternatives.append((alternative, default))


def marks_inside(vertex: Vertex) -> set[int]:
    """The disjunctions of a vertex of which the chosen alternative has, at any depth, a disjunction with a mark."""
    found = set()
    for within, marked in vertex.met:
        at = within if marked else None
        while at is not None:
            found.add(at)
            at = vertex.met[at][0]
    return found


def _is_same(left: Vertex, right: Vertex) -> bool:
    """Whether two expanded vertices are one value; structs that differ in what they allow are two."""
    if left.basic != right.basic or left.alternatives or right.alternatives:
        return False
    if not left.basic.kinds & (Kind.STRUCT | Kind.LIST):
        return True
    if left.is_list and right.is_list:
        pairs = list(zip(left.items, right.items, strict=False))
        return _is_fixed(left) and _is_fixed(right) and len(left.items) == len(right.items) and _are_same(pairs)
    if not (left.is_struct and right.is_struct) or _is_closed(left) != _is_closed(right):
        return False
    tables = ((left.fields, right.fields), (left.hidden, right.hidden))
    return all(
        one.keys() == other.keys()
        and all(child.presence is other[name].presence for name, child in one.items())
        and _are_same([(child, other[name]) for name, child in one.items()])
        for one, other in tables
    )


def _are_same(pairs: list[tuple[Vertex, Vertex]]) -> bool:
    return all(
        left.presence is right.presence is ast.Presence.REGULAR and _is_same(left, right) for left, right in pairs
    )


def _is_fixed(vertex: Vertex) -> bool:
    literals = (each.expr for each in vertex.lists)
    return any(isinstance(each, ast.ListLiteral) and each.rest is None for each in literals)


def _is_closed(vertex: Vertex) -> bool:
    return any(each.closings for each in vertex.structs)
