"""What is left of a file that does not evaluate, so that the rest of it can be looked at in the same run.

The declarations that are wrong are taken out of the text's tree, the innermost ones that hold what was complained of,
and the others are evaluated again. What then is wrong follows from what is missing: it is taken out too, and not told.
Where the result is `cut`, something is missing; whoever looks at it judges nothing by what is not there.

It is the built-in evaluator that does this, whichever engine has complained. Files come from anybody: all that a round
complains of is taken out in one walk through the tree, and of a file with too many complaints nothing is looked at.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
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

COMPLAINTS_MAX: Final = 200
"""Of one file, those that follow from others too; of a file with more, what is wrong is told, and nothing is left."""


def salvage(source: Source, complaints: Sequence[Diagnostic]) -> StructNode | None:
    """The data of what is not complained of; None where that cannot be told."""
    if len(complaints) > COMPLAINTS_MAX or any(each.code in _NO_ANSWER for each in complaints):
        return None
    if "_|_" in source.text:  # what is done if something is an error would be done because of what is taken out
        return None
    parsed = parse_partly(source)
    if parsed.file is None:
        return None
    rest = _Rest(parsed.file)
    for lost in parsed.lost:
        rest.note_lost(lost)
    if not rest.take_out(parsed.problems):
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
        if not rest.take_out(problems):
            return None
    return None


class _Rest:
    """A file, and what was taken out of it."""

    def __init__(self, file: ast.File) -> None:
        self.file = file
        self._complaints = 0
        self._taken: list[Span] = []
        self._cuts: list[_Path] = []

    def note_lost(self, lost: Lost) -> None:
        """The parser has taken something out already."""
        literals = [
            each for each, _ in _places(self.file.body, [lost.span]) if isinstance(each.node, ast.StructLiteral)
        ]
        around, is_plain = _path(literals[-1].trail())
        self._taken.append(lost.span)
        self._cuts.append((*around, *lost.names) if is_plain else around)

    def take_out(self, problems: Collection[Diagnostic]) -> bool:
        """The innermost declarations around what is complained of; False if that cannot be done, or is too much."""
        spans: set[Span] = set()
        for each in problems:
            if each.code is Code.TOO_DEEP or each.span is None:
                return False
            spans.add(each.span)
        spans -= self._within_taken(spans)
        self._complaints += len(spans)
        if self._complaints > COMPLAINTS_MAX:
            return False
        imports = self.file.imports
        unused = spans & {each.span for each in imports}
        places = list(_places(self.file.body, sorted(spans - unused, key=_start)))
        wrong = [place.declared for place, here in places if here]
        new: dict[int, Any] = {}
        for declared in wrong:
            if declared is None:
                return False
            new[id(declared.node)] = None
            self._taken.append(declared.node.span)
            self._cuts.append(_path(declared.trail())[0])
        for place, _ in reversed(places):  # from the inside out
            changed = _changed(place.node, new)
            if changed and id(place.node) not in new:
                new[id(place.node)] = replace(place.node, **changed)
        kept = tuple(each for each in imports if each.span not in unused)
        self.file = replace(self.file, imports=kept, body=new.get(id(self.file.body), self.file.body))
        return True

    def marked(self, node: StructNode) -> StructNode:
        """The data of the rest, cut where something was taken out."""
        marked: StructNode = _marked(node, self._cuts)
        return marked

    def _within_taken(self, spans: Iterable[Span]) -> set[Span]:
        taken = sorted(self._taken, key=_start)
        starts = [each.start for each in taken]
        ends = list(accumulate((each.end for each in taken), max))
        return {each for each in spans if (at := bisect_right(starts, each.start)) and each.end <= ends[at - 1]}


_Path = tuple[str, ...]
"""Of a value to which something may have been added that was taken out."""

_DECLARATIONS: Final = get_args(ast.Declaration)


class _Place(Struct, frozen=True, eq=False):
    """A node of the tree, and the one that it is a part of."""

    node: Any
    outer: "_Place | None" = None
    declared: "_Place | None" = None  # the innermost declaration that the node is in, or is

    def inner(self, part: Any) -> "_Place":
        is_declared = isinstance(self.node, ast.StructLiteral) and isinstance(part, _DECLARATIONS)
        # A declaration's place is made without one, which would be itself.
        return _Place(part, self, _Place(part, self) if is_declared else self.declared)

    def trail(self) -> list[Any]:
        """The nodes from the file's struct down to this one."""
        trail = []
        place: _Place | None = self
        while place is not None:
            trail.append(place.node)
            place = place.outer
        return trail[::-1]


def _places(body: ast.StructLiteral, spans: Sequence[Span]) -> Iterator[tuple[_Place, Sequence[Span]]]:
    """The nodes that hold spans, outer ones first, each with the spans of which none of its parts is around.

    The spans are in the order of their starts. No recursion: `a: b(1)(1)(1)` is as deep as the file is long.
    """
    pending = [(_Place(body), spans)]
    while pending:
        place, around = pending.pop()
        starts = [each.start for each in around]
        held: set[Span] = set()
        for part in _parts(place.node):
            whole = _span(part)
            near = around[bisect_left(starts, whole.start) : bisect_right(starts, whole.end)]
            inside = [each for each in near if each.end <= whole.end and each not in held]
            if inside:
                held.update(inside)
                pending.append((place.inner(part), inside))
        yield place, [each for each in around if each not in held]


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


def _start(span: Span) -> int:
    return span.start


def _changed(node: Any, new: Mapping[int, Any]) -> dict[str, Any]:
    """The fields of a node that change where its parts do. `new`: by the id of a part what is in its place, or None."""
    changed: dict[str, Any] = {}
    for name in node.__struct_fields__:
        value = getattr(node, name)
        if id(value) in new:
            changed[name] = new[id(value)]
        elif isinstance(value, tuple) and any(id(part) in new for part in value):
            parts = [new.get(id(part), part) for part in value]
            changed[name] = tuple(part for part in parts if part is not None)
    return changed


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


def _marked(node: Node, paths: Sequence[_Path]) -> Any:
    match node:
        case StructNode() | ListNode() if () in paths:
            return _marked_deeply(node)
        case StructNode(fields=fields):
            inside: defaultdict[str, list[_Path]] = defaultdict(list)
            for first, *further in paths:
                inside[first].append(tuple(further))
            marked = {
                name: FieldNode(each.key_span, _marked(each.value, inside[name])) if name in inside else each
                for name, each in fields.items()
            }
            return StructNode(marked, node.span, cut=not inside.keys() <= fields.keys())
        case ListNode():
            return replace(node, cut=True)
        case _:
            return node


def _marked_deeply(node: Node) -> Any:
    match node:
        case StructNode(fields=fields):
            marked = {name: FieldNode(each.key_span, _marked_deeply(each.value)) for name, each in fields.items()}
            return StructNode(marked, node.span, cut=True)
        case ListNode(items=items):
            return ListNode(tuple(_marked_deeply(item) for item in items), node.span, cut=True)
        case _:
            return node
