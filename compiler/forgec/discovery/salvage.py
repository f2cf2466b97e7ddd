"""What is left of a file that does not evaluate, so that the rest of it can be looked at in the same run.

The declarations that are wrong are taken out of the text's tree, the innermost ones that hold what was complained of,
and the others are evaluated again. What then is wrong follows from what is missing: it is taken out too, and not told.
Where the result is `cut`, something is missing; whoever looks at it judges nothing by what is not there.

It is the built-in evaluator that does this, whichever engine has complained.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args

from msgspec import Struct
from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.source import Source, Span
from forgec.syntax import ast
from forgec.syntax.data import FieldNode, ListNode, Node, StructNode
from forgec.syntax.parse import parse_partly
from forgec.syntax.recovery import Lost
from forgec.syntax.unify import evaluate

_NO_ANSWER: Final = frozenset({Code.CUE_FAILED, Code.CUE_MISSING, Code.CUE_VERSION})
"""Of an engine that says nothing of the text, and may do so the next time."""

ROUNDS_MAX: Final = 4
"""Evaluations of one file; what is wrong after so many is not worth more."""


def salvage(source: Source, complaints: Sequence[Diagnostic]) -> StructNode | None:
    """The data of what is not complained of; None where that cannot be told."""
    if any(each.code in _NO_ANSWER for each in complaints):
        return None
    if "_|_" in source.text:  # what is done if something is an error would be done because of what is taken out
        return None
    parsed = parse_partly(source)
    if parsed.file is None:
        return None
    rest = _Rest(parsed.file)
    for lost in parsed.lost:
        rest.note_lost(lost)
    for each in parsed.problems:
        if each.span is None or not rest.take_out(each.span):
            return None
    problems: Sequence[Diagnostic] | None = None
    for _ in range(ROUNDS_MAX):
        try:
            node = evaluate([rest.file])
        except ForgeError as error:
            problems = error.diagnostics
        else:
            if problems is not None:
                return rest.marked(node)
            problems = complaints  # which another engine has, and this one has not
        for each in problems:
            if each.code is Code.TOO_DEEP or each.span is None or not rest.take_out(each.span):
                return None
    return None


class _Rest:
    """A file, and what was taken out of it."""

    def __init__(self, file: ast.File) -> None:
        self.file = file
        self._taken: list[Span] = []
        self._cuts: list[_Path] = []

    def note_lost(self, lost: Lost) -> None:
        """The parser has taken something out already."""
        trail = _trail(self.file.body, lost.span)
        at = max(at for at, node in enumerate(trail) if isinstance(node, ast.StructLiteral))
        around, is_plain = _path(trail[: at + 1])
        self._taken.append(lost.span)
        self._cuts.append((*around, *lost.names) if is_plain else around)

    def take_out(self, span: Span) -> bool:
        """The innermost declaration around a place; False if there is none."""
        if any(_holds(taken, span) for taken in self._taken):
            return True
        unused = [each for each in self.file.imports if each.span == span]
        if unused:
            self.file = replace(self.file, imports=tuple(each for each in self.file.imports if each not in unused))
            return True
        trail = _trail(self.file.body, span)
        at = next((at for at in range(len(trail) - 1, 0, -1) if _is_declared(trail[at - 1], trail[at])), None)
        if at is None:
            return False
        declaration, literal = trail[at], trail[at - 1]
        kept = tuple(each for each in literal.declarations if each is not declaration)
        new = replace(literal, declarations=kept)
        for outer, inner in zip(reversed(trail[: at - 1]), reversed(trail[1:at]), strict=True):
            new = _with_part(outer, inner, new)
        self.file = replace(self.file, body=new)
        self._taken.append(declaration.span)
        self._cuts.append(_path(trail[: at + 1])[0])
        return True

    def marked(self, node: StructNode) -> StructNode:
        """The data of the rest, cut where something was taken out."""
        for path in self._cuts:
            node = _marked(node, path)
        return node


_Path = tuple[str, ...]
"""Of a value to which something may have been added that was taken out."""

_DECLARATIONS: Final = get_args(ast.Declaration)


def _is_declared(literal: Any, declaration: Any) -> bool:
    return isinstance(literal, ast.StructLiteral) and isinstance(declaration, _DECLARATIONS)


def _holds(outer: Span, inner: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _trail(body: ast.StructLiteral, span: Span) -> list[Any]:
    """From the file's struct down, the nodes that hold a place."""
    trail: list[Any] = [body]
    while True:
        inner = next((part for part in _parts(trail[-1]) if _holds(_span(part), span)), None)
        if inner is None:
            return trail
        trail.append(inner)


def _parts(node: Any) -> Iterator[Any]:
    """The nodes directly inside a node."""
    for name in node.__struct_fields__:
        value = getattr(node, name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, ast.Disjunct) or (isinstance(part, Struct) and hasattr(part, "span")):
                yield part


def _span(node: Any) -> Span:
    span: Span = node.value.span if isinstance(node, ast.Disjunct) else node.span
    return span


def _with_part(outer: Any, inner: Any, new: Any) -> Any:
    """The outer node with another one inside."""
    for name in outer.__struct_fields__:
        value = getattr(outer, name)
        if value is inner:
            return replace(outer, **{name: new})
        if isinstance(value, tuple) and any(part is inner for part in value):
            return replace(outer, **{name: tuple(new if part is inner else part for part in value)})
    raise AssertionError("the node is not inside the other")


def _path(trail: Sequence[Any]) -> tuple[_Path, bool]:
    """The path to the last node of a trail, as far as it is one of plain fields, and whether that is all of it."""
    path: list[str] = []
    for node in trail:
        match node:
            case ast.Field(label=label) if label.is_exported:
                path.append(label.name)
            case ast.Field() | ast.Let():  # a definition may be anybody's
                return (), False
            case ast.StructLiteral() | ast.Conjunction() | ast.Embedding():
                continue
            case _:
                return tuple(path), False
    return tuple(path), True


def _marked(node: Node, path: Sequence[str]) -> Any:
    match node:
        case StructNode(fields=fields) if path and path[0] in fields:
            field = fields[path[0]]
            return replace(node, fields={**fields, path[0]: FieldNode(field.key_span, _marked(field.value, path[1:]))})
        case StructNode() | ListNode() if path:
            return replace(node, cut=True)
        case _:
            return _marked_deeply(node)


def _marked_deeply(node: Node) -> Any:
    match node:
        case StructNode(fields=fields):
            marked = {name: FieldNode(each.key_span, _marked_deeply(each.value)) for name, each in fields.items()}
            return StructNode(marked, node.span, cut=True)
        case ListNode(items=items):
            return ListNode(tuple(_marked_deeply(item) for item in items), node.span, cut=True)
        case _:
            return node
