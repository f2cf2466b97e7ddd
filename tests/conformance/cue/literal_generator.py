r"""Numbers and strings as they can be written, well or badly, and what they become inside a text.

file   = "a:" number | "a:" string | "n:" number, "t:" an interpolation of n | "a:" number operator number
number = sign? (decimal | based) of digits and underscores, a fraction, an exponent, a multiplier: any of them missing
string = hashes quote part* quote hashes     one line or several, with escapes of the string's own and of others
"""

from typing import Any, Final

from hypothesis import strategies as st

DIGITS: Final = ("0", "1", "7", "12", "100", "1_000", "00", "5_", "_5", "9007199254740992", "123456789", "")
FRACTIONS: Final = ("", "", "", ".", ".0", ".5", ".25", ".10", ".000001", "._1", ".1_0", ".123456789")
EXPONENTS: Final = ("", "", "", "e3", "E3", "e+2", "e-2", "e-7", "e21", "e-10", "e", "e1_0", "e400", "e34")
MULTIPLIERS: Final = ("", "", "", "K", "Ki", "M", "Mi", "G", "Ti", "P", "k", "i")
BASED: Final = ("0x1F", "0xfg", "0X_1", "0b101", "0b12", "0o17", "0o8", "0x", "017", "0b1_0", "0xFFFFFFFFFFFFFFFF")
OPERATORS: Final = ("+", "-", "*", "/", "<", "<=", "==", "!=", ">", ">=", "&", "|")
HASHES: Final = ("", "", "", "#", "##")
PARTS: Final = (
    *("a", "b ", "ä", "€", "😀", '"', '""', "'", "#", "##", '"#', "\t", "  ", " ", "//", "\\", "\u2028", "\x01"),
    *(r"\n", r"\t", r"\"", r"\\", r"\/", r"\a", r"\q", r"\u00e9", r"\U0001F600", r"\u12", r"\ud800", r"\101", r"\x41"),
    *(r"\(1)", r"\(n)", r'\("x")', r"\(", r"\#n", r"\#(n)", r"\##n", r"\#", r"\'", r"\0"),
)
INDENTS: Final = ("", "  ", "\t", " \t")


@st.composite
def literals(draw: Any) -> str:
    match draw(st.sampled_from(range(6))):
        case 0:
            return f"a: {_number(draw)}\n"
        case 1:
            return f'n: {_number(draw)}\nt: "\\(n)|\\(n + 1)|\\(n * 1.5)"\n'
        case 2:
            return f"a: {_number(draw)} {draw(st.sampled_from(OPERATORS))} {_number(draw)}\n"
        case 3:
            return f"a: {_lines(draw)}\nn: 5\n"
        case _:
            return f"a: {_line(draw)}\nn: 5\n"


def _number(draw: Any) -> str:
    sign = draw(st.sampled_from(("", "", "", "-", "+")))
    if draw(st.integers(0, 5)) == 3:
        return sign + str(draw(st.sampled_from(BASED)))
    choices = (DIGITS, FRACTIONS, EXPONENTS, MULTIPLIERS)
    return sign + "".join(str(draw(st.sampled_from(each))) for each in choices)


def _line(draw: Any) -> str:
    hashes = draw(st.sampled_from(HASHES))
    return f'{hashes}"{_parts(draw, 5)}"{hashes}'


def _lines(draw: Any) -> str:
    hashes = draw(st.sampled_from(HASHES))
    indent = draw(st.sampled_from(INDENTS))
    lines = []
    for _ in range(draw(st.integers(0, 4))):
        of_line = indent if draw(st.integers(0, 7)) != 5 else draw(st.sampled_from(INDENTS))
        end = "\\" if draw(st.integers(0, 9)) == 7 else ""
        lines.append(of_line + _parts(draw, 3) + end + draw(st.sampled_from(("\n", "\n", "\n", "\r\n"))))
    return f'{hashes}"""\n{"".join(lines)}{indent}"""{hashes}'


def _parts(draw: Any, most: int) -> str:
    return "".join(draw(st.lists(st.sampled_from(PARTS), max_size=most)))
