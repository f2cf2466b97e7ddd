"""YAML text to the tree of `syntax.data`, one for each document, from somebody who is not to be trusted.

PyYAML's events are read, and not its objects: nothing is constructed, nesting is a stack of our own, and an alias is
the node that it names, whose size counts again. Plain words mean what they mean to Kubernetes, which reads YAML as
JSON: numbers, true and false (also y, n, yes, no, on and off), null, and text. Tags, which would say otherwise, are
refused, and so are merge keys.
"""

import re
from typing import Any, Final

import yaml
from msgspec import Struct, field

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, fail
from forgec.source import Source, Span
from forgec.syntax.data import DEPTH_MAX, FieldNode, ListNode, Node, Scalar, ScalarNode, StructNode

NODES_MAX: Final = 200_000
"""Values and keys of a file, aliases followed: 2,500 steps take 60,000."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_INTEGER = re.compile(r"[-+]?(0x[0-9a-fA-F]+|0o?[0-7]+|0b[01]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DIGITS_MAX: Final = 400
_BASES: Final = {"0x": 16, "0o": 8, "0b": 2}


def parse_yaml(source: Source) -> list[Node]:
    """The documents that are not empty; ForgeError with every key that is there twice, or the first other mistake."""
    builder = _Builder(source)
    try:
        for event in yaml.parse(source.text, Loader=_LOADER):
            builder.take(event)
    except yaml.reader.ReaderError as error:
        at = min(int(error.position), len(source.text))
        message = f"the character {_code(error.character)} is not allowed in YAML"
        raise fail(Code.YAML_SYNTAX, message, source.span(at, at + 1)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = 0 if mark is None else min(mark.index, len(source.text.rstrip()))  # the end is where the text ends
        raise fail(Code.YAML_SYNTAX, _problem(error), source.span(at, at + 1)) from None
    if builder.problems:
        raise ForgeError(builder.problems)
    return builder.documents


class _Open(Struct):
    """A list or an object that is being read; `key` is set between a key and its value.

    `size` counts the values so far, `depth` the levels below, both with aliases followed.
    """

    start: int
    anchor: str | None
    is_list: bool
    items: list[Node] = field(default_factory=list)
    fields: dict[str, FieldNode] = field(default_factory=dict)
    key: tuple[str, Span] | None = None
    size: int = 1
    depth: int = 0


class _Builder:
    def __init__(self, source: Source) -> None:
        self.documents: list[Node] = []
        self.problems: list[Diagnostic] = []
        self._source = source
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}
        self._count = 0

    def take(self, event: Any) -> None:
        match event:
            case yaml.ScalarEvent():
                self._refuse_tag(event)
                self._scalar(event)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._refuse_tag(event)
                self._begin(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end(event)
            case yaml.DocumentStartEvent():
                self._anchors.clear()

    def _scalar(self, event: Any) -> None:
        span = self._span(event)
        if self._awaits_key():
            self._key(str(event.value), span)
            return
        plain = event.implicit[0]  # neither quoted nor a block
        node = ScalarNode(self._plain(event.value, span) if plain else str(event.value), span)
        self._add(node, event.anchor, size=1, depth=0)

    def _alias(self, event: Any) -> None:
        if event.anchor not in self._anchors:
            raise fail(Code.YAML_SYNTAX, f'there is no anchor "{event.anchor}" before this alias', self._span(event))
        node, size, depth = self._anchors[event.anchor]
        if self._awaits_key():
            raise fail(Code.UNSUPPORTED, "an alias as a key is not supported", self._span(event))
        if len(self._open) + depth > DEPTH_MAX:
            self._too_deep(event)
        self._grow(size, self._span(event))
        self._place(node, size, depth)

    def _begin(self, event: Any) -> None:
        if self._awaits_key():
            raise fail(Code.UNSUPPORTED, "a key is a text, not an object or a list", self._span(event))
        if len(self._open) >= DEPTH_MAX:
            self._too_deep(event)
        is_list = isinstance(event, yaml.SequenceStartEvent)
        self._open.append(_Open(event.start_mark.index, event.anchor, is_list))

    def _end(self, event: Any) -> None:
        done = self._open.pop()
        end = len(self._source.text[: event.end_mark.index].rstrip())
        span = self._source.span(done.start, max(end, done.start + 1))
        node: Node = ListNode(tuple(done.items), span) if done.is_list else StructNode(done.fields, span)
        self._add(node, done.anchor, size=done.size, depth=done.depth + 1)

    def _add(self, node: Node, anchor: str | None, *, size: int, depth: int) -> None:
        self._grow(1, node.span)
        if anchor is not None:
            self._anchors[anchor] = (node, size, depth)
        self._place(node, size, depth)

    def _grow(self, count: int, at: Span) -> None:
        self._count += count
        if self._count > NODES_MAX:
            raise fail(Code.TOO_DEEP, f"the file has more than {NODES_MAX} values, aliases followed", at)

    def _place(self, node: Node, size: int, depth: int) -> None:
        """Into the list or object around it, or as a document."""
        if not self._open:
            if not (isinstance(node, ScalarNode) and node.value is None):
                self.documents.append(node)
            return
        around = self._open[-1]
        around.size += size
        around.depth = max(around.depth, depth)
        if around.is_list:
            around.items.append(node)
        elif around.key is not None:
            name, span = around.key
            around.key = None
            around.fields.setdefault(name, FieldNode(span, node))

    def _key(self, name: str, span: Span) -> None:
        around = self._open[-1]
        if name == "<<":
            raise fail(Code.UNSUPPORTED, 'a merge key ("<<") is not supported', span, help="write the fields out")
        first = around.fields.get(name)
        if first is not None:
            related = (Related(first.key_span, "first here"),)
            self.problems.append(Diagnostic(Code.DUPLICATE_KEY, f'the key "{name}" is there twice', span, related))
        around.key = (name, span)

    def _awaits_key(self) -> bool:
        return bool(self._open) and not self._open[-1].is_list and self._open[-1].key is None

    def _plain(self, text: str, span: Span) -> Scalar:
        if text in _WORDS:
            return _WORDS[text]
        if len(text) > _DIGITS_MAX:
            return text
        if _INTEGER.fullmatch(text):
            return _integer(text)
        if _FLOAT.fullmatch(text) and any(map(str.isdigit, text)):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                raise fail(Code.BAD_VALUE, f"{text} is too large for a number", span)
            return number
        return text

    def _refuse_tag(self, event: Any) -> None:
        if event.tag not in (None, "tag:yaml.org,2002:str"):
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise fail(Code.UNSUPPORTED, f"the tag {tag} is not supported", self._span(event))

    def _too_deep(self, event: Any) -> None:
        raise fail(Code.TOO_DEEP, f"the text is nested deeper than {DEPTH_MAX} levels", self._span(event))

    def _span(self, event: Any) -> Span:
        return self._source.span(event.start_mark.index, max(event.end_mark.index, event.start_mark.index + 1))


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-")
    base = _BASES.get(digits[:2])
    if base is not None:
        return sign * int(digits[2:], base)
    return sign * int(digits, 8 if digits[0] == "0" and len(digits) > 1 else 10)


def _problem(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(str(part) for part in (error.problem, error.context) if part)


def _code(character: int | str) -> str:
    number = character if isinstance(character, int) else ord(character[:1])
    return f"U+{number:04X}"
