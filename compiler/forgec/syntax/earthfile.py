"""Earthfiles: text to a tree, and what the tree refers to.

The whole language is read, so that the targets of any real Earthfile can be listed; what a command means, and whether a
runner can do it, is the runner's business.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeVar

from lark import Lark, Transformer
from lark.exceptions import UnexpectedToken, VisitError
from lark.lexer import Lexer, Token

from forge_grammar import resource
from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, fail
from forgec.source import Source, Span
from forgec.syntax import earthfile_ast as ast
from forgec.syntax.earthfile_lexer import lex_earthfile, split_words


def parse_earthfile(source: Source) -> ast.Earthfile:
    """Raises ForgeError (EARTHFILE_SYNTAX, UNSUPPORTED, TOO_DEEP) with the place of the first mistake."""
    try:
        tree = _parser().parse(source)  # our lexer takes the Source itself
        earthfile: ast.Earthfile = _Builder(source).transform(tree)
    except UnexpectedToken as unexpected:
        raise _syntax_error(source, unexpected) from None
    except VisitError as wrapped:
        raise wrapped.orig_exc from None
    return earthfile


def walk(recipe: ast.Recipe) -> Iterator[ast.Command]:
    """All commands of a recipe in order, those inside blocks too."""
    for command in recipe:
        yield command
        match command:
            case ast.If():
                for branch in command.branches:
                    yield from walk(branch.body)
                yield from walk(command.otherwise)
            case ast.For() | ast.Wait():
                yield from walk(command.body)
            case ast.Block():
                for body in command.bodies:
                    yield from walk(body)
            case _:
                pass


def declared_args(recipe: ast.Recipe) -> Mapping[str, ast.Arg]:
    """The ARGs of a recipe by name; the first declaration of a name counts."""
    found: dict[str, ast.Arg] = {}
    for command in walk(recipe):
        if isinstance(command, ast.Arg):
            found.setdefault(command.name, command)
    return found


def references(earthfile: ast.Earthfile) -> Iterator[ast.Reference]:
    """Every target, artifact and function that the file's commands name, in order."""
    recipes = (
        earthfile.base,
        *(target.recipe for target in (*earthfile.targets.values(), *earthfile.functions.values())),
    )
    for recipe in recipes:
        for command in walk(recipe):
            yield from _command_references(command)


def parse_reference(text: str, span: Span, *, function: bool = False) -> ast.Reference | None:
    """`project+name` or `project+name/path`; None if the text is no reference (an image, a file)."""
    quoted = len(text) > 2 and text[0] == text[-1] and text[0] in "'\""
    match = _REFERENCE.fullmatch(text[1:-1] if quoted else text)
    if match is None:
        return None
    return ast.Reference(
        project=match["project"],
        name=match["name"],
        path=match["path"],
        function=function,
        dynamic="$" in match["project"] + match["name"] or "*" in match["project"],
        span=span,
    )


def _command_references(command: ast.Command) -> Iterator[ast.Reference]:
    match command:
        case ast.From():
            operands: tuple[ast.Operand, ...] = (command.base,)
        case ast.Copy():
            operands = command.sources
        case ast.Build():
            operands = (command.target,)
        case ast.Do():
            operands = (command.function,)
        case _:
            return
    for operand in operands:
        reference = parse_reference(operand.text, operand.span, function=isinstance(command, ast.Do))
        if reference is not None:
            yield reference


class _EarthfileLexer(Lexer):
    """Hands our tokens to lark."""

    def __init__(self, _lexer_conf: object) -> None:
        pass

    def lex(self, source: Source) -> Iterator[Token]:  # type: ignore[override]
        for lexeme in lex_earthfile(source):
            yield Token(lexeme.kind, lexeme.text, start_pos=lexeme.start, end_pos=lexeme.end)


@cache
def _parser() -> Lark:
    return Lark(
        resource.text("earthfile.lark"), parser="lalr", lexer=_EarthfileLexer, maybe_placeholders=False, strict=True
    )


_T = TypeVar("_T")


