"""The parser's tree to the nodes of `ast`: one method a rule of `cue.lark`."""

import re
from collections.abc import Sequence, Set
from decimal import Decimal
from typing import Any, Final, cast, get_args

from forgec.diagnostic import Code, Diagnostic
from forgec.source import Source, Span
from forgec.syntax import ast
from forgec.syntax.escape import EscapeError
from forgec.syntax.literal import number_value, raw_string, string_parts
from forgec.syntax.problem import OTHER_ENGINE
from forgec.syntax.token import Token

_FILE_ATTRIBUTES: Final = frozenset({"if", "ignore", "extern", "experiment"})
"""Attributes of a whole file that change what it means."""


_CLAUSES_TO_COME: Final = frozenset({"try"})
"""Words of clauses that CUE has as an experiment."""

_WORDS_TO_COME: Final = _CLAUSES_TO_COME | {"else", "fallback", "otherwise", "func"}

_DECLARATIONS: Final = frozenset(get_args(ast.Declaration))
_PRESENCES: Final = {
    "QUESTION": ast.Presence.OPTIONAL,
    "EXCLAMATION": ast.Presence.REQUIRED,
    "COLON": ast.Presence.REGULAR,
}
_REFERENCE = re.compile(r'\s*(?:path\s*=\s*)?"(?P<path>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)"\s*')


