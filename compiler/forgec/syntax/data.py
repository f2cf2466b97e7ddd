"""Concrete data with places: what a JSON document and an evaluated CUE package have in common.

Every value and every key knows where it was written, so an error found by a later stage points at the text.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from forgec.source import Span

DEPTH_MAX: Final = 64
"""Levels of nesting in any text that is read."""

INTEGER_MAX: Final = 2**53
"""Whole numbers beyond are refused: readers of a result that hold numbers as floats would round them."""

Scalar = bool | int | float | str | None


class ScalarNode(Struct, frozen=True):
    value: Scalar
    span: Span


class ListNode(Struct, frozen=True):
    """`cut`: what is wrong among the items that were written has been left out."""

    items: "tuple[Node, ...]"
    span: Span
    cut: bool = False


class FieldNode(Struct, frozen=True):
    """A value and the place of the key it stands under."""

    key_span: Span
    value: "Node"


class StructNode(Struct, frozen=True):
    """An object; the fields keep the order of the text. `cut`: those that are wrong have been left out."""

    fields: Mapping[str, FieldNode]
    span: Span
    cut: bool = False


Node = ScalarNode | ListNode | StructNode


def to_plain(node: Node) -> object:
    """The data alone, as `json.loads` would give it."""
    match node:
        case ScalarNode(value=value):
            return value
        case ListNode(items=items):
            return [to_plain(item) for item in items]
        case StructNode(fields=fields):
            return {key: to_plain(field.value) for key, field in fields.items()}


def from_plain(value: object, span: Span) -> Node:
    """The tree of plain data, all of it at one place."""
    match value:
        case Mapping():
            return StructNode({str(key): FieldNode(span, from_plain(each, span)) for key, each in value.items()}, span)
        case list() | tuple():
            return ListNode(tuple(from_plain(each, span) for each in value), span)
        case bool() | int() | float() | str() | None:
            return ScalarNode(value, span)
        case _:
            raise TypeError(f"{type(value).__name__} is no plain data")
