"""Earthfile text to tokens: the words of each logical line, by what its keyword takes.

    RUN --no-cache a \\          RUN   FLAG(--no-cache)   TEXT(a   b)   EOL
        # why                =>
        b

Blocks and margins are checked here too, since what is wrong with them shows at another line than where it began.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final

from forgec.diagnostic import Code, ForgeError, fail
from forgec.nearest import did_you_mean
from forgec.source import Source, Span
from forgec.syntax.earthfile_line import Lexeme, LogicalLine, logical_lines, split_words

NESTING_MAX: Final = 50
"""Blocks within blocks; deeper than any readable Earthfile, and far from Python's recursion limit."""

FILE_CHARS_MAX: Final = 256 * 1024
"""Three times the largest Earthfile known (78 kB); the parser needs about 2 s for the densest file of this size."""


def lex_earthfile(source: Source, start: int = 0, end: int | None = None) -> Iterator[Lexeme]:
    """All tokens of a file or of a section. Raises ForgeError where a line cannot be cut."""
    if len(source.text) > FILE_CHARS_MAX:
        raise fail(Code.TOO_DEEP, f"Earthfile has more than {FILE_CHARS_MAX} characters", source.span(0, 0))
    opened: list[Lexeme] = []
    in_target = False
    for line in logical_lines(source, start, end):
        first = True
        for lexeme in _lex_line(source, line):
            if first:
                in_target = in_target or lexeme.kind in ("DOC", "HEADER")
                _check_margin(source, line, lexeme, in_target=in_target, in_block=bool(opened))
                first = False
            if lexeme.kind == "HEADER" and opened:
                raise _unclosed(source, opened[-1])
            if lexeme.kind == "END" and opened:
                opened.pop()
            elif lexeme.kind in _OPENING:
                opened.append(lexeme)
                if len(opened) > NESTING_MAX:
                    raise fail(Code.TOO_DEEP, f"blocks are nested deeper than {NESTING_MAX}", _span(source, lexeme))
            yield lexeme
    if opened:
        raise _unclosed(source, opened[-1])


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


def _check_margin(source: Source, line: LogicalLine, lexeme: Lexeme, *, in_target: bool, in_block: bool) -> None:
    """Commands of a target are indented, those before the first target are not: the language tells them apart so."""
    if lexeme.kind in ("DOC", "HEADER"):
        return
    if in_target and line.at_margin:
        message = f"{lexeme.text} stands at the margin: the commands of a target are indented"
    elif not in_target and not in_block and not line.at_margin:
        message = f"{lexeme.text} is indented: commands before the first target stand at the margin"
    else:
        return
    raise fail(Code.EARTHFILE_SYNTAX, message, _span(source, lexeme))


def _unclosed(source: Source, opening: Lexeme) -> ForgeError:
    return fail(
        Code.EARTHFILE_SYNTAX,
        f"{' '.join(opening.text.split())} has no END",
        _span(source, opening),
        help="close the block with END before the next target begins",
    )


def _lex_line(source: Source, line: LogicalLine) -> Iterator[Lexeme]:
    end = line.lexeme("EOL", len(line.text), len(line.text))
    if line.at_margin and (header := _HEADER.fullmatch(line.text)):
        name = line.lexeme("HEADER", *header.span(1))
        if header.end(1) + 1 < header.end():
            raise fail(
                Code.EARTHFILE_SYNTAX, f"no space may stand before the colon of {name.text}", _span(source, name)
            )
        if line.docs:
            yield name._replace(kind="DOC", text=line.docs)
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
    yield line.lexeme(kind, *match.span())
    yield from _LEX_ARGUMENTS[shape](source, line, match.end())
    yield end


def _lex_words(_source: Source, line: LogicalLine, start: int) -> Iterator[Lexeme]:
    return _lexed_words(line, start, split_words(line.text[start:]))


def _lex_words_grouped(_source: Source, line: LogicalLine, start: int) -> Iterator[Lexeme]:
    return _lexed_words(line, start, split_words(line.text[start:], grouped_values=True))


