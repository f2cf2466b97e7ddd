"""Earthfile text to tokens: the words of each logical line, by what its keyword takes.

    RUN --no-cache a \\          RUN   FLAG(--no-cache)   TEXT(a   b)   EOL
        # why                =>
        b

Blocks and margins are checked here too, since what is wrong with them shows at another line than where it began.
"""

import re
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from typing import Final

from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, ForgeError, fail
from forgec.nearest import did_you_mean
from forgec.source import Source, Span
from forgec.syntax.earthfile_line import LogicalLine, logical_lines, split_words
from forgec.syntax.token import Token

NESTING_MAX: Final = 50
"""Blocks within blocks; deeper than any readable Earthfile, and far from Python's recursion limit."""

FILE_CHARS_MAX: Final = 256 * 1024
"""Three times the largest Earthfile known (78 kB); the parser needs about 2 s for the densest file of this size."""


class BrokenBlock(ForgeError):
    """A mistake in how lines belong together; where a line is left out, it may be a consequence."""


def lex_earthfile(
    source: Source, start: int = 0, end: int | None = None, without: Set[int] = frozenset()
) -> Iterator[Token]:
    """All tokens of a file or of a section, except those of lines that begin at an offset in `without`.

    Raises ForgeError where a line cannot be cut.
    """
    if len(source.text) > FILE_CHARS_MAX:
        raise fail(Code.TOO_DEEP, f"Earthfile has more than {FILE_CHARS_MAX} characters", source.span(0, 0))
    opened: list[Token] = []
    in_target = False
    for line in logical_lines(source, start, end):
        if line.offsets[0] in without:
            continue
        first = True
        for token in _lex_line(source, line):
            if first:
                in_target = in_target or token.kind in ("DOC", "HEADER")
                _check_margin(source, line, token, in_target=in_target, in_block=bool(opened))
                first = False
            if token.kind == "HEADER" and opened:
                raise _unclosed(source, opened[-1])
            if token.kind == "END" and opened:
                opened.pop()
            elif token.kind in _OPENING:
                opened.append(token)
                if len(opened) > NESTING_MAX:
                    raise fail(Code.TOO_DEEP, f"blocks are nested deeper than {NESTING_MAX}", _span(source, token))
            yield token
    if opened:
        raise _unclosed(source, opened[-1])


def line_at(source: Source, start: int, end: int, offset: int) -> int | None:
    """Where the logical line of a section that has an offset begins; None where lines cannot be cut."""
    with suppress(ForgeError):
        for line in logical_lines(source, start, end):
            if line.offsets[0] <= offset <= line.offsets[-1]:
                return line.offsets[0]
    return None


def sections(source: Source) -> Iterator[tuple[int, int]]:
    """Where what stands before the first header, and what each header begins, starts and ends.

    It ends early, without an error, at a line that cannot be cut.
    """
    start = 0
    with suppress(ForgeError):
        for line in logical_lines(source):
            if line.at_margin and _HEADER.fullmatch(line.text):
                yield start, line.offsets[0]
                start = line.offsets[0]
        yield start, len(source.text)


def _check_margin(source: Source, line: LogicalLine, token: Token, *, in_target: bool, in_block: bool) -> None:
    """Commands of a target are indented, those before the first target are not: the language tells them apart so."""
    if token.kind in ("DOC", "HEADER"):
        return
    if in_target and line.at_margin:
        message = f"{token.text} stands at the margin: the commands of a target are indented"
    elif not in_target and not in_block and not line.at_margin:
        message = f"{token.text} is indented: commands before the first target stand at the margin"
    else:
        return
    raise BrokenBlock([Diagnostic(Code.EARTHFILE_SYNTAX, message, _span(source, token))])


def _unclosed(source: Source, opening: Token) -> ForgeError:
    message = f"{' '.join(opening.text.split())} has no END"
    advice = "close the block with END before the next target begins"
    return BrokenBlock([Diagnostic(Code.EARTHFILE_SYNTAX, message, _span(source, opening), help=advice)])


