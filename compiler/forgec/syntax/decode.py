"""A tree with places to a typed document, and every reason why it does not fit.

What does not fit is left out, so that the stages that follow can look at the rest, and all is told in one run.

The msgspec types are the schema: what msgspec itself would check when it decodes bytes is checked here on nodes,
so that each problem names its place and all of them are found in one run. `Meta(description=...)` of a type is the
human text of what it allows. Structs refuse unknown fields always.
"""

import functools
import re
from collections.abc import Hashable, Mapping
from typing import Any, Final, Generic, TypeVar, cast

import msgspec
from msgspec import Struct, inspect

from forgec.diagnostic import Code, Diagnostic
from forgec.nearest import did_you_mean
from forgec.source import Span
from forgec.syntax.data import FieldNode, ListNode, Node, Scalar, ScalarNode, StructNode, to_plain

T = TypeVar("T")

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN_MAX: Final = 60
_LISTED_MAX: Final = 12
"""Fields in a piece of advice; nobody reads more."""


class Decoded(Struct, Generic[T], frozen=True):
    """As much of a document as is right; None if it is of another kind altogether.

    A required field that is missing or wrong has a stand-in for its value, and `left_out` tells of it. `node` is the
    tree of the value, without what is wrong.
    """

    value: T | None
    node: Node
    problems: list[Diagnostic]


def decode(node: Node, type_: type[T]) -> tuple[T | None, list[Diagnostic]]:
    """The value, or None and what is wrong."""
    decoded = decode_partly(node, type_)
    return (None if decoded.problems else decoded.value), decoded.problems


def decode_partly(node: Node, type_: type[T]) -> Decoded[T]:
    """The value of what is right, and what is wrong."""
    decoder = _Decoder()
    value = decoder.decode(node, _schema(cast("Hashable", type_)), "")
    if value is _WRONG:
        return Decoded(None, node, decoder.problems)
    return Decoded(cast("T", value), decoder.remaining(node), decoder.problems)


@functools.cache
def _schema(type_: Any) -> inspect.Type:
    return inspect.type_info(type_)


_WRONG: Final = object()
"""In place of a value that does not fit; no value that is handed out contains it."""


