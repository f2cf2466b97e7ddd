"""Earthfiles: text to a tree.

The whole language is read, so that the targets of any real Earthfile can be listed; what a command means, and whether a
runner can do it, is the runner's business.
"""

import re
from collections.abc import Iterator
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, TypeVar

from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, fail
from forgec.source import Source, Span
from forgec.syntax import earthfile_ast as ast
from forgec.syntax.earthfile_complaint import syntax_error
from forgec.syntax.earthfile_lexer import FILE_CHARS_MAX, BrokenBlock, lex_earthfile, line_at, sections
from forgec.syntax.earthfile_line import split_words
from forgec.syntax.lalr import Unexpected, parse
from forgec.syntax.table import table
from forgec.syntax.token import Token

MISTAKES_MAX: Final = 20
"""Told of one file; a text with more is none of this language."""

_READ_AGAIN: Final = 2
"""How often the largest file may be read for the sake of its mistakes; of a small one, each is found."""


def parse_earthfile(source: Source) -> ast.Earthfile:
    """Raises ForgeError (EARTHFILE_SYNTAX, UNSUPPORTED, TOO_DEEP) with the mistakes of all lines."""
    try:
        return _parse(source, lex_earthfile(source))
    except ForgeError as error:
        further = islice(_mistakes_by_section(source), MISTAKES_MAX)
        raise ForgeError([*error.diagnostics, *further]) from None


def _mistakes_by_section(source: Source) -> Iterator[Diagnostic]:
    """A line with a mistake is left out; then nothing is told of how the lines of its target belong together."""
    budget = _READ_AGAIN * FILE_CHARS_MAX
    for start, end in sections(source):
        without: set[int] = set()
        while budget > 0:
            budget -= end - start
            try:
                _parse(source, lex_earthfile(source, start, end, without))
                break
            except ForgeError as error:
                if not (without and isinstance(error, BrokenBlock)):
                    yield from error.diagnostics
                span = error.diagnostics[0].span
            line = None if span is None else line_at(source, start, end, span.start)
            if line is None or line in without:
                break
            without.add(line)


def _parse(source: Source, tokens: Iterator[Token]) -> ast.Earthfile:
    builder = _Builder(source)
    try:
        earthfile = parse(table("earthfile.lark"), tokens, builder.make)
    except Unexpected as unexpected:
        raise syntax_error(source, unexpected) from None
    if builder.mistake is not None:
        raise builder.mistake
    assert isinstance(earthfile, ast.Earthfile)
    return earthfile


_T = TypeVar("_T")