def _lex_line(source: Source, line: LogicalLine) -> Iterator[Token]:
    end = line.token("EOL", len(line.text), len(line.text))
    if line.at_margin and (header := _HEADER.fullmatch(line.text)):
        name = line.token("HEADER", *header.span(1))
        if header.end(1) + 1 < header.end():
            message = f"no space may stand before the colon of {name.text}"
            raise BrokenBlock([Diagnostic(Code.EARTHFILE_SYNTAX, message, _span(source, name))])
        if line.docs:
            yield replace(name, kind="DOC", text=line.docs)
        yield name
        yield end
        return
    match = _KEYWORD.match(line.text)
    if match is None:
        raise _unknown(source, line, line.text.split()[0])
    keyword = " ".join(match[0].split())
    kind, shape = _COMMANDS.get(keyword, (None, None))
    if kind is None or shape is None:
        raise _unknown(source, line, keyword)
    yield line.token(kind, *match.span())
    yield from _LEX_ARGUMENTS[shape](source, line, match.end())
    yield end


def _lex_words(_source: Source, line: LogicalLine, start: int) -> Iterator[Token]:
    return _lexed_words(line, start, split_words(line.text[start:]))


def _lex_words_grouped(_source: Source, line: LogicalLine, start: int) -> Iterator[Token]:
    return _lexed_words(line, start, split_words(line.text[start:], grouped_values=True))


def _lexed_words(line: LogicalLine, start: int, words: Iterable[tuple[int, int]]) -> Iterator[Token]:
    for first, last in words:
        word = line.text[start + first : start + last]
        if word.startswith("--"):
            kind = "FLAG"
        elif word.startswith("("):
            kind = "GROUP"
        else:
            kind = "WORD"
        yield line.token(kind, start + first, start + last)


def _lex_words_as(source: Source, line: LogicalLine, start: int) -> Iterator[Token]:
    """Words, with `AS` and `AS LOCAL` as keywords."""
    before = ""
    for token in _lex_words(source, line, start):
        keyword = token.text == "AS" or (token.text == "LOCAL" and before == "AS")
        yield replace(token, kind=token.text) if keyword else token
        before = token.text


def _lex_flags(line: LogicalLine, start: int) -> Iterator[Token]:
    """Leading `--flags`; a bare `--` ends them and is dropped. The last token is the rest, which may be empty."""
    rest = len(line.text)
    waiting: Token | None = None
    for first, last in split_words(line.text[start:]):
        token = line.token("FLAG", start + first, start + last)
        if waiting:
            yield replace(waiting, text=f"{waiting.text}={token.text}", end=token.end)
            waiting = None
        elif token.text in _VALUE_FLAGS:
            waiting = token
        elif token.text.startswith("--") and token.text != "--":
            yield token
        else:
            rest = start + (last if token.text == "--" else first)
            break
    while rest < len(line.text) and line.text[rest].isspace():
        rest += 1
    yield line.token("TEXT", rest, len(line.text))


def _lex_shell(_source: Source, line: LogicalLine, start: int) -> Iterator[Token]:
    for token in _lex_flags(line, start):
        if token.text:
            yield token


def _lex_loop(_source: Source, line: LogicalLine, start: int) -> Iterator[Token]:
    for token in _lex_flags(line, start):
        if token.kind == "FLAG":
            yield token
        else:
            offset = len(line.text) - len(token.text)
            if match := _LOOP.match(line.text, offset):
                yield line.token("NAME", *match.span(1))
                yield line.token("IN", *match.span(2))
                offset = match.end()
            if offset < len(line.text):
                yield line.token("TEXT", offset, len(line.text))


def _lex_assignment(_source: Source, line: LogicalLine, start: int) -> Iterator[Token]:
    for token in _lex_flags(line, start):
        if token.kind == "FLAG":
            yield token
            continue
        offset = len(line.text) - len(token.text)
        if match := _NAME.match(line.text, offset):
            yield line.token("NAME", *match.span(1))
            if match[2]:
                yield line.token("EQUAL", *match.span(2))
            offset = match.end()
        if offset < len(line.text):
            yield line.token("VALUE", offset, len(line.text))


