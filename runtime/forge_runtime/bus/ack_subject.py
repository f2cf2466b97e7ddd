"""Where a message's acks go, as the server writes it: what it says of the message.

$JS.ACK.<stream>.<consumer>.<deliveries>.<stream's number>.<consumer's number>.<time>.<pending>
$JS.ACK.<domain>.<account>.<stream>.<consumer>.<the same numbers>[.<what later servers add>]
"""

from typing import Final, NamedTuple, Self

_SHORT_WORDS: Final = 9
_LONG_WORDS: Final = 11
_NUMBERS: Final = 5
_DIGITS_MAX: Final = 20
"""Of the server's numbers, which have 64 bits."""

_NO_WORD: Final = frozenset("*>")


class AckSubject(NamedTuple):
    stream: str
    deliveries: int

    @classmethod
    def read(cls, subject: str) -> Self | None:
        """None where it has not exactly one of the two forms: which word is the stream's follows from their number."""
        words = subject.split(".")
        short = len(words) == _SHORT_WORDS
        first = 2 if short else 4
        numbers = words[first + 2 : first + 2 + _NUMBERS]
        if (
            not (short or len(words) >= _LONG_WORDS)
            or words[:2] != ["$JS", "ACK"]
            or not all(map(_is_word, words))
            or not all(map(_is_number, numbers))
        ):
            return None
        return cls(words[first], int(numbers[0]))


def _is_word(word: str) -> bool:
    """Of a subject that may be published to; a blank or a line's end would begin something else."""
    return word.isprintable() and word != "" and " " not in word and _NO_WORD.isdisjoint(word)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= _DIGITS_MAX