class _Decoder:
    def __init__(self) -> None:
        self.problems: list[Diagnostic] = []
        self._said: set[tuple[Code, Span, str]] = set()
        self._wrong: set[int] = set()  # the ids of nodes that are left out
        self._cut: set[int] = set()  # and of those that lack something

    def remaining(self, node: Node) -> Node:
        """The tree without what is wrong."""
        if not self.problems:
            return node
        cut = id(node) in self._cut
        match node:
            case StructNode(fields=fields):
                kept = {
                    name: FieldNode(each.key_span, self.remaining(each.value))
                    for name, each in fields.items()
                    if id(each.value) not in self._wrong
                }
                return StructNode(kept, node.span, node.cut or cut)
            case ListNode(items=items):
                rest = tuple(self.remaining(item) for item in items if id(item) not in self._wrong)
                return ListNode(rest, node.span, node.cut or cut)
            case _:
                return node

    def decode(self, node: Node, schema: inspect.Type, path: str) -> Any:
        match schema:
            case inspect.Metadata(type=inner) if not isinstance(node, ScalarNode):
                return self.decode(node, inner, path)
            case inspect.AnyType():
                return to_plain(node)
            case inspect.UnionType(types=types):
                fitting = next((each for each in types if _fits(node, each)), None)
                return self._wrong_type(node, schema, path) if fitting is None else self.decode(node, fitting, path)
        if not _fits(node, schema):
            return self._wrong_type(node, schema, path)
        match node:
            case StructNode():
                if isinstance(schema, inspect.StructType):
                    return self._struct(node, schema, path)
                return self._dict(node, cast("inspect.DictType", schema), path)
            case ListNode():
                return self._list(node, schema, path)
            case ScalarNode(value=value, span=span):
                is_allowed = self._check_allowed(value, schema, span, path, "")
                return _converted(value, schema) if is_allowed else _WRONG

    def _check_allowed(self, value: Scalar, schema: inspect.Type, span: Span, path: str, what: str) -> bool:
        """Whether a scalar of the right kind is allowed; `what` it is, where it is not the value at the path."""
        allowed = None
        if isinstance(schema, inspect.Metadata):
            allowed = (schema.extra_json_schema or {}).get("description")
            schema = schema.type
        refusal = _refusal(value, schema)
        if refusal is not None:
            self._report(Code.BAD_VALUE, path, f"{what}{_show(value)} is not allowed: {allowed or refusal}", span)
        return refusal is None

    def _struct(self, node: StructNode, schema: inspect.StructType, path: str) -> Any:
        known = {field.encode_name: field for field in schema.fields}
        values: dict[str, Any] = {}
        for name, entry in node.fields.items():
            field = known.get(name)
            if field is None:
                advice = did_you_mean(name, known) or _elsewhere(name, known)
                self._report(Code.UNKNOWN_FIELD, path, f"unknown field {_show(name)}", entry.key_span, advice)
                self._leave_out(entry.value, node)
                continue
            value = self.decode(entry.value, field.type, _below(path, name))
            if value is _WRONG:
                self._leave_out(entry.value, node)
            else:
                values[field.name] = value
        for field in schema.fields:
            if field.required and field.name not in values:
                if field.encode_name not in node.fields and not node.cut:
                    self._report(
                        Code.MISSING_FIELD, path, f"the field {_show(field.encode_name)} is missing", node.span
                    )
                self._cut.add(id(node))
                values[field.name] = _stand_in(field.type)
        return schema.cls(**values)

    def _dict(self, node: StructNode, schema: inspect.DictType, path: str) -> dict[str, Any]:
        values = {}
        for name, entry in node.fields.items():
            self._check_allowed(name, schema.key_type, entry.key_span, path, "the name ")
            value = self.decode(entry.value, schema.value_type, _below(path, name))
            if value is _WRONG:
                self._leave_out(entry.value, node)
            else:
                values[name] = value
        self._check_length(len(node.fields), schema, node.span, path, "fields")
        return values

    def _list(self, node: ListNode, schema: inspect.Type, path: str) -> Any:
        items = cast("inspect.ListType | inspect.VarTupleType", schema)
        values = []
        for index, item in enumerate(node.items):
            value = self.decode(item, items.item_type, f"{path}[{index}]")
            if value is _WRONG:
                self._leave_out(item, node)
            else:
                values.append(value)
        self._check_length(len(node.items), items, node.span, path, "items")
        return tuple(values) if isinstance(schema, inspect.VarTupleType) else values

    def _check_length(self, length: int, schema: Any, span: Span, path: str, what: str) -> None:
        if schema.max_length is not None and length > schema.max_length:
            self._report(Code.BAD_VALUE, path, f"{length} {what}; at most {schema.max_length} are allowed", span)
        if schema.min_length is not None and length < schema.min_length:
            self._report(Code.BAD_VALUE, path, f"{length} {what}; at least {schema.min_length} are needed", span)

    def _wrong_type(self, node: Node, schema: inspect.Type, path: str) -> Any:
        self._report(Code.WRONG_TYPE, path, f"expected {_expected(schema)}, found {_found(node)}", node.span)
        return _WRONG

    def _leave_out(self, node: Node, around: Node) -> None:
        self._wrong.add(id(node))
        self._cut.add(id(around))

    def _report(self, code: Code, path: str, message: str, span: Span, advice: str | None = None) -> None:
        """Once for each place in the text: the values that a definition gives to several paths are wrong once."""
        if (code, span, message) not in self._said:
            self._said.add((code, span, message))
            self.problems.append(Diagnostic(code, f"{path}: {message}" if path else message, span, help=advice))


def _stand_in(schema: inspect.Type) -> Any:
    """A value of the type, in place of a wrong one."""
    match schema:
        case inspect.Metadata(type=inner):
            return _stand_in(inner)
        case inspect.StructType(cls=cls, fields=fields):
            return cls(**{field.name: _stand_in(field.type) for field in fields if field.required})
        case inspect.DictType():
            return {}
        case inspect.VarTupleType():
            return ()
        case inspect.ListType():
            return []
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.EnumType(cls=members):
            return next(iter(members))
        case inspect.UnionType(types=types):
            return _stand_in(types[0])
        case inspect.NoneType():
            return None
        case inspect.BoolType():
            return False
        case inspect.IntType():
            return 0
        case inspect.FloatType():
            return 0.0
        case _:
            return ""


def _elsewhere(name: str, known: Mapping[str, inspect.Field]) -> str | None:
    """Where an unknown field belongs, one struct further in; else what there is, if that can be said in a line."""
    for outer, field in known.items():
        if isinstance(field.type, inspect.StructType) and any(inner.encode_name == name for inner in field.type.fields):
            return f'did you mean "{outer}.{name}"?'
    return f"the fields here are {', '.join(known)}" if 0 < len(known) <= _LISTED_MAX else None