class Builder:
    """The items of a method are tokens and what the rules below returned.

    Problems are collected and a stand-in returned, so that all of a file are shown; for a declaration that is None.
    """

    def __init__(self, source: Source) -> None:
        self.problems: list[Diagnostic] = []
        self._source = source

    def make(self, rule: str, items: list[Any]) -> Any:
        return getattr(self, rule)(items)

    def start(self, items: list[Any]) -> ast.File:
        package = next((item for item in items if isinstance(item, ast.Package)), None)
        whole = self._source.span(0, len(self._source.text))
        declarations = _declarations(items)
        self._check_openings(declarations)
        for declaration in declarations:
            if isinstance(declaration, ast.Attribute) and declaration.name in _FILE_ATTRIBUTES:
                self._unsupported(f"the attribute @{declaration.name} of a file", [declaration])
        imports = tuple(each for item in items if isinstance(item, tuple) for each in item)
        first = [each for each in declarations if not isinstance(each, ast.Attribute)][:1]
        self._check_words(first, {"import"} if package or imports else {"package", "import"})
        self._check_words(declarations, _CLAUSES_TO_COME)
        return ast.File(self._source, package, imports, ast.StructLiteral(declarations, whole))

    def package(self, items: list[Token]) -> ast.Package:
        name = items[1].text
        if "#" in name or name in _WORDS_TO_COME:
            self._problem(Code.SYNTAX, f'"{name}" is no name of a package', self._span(items[1:]))
        return ast.Package(items[1].text, self._span(items[1:]))

    def imports(self, items: list[Any]) -> tuple[ast.Import, ...]:
        found = []
        name: str | None = None
        for item in items:
            if isinstance(item, ast.Label):
                name = item.name
                if "#" in name:
                    self._problem(Code.SYNTAX, f'"{name}" is no name of a package', item.span)
            elif isinstance(item, ast.Literal):
                path = str(item.value)
                found.append(ast.Import(path, name or path.rpartition("/")[2], item.span))
                name = None
        return tuple(found)

    def import_path(self, items: list[Token]) -> ast.Literal:
        return self.string(items)

    # Declarations

    def field(self, items: list[Any]) -> ast.Declaration | None:
        first, mark, *rest = items
        presence = _PRESENCES[mark.kind]
        if presence is not ast.Presence.REGULAR:
            rest = rest[1:]
        value, *attributes = rest
        if isinstance(value, ast.Attribute):
            value, attributes = self._reference_value(value), rest
        span = self._span(items)
        match first:
            case ast.Label():
                return ast.Field(first, presence, value, tuple(attributes), span)
            case ast.ListLiteral():
                return self._pattern(first, presence, value, span)
            case _:
                return ast.Computed(first.value if isinstance(first, ast.Embedding) else first, presence, value, span)

    def _reference_value(self, first: ast.Attribute) -> ast.Expr:
        """`x: @artifact("a.uri")` is `x: _ @artifact("a.uri")`; any other attribute stands after a value."""
        if first.name not in ast.REFERENCE_ATTRIBUTES:
            message = "a value is expected, found an attribute"
            self._problem(Code.SYNTAX, message, first.span, f"@{first.name}(...) is written after a value")
        return ast.Top(first.span)

    def _pattern(
        self, label: ast.ListLiteral, presence: ast.Presence, value: ast.Expr, span: Span
    ) -> ast.Pattern | None:
        pattern = label.items[0] if len(label.items) == 1 and label.rest is None else None
        if presence is not ast.Presence.REGULAR:
            self._problem(Code.SYNTAX, 'a pattern for field names takes no "?" and no "!"', label.span, "remove it")
            return None
        if pattern is None or isinstance(pattern, ast.Comprehension):
            self._problem(Code.SYNTAX, "a pattern for field names is written [pattern]: value", label.span)
            return None
        if isinstance(pattern, ast.Named):
            return ast.Pattern(pattern.value, value, span, pattern.name)
        return ast.Pattern(pattern, value, span)

    def field_alias(self, items: list[Any]) -> ast.Declaration | None:
        field = items[2]
        if not isinstance(field, ast.Field):
            if field is not None:
                self._unsupported("an alias for a field whose name is not written out", items[:2])
            return None
        span = self._span(items)
        return ast.Field(field.label, field.presence, field.value, field.attributes, span, self._named(items[0]))

    def nested(self, items: list[Any]) -> ast.StructLiteral:
        declarations = _declarations(items)
        return ast.StructLiteral(declarations, declarations[0].span if declarations else self._source.span(0, 0))

    def name(self, items: list[Token]) -> ast.Label:
        if items[0].text == "_":
            self._problem(Code.SYNTAX, '"_" is any value and no name', self._span(items), 'write "_" in quotes')
        self._check_reserved(items[0])
        return ast.Label(items[0].text, True, self._span(items))

    keyword = name
    import_name = name

    def _named(self, token: Token) -> str:
        """The name of a variable, which is no field."""
        if token.text in _WORDS_TO_COME:
            self._problem(Code.SYNTAX, f'"{token.text}" is a word of the language', self._span([token]))
        self._check_reserved(token)
        return token.text

    def _check_reserved(self, name: Token) -> None:
        if name.text.startswith("__"):
            message = f'"{name.text}" begins with "__", as no name may'
            self._problem(Code.SYNTAX, message, self._span([name]), "one underscore hides a field")

    def computed_name(self, items: list[Any]) -> ast.Embedding:
        """In a wrapper, so that a list in parentheses is not taken for a pattern."""
        return ast.Embedding(items[1], self._span(items))

    def quoted(self, items: list[Token]) -> ast.Label:
        quotes = {"STRING": self.string, "RAW": self.raw, "BYTES": self.bytes_literal}
        text = quotes[items[0].kind](items)
        return ast.Label(str(text.value) if isinstance(text, ast.Literal) else "", False, self._span(items))

    def let(self, items: list[Any]) -> ast.Let:
        return ast.Let(self._named(items[1]), items[3], self._span(items))

    clause_let = let

    def embedding(self, items: list[ast.Expr]) -> ast.Embedding:
        return ast.Embedding(items[0], items[0].span)

    def attribute(self, items: list[Token]) -> ast.Attribute:
        name, _, text = items[0].text.removeprefix("@").removesuffix(")").partition("(")
        name = name.strip()
        if name in ast.REFERENCE_ATTRIBUTES:
            found = _REFERENCE.fullmatch(text)
            if not found:
                advice = '@artifact("NAME.FIELD"), @repo(path="NAME.NAME")'
                self._problem(Code.SYNTAX, f"@{name}({text}) refers to nothing", self._span(items), advice)
            else:
                text = found["path"]
        return ast.Attribute(name, text, self._span(items))

    def ellipsis(self, items: list[Any]) -> ast.Opening:
        """In a struct `...`; in a list `...T`, whose T `list_literal` takes from here."""
        return ast.Opening(items[1] if len(items) > 1 else None, self._span(items))

    def comprehension(self, items: list[Any]) -> ast.Comprehension:
        clauses = tuple(item for item in items[:-1] if not isinstance(item, Token))
        return ast.Comprehension(clauses, items[-1], self._span(items))

    def clause_for(self, items: list[Any]) -> ast.For:
        names = [self._named(item) for item in items[1:-2] if item.kind == "IDENT"]
        return ast.For(names[0] if len(names) > 1 else None, names[-1], items[-1], self._span(items))

    def clause_if(self, items: list[Any]) -> ast.If:
        return ast.If(items[1], self._span(items))

    # Expressions

    def disjunction(self, items: list[Any]) -> ast.Expr:
        if len(items) == 1 and not isinstance(items[0], ast.Disjunct):
            alone: ast.Expr = items[0]
            return alone
        terms = tuple(
            item if isinstance(item, ast.Disjunct) else ast.Disjunct(item, False)
            for item in items
            if not isinstance(item, Token)
        )
        if len(terms) > 1:
            return ast.Disjunction(terms, self._span(items))
        if terms[0].default:
            span = terms[0].value.span
            self._problem(Code.SYNTAX, 'a default mark "*" needs alternatives, as in *"a" | "b"', span)
        return terms[0].value

    def default(self, items: list[Any]) -> ast.Disjunct:
        return ast.Disjunct(items[1], True)

    def conjunction(self, items: list[Any]) -> ast.Conjunction:
        return ast.Conjunction(tuple(items[::2]), self._span(items))

    def operation(self, items: list[Any]) -> ast.Operation:
        for operand in items[::2]:
            if isinstance(operand, ast.Bound):
                message = f"{operand.span.text} is no value to calculate or compare with"
                self._problem(Code.WRONG_TYPE, message, operand.span)
        rest = tuple((sign.text, value) for sign, value in zip(items[1::2], items[2::2], strict=True))
        return ast.Operation(items[0], rest, self._span(items))

    either = both = comparison = addition = multiplication = operation

    def prefix(self, items: list[Any]) -> ast.Expr:
        operator = items[0].text
        operand: ast.Expr = items[1]
        if operator == "-" and isinstance(operand, ast.Literal) and type(operand.value) in (int, Decimal):
            return ast.Literal(-operand.value, self._span(items))  # type: ignore[operator]  # it is a number
        return ast.Prefix(operator, operand, self._span(items))

    def bound(self, items: list[Any]) -> ast.Bound:
        return ast.Bound(items[0].text, items[1], self._span(items))

    def selector(self, items: list[Any]) -> ast.Selector:
        name = cast("ast.Label", items[2])
        return ast.Selector(items[0], name.name, name.span, self._span(items))

    def selected(self, items: list[Token]) -> ast.Label:
        if items[0].text.startswith('""'):
            self._problem(Code.SYNTAX, 'a name is selected as in x."name"', self._span(items))
        text = items[0].text
        return self.quoted(items) if items[0].kind == "STRING" else ast.Label(text, True, self._span(items))

    def index(self, items: list[Any]) -> ast.Index:
        return ast.Index(items[0], items[2], self._span(items))

    def slicing(self, items: list[Any]) -> ast.Slice:
        colon = next(at for at, item in enumerate(items) if isinstance(item, Token) and item.kind == "COLON")
        low, high = items[colon - 1], items[colon + 1]
        ends = [end if isinstance(end, ast.Expr) else None for end in (low, high)]
        return ast.Slice(items[0], ends[0], ends[1], self._span(items))

    def slice_end(self, items: list[ast.Expr]) -> ast.Expr:
        return items[0]

    def call(self, items: list[Any]) -> ast.Call:
        arguments = tuple(item for item in items[1:] if isinstance(item, ast.Expr))
        return ast.Call(items[0], arguments, self._span(items))

    def reference(self, items: list[Token]) -> ast.Reference | ast.Top:
        span = self._span(items)
        return ast.Top(span) if items[0].text == "_" else ast.Reference(items[0].text, span)

    def number(self, items: list[Token]) -> ast.Literal:
        span = self._span(items)
        try:
            return ast.Literal(number_value(items[0].text), span)
        except ValueError as error:
            self._problem(Code.SYNTAX, str(error), span)
            return ast.Literal(0, span)

    def string(self, items: list[Token]) -> ast.Literal:
        return ast.Literal(self._text(items)[0], self._span(items))

    def raw(self, items: list[Token]) -> ast.Literal | ast.Top:
        try:
            return ast.Literal(raw_string(items[0].text), self._span(items))
        except EscapeError as error:
            self._problem(Code.SYNTAX, str(error), self._span(items))
            return ast.Top(self._span(items))
        except ValueError:
            return self._stand_in("an escape inside a raw string", items)

    def bytes_literal(self, items: list[Token]) -> ast.Top:
        return self._stand_in("a bytes literal in single quotes", items, 'text is written in "double quotes"')

    def true(self, items: list[Token]) -> ast.Literal:
        return ast.Literal(True, self._span(items))

    def false(self, items: list[Token]) -> ast.Literal:
        return ast.Literal(False, self._span(items))

    def null(self, items: list[Token]) -> ast.Literal:
        return ast.Literal(None, self._span(items))

    def bottom(self, items: list[Token]) -> ast.Bottom:
        return ast.Bottom(self._span(items))

    def interpolation(self, items: list[Any]) -> ast.Interpolation:
        commas = [item for item in items if isinstance(item, Token) and item.kind == "COMMA"]
        for comma in (each for each in commas if each.text == ","):
            self._problem(Code.SYNTAX, 'the rest of the string is expected, found ","', self._span([comma]))
        texts = self._text([item for item in items if isinstance(item, Token) and item not in commas])
        parts: list[str | ast.Expr] = [texts[0]]
        expressions = [item for item in items if not isinstance(item, Token)]
        for expression, text in zip(expressions, texts[1:], strict=True):
            parts += (expression, text)
        return ast.Interpolation(tuple(parts), self._span(items))

    def parenthesised(self, items: list[Any]) -> ast.Expr:
        inside: ast.Expr = items[1]
        return inside

    def struct(self, items: list[Any]) -> ast.StructLiteral:
        declarations = _declarations(items)
        self._check_openings(declarations)
        self._check_words(declarations, _CLAUSES_TO_COME)
        return ast.StructLiteral(declarations, self._span(items))

    def _check_openings(self, declarations: Sequence[ast.Declaration]) -> None:
        for declaration in declarations:
            if isinstance(declaration, ast.Opening) and declaration.value is not None:
                self._unsupported("a type after ... in a struct", [declaration])

    def _check_words(self, declarations: Sequence[ast.Declaration], words: Set[str]) -> None:
        """Names of fields that are, at the front of these declarations, taken for the words."""
        for each in declarations:
            if isinstance(each, ast.Field) and each.label.is_identifier and each.label.name in words:
                message = f'"{each.label.name}" is no name of a field here, but begins something else'
                self._problem(Code.SYNTAX, message, each.label.span, f'write "{each.label.name}" in quotes')

    def list_literal(self, items: list[Any]) -> ast.ListLiteral:
        span = self._span(items)
        elements = [item for item in items if not isinstance(item, Token)]
        values = tuple(item for item in elements if not isinstance(item, ast.Opening))
        openings = [item for item in elements if isinstance(item, ast.Opening)]
        if not openings:
            return ast.ListLiteral(values, None, span)
        if len(openings) > 1 or elements[-1] is not openings[0]:
            self._problem(Code.SYNTAX, "... comes once, at the end of a list", openings[0].span)
        return ast.ListLiteral(values, openings[0].value or ast.Top(openings[0].span), span)

    def value_alias(self, items: list[Any]) -> ast.Named:
        return ast.Named(self._named(items[0]), items[2], self._span(items))

    def named_pattern(self, items: list[Any]) -> ast.ListLiteral:
        return ast.ListLiteral((items[1],), None, self._span(items))

    def _text(self, tokens: Sequence[Token]) -> list[str]:
        try:
            return string_parts([token.text for token in tokens])
        except EscapeError as error:
            span = self._span(tokens)
            if len(tokens) == 1:
                span = self._source.span(span.start + error.start, span.start + error.end)
            self._problem(Code.SYNTAX, str(error), span)
            return [""] * len(tokens)

    def _stand_in(self, what: str, items: Sequence[Any], advice: str | None = None) -> ast.Top:
        self._unsupported(what, items, advice)
        return ast.Top(self._span(items))

    def _unsupported(self, what: str, items: Sequence[Any], advice: str | None = None) -> None:
        message = f"{what} is valid CUE that the built-in evaluator does not support"
        self._problem(
            Code.UNSUPPORTED, message, self._span(items), f"{advice}; {OTHER_ENGINE}" if advice else OTHER_ENGINE
        )

    def _problem(self, code: Code, message: str, span: Span, advice: str | None = None) -> None:
        self.problems.append(Diagnostic(code, message, span, help=advice))

    def _span(self, items: Sequence[Any]) -> Span:
        """From the first item's start to the last one's end."""
        return Span(self._source, _place(items[0]).start, _place(items[-1]).end)


def _place(item: Any) -> Span | Token:
    """What has the start and the end of an item."""
    if isinstance(item, Token):
        return item
    span: Span = item.value.span if isinstance(item, ast.Disjunct) else item.span
    return span


def _declarations(items: Sequence[Any]) -> tuple[ast.Declaration, ...]:
    return tuple(item for item in items if type(item) in _DECLARATIONS)
