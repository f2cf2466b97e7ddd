"""What the cue command complains of, as diagnostics.

It has no machine format. Its text is regular, though: a line that ends with a colon says what is wrong, and the lines
indented after it say where, in as many places as had a part in it.

    d: conflicting values 1 and "x" (mismatched types int and string):
        ./project.cue:5:4
        ./project.cue:5:8
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final

from forgec.adapter.cue_place import place_path
from forgec.diagnostic import Code, Diagnostic, Related
from forgec.source import Source, Span

COMPLAINTS_MAX: Final = 100

_ENDS: Final = "found 'EOF'"
_PLACE = re.compile(r"^\s+(?P<file>\S.*):(?P<line>\d+):(?P<column>\d+)$")
_SUMMARY = re.compile(r"\d+ errors in empty disjunction$")
_WORD = re.compile(r'[\w#$]+|"(?:[^"\\\n]|\\.)*"|.')
_CODES: Final = (
    (
        re.compile(r"conflicting values|invalid value|errors in empty disjunction|incompatible list lengths"),
        Code.CONFLICT,
    ),
    (re.compile(r"^reference .* not found|undefined field|index out of range|imported and not used"), Code.UNRESOLVED),
    (re.compile(r"field not allowed"), Code.UNKNOWN_FIELD),
    (re.compile(r"field is required but not present"), Code.MISSING_FIELD),
    (re.compile(r"incomplete value|non-concrete value"), Code.INCOMPLETE),
    (re.compile(r"cycle"), Code.CYCLE),
    (re.compile(r"^expected |^missing |^illegal |^unexpected |not terminated|^string literal"), Code.SYNTAX),
)
"""Parts of its messages, and the codes that the built-in evaluator has for the same."""
_PATH = re.compile(r'^(?:[\w#$.\[\]-]|"(?:[^"\\]|\\.)*")+(?=: )')
_STEP = re.compile(r'[\w#$-]+|"(?:[^"\\]|\\.)*"')


def read_complaints(text: str, file: str, source: Source) -> list[Diagnostic]:
    """One diagnostic for each complaint about `source`, which cue knows as `file`."""
    found = [_diagnostic(*each, source) for each in islice(_complaints(text, file, source), COMPLAINTS_MAX)]
    first = next((each for each in found if each.code is Code.SYNTAX), None)
    # A bracket that cue has lost with a string's end, or has read over, is missing to it where the file ends.
    found = [each for each in found if each is first or not (each.code is Code.SYNTAX and _ENDS in each.message)]
    return found or [Diagnostic(Code.CUE_REFUSED, "cue refuses the file without a word", source.span(0, 0))]


def _complaints(text: str, file: str, source: Source) -> Iterator[tuple[str, list[Span]]]:
    """Each message with its places; not those that only announce how many follow."""
    message = ""
    spans: list[Span] = []
    for line in [*text.splitlines(), "end"]:
        place = _PLACE.match(line)
        if place is not None:
            if place["file"] == file:
                spans.append(_span(source, int(place["line"]), int(place["column"])))
        elif line[:1].isspace():  # the message goes on in this line
            message += " " + line.strip().removesuffix(":")
        else:
            if message and (spans or not _SUMMARY.search(message)):
                yield message, spans
            message, spans = line.strip().removesuffix(":"), []


def _diagnostic(message: str, spans: list[Span], source: Source) -> Diagnostic:
    path = _PATH.match(message)
    reason = message[path.end() + 2 :] if path else message
    code = next((code for pattern, code in _CODES if pattern.search(reason)), Code.CUE_REFUSED)
    steps = _STEP.findall(path[0]) if path else []
    main, *others = spans or [place_path([step.strip('"') for step in steps], source)]
    related = tuple(Related(span, "has a part in it") for span in dict.fromkeys(others) if span != main)
    return Diagnostic(code, message, main, related)


def _span(source: Source, line: int, column: int) -> Span:
    """The word at a place. Columns of cue count bytes from 1."""
    lines = source.text.split("\n")
    if not 1 <= line <= len(lines):
        return source.span(0, 0)
    start = sum(len(each) + 1 for each in lines[: line - 1])
    start += len(lines[line - 1].encode()[: column - 1].decode(errors="ignore"))
    word = _WORD.match(source.text, start)
    return source.span(start, word.end() if word else start)
