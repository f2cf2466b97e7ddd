"""CUE text to its syntax tree: lark runs the grammar, and this module builds the nodes and words the errors.

The only module that runs lark on CUE, imported only when CUE is read: import and tables cost 0.2 s.
"""

import functools
from collections.abc import Sequence
from typing import Any, Final, cast

from lark import Lark, Token
from lark.exceptions import UnexpectedToken
from lark.visitors import Transformer_NonRecursive

from forge_grammar.resource import text as grammar_text
from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.source import Source, Span
from forgec.syntax import ast
from forgec.syntax.cue_lexer import AutomaticCommas, CueLexer
from forgec.syntax.escape import EscapeError
from forgec.syntax.literal import number_value, raw_string, string_parts


def parse_file(source: Source) -> ast.File:
    """The syntax tree of a file; ForgeError with the first mistake of form, or all that is not supported."""
    try:
        tree = parser().parse(cast("str", source))  # the lexer takes the Source itself
    except UnexpectedToken as error:
        raise ForgeError([_unexpected(source, error)]) from None
    builder = _Builder(source)
    file = builder.transform(tree)
    if builder.problems:
        raise ForgeError(builder.problems)
    assert isinstance(file, ast.File)
    return file


@functools.cache
def parser(*, strict: bool = False) -> Lark:
    """The parser, built once per process; `strict` refuses a grammar with a conflict."""
    return Lark(
        grammar_text("cue.lark"),
        parser="lalr",
        lexer=CueLexer,
        postlex=AutomaticCommas(),
        maybe_placeholders=False,
        strict=strict,
    )


