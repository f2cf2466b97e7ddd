"""The evaluated package as data: from the root down, collecting all that is wrong on the way."""

from collections.abc import Callable

from forgec.diagnostic import Diagnostic
from forgec.syntax import ast, problem
from forgec.syntax.data import FieldNode, ListNode, Node, ScalarNode, StructNode
from forgec.syntax.number import to_data
from forgec.syntax.value import Kind
from forgec.syntax.vertex import Vertex, own


class Export:
    """Optional fields that are not given, definitions, hidden fields and lets are left out."""

    def __init__(self, expand: Callable[[Vertex], None]) -> None:
        self.problems: list[Diagnostic] = []
        self._expand = expand

    def node(self, vertex: Vertex, *, concrete: bool = True) -> Node | None:
        """The data below a vertex, or None where it has none.

        Not `concrete`, in definitions and hidden fields: only conflicts are problems there.
        """
        self._expand(vertex)
        self.problems += vertex.problems
        fields = self._fields(vertex, concrete=concrete)
        items = [self.node(item, concrete=concrete) for item in vertex.items]
        if vertex.problems or not concrete:
            return None
        if vertex.unknown is None and not vertex.is_ambiguous:
            if vertex.basic.atom is not None:
                fact = own([fact for fact in vertex.facts if fact.basic.atom], lambda fact: fact.conjunct.closings)
                return ScalarNode(to_data(vertex.basic.atom.value), fact.span)
            if vertex.is_list:
                literal = own(vertex.lists, lambda each: each.closings)
                return ListNode(tuple(item for item in items if item is not None), literal.expr.span)
            if vertex.is_struct:
                return StructNode(fields, own(vertex.structs, lambda each: each.closings).expr.span)
            if vertex.attributes and not (vertex.unreported or vertex.basic.kinds in (Kind.LIST, Kind.STRUCT)):
                return _reference(vertex.attributes[0])
        if not vertex.unreported:
            self.problems.append(vertex.unknown or problem.incomplete(vertex))
        return None

    def _fields(self, vertex: Vertex, *, concrete: bool) -> dict[str, FieldNode]:
        fields = {}
        for name, child in vertex.fields.items():
            if child.presence is ast.Presence.REGULAR:
                value = self.node(child, concrete=concrete)
                if value is not None:
                    fields[name] = FieldNode(own(child.keys, lambda key: key.closings).span, value)
            elif child.presence is ast.Presence.REQUIRED:
                self.node(child, concrete=False)
        for child in vertex.hidden.values():
            if child.presence is not ast.Presence.OPTIONAL:
                self.node(child, concrete=False)
        if concrete and not vertex.problems:
            children = (*vertex.fields.values(), *vertex.hidden.values())
            required = (child for child in children if child.presence is ast.Presence.REQUIRED)
            self.problems += [problem.missing(vertex, child) for child in required]
        return fields


def _reference(attribute: ast.Attribute) -> StructNode:
    """`{"@artifact": "web.uri"}` in place of a value that is known later."""
    path = FieldNode(attribute.span, ScalarNode(attribute.text, attribute.span))
    return StructNode({f"@{attribute.name}": path}, attribute.span)
