"""What is kept of a text, and for how long."""

from collections.abc import Callable

import pytest

from forgec.memo import Memo


def size(_made: object) -> int:
    return 4


class Calls:
    """Makes a new object for each call and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> object:
        self.count += 1
        return object()


def test_the_same_text_of_the_same_name_is_made_once() -> None:
    memo, make = Memo[object](), Calls()

    first = memo.get(("a.cue", "x: 1"), make, size)

    assert memo.get(("a.cue", "x: 1"), make, size) is first
    assert make.count == 1


@pytest.mark.parametrize("other", [("b.cue", "x: 1"), ("a.cue", "x: 2")], ids=["name", "text"])
def test_another_name_or_text_is_made_anew(other: tuple[str, str]) -> None:
    memo, make = Memo[object](), Calls()

    assert memo.get(("a.cue", "x: 1"), make, size) is not memo.get(other, make, size)


def test_what_was_not_used_for_longest_goes_first() -> None:
    memo, make = Memo[object](size_max=8), Calls()
    kept = memo.get(("a", "1234"), make, size)
    memo.get(("b", "1234"), make, size)
    memo.get(("a", "1234"), make, size)
    memo.get(("c", "1234"), make, size)

    assert memo.get(("a", "1234"), make, size) is kept
    assert make.count == 3
    memo.get(("b", "1234"), make, size)
    assert make.count == 4


def test_a_text_above_the_limit_is_not_kept() -> None:
    memo, make = Memo[object](size_max=3), Calls()

    memo.get(("a", "1234"), make, size)
    memo.get(("a", "1234"), make, size)

    assert make.count == 2


def test_an_error_is_not_kept() -> None:
    memo = Memo[object]()
    answers: list[Callable[[], object]] = [lambda: 1 / 0, lambda: "right"]

    with pytest.raises(ZeroDivisionError):
        memo.get(("a", ""), answers[0], size)

    assert memo.get(("a", ""), answers[1], size) == "right"
