"""What is kept of a text, and for how long."""

from collections.abc import Callable

import pytest

from forgec.memo import Memo
from forgec.source import Source


class Calls:
    """Makes a new object for each call and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> object:
        self.count += 1
        return object()


def test_the_same_text_of_the_same_name_is_made_once() -> None:
    memo, make = Memo[object](), Calls()

    first = memo.get(Source("a.cue", "x: 1"), make)

    assert memo.get(Source("a.cue", "x: 1"), make) is first
    assert make.count == 1


@pytest.mark.parametrize("other", [Source("b.cue", "x: 1"), Source("a.cue", "x: 2")], ids=["name", "text"])
def test_another_name_or_text_is_made_anew(other: Source) -> None:
    memo, make = Memo[object](), Calls()

    assert memo.get(Source("a.cue", "x: 1"), make) is not memo.get(other, make)


def test_what_was_not_used_for_longest_goes_first() -> None:
    memo, make = Memo[object](chars_max=8), Calls()
    kept = memo.get(Source("a", "1234"), make)
    memo.get(Source("b", "1234"), make)
    memo.get(Source("a", "1234"), make)
    memo.get(Source("c", "1234"), make)

    assert memo.get(Source("a", "1234"), make) is kept
    assert make.count == 3
    memo.get(Source("b", "1234"), make)
    assert make.count == 4


def test_a_text_above_the_limit_is_not_kept() -> None:
    memo, make = Memo[object](chars_max=3), Calls()

    memo.get(Source("a", "1234"), make)
    memo.get(Source("a", "1234"), make)

    assert make.count == 2


def test_an_error_is_not_kept() -> None:
    memo = Memo[object]()
    answers: list[Callable[[], object]] = [lambda: 1 / 0, lambda: "right"]

    with pytest.raises(ZeroDivisionError):
        memo.get(Source("a", ""), answers[0])

    assert memo.get(Source("a", ""), answers[1]) == "right"