class _Builder(Transformer_NonRecursive):  # type: ignore[type-arg]  # lark's own generics are per tree, not per rule
    """One method a rule; the items are tokens and what the rules below returned.

    Problems are collected and a stand-in returned, so that all of a file are shown; for a declaration that is None.
    """

    def __init__(self, source: Source) -> None:
        super().__init__(visit_tokens=False)
        self.problems: list[Diagnostic] = []
        self._source = source

    def start(self, items: list[Any]) -> ast.File:
        package = next((item for item in items if isinstance(item, ast.Package)), None)
        whole = self._source.span(0, len(self._source.text))
        return ast.File(self._source, package, ast.StructLiteral(_declarations(items), whole))

    def package(self, items: list[Token]) -> ast.Package:
        return ast.Package(str(items[1]), self._span(items[1:]))

    # Declarations

    def field(self, items: list[Any]) -> ast.Field | ast.Pattern | None:
        first, *rest = items
        presence = ast.Presence.REGULAR
        if isinstance(rest[0], Token) and rest[0].type != "COLON":
            presence = ast.Presence.OPTIONAL if rest[0].type == "QUESTION" else ast.Presence.REQUIRED
        value = next((item for item in rest if isinstance(item, ast.Expr)), None)
        if not isinstance(first, ast.Label):
            return self._pattern(first, presence, value, self._span(items))
        if value is None:  # its construct is reported
            return None
        attributes = tuple(item for item in rest if isinstance(item, ast.Attribute))
        return ast.Field(first, presence, value, attributes, self._span(items))

    def _pattern(
        self, label: ast.Expr, presence: ast.Presence, value: ast.Expr | None, span: Span
    ) -> ast.Pattern | None:
        match label:
            case ast.ListLiteral(items=(pattern,), rest=None) if presence is ast.Presence.REGULAR and value is not None:
                return ast.Pattern(pattern, value, span)
            case ast.ListLiteral():
                self._problem(Code.SYNTAX, "a pattern for field names is written [pattern]: value", label.span)
            case ast.Interpolation():
                self._unsupported("a field name with an interpolation", [label])
            case _:
                self._unsupported("a field name computed by an expression", [label])
        return None

    def nested(self, items: list[Any]) -> ast.StructLiteral:
        declarations = _declarations(items)
        return ast.StructLiteral(declarations, declarations[0].span if declarations else self._source.span(0, 0))

    def name(self, items: list[Token]) -> ast.Label:
        return ast.Label(str(items[0]), True, self._span(items))

    keyword = name

    def quoted(self, items: list[Token]) -> ast.Label:
        return ast.Label(self._text(items)[0], False, self._span(items))

    def let(self, items: list[Any]) -> ast.Let:
        return ast.Let(str(items[1]), items[3], self._span(items))

    def embedding(self, items: list[ast.Expr]) -> ast.Embedding:
        return ast.Embedding(items[0], items[0].span)

    def attribute(self, items: list[Token]) -> ast.Attribute:
        name, _, text = str(items[0]).removeprefix("@").removesuffix(")").partition("(")
        return ast.Attribute(name, text, self._span(items))

    def ellipsis(self, items: list[Any]) -> ast.Opening:
        """In a struct `...`; in a list `...T`, whose T `list_literal` takes from here."""
        return ast.Opening(items[1] if len(items) > 1 else None, self._span(items))

    # Expressions

    def disjunction(self, items: list[Any]) -> ast.Expr:
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
        return ast.Conjunction(tuple(item for item in items[::2]), self._span(items))

    def comparison(self, items: list[Any]) -> ast.Top:
        return self._stand_in(f'the operator "{items[1]}" between two values', items)

    def addition(self, items: list[Any]) -> ast.Arithmetic:
        rest = tuple((str(sign), value) for sign, value in zip(items[1::2], items[2::2], strict=True))
        return ast.Arithmetic(items[0], rest, self._span(items))

    multiplication = addition

    def prefix(self, items: list[Any]) -> ast.Expr:
        operator = str(items[0])
        operand: ast.Expr = items[1]
        if operator == "!":
            return self._stand_in('the operator "!"', items)
        if operator == "+":
            return ast.Arithmetic(ast.Literal(0, operand.span), (("+", operand),), self._span(items))
        if isinstance(operand, ast.Literal) and type(operand.value) in (int, float):
            return ast.Literal(-operand.value, self._span(items))  # type: ignore[operator]  # it is a number
        return ast.Negation(operand, self._span(items))

    def bound(self, items: list[Any]) -> ast.Bound:
        return ast.Bound(str(items[0]), items[1], self._span(items))

    def selector(self, items: list[Any]) -> ast.Selector:
        name = cast("ast.Label", items[2])
        return ast.Selector(items[0], name.name, name.span, self._span(items))

    def selected(self, items: list[Token]) -> ast.Label:
        return self.quoted(items) if items[0].type == "STRING" else self.name(items)

    def index(self, items: list[Any]) -> ast.Index:
        return ast.Index(items[0], items[2], self._span(items))

    def slicing(self, items: list[Any]) -> ast.Top:
        return self._stand_in("a slice (list[low:high])", items)

    def call(self, items: list[Any]) -> ast.Top:
        called = items[0].span.text if isinstance(items[0], ast.Expr) else ""
        return self._stand_in(f"a call ({called}(...))", items)

    def reference(self, items: list[Token]) -> ast.Reference | ast.Top:
        span = self._span(items)
        return ast.Top(span) if items[0] == "_" else ast.Reference(str(items[0]), span)

    def number(self, items: list[Token]) -> ast.Literal:
        span = self._span(items)
        try:
            return ast.Literal(number_value(str(items[0])), span)
        except ValueError as error:
            self._problem(Code.SYNTAX, str(error), span)
            return ast.Literal(0, span)

    def string(self, items: list[Token]) -> ast.Literal:
        return ast.Literal(self._text(items)[0], self._span(items))

    def raw(self, items: list[Token]) -> ast.Literal | ast.Top:
        if str(items[0]).endswith('"""'):
            return self._stand_in('a raw string of several lines (#""")', items)
        try:
            return ast.Literal(raw_string(str(items[0])), self._span(items))
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
        texts = self._text([item for item in items if isinstance(item, Token)])
        parts: list[str | ast.Expr] = [texts[0]]
        for expression, text in zip(items[1::2], texts[1:], strict=True):
            parts += (expression, text)
        return ast.Interpolation(tuple(parts), self._span(items))

    def parenthesised(self, items: list[Any]) -> ast.Expr:
        inside: ast.Expr = items[1]
        return inside

    def struct(self, items: list[Any]) -> ast.StructLiteral:
        declarations = _declarations(items)
        for declaration in declarations:
            if isinstance(declaration, ast.Opening) and declaration.value is not None:
                self._unsupported("a type after ... in a struct", [declaration])
        return ast.StructLiteral(declarations, self._span(items))

    def list_literal(self, items: list[Any]) -> ast.ListLiteral:
        span = self._span(items)
        elements = [item for item in items if isinstance(item, ast.Expr | ast.Opening)]
        values = tuple(item for item in elements if isinstance(item, ast.Expr))
        openings = [item for item in elements if isinstance(item, ast.Opening)]
        if not openings:
            return ast.ListLiteral(values, None, span)
        if len(openings) > 1 or elements[-1] is not openings[0]:
            self._problem(Code.SYNTAX, "... comes once, at the end of a list", openings[0].span)
        return ast.ListLiteral(values, openings[0].value or ast.Top(openings[0].span), span)

    # Parsed to be named

    def imports(self, items: list[Any]) -> None:
        self._unsupported("an import", items)

    def comprehension(self, items: list[Any]) -> None:
        self._unsupported(f"a comprehension ({items[0]} ...)", items[:1])

    def field_alias(self, items: list[Any]) -> None:
        self._unsupported("an alias (X=...)", items[:2])

    def value_alias(self, items: list[Any]) -> ast.Top:
        return self._stand_in("an alias (X=...)", items[:2])

    def _text(self, tokens: Sequence[Token]) -> list[str]:
        try:
            return string_parts([str(token) for token in tokens])
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
        self._problem(Code.UNSUPPORTED, message, self._span(items), advice or "write the values out")

    def _problem(self, code: Code, message: str, span: Span, advice: str | None = None) -> None:
        self.problems.append(Diagnostic(code, message, span, help=advice))

    def _span(self, items: Sequence[Any]) -> Span:
        """From the first item's start to the last one's end."""
        known = [item for item in items if item is not None]
        assert known, "a rule without a place"
        return self._source.span(self._place(known[0]).start, self._place(known[-1]).end)

    def _place(self, item: Any) -> Span:
        if isinstance(item, Token):
            assert item.start_pos is not None
            assert item.end_pos is not None
            return self._source.span(item.start_pos, item.end_pos)
        span: Span = item.value.span if isinstance(item, ast.Disjunct) else item.span
        return span


