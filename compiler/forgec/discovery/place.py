"""Where a field was written: from a decoded value back to the text it came from."""

from forgec.source import Span
from forgec.syntax.data import ListNode, Node, StructNode


def find(node: Node, *path: str | int) -> Node | None:
    """The node at a path of keys and indexes; None where the text has none (a default)."""
    for step in path:
        match node:
            case StructNode(fields=fields) if step in fields:
                node = fields[str(step)].value
            case ListNode(items=items) if isinstance(step, int) and step < len(items):
                node = items[step]
            case _:
                return None
    return node


def left_out(node: Node, *path: str | int) -> bool:
    """Whether something may have been written at a path, or directly below it, that is wrong and was left out."""
    for step in path:
        below = find(node, step)
        if below is None:
            break
        node = below
    return isinstance(node, StructNode | ListNode) and node.cut


def place(node: Node, *path: str | int) -> Span:
    """The value at a path, or the nearest thing around it that was written."""
    for length in range(len(path), 0, -1):
        found = find(node, *path[:length])
        if found is not None:
            return found.span
    return node.span


def key_place(node: Node, *path: str | int) -> Span:
    """The key at the end of a path, or what `place` says where it is no key."""
    parent = find(node, *path[:-1])
    if isinstance(parent, StructNode) and path[-1] in parent.fields:
        return parent.fields[str(path[-1])].key_span
    return place(node, *path)