class _Builder:
    """One method a rule; children are tokens and finished nodes, a recipe is a tuple."""

    def __init__(self, source: Source) -> None:
        self.mistake: ForgeError | None = None
        self._source = source

    def make(self, rule: str, children: list[Any]) -> Any:
        """After a mistake nothing is made any more, but the text is read on: a later mistake of form goes first."""
        if self.mistake is None:
            try:
                return getattr(self, rule)(children)
            except ForgeError as error:
                self.mistake = error
        return None

    def start(self, children: list[Any]) -> ast.Earthfile:
        base: ast.Recipe = next(child for child in children if isinstance(child, tuple))
        targets: dict[str, ast.Target] = {}
        functions: dict[str, ast.Target] = {}
        for block in _all(children, ast.Target):
            if block.name[0].isupper():
                functions.setdefault(block.name, block)  # of two, the build tool takes the first
                continue
            if block.name == "base":
                raise fail(
                    Code.EARTHFILE_SYNTAX, '"base" is the name of the commands before the first target', block.span
                )
            if block.name in targets:
                first = Related(targets[block.name].span, "first defined here")
                message = f'"{block.name}" is defined twice'
                raise ForgeError([Diagnostic(Code.EARTHFILE_SYNTAX, message, block.span, (first,))])
            targets[block.name] = block
        return ast.Earthfile(
            source=self._source,
            version=next((child for child in children if isinstance(child, str)), None),
            imports=MappingProxyType({i.alias: i.path for i in base if isinstance(i, ast.Import)}),
            base=base,
            targets=MappingProxyType(targets),
            functions=MappingProxyType(functions),
        )

    def version(self, children: list[Any]) -> str:
        (number,) = _tokens(children, "WORD")
        if re.fullmatch(r"\d+\.\d+", number.text) is None:
            message = f"{number.text[:20]!r} is no version of the language (write VERSION 0.8)"
            raise fail(Code.EARTHFILE_SYNTAX, message, self._span([number]))
        return number.text

    def recipe(self, children: list[Any]) -> ast.Recipe:
        return tuple(children)

    def block(self, children: list[Any]) -> ast.Target:
        header = _tokens(children, "HEADER")[0]
        docs = _text(children, "DOC")
        return ast.Target(name=header.text, docs=docs, recipe=children[-1], span=self._span([header]))

    def from_(self, children: list[Any]) -> ast.From:
        flags, base = self._call(children)
        return ast.From(flags=flags, base=base, span=self._span(children))

    def from_dockerfile(self, children: list[Any]) -> ast.FromDockerfile:
        flags, operands = self._arguments(children)
        sources = tuple(operand for operand in operands if operand.text != "-f")
        return ast.FromDockerfile(flags=flags, sources=sources, span=self._span(children))

    def import_(self, children: list[Any]) -> ast.Import:
        path, *alias = (token.text for token in _tokens(children, "WORD"))
        name = alias[0] if alias else path.rstrip("/").rpartition("/")[2].partition(":")[0]
        return ast.Import(path=path, alias=name, span=self._span(children))

    def workdir(self, children: list[Any]) -> ast.Workdir:
        return ast.Workdir(path=children[1].text, span=self._span(children))

    def copy(self, children: list[Any]) -> ast.Copy:
        flags, operands = self._arguments(children)
        if len(operands) < 2:
            raise fail(Code.EARTHFILE_SYNTAX, "COPY takes what to copy, and where to", self._span(children))
        *sources, destination = operands
        return ast.Copy(flags=flags, sources=tuple(sources), destination=destination.text, span=self._span(children))

    def run(self, children: list[Any]) -> ast.Run:
        text = _text(children, "TEXT")
        return ast.Run(flags=self._flags(children), text=text, span=self._span(children))

    def build(self, children: list[Any]) -> ast.Build:
        flags, target = self._call(children)
        return ast.Build(flags=flags, target=target, span=self._span(children))

    def do(self, children: list[Any]) -> ast.Do:
        flags, function = self._call(children)
        return ast.Do(flags=flags, function=function, span=self._span(children))

    def save_artifact(self, children: list[Any]) -> ast.SaveArtifact:
        words = [token.text for token in _tokens(children, "WORD")]
        local = words.pop() if _tokens(children, "LOCAL") else None
        return ast.SaveArtifact(
            flags=self._flags(children),
            source=words[0],
            destination=words[1] if len(words) > 1 else None,
            local=local,
            span=self._span(children),
        )

    def save_image(self, children: list[Any]) -> ast.SaveImage:
        names = tuple(token.text for token in _tokens(children, "WORD"))
        return ast.SaveImage(flags=self._flags(children), names=names, span=self._span(children))

    def arg(self, children: list[Any]) -> ast.Arg:
        flags = self._flags(children)
        for flag in flags:
            if flag.name not in ("required", "global") or flag.value not in (None, "true", "false"):
                raise fail(Code.EARTHFILE_SYNTAX, f"ARG has no flag --{flag.name}", flag.span)
        wanted = {flag.name for flag in flags if flag.value != "false"}
        default = self._value(children) if _tokens(children, "EQUAL") else None
        return ast.Arg(
            name=_text(children, "NAME"),
            default=default,
            required="required" in wanted,
            is_global="global" in wanted,
            span=self._span(children),
        )

    def assign(self, children: list[Any]) -> ast.Assign:
        name = _text(children, "NAME")
        return ast.Assign(keyword=children[0].text, name=name, value=self._value(children), span=self._span(children))

    def other(self, children: list[Any]) -> ast.Other:
        keyword = " ".join(children[0].text.split())
        return ast.Other(keyword=keyword, text=_text(children, "TEXT"), span=self._span(children))

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
            name=_text(children, "NAME"),
            items=_text(children, "TEXT"),
            body=_all(children, tuple)[0],
            span=self._span(children),
        )

    def wait(self, children: list[Any]) -> ast.Wait:
        return ast.Wait(body=_all(children, tuple)[0], span=self._span(children))

    def try_(self, children: list[Any]) -> ast.Try:
        keywords = (token.kind for token in _tokens(children, "TRY", "CATCH", "FINALLY"))
        parts = dict(zip(keywords, _all(children, tuple), strict=True))
        return ast.Try(
            body=parts["TRY"],
            caught=parts.get("CATCH", ()),
            finally_=parts.get("FINALLY", ()),
            span=self._span(children),
        )

    def with_docker(self, children: list[Any]) -> ast.WithDocker:
        flags, operands = self._arguments(children)
        if operands:
            raise fail(Code.EARTHFILE_SYNTAX, f"{operands[0].text[:60]!r} does not belong here", operands[0].span)
        return ast.WithDocker(
            flags=flags,
            loads=tuple(self._load(flag) for flag in flags if flag.name == "load"),
            body=_all(children, tuple)[0],
            span=self._span(children),
        )

    def _branch(self, children: list[Any]) -> ast.Branch:
        return ast.Branch(
            flags=self._flags(children),
            condition=_text(children, "TEXT"),
            body=_all(children, tuple)[0],
            span=self._span(children),
        )

    def _arguments(self, children: list[Any]) -> tuple[tuple[ast.Flag, ...], tuple[ast.Operand, ...]]:
        """Flags, with the words that are their values, and operands."""
        keyword = " ".join(children[0].text.split())
        flags: list[ast.Flag] = []
        operands: list[ast.Operand] = []
        waiting = False  # for the value of the last flag
        for token in _tokens(children, "FLAG", "WORD", "GROUP"):
            if waiting:
                span = self._source.span(flags[-1].span.start, token.end)
                flags[-1] = replace(flags[-1], value=token.text, span=span)
                waiting = False
            elif token.kind == "FLAG":
                flags.append(_flag(token.text, self._span([token])))
                waiting = flags[-1].value is None and flags[-1].name in _VALUE_FLAGS[keyword]
            else:
                operands.append(self._operand(token))
        return tuple(flags), tuple(operands)

    def _load(self, flag: ast.Flag) -> ast.Operand:
        """`--load IMAGE=TARGET` or `--load TARGET`, where the target may stand in parentheses with arguments."""
        text = _unquoted(flag.value or "")
        image = re.match(r"[^=+(]*=", text)
        return self._parenthesised(_unquoted(text[image.end() :]) if image else text, flag.span)

    def _call(self, children: list[Any]) -> tuple[tuple[ast.Flag, ...], ast.Operand]:
        """Flags before the one operand, and the operand with the flags behind it as its arguments."""
        before: list[ast.Flag] = []
        operand: ast.Operand | None = None
        args: list[ast.Flag] = []
        keyword = children[0].text
        for token in children[1:-1]:
            flags = args if operand else before
            if token.kind == "FLAG":
                flags.append(_flag(token.text, self._span([token])))
            elif flags and flags[-1].value is None and (operand or flags[-1].name in _VALUE_FLAGS["BUILD"]):
                flags[-1] = replace(flags[-1], value=token.text)
            elif operand is None:
                operand = self._operand(token)
            elif token.text.startswith("-"):
                args.append(_flag(token.text, self._span([token])))
            elif (
                "$" in token.text or children[0].text != "FROM"
            ):  # it may come to be `--name=value`, or matters when it runs
                args.append(ast.Flag(name=token.text, value="", span=self._span([token])))
            else:
                raise fail(Code.EARTHFILE_SYNTAX, f"{token.text[:60]!r} does not belong here", self._span([token]))
        if operand is None:
            message = f"{keyword} names no {'image or target' if keyword == 'FROM' else 'target'}"
            raise fail(Code.EARTHFILE_SYNTAX, message, self._span(children))
        return tuple(before), replace(operand, args=operand.args + tuple(args))

    def _operand(self, token: Token) -> ast.Operand:
        return self._parenthesised(token.text, self._span([token]))

    def _parenthesised(self, text: str, span: Span) -> ast.Operand:
        if not text.startswith("("):
            return ast.Operand(text=text, span=span)
        inside = text[1:-1]
        first, *rest = [inside[start:end] for start, end in split_words(inside)] or [""]
        args: list[ast.Flag] = []
        for word in rest:
            if word.startswith("--"):
                args.append(_flag(word, span))
            elif args and args[-1].value is None:
                args[-1] = replace(args[-1], value=word)
            elif "$" in word:
                args.append(ast.Flag(name=word, value="", span=span))
            else:
                first = ""
        if not text.endswith(")") or not first:
            raise fail(Code.EARTHFILE_SYNTAX, f"{text[:60]} is not of the form (+target/path --name=value)", span)
        return ast.Operand(text=first, args=tuple(args), span=span)

    def _flags(self, children: list[Any]) -> tuple[ast.Flag, ...]:
        return tuple(_flag(token.text, self._span([token])) for token in _tokens(children, "FLAG"))

    def _value(self, children: list[Any]) -> str:
        return _text(children, "VALUE")

    def _span(self, children: list[Any]) -> Span:
        """From the first token to the end of its line: the part of a block that names it."""
        tokens = []
        for child in children:
            if not isinstance(child, Token) or child.kind == "EOL":
                break
            tokens.append(child)
        return self._source.span(tokens[0].start, tokens[-1].end)


def _all(children: list[Any], kind: type[_T]) -> list[_T]:
    return [child for child in children if isinstance(child, kind)]


def _tokens(children: list[Any], *kinds: str) -> list[Token]:
    return [child for child in children if isinstance(child, Token) and child.kind in kinds]


def _text(children: list[Any], kind: str) -> str:
    """Of the one token of this kind; nothing where there is none."""
    return next((token.text for token in _tokens(children, kind)), "")


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _flag(word: str, span: Span) -> ast.Flag:
    name, equal, value = word.lstrip("-").partition("=")
    return ast.Flag(name=name, value=value if equal else None, span=span)


_TO_TARGET: Final = frozenset({"build-arg", "platform"})
_VALUE_FLAGS: Final = {
    "BUILD": _TO_TARGET,
    "COPY": _TO_TARGET | {"chown", "chmod"},
    "FROM DOCKERFILE": _TO_TARGET | {"target"},
    "WITH DOCKER": _TO_TARGET | {"cache-id", "compose", "service", "load", "pull"},
}
"""Flags whose value may follow as a word of its own. FROM and DO have those of BUILD."""