def _lex_text(_source: Source, line: LogicalLine, start: int) -> Iterator[Token]:
    rest = line.text[start:].lstrip()
    if rest:
        yield line.token("TEXT", len(line.text) - len(rest), len(line.text))


def _unknown(source: Source, line: LogicalLine, word: str) -> ForgeError:
    header = _HEADER.fullmatch(line.text)
    if header:
        help_text = "a target's header stands at the beginning of its line"
    else:
        help_text = did_you_mean(word.upper(), _COMMANDS) or "commands are written in capitals, one a line"
    return fail(
        Code.EARTHFILE_SYNTAX,
        f'"{word[:40]}" is no Earthfile command',
        _span(source, line.token("WORD", 0, min(len(word), len(line.text)))),
        help=help_text,
    )


def _span(source: Source, token: Token) -> Span:
    return source.span(token.start, token.end)


_HEADER: Final = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)[ \t]*:")
_KEYWORD: Final = re.compile(
    r"(?:SAVE\s+ARTIFACT|SAVE\s+IMAGE|FROM\s+DOCKERFILE|WITH\s+DOCKER|GIT\s+CLONE|ELSE\s+IF|[A-Z]+)(?=\s|$)"
)
_LOOP: Final = re.compile(r"([A-Za-z_][\w-]*)\s+(IN)\s+")
_NAME: Final = re.compile(r"([A-Za-z_]\w*)(?=[\s=]|$)\s*(=?)\s*")
_VALUE_FLAGS: Final = frozenset({"--mount", "--secret", "--network", "--oidc", "--sep"})
"""Flags of RUN, IF and FOR whose value may follow as a word of its own."""

_OPENING: Final = frozenset({"IF", "FOR", "WAIT", "TRY", "WITH_DOCKER"})

_LEX_ARGUMENTS: Final = {
    "words": _lex_words,
    "words grouped": _lex_words_grouped,
    "words as": _lex_words_as,
    "shell": _lex_shell,
    "loop": _lex_loop,
    "assignment": _lex_assignment,
    "text": _lex_text,
}

_COMMANDS: Final = {
    "VERSION": ("VERSION", "words"),
    "FROM": ("FROM", "words"),
    "FROM DOCKERFILE": ("FROM_DOCKERFILE", "words"),
    "WORKDIR": ("WORKDIR", "words"),
    "COPY": ("COPY", "words"),
    "BUILD": ("BUILD", "words"),
    "DO": ("DO", "words"),
    "IMPORT": ("IMPORT", "words as"),
    "SAVE ARTIFACT": ("SAVE_ARTIFACT", "words as"),
    "SAVE IMAGE": ("SAVE_IMAGE", "words"),
    "RUN": ("RUN", "shell"),
    "IF": ("IF", "shell"),
    "ELSE IF": ("ELSE_IF", "shell"),
    "ELSE": ("ELSE", "words"),
    "FOR": ("FOR", "loop"),
    "WAIT": ("WAIT", "words"),
    "TRY": ("TRY", "words"),
    "CATCH": ("CATCH", "words"),
    "FINALLY": ("FINALLY", "words"),
    "END": ("END", "words"),
    "WITH DOCKER": ("WITH_DOCKER", "words grouped"),
    "ARG": ("ARG", "assignment"),
    "ENV": ("ENV", "assignment"),
    "LET": ("LET", "assignment"),
    "SET": ("SET", "assignment"),
    **dict.fromkeys(
        (
            *("GIT CLONE", "LOCALLY", "CACHE", "PROJECT", "HOST", "FUNCTION", "COMMAND", "ADD"),
            *(
                "CMD",
                "ENTRYPOINT",
                "EXPOSE",
                "LABEL",
                "USER",
                "VOLUME",
                "HEALTHCHECK",
                "SHELL",
                "STOPSIGNAL",
                "ONBUILD",
            ),
        ),
        ("OTHER", "text"),
    ),
}
