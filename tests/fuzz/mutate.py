"""Mutations: a text and chance to a text that is nearly right, or nearly nothing."""

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

TEXT_CHARS_MAX: Final = 40_000
"""Nesting and repetition end here: limits are tried, memory is not."""

_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)
_CHARACTERS: Final = (
    *"\x00\x01\x1b\t\n\r\v\x7f\x85\xa0\u2028\u202e\ufeff\ufffd\ud800\U0001f600\U0010ffffß日ñ\u0301",
    *"\"'`\\/#@$%&*+-=<>!?|^~:;,.(){}[]_ 09aZ",
)
_TOKENS: Final = (
    *("9007199254740992e+2", "9007199254740992.1_0", "+0x1F", "5_e3", "0.1e-400", "1e-9", ".5", "007"),
    *("null", "true", "-0", "1e999", "-1e-999", "9007199254740993", "0x10", "0b1", "1_000", "1Ki", "NaN"),
    *('"\\u0000"', '"\\ud800"', '"\\(x)"', '"""\n', "#'", '#"\\#(x)"#', "_|_", "...", "<=", "!=", '=~"("', "..", "+."),
    *("package", "import", "let", "for", "if", "in", "len", "close", "@artifact(x)", "#Def", "_hidden"),
    *("VERSION 0.8", "FUNCTION", "IF", "ELSE", "END", "FOR", "WITH DOCKER", "RUN", "COPY", "ARG", "DO +X", "$(id)"),
    *("{{workflow.name}}", "../..", "+", "\\\n", "/*", "//", "<<EOF\n"),
)
_OPENINGS: Final = ("[", "{", "(", '{"a":', "a: {", "[{", '"\\(', "IF true\n", "-", "!", "x & ", "*1 | ", "[x]: ")


def mutated(text: str, others: Sequence[str], chance: random.Random) -> str:
    """One to eight mutations of a text; `others` are texts of its kind to splice it with."""
    for _ in range(chance.choice((1, 1, 1, 1, 2, 3, 8))):
        text = chance.choice(_MUTATIONS)(text, others, chance)[:TEXT_CHARS_MAX]
    return text


def _insert_character(text: str, _others: Sequence[str], chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + chance.choice(_CHARACTERS) + text[at:]


def _replace_character(text: str, _others: Sequence[str], chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + chance.choice(_CHARACTERS) + text[at + 1 :]


def _delete(text: str, _others: Sequence[str], chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + text[at + chance.choice((1, 1, 2, 10, 100)) :]


def _truncate(text: str, _others: Sequence[str], chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    return text[:at] if chance.random() < 0.7 else text[at:]


def _insert_token(text: str, _others: Sequence[str], chance: random.Random) -> str:
    tokens = _TOKEN.findall(text)
    tokens.insert(chance.randint(0, len(tokens)), chance.choice(_TOKENS))
    return "".join(tokens)


def _replace_token(text: str, _others: Sequence[str], chance: random.Random) -> str:
    tokens = _TOKEN.findall(text) or [""]
    tokens[chance.randrange(len(tokens))] = chance.choice((*_TOKENS, chance.choice(tokens)))
    return "".join(tokens)


def _swap_tokens(text: str, _others: Sequence[str], chance: random.Random) -> str:
    tokens = _TOKEN.findall(text) or [""]
    one, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
    tokens[one], tokens[other] = tokens[other], tokens[one]
    return "".join(tokens)


def _repeat(text: str, _others: Sequence[str], chance: random.Random) -> str:
    start = chance.randint(0, len(text))
    part = text[start : start + chance.choice((1, 5, 40, 400))]
    return text[:start] + part * chance.choice((2, 3, 50)) + text[start:]


def _repeat_line(text: str, _others: Sequence[str], chance: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    return "".join(lines)


def _move_line(text: str, _others: Sequence[str], chance: random.Random) -> str:
    lines = text.splitlines(keepends=True) or [""]
    line = lines.pop(chance.randrange(len(lines)))
    lines.insert(chance.randint(0, len(lines)), line)
    return "".join(lines)


def _splice(text: str, others: Sequence[str], chance: random.Random) -> str:
    other = chance.choice(others)
    start, at = chance.randint(0, len(other)), chance.randint(0, len(text))
    piece = other[start : start + chance.choice((10, 100, 1000))]
    return text[:at] + piece + text[at + chance.choice((0, len(piece))) :]


def _nest(text: str, _others: Sequence[str], chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + chance.choice(_OPENINGS) * chance.choice((3, 63, 64, 65, 1000, 5000)) + text[at:]


_MUTATIONS: Final[tuple[Callable[[str, Sequence[str], random.Random], str], ...]] = (
    _insert_character,
    _replace_character,
    _delete,
    _truncate,
    _insert_token,
    _replace_token,
    _swap_tokens,
    _repeat,
    _repeat_line,
    _move_line,
    _splice,
    _nest,
)