class _Builder(Transformer[Token, Any]):
    """One method a rule; children are tokens and finished nodes, a recipe is a tuple."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def start(self, children: list[Any]) -> ast.Earthfile:
        base: ast.Recipe = next(child for child in children if isinstance(child, tuple))
        targets: dict[str, ast.Target] = {}
        functions: dict[str, ast.Target] = {}
        for block in _all(children, ast.Target):
            names = functions if block.name[0].isupper() else targets
            if block.name == "base":
                raise fail(
                    Code.EARTHFILE_SYNTAX, '"base" is the name of the commands before the first target', block.span
                )
            if block.name in names:
                first = Related(names[block.name].span, "first defined here")
                message = f'"{block.name}" is defined twice'
                raise ForgeError([Diagnostic(Code.EARTHFILE_SYNTAX, message, block.span, (first,))])
            names[block.name] = block
        return ast.Earthfile(
            source=self._source,
            version=next((child for child in children if isinstance(child, str)), None),
            imports=MappingProxyType({i.alias: i.path for i in base if isinstance(i, ast.Import)}),
            base=base,
            targets=MappingProxyType(targets),
            functions=MappingProxyType(functions),
        )

    def version(self, children: list[Any]) -> str:
        return str(_tokens(children, "WORD")[0])

    def recipe(self, children: list[Any]) -> ast.Recipe:
        return tuple(children)

    def block(self, children: list[Any]) -> ast.Target:
        header = _tokens(children, "HEADER")[0]
        docs = "".join(_tokens(children, "DOC"))
        return ast.Target(name=str(header), docs=docs, recipe=children[-1], span=self._span([header]))

    def from_(self, children: list[Any]) -> ast.From:
        flags, base = self._call(children)
        return ast.From(flags=flags, base=base, span=self._span(children))

    def import_(self, children: list[Any]) -> ast.Import:
        path, *alias = (str(token) for token in _tokens(children, "WORD"))
        name = alias[0] if alias else path.rstrip("/").rpartition("/")[2].partition(":")[0]
        return ast.Import(path=path, alias=name, span=self._span(children))

    def workdir(self, children: list[Any]) -> ast.Workdir:
        return ast.Workdir(path=str(children[1]), span=self._span(children))

    def copy(self, children: list[Any]) -> ast.Copy:
        *sources, destination = (self._operand(token) for token in _tokens(children, "WORD", "GROUP"))
        return ast.Copy(
            flags=self._flags(children),
            sources=tuple(sources),
            destination=destination.text,
            span=self._span(children),
        )

    def run(self, children: list[Any]) -> ast.Run:
        text = "".join(_tokens(children, "TEXT"))
        return ast.Run(flags=self._flags(children), text=text, span=self._span(children))

    def build(self, children: list[Any]) -> ast.Build:
        flags, target = self._call(children)
        return ast.Build(flags=flags, target=target, span=self._span(children))

    def do(self, children: list[Any]) -> ast.Do:
        flags, function = self._call(children)
        return ast.Do(flags=flags, function=function, span=self._span(children))

    def save_artifact(self, children: list[Any]) -> ast.SaveArtifact:
        words = [str(token) for token in _tokens(children, "WORD")]
        local = words.pop() if _tokens(children, "LOCAL") else None
        return ast.SaveArtifact(
            flags=self._flags(children),
            source=words[0],
            destination=words[1] if len(words) > 1 else None,
            local=local,
            span=self._span(children),
        )

    def save_image(self, children: list[Any]) -> ast.SaveImage:
        names = tuple(str(token) for token in _tokens(children, "WORD"))
        return ast.SaveImage(flags=self._flags(children), names=names, span=self._span(children))

    def arg(self, children: list[Any]) -> ast.Arg:
        flags = self._flags(children)
        for flag in flags:
            if flag.name not in ("required", "global") or flag.value not in (None, "true", "false"):
                raise fail(Code.EARTHFILE_SYNTAX, f"ARG has no flag --{flag.name}", flag.span)
        wanted = {flag.name for flag in flags if flag.value != "false"}
        default = self._value(children) if _tokens(children, "EQUAL") else None
        return ast.Arg(
            name=str(_tokens(children, "NAME")[0]),
            default=default,
            required="required" in wanted,
            is_global="global" in wanted,
            span=self._span(children),
        )

    def assign(self, children: list[Any]) -> ast.Assign:
        name = str(_tokens(children, "NAME")[0])
        return ast.Assign(keyword=str(children[0]), name=name, value=self._value(children), span=self._span(children))

    def other(self, children: list[Any]) -> ast.Other:
        keyword = " ".join(children[0].split())
        return ast.Other(keyword=keyword, text="".join(_tokens(children, "TEXT")), span=self._span(children))

    def else_if(self, children: list[Any]) -> ast.Branch:
        return self._branch(children)

    def if_(self, children: list[Any]) -> ast.If:
        recipes = _all(children, tuple)
        return ast.If(
            branches=(self._branch(children), *_all(children, ast.Branch)),
            otherwise=recipes[1] if len(recipes) > 1 else (),
            span=self._span(children),
        )

    def for_(self, children: list[Any]) -> ast.For:
        return ast.For(
            flags=self._flags(children),
            name=str(_tokens(children, "NAME")[0]),
            items=str(_tokens(children, "TEXT")[0]),
            body=_all(children, tuple)[0],
            span=self._span(children),
        )

    def wait(self, children: list[Any]) -> ast.Wait:
        return ast.Wait(body=_all(children, tuple)[0], span=self._span(children))

    def block_of(self, children: list[Any]) -> ast.Block:
        return ast.Block(
            keyword=" ".join(children[0].split()),
            text="".join(_tokens(children, "TEXT")),
            bodies=tuple(_all(children, tuple)),
            span=self._span(children),
        )

    def _branch(self, children: list[Any]) -> ast.Branch:
        return ast.Branch(
            flags=self._flags(children),
            condition=str(_tokens(children, "TEXT")[0]),
            body=_all(children, tuple)[0],
            span=self._span(children),
        )

    def _call(self, children: list[Any]) -> tuple[tuple[ast.Flag, ...], ast.Operand]:
        """Flags before the one operand, and the operand with the flags behind it as its arguments."""
        before: list[ast.Flag] = []
        operand: ast.Operand | None = None
        args: list[ast.Flag] = []
        for token in children[1:-1]:
            flags = args if operand else before
            if token.type == "FLAG":
                flags.append(_flag(str(token), self._span([token])))
            elif flags and flags[-1].value is None and (operand or flags[-1].name in _VALUE_FLAGS):
                flags[-1] = replace(flags[-1], value=str(token))
            elif operand is None:
                operand = self._operand(token)
            else:
                raise fail(Code.EARTHFILE_SYNTAX, f"{token[:60]!r} does not belong here", self._span([token]))
        if operand is None:
            message = f"{children[0]} names no {'image or target' if children[0] == 'FROM' else 'target'}"
            raise fail(Code.EARTHFILE_SYNTAX, message, self._span(children))
        return tuple(before), replace(operand, args=operand.args + tuple(args))

    def _operand(self, token: Token) -> ast.Operand:
        span = self._span([token])
        if token.type == "WORD":
            return ast.Operand(text=str(token), span=span)
        inside = token[1:-1]
        first, *rest = [inside[start:end] for start, end in split_words(inside)] or [""]
        args: list[ast.Flag] = []
        for word in rest:
            if word.startswith("--"):
                args.append(_flag(word, span))
            elif args and args[-1].value is None:
                args[-1] = replace(args[-1], value=word)
            else:
                first = ""
        if not token.endswith(")") or not first:
            raise fail(Code.EARTHFILE_SYNTAX, f"{token[:60]} is not of the form (+target/path --name=value)", span)
        return ast.Operand(text=first, args=tuple(args), span=span)

    def _flags(self, children: list[Any]) -> tuple[ast.Flag, ...]:
        return tuple(_flag(str(token), self._span([token])) for token in _tokens(children, "FLAG"))

    def _value(self, children: list[Any]) -> str:
        return "".join(_tokens(children, "VALUE"))

    def _span(self, children: list[Any]) -> Span:
        """From the first token to the end of its line: the part of a block that names it."""
        tokens = []
        for child in children:
            if not isinstance(child, Token) or child.type == "EOL":
                break
            tokens.append(child)
        start, end = tokens[0].start_pos, tokens[-1].end_pos
        assert start is not None
        assert end is not None
        return self._source.span(start, end)


def _all(children: list[Any], kind: type[_T]) -> list[_T]:
    return [child for child in children if isinstance(child, kind)]


def _tokens(children: list[Any], *kinds: str) -> list[Token]:
    return [child for child in children if isinstance(child, Token) and child.type in kinds]


def _flag(word: str, span: Span) -> ast.Flag:
    name, equal, value = word.removeprefix("--").partition("=")
    return ast.Flag(name=name, value=value if equal else None, span=span)


def _syntax_error(source: Source, unexpected: UnexpectedToken) -> ForgeError:
    token: Token = unexpected.token
    expected = unexpected.accepts or unexpected.expected
    if token.type == "$END":
        return fail(
            Code.EARTHFILE_SYNTAX,
            "a block (IF, FOR, WAIT, TRY or WITH DOCKER) has no END",
            source.span(len(source.text), len(source.text)),
        )
    span = source.span(token.start_pos or 0, token.end_pos or 0)
    if token.type in ("END", "ELSE", "ELSE_IF", "CATCH", "FINALLY"):
        message = f"{token} closes no block that is open here"
    elif token.type == "HEADER":
        message = f'target "{token}" begins inside a block that has no END'
    elif token.type == "VERSION":
        message = "VERSION must be the first command, once"
    elif token.type == "EOL":
        wanted = sorted(_SPOKEN[kind] for kind in expected if kind in _SPOKEN)
        message = f"the command ends too early: {' or '.join(wanted)} is missing"
    else:
        message = f"{token[:60]!r} does not belong here"
    return fail(Code.EARTHFILE_SYNTAX, message, span)


_REFERENCE: Final = re.compile(r"(?P<project>(?:[^+\\\s]|\\.)*)\+(?P<name>[^+/\s]+)(?:/(?P<path>.*))?", re.DOTALL)

_VALUE_FLAGS: Final = frozenset({"build-arg", "platform"})
"""Flags of FROM, BUILD and DO whose value may follow as a word of its own."""

_SPOKEN: Final = {
    "WORD": "a word",
    "GROUP": "a reference in parentheses",
    "TEXT": "a command",
    "NAME": "a name",
    "EQUAL": "=",
    "VALUE": "a value",
    "IN": "IN",
    "AS": "AS",
    "LOCAL": "LOCAL",
}
