"""Words: what is literal, what a variable, what a shell must answer."""

import pytest

from forgec.syntax.earthfile_word import Piece, PieceKind, parse_word


def literal(text: str) -> Piece:
    return Piece(PieceKind.LITERAL, text)


def variable(name: str) -> Piece:
    return Piece(PieceKind.VARIABLE, name)


def shell(script: str) -> Piece:
    return Piece(PieceKind.SHELL, script)


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("", ()),
        ("plain/path", (literal("plain/path"),)),
        ("a$b/${c}d", (literal("a"), variable("b"), literal("/"), variable("c"), literal("d"))),
        ("'$a b'", (literal("$a b"),)),
        ('"$a b"c', (variable("a"), literal(" bc"))),
        (r"\$a\ b", (literal("$a b"),)),
        (r'"\$a\n"', (literal(r"$a\n"),)),
        ('it"\'"s', (literal("it's"),)),
        ("$(echo ')' \")\" $(x))y", (shell("echo ')' \")\" $(x)"), literal("y"))),
        ("100$", (literal("100$"),)),
        ("$1", (literal("$1"),)),
    ],
)
def test_words_are_cut_into_pieces(word: str, pieces: tuple[Piece, ...]) -> None:
    assert parse_word(word) == pieces


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("${a:-b}", "only ${name} is supported, not ${a:-b}"),
        ("$(echo", "$( is never closed"),
        ("'a", "the quote ' is never closed"),
    ],
)
def test_what_is_not_understood_is_refused(word: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_word(word)

    assert str(caught.value) == reason
