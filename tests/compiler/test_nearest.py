"""Suggestions for names that are not known."""

import pytest

from forgec.nearest import KNOWN_MAX, NAME_LENGTH_MAX, did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "advice"),
    [
        ("tset", {"lint", "test"}, 'did you mean "test"?'),
        ("deploy", {"lint", "test"}, None),
        ("tset", (), None),
        ("tast", ("test", "tost"), 'did you mean "tost"?'),
    ],
)
def test_the_name_that_is_most_alike_is_suggested(name: str, known: set[str], advice: str | None) -> None:
    assert did_you_mean(name, known) == advice


def test_a_name_with_marks_of_its_own_gets_no_quotes() -> None:
    assert did_you_mean("+tset", ["+test"], quoted=False) == "did you mean +test?"


def test_what_would_take_long_is_not_compared() -> None:
    known = [f"name{number}" for number in range(KNOWN_MAX)]

    assert did_you_mean("name", known) is not None
    assert did_you_mean("name", [*known, "one more"]) is None
    assert did_you_mean("n" * (NAME_LENGTH_MAX + 1), ["n" * NAME_LENGTH_MAX]) is None