def _fits(node: Node, schema: inspect.Type) -> bool:
    """Whether a node is of the kind a schema asks for."""
    match schema:
        case inspect.Metadata(type=inner):
            return _fits(node, inner)
        case inspect.AnyType():
            return True
        case inspect.UnionType(types=types):
            return any(_fits(node, each) for each in types)
        case inspect.StructType() | inspect.DictType():
            return isinstance(node, StructNode)
        case inspect.ListType() | inspect.VarTupleType():
            return isinstance(node, ListNode)
    if not isinstance(node, ScalarNode):
        return False
    value = node.value
    match schema:
        case inspect.NoneType():
            return value is None
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType():
            return type(value) is int
        case inspect.FloatType():
            return type(value) in (int, float)
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.LiteralType(values=values):
            return type(value) in {type(each) for each in values}
        case inspect.EnumType(cls=cls):
            return type(value) in {type(each.value) for each in cls}
        case _:
            raise TypeError(f"{schema} is no type of a document")


def _refusal(value: Any, schema: inspect.Type) -> str | None:
    """Why a scalar of the right kind is not allowed."""
    match schema:
        case inspect.StrType(pattern=pattern, max_length=longest, min_length=shortest):
            if longest is not None and len(value) > longest:
                return f"at most {longest} characters, not {len(value)}"
            if shortest is not None and len(value) < shortest:
                return f"at least {shortest} characters"
            if pattern is not None and not _pattern(pattern).search(value):
                return f"it does not match {pattern}"
        case inspect.IntType(ge=ge, gt=gt, le=le, lt=lt) | inspect.FloatType(ge=ge, gt=gt, le=le, lt=lt):
            if ge is not None and value < ge:
                return f"at least {ge}"
            if gt is not None and value <= gt:
                return f"more than {gt}"
            if le is not None and value > le:
                return f"at most {le}"
            if lt is not None and value >= lt:
                return f"less than {lt}"
        case inspect.LiteralType(values=values):
            if value not in values:
                return _one_of(value, values)
        case inspect.EnumType(cls=cls):
            members = tuple(each.value for each in cls)
            if value not in members:
                return _one_of(value, members)
    return None


def _converted(value: Any, schema: inspect.Type) -> Any:
    """The scalar as the type wants it; one that is not allowed is reported already and stays as it is."""
    match schema:
        case inspect.Metadata(type=inner):
            return _converted(value, inner)
        case inspect.EnumType(cls=cls):
            return cls(value) if value in {each.value for each in cls} else value
        case inspect.FloatType():
            return float(value)
        case _:
            return value


_pattern = functools.cache(re.compile)


def _one_of(value: Any, members: tuple[Any, ...]) -> str:
    if len(members) == 1:
        return f"only {_show(members[0])} is"
    close = None
    if isinstance(value, str):
        close = did_you_mean(value, (each for each in members if isinstance(each, str)))
    allowed = f"it is one of {', '.join(_show(each) for each in members)}"
    return f"{allowed} ({close})" if close else allowed


def _expected(schema: inspect.Type) -> str:
    match schema:
        case inspect.Metadata(type=inner):
            return _expected(inner)
        case inspect.UnionType(types=types):
            return " or ".join(_expected(each) for each in types)
        case inspect.StructType() | inspect.DictType():
            return "a struct"
        case inspect.ListType() | inspect.VarTupleType():
            return "a list"
        case inspect.NoneType():
            return "null"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case inspect.LiteralType(values=values):
            return " or ".join(_show(each) for each in values)
        case inspect.EnumType(cls=cls):
            return " or ".join(_show(each.value) for each in cls)
        case _:
            return "a string"


def _found(node: Node) -> str:
    match node:
        case StructNode(fields=fields):
            reference = next((name for name in fields if name.startswith("@")), None)
            return f"a reference ({reference}), which has no value yet" if reference else "a struct"
        case ListNode():
            return "a list"
        case ScalarNode(value=value):
            kind = {bool: "", int: "the number ", float: "the number ", str: "the string "}.get(type(value), "")
            return f"{kind}{_show(value)}"


def _show(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 3]}..."


def _below(path: str, name: str) -> str:
    key = name if _PLAIN_KEY.fullmatch(name) else _show(name)
    return f"{path}.{key}" if path else key