def _declarations(items: Sequence[Any]) -> tuple[ast.Declaration, ...]:
    return tuple(item for item in items if isinstance(item, ast.Declaration))


_WORDS: Final = {
    "COLON": '":"', "RBRACE": '"}"', "RSQB": '"]"', "RPAR": '")"', "IDENT": "a name", "EQUAL": '"="',
    "STRING_END": "the rest of the string", "IN": '"in"', "LBRACE": '"{"', "$END": "the end of the file",
}  # fmt: skip


def _unexpected(source: Source, error: UnexpectedToken) -> Diagnostic:
    """What was found and what could have stood there, in words."""
    token = error.token
    ends = token.type == "$END"
    start = len(source.text) if ends or token.start_pos is None else token.start_pos
    line_ended = token.type == "COMMA" and str(token) == "\n"
    # The comma of a line's end has no text of its own, and the last line may end without a line break.
    span = source.span(start, start if ends or line_ended else start + len(token))
    accepted = error.accepts or set()
    if ends:
        found = "the end of the file"
    elif line_ended:
        found = "the end of the line"
    else:
        found = str(token).partition("\n")[0][:40]
        found = found if found.startswith('"') else f'"{found}"'
    message = f"{_expected(accepted)} is expected, found {found}"
    advice = None
    begins_line = not source.text[:start].rpartition("\n")[2].strip()
    if begins_line and token.type in ("PIPE", "AMPERSAND", "PLUS", "MINUS", "STAR", "SLASH", "DOT"):
        advice = "an expression that goes on in the next line ends its line with the operator"
    elif token.type == "EQUAL" or "COLON" in accepted:
        advice = 'a field is written "name: value"'
    return Diagnostic(Code.SYNTAX, message, span, help=advice)


def _expected(accepted: set[str]) -> str:
    words = []
    if "NUMBER" in accepted:
        words.append("a field or a value" if "LET" in accepted else "a value")
        accepted = accepted - {"IDENT", "LBRACE", "IN"}
    elif "STRING" in accepted:
        words.append("a field's name")
        accepted = accepted - {"IDENT", "IN"}
    if "COMMA" in accepted:
        words.append('"," or a new line')
    words += [word for terminal, word in _WORDS.items() if terminal in accepted]
    return " or ".join(words) or "something else"
