r"""Calls of every function of the standard packages that the dialect knows, with arguments that are written out.

file      = "import" package, "a:" call
call      = package "." function "(" argument, … ")"      arguments of the kinds that the function's parameters have
          | package "." function "(" fewer ") &" value    a function that tells true from false, as a constraint
argument  = now and then of another kind, or one too many or too few
"""

import json
from typing import Any, Final

from hypothesis import strategies as st

from forgec.syntax.standard.function import Function, Parameter
from forgec.syntax.standard.packages import PACKAGES

ALPHABET: Final = "aabbxyzAB  ,,--_./\\$(){}[]|+*?^012379 äßÄéİſ€😀\u00a0\u2028\u0085'\"`\n\t\r%:;\u0000\u007f"
PATTERNS: Final = (
    *("a", "^a", "b$", "[a-z]+", "[0-9]+", "(a)(b)?", "(?P<x>a)|(?P<y>b)", "a*", "", ".", "(?i)A", r"\d", r"\s+"),
    *(r"\bx", "a|b", "(", "[", "a{2}", "(?:x)y", r"\pL", "(?s).", "^$", "x*?", r"\Qa.b\E", "[^a]", "(a|b)*"),
)
REPLACEMENTS: Final = ("", "-", "$0", "$1", "${1}x", "$x", "${y}", "$$", "$1x", "\\1", "${", "$")
NUMERALS: Final = (
    "12",
    "-7",
    "+3",
    "0x1F",
    "ff",
    "z",
    "1_000",
    "0b11",
    "",
    " 1",
    "1.5",
    "1e3",
    "true",
    "F",
    "0",
    "007",
)
WHOLES: Final = ("0", "1", "2", "3", "5", "-1", "-2", "10", "16", "36", "37", "64", "8", "300", "1.0", "1.5")
NUMBERS: Final = ("0", "1", "2", "3", "-1", "7", "0.5", "1.0", "2.5", "-0.25", "1e3", "10")
VALUES: Final = ("1", "2", '"a"', '"b"', "true", "null", "1.0", "[1]", "[]", "{a: 1}", "{}", '"ä"')


@st.composite
def calls(draw: Any, package: str) -> str:
    name, function = draw(st.sampled_from(sorted(PACKAGES[package].items())))
    parameters = list(function.parameters)
    match draw(st.sampled_from(range(24))):
        case 7:
            parameters.append(Parameter.VALUE)
        case 8:
            parameters.pop()
        case 9:
            at = draw(st.sampled_from(range(len(parameters))))
            parameters[at] = draw(st.sampled_from(list(Parameter)))
    arguments = [_argument(draw, parameter, function, package) for parameter in parameters]
    if function.is_check and draw(st.booleans()):
        first, *others = arguments or ["1"]
        return f'import "{package}"\na: {package}.{name}({", ".join(others)}) & {first}\n'
    return f'import "{package}"\na: {package}.{name}({", ".join(arguments)})\n'


def _argument(draw: Any, parameter: Parameter, function: Function, package: str) -> str:
    match parameter:
        case Parameter.TEXT:
            return _text(draw, package)
        case Parameter.WHOLE:
            return str(draw(st.sampled_from(WHOLES)))
        case Parameter.NUMBER:
            return str(draw(st.sampled_from(NUMBERS)))
        case Parameter.TRUTH:
            return str(draw(st.sampled_from(("true", "false"))))
        case Parameter.TEXTS:
            return _list([_text(draw, package) for _ in range(draw(st.integers(0, 4)))])
        case Parameter.NUMBERS:
            return _list(draw(st.lists(st.sampled_from(NUMBERS), max_size=5)))
        case Parameter.ITEMS | Parameter.VALUES:
            return _items(draw, function)
        case Parameter.VALUE:
            return str(draw(st.sampled_from(VALUES)))
        case Parameter.ORDER:
            orders = ("list.Ascending", "list.Descending", "{x: _, y: _, less: x > y}", "{x: _, y: _, less: x.a < y.a}")
            return str(draw(st.sampled_from(orders)))


def _text(draw: Any, package: str) -> str:
    pools = {"regexp": PATTERNS + REPLACEMENTS, "strconv": NUMERALS}
    if package in pools and draw(st.integers(0, 3)) != 2:
        return _quoted(draw(st.sampled_from(pools[package])))
    return _quoted(draw(st.text(st.sampled_from(ALPHABET), max_size=8)))


def _items(draw: Any, function: Function) -> str:
    """Of one kind, where they have to be in an order."""
    if Parameter.ORDER in function.parameters:
        same = draw(st.sampled_from((NUMBERS, ('"b"', '"a"', '"ab"', '""'), ("{a: 1}", "{a: 2}", "{a: 1, b: 2}"))))
        return _list(draw(st.lists(st.sampled_from(same), max_size=5)))
    nested = ("[1, 2]", "[[3], 4]", "[]")
    return _list(draw(st.lists(st.sampled_from(VALUES + nested), max_size=5)))


def _list(items: list[str]) -> str:
    return f"[{', '.join(items)}]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
