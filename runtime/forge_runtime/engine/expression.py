"""Argo's retry expressions, as far as our manifests use them.

The language is a subset of expr-lang: strings, whole numbers, lists, `lastRetry.*` names, `asInt`, `==`, `!=`, `in`,
`contains`, `!`, `&&`, `||` and parentheses, with expr-lang's precedence. Anything else is refused when the manifest is
submitted, so that an expression never fails in the middle of a run.

    expression  = conjunction { "||" conjunction }
    conjunction = negation { "&&" negation }
    negation    = "!" negation | comparison
    comparison  = operand [ ("==" | "!=" | "in" | "contains") operand ]
    operand     = string | number | list | name | asInt(expression) | "(" expression ")"
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

Value = str | int | bool | list["Value"]
Names = Mapping[str, str]
Node = Callable[[Names], Value]

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'[^'\\]*'|\"[^\"\\]*\")|(?P<number>-?\d+)|(?P<name>[A-Za-z_][A-Za-z0-9_.]*)"
    r"|(?P<operator>\|\||&&|==|!=|[!()\[\],]))"
)
_DEPTH_MAX: Final = 32


class ExpressionError(ValueError):
    """The expression is not in the subset, or has a value of the wrong type."""


def compile_expression(text: str, names: frozenset[str]) -> Callable[[Names], bool]:
    """A function from the values of `names` to true or false; ExpressionError if the text is not in the subset."""
    parser = _Parser(text, names)
    node = parser.expression(0)
    parser.end()

    def evaluate(values: Names) -> bool:
        result = node(values)
        if not isinstance(result, bool):
            raise ExpressionError(f'"{text}" is {result!r}, not true or false')
        return result

    return evaluate


class _Parser:
    def __init__(self, text: str, names: frozenset[str]) -> None:
        self._text = text
        self._names = names
        self._tokens = list(self._scan())
        self._at = 0

    def expression(self, depth: int) -> Node:
        if depth > _DEPTH_MAX:
            raise ExpressionError(f'"{self._text}" is nested too deeply')
        left = self._conjunction(depth)
        while self._take("||"):
            left = _either(left, self._conjunction(depth))
        return left

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._unexpected()

    def _conjunction(self, depth: int) -> Node:
        left = self._negation(depth)
        while self._take("&&"):
            left = _both(left, self._negation(depth))
        return left

    def _negation(self, depth: int) -> Node:
        if depth > _DEPTH_MAX:
            raise ExpressionError(f'"{self._text}" is nested too deeply')
        if self._take("!"):
            inner = self._negation(depth + 1)
            return lambda names: not _truth(inner(names))
        return self._comparison(depth)

    def _comparison(self, depth: int) -> Node:
        left = self._operand(depth)
        for symbol, operator in _OPERATORS.items():
            if self._take(symbol):
                return _apply(operator, left, self._operand(depth))
        return left

    def _operand(self, depth: int) -> Node:
        if self._take("("):
            inner = self.expression(depth + 1)
            self._expect(")")
            return inner
        if self._take("["):
            return self._list(depth)
        if self._at >= len(self._tokens):
            raise self._unexpected()
        kind, word = self._tokens[self._at]
        self._at += 1
        if kind == "string":
            return _constant(word[1:-1])
        if kind == "number":
            return _constant(int(word))
        if kind == "name" and word == "asInt":
            self._expect("(")
            argument = self.expression(depth + 1)
            self._expect(")")
            return lambda names: _as_int(argument(names))
        if kind == "name" and word in self._names:
            return lambda names: names[word]
        self._at -= 1
        raise self._unexpected()

    def _list(self, depth: int) -> Node:
        items: list[Node] = []
        if not self._take("]"):
            items.append(self.expression(depth + 1))
            while self._take(","):
                items.append(self.expression(depth + 1))
            self._expect("]")
        return lambda names: [item(names) for item in items]

    def _scan(self) -> list[tuple[str, str]]:
        tokens: list[tuple[str, str]] = []
        at = 0
        text = self._text.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None or match.lastgroup is None:
                raise ExpressionError(f'"{text}" has something unknown at column {at + 1}: "{text[at : at + 12]}"')
            tokens.append((match.lastgroup, match.group(match.lastgroup)))
            at = match.end()
        return tokens

    def _take(self, token: str) -> bool:
        if self._at < len(self._tokens):
            kind, found = self._tokens[self._at]
            if found == token and kind in ("operator", "name"):
                self._at += 1
                return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._unexpected()

    def _unexpected(self) -> ExpressionError:
        found = f'"{self._tokens[self._at][1]}"' if self._at < len(self._tokens) else "the end"
        return ExpressionError(f'"{self._text}" is not an expression this engine knows: did not expect {found}')


def _constant(value: Value) -> Node:
    return lambda _names: value


def _either(left: Node, right: Node) -> Node:
    return lambda names: _truth(left(names)) or _truth(right(names))


def _both(left: Node, right: Node) -> Node:
    return lambda names: _truth(left(names)) and _truth(right(names))


def _apply(operator: Callable[[Value, Value], bool], left: Node, right: Node) -> Node:
    return lambda names: operator(left(names), right(names))


def _truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise ExpressionError(f"{value!r} stands where true or false is needed")
    return value


def _as_int(value: Value) -> int:
    try:
        return int(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ExpressionError(f"asInt({value!r}): not a number") from None


def _in(item: Value, items: Value) -> bool:
    if not isinstance(items, list):
        raise ExpressionError(f'"in" needs a list, not {items!r}')
    return item in items


def _contains(text: Value, part: Value) -> bool:
    if not isinstance(text, str) or not isinstance(part, str):
        raise ExpressionError('"contains" compares texts')
    return part in text


_OPERATORS: Final[dict[str, Callable[[Value, Value], bool]]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "in": _in,
    "contains": _contains,
}
