"""A tree with places to a typed document, and every reason why it does not fit.

The msgspec types are the schema: what msgspec itself would check when it decodes bytes is checked here on nodes,
so that each problem names its place and all of them are found in one run. `Meta(description=...)` of a type is the
human text of what it allows. Structs refuse unknown fields always.
"""

import functools
import re
from collections.abc import Hashable, Mapping
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import inspect

from forgec.diagnostic import Code, Diagnostic
from forgec.nearest import did_you_mean
from forgec.source import Span
from forgec.syntax.data import ListNode, Node, Scalar, ScalarNode, StructNode, to_plain

T = TypeVar("T")

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN_MAX: Final = 60
_LISTED_MAX: Final = 12
"""Fields in a piece of advice; nobody reads more."""


def decode(node: Node, type_: type[T]) -> tuple[T | None, list[Diagnostic]]:
    """The value, or None and what is wrong."""
    decoder = _Decoder()
    value = decoder.decode(node, _schema(cast("Hashable", type_)), "")
    return (None if decoder.problems else cast("T", value)), decoder.problems


@functools.cache
def _schema(type_: Any) -> inspect.Type:
    return inspect.type_info(type_)


class _Decoder:
    """Values of wrong nodes are None and never leave `decode`."""

    def __init__(self) -> None:
        self.problems: list[Diagnostic] = []

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
                self._check_allowed(value, schema, span, path, "")
                return _converted(value, schema)

    def _check_allowed(self, value: Scalar, schema: inspect.Type, span: Span, path: str, what: str) -> None:
        """Whether a scalar of the right kind is allowed; `what` it is, where it is not the value at the path."""
        allowed = None
        if isinstance(schema, inspect.Metadata):
            allowed = (schema.extra_json_schema or {}).get("description")
            schema = schema.type
        refusal = _refusal(value, schema)
        if refusal is not None:
            message = f"{what}{_show(value)} is not allowed: {allowed or refusal}"
            self._report(Code.BAD_VALUE, _at(path, message), span)

    def _struct(self, node: StructNode, schema: inspect.StructType, path: str) -> Any:
        known = {field.encode_name: field for field in schema.fields}
        values: dict[str, Any] = {}
        for name, entry in node.fields.items():
            field = known.get(name)
            if field is None:
                advice = did_you_mean(name, known) or _elsewhere(name, known)
                self._report(Code.UNKNOWN_FIELD, _at(path, f"unknown field {_show(name)}"), entry.key_span, advice)
            else:
                values[field.name] = self.decode(entry.value, field.type, _below(path, name))
        for field in schema.fields:
            if field.required and field.encode_name not in node.fields:
                message = _at(path, f"the field {_show(field.encode_name)} is missing")
                self._report(Code.MISSING_FIELD, message, node.span)
        return None if self.problems else schema.cls(**values)

    def _dict(self, node: StructNode, schema: inspect.DictType, path: str) -> dict[str, Any]:
        values = {}
        for name, entry in node.fields.items():
            self._check_allowed(name, schema.key_type, entry.key_span, path, "the name ")
            values[name] = self.decode(entry.value, schema.value_type, _below(path, name))
        self._check_length(len(values), schema, node.span, path, "fields")
        return values

    def _list(self, node: ListNode, schema: inspect.Type, path: str) -> Any:
        items = cast("inspect.ListType | inspect.VarTupleType", schema)
        values = [self.decode(item, items.item_type, f"{path}[{index}]") for index, item in enumerate(node.items)]
        self._check_length(len(values), items, node.span, path, "items")
        return tuple(values) if isinstance(schema, inspect.VarTupleType) else values

    def _check_length(self, length: int, schema: Any, span: Span, path: str, what: str) -> None:
        if schema.max_length is not None and length > schema.max_length:
            self._report(Code.BAD_VALUE, _at(path, f"{length} {what}; at most {schema.max_length} are allowed"), span)
        if schema.min_length is not None and length < schema.min_length:
            self._report(Code.BAD_VALUE, _at(path, f"{length} {what}; at least {schema.min_length} are needed"), span)

    def _wrong_type(self, node: Node, schema: inspect.Type, path: str) -> None:
        message = _at(path, f"expected {_expected(schema)}, found {_found(node)}")
        self._report(Code.WRONG_TYPE, message, node.span)

    def _report(self, code: Code, message: str, span: Span, advice: str | None = None) -> None:
        self.problems.append(Diagnostic(code, message, span, help=advice))


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


def _at(path: str, message: str) -> str:
    return f"{path}: {message}" if path else message