def _lexed_words(line: LogicalLine, start: int, words: Iterable[tuple[int, int]]) -> Iterator[Lexeme]:
    for first, last in words:
        word = line.text[start + first : start + last]
        if word.startswith("--"):
            kind = "FLAG"
        elif word.startswith("("):
            kind = "GROUP"
        else:
            kind = "WORD"
        yield line.lexeme(kind, start + first, start + last)


def _lex_words_as(source: Source, line: LogicalLine, start: int) -> Iterator[Lexeme]:
    """Words, with `AS` and `AS LOCAL` as keywords."""
    before = ""
    for lexeme in _lex_words(source, line, start):
        keyword = lexeme.text == "AS" or (lexeme.text == "LOCAL" and before == "AS")
        yield lexeme._replace(kind=lexeme.text) if keyword else lexeme
        before = lexeme.text


def _lex_flags(line: LogicalLine, start: int) -> Iterator[Lexeme]:
    """Leading `--flags`; a bare `--` ends them and is dropped. The last lexeme is the rest, which may be empty."""
    rest = len(line.text)
    waiting: Lexeme | None = None
    for first, last in split_words(line.text[start:]):
        lexeme = line.lexeme("FLAG", start + first, start + last)
        if waiting:
            yield waiting._replace(text=f"{waiting.text}={lexeme.text}", end=lexeme.end)
            waiting = None
        elif lexeme.text in _VALUE_FLAGS:
            waiting = lexeme
        elif lexeme.text.startswith("--") and lexeme.text != "--":
            yield lexeme
        else:
            rest = start + (last if lexeme.text == "--" else first)
            break
    while rest < len(line.text) and line.text[rest].isspace():
        rest += 1
    yield line.lexeme("TEXT", rest, len(line.text))


def _lex_shell(_source: Source, line: LogicalLine, start: int) -> Iterator[Lexeme]:
    for lexeme in _lex_flags(line, start):
        if lexeme.text:
            yield lexeme


def _lex_loop(_source: Source, line: LogicalLine, start: int) -> Iterator[Lexeme]:
    for lexeme in _lex_flags(line, start):
        if lexeme.kind == "FLAG":
            yield lexeme
        else:
            offset = len(line.text) - len(lexeme.text)
            if match := _LOOP.match(line.text, offset):
                yield line.lexeme("NAME", *match.span(1))
                yield line.lexeme("IN", *match.span(2))
                offset = match.end()
            if offset < len(line.text):
                yield line.lexeme("TEXT", offset, len(line.text))


def _lex_assignment(_source: Source, line: LogicalLine, start: int) -> Iterator[Lexeme]:
    for lexeme in _lex_flags(line, start):
        if lexeme.kind == "FLAG":
            yield lexeme
            continue
        offset = len(line.text) - len(lexeme.text)
        if match := _NAME.match(line.text, offset):
            yield line.lexeme("NAME", *match.span(1))
            if match[2]:
                yield line.lexeme("EQUAL", *match.span(2))
            offset = match.end()
        if offset < len(line.text):
            yield line.lexeme("VALUE", offset, len(line.text))


def _lex_text(_source: Source, line: LogicalLine, start: int) -> Iterator[Lexeme]:
    rest = line.text[start:].lstrip()
    if rest:
        yield line.lexeme("TEXT", len(line.text) - len(rest), len(line.text))


def _unknown(source: Source, line: LogicalLine, word: str) -> ForgeError:
    header = _HEADER.fullmatch(line.text)
    if header:
        help_text = "a target's header stands at the beginning of its line"
    else:
        help_text = did_you_mean(word.upper(), _COMMANDS) or "commands are written in capitals, one a line"
    return fail(
        Code.EARTHFILE_SYNTAX,
        f'"{word[:40]}" is no Earthfile command',
        _span(source, line.lexeme("WORD", 0, min(len(word), len(line.text)))),
        help=help_text,
    )


def _span(source: Source, lexeme: Lexeme) -> Span:
    return source.span(lexeme.start, lexeme.end)


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
