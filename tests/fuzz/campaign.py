"""A campaign: inputs by number, each made from the seed and its number alone, and what became of them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.fuzz.corpus import KINDS, Kind, seeds
from tests.fuzz.grammar import generated
from tests.fuzz.mutate import mutated
from tests.fuzz.trial import TooSlow, try_input

_SHRINK_TRIALS_MAX: Final = 300
_BYTES_MUTATED: Final = 0.05
"""The share of inputs whose bytes are changed after all, so that they may not be UTF-8."""

Try = Callable[[Kind, bytes], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An input that ended in neither output nor diagnostics; `data` is the smallest one found with the same end."""

    number: int
    kind: Kind
    data: bytes
    what: str


def make_input(seed: int, number: int) -> tuple[Kind, bytes]:
    """The input of a number: mutations of a text of the corpus, or one made from the grammar, or both."""
    chance = random.Random(f"{seed}:{number}")
    kind = KINDS[number % len(KINDS)]
    texts = seeds()[kind]
    text = generated(kind, chance) if chance.random() < 0.4 else chance.choice(texts)
    if chance.random() < 0.7:
        text = mutated(text, texts, chance)
    data = bytearray(text.encode("utf-8", errors="surrogatepass"))
    if chance.random() < _BYTES_MUTATED:
        for _ in range(chance.choice((1, 3, 20))):
            data.insert(chance.randint(0, len(data)), chance.randrange(256))
    return kind, bytes(data)


def failures(
    seed: int, numbers: range, on_done: Callable[[int, bool], None], trial: Try = try_input
) -> Iterator[Failure]:
    """`on_done` hears of every input: its number, and whether it was compiled."""
    for number in numbers:
        kind, data = make_input(seed, number)
        what, compiled = _end(kind, data, trial)
        on_done(number, compiled)
        if what is not None:
            yield Failure(number=number, kind=kind, data=_shrunk(kind, data, what, trial), what=what)


def _end(kind: Kind, data: bytes, trial: Try) -> tuple[str | None, bool]:
    """How a trial failed, if it did, in words that are equal for equal reasons."""
    try:
        return None, trial(kind, data)
    except (Exception, TooSlow) as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame is not None else "nowhere"
        if isinstance(error, TooSlow | RecursionError | MemoryError):  # these end anywhere
            return type(error).__name__, False
        return f"{type(error).__name__} at {where}: {str(error)[:200]}", False


def _shrunk(kind: Kind, data: bytes, what: str, trial: Try) -> bytes:
    """A smaller input that fails in the same way: ever smaller pieces are left out as long as that holds."""
    trials = 0
    size = len(data) // 2
    same = what.partition(":")[0]
    while size:
        at = 0
        while at < len(data):
            if trials == _SHRINK_TRIALS_MAX:
                return data
            trials += 1
            smaller = data[:at] + data[at + size :]
            end, _ = _end(kind, smaller, trial)
            if end is not None and end.partition(":")[0] == same:
                data = smaller
            else:
                at += size
        size //= 2
    return data
