"""Which thing of one side is which of the other.

What kept its name is the same thing. Of the rest, those that are alike are taken for one that was renamed or moved:
all possible pairs, the most alike first, each thing once. A measure of likeness gives the same number from both sides,
and ties are broken by the names of a pair regardless of its direction, so the answer does not depend on which side is
called the earlier one.
"""

from collections.abc import Callable, Collection, Hashable, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeAlias, TypeVar

Key: TypeAlias = tuple[str, ...]
Likeness: TypeAlias = Callable[[Key, Key], tuple[float, ...] | None]
"""How much alike two things are, greater is more; None where they are not."""

_T = TypeVar("_T", bound=Hashable)


def pair(
    before: Collection[Key], after: Collection[Key], likeness: Likeness, known: Mapping[Key, Key], *, pairs_max: int
) -> dict[Key, Key]:
    """The pairs of `known`, and those found among the rest, unless there are more than `pairs_max` to compare.

    Comparing takes about 10 us a pair; the limit keeps an input that was made for it from taking minutes.
    """
    pairs = dict(known)
    taken = set(pairs.values())
    left = [key for key in before if key not in pairs]
    right = [key for key in after if key not in taken]
    if len(left) * len(right) > pairs_max:
        return pairs
    candidates = [(score, one, other) for one in left for other in right if (score := likeness(one, other)) is not None]
    candidates.sort(key=lambda candidate: (*(-part for part in candidate[0]), sorted(candidate[1:])))
    for _, one, other in candidates:
        if one not in pairs and other not in taken:
            pairs[one] = other
            taken.add(other)
    return pairs


def common_part(one: AbstractSet[_T], other: AbstractSet[_T]) -> float:
    """The common share of two sets, 0 to 1; nothing is not like nothing."""
    together = len(one | other)
    return len(one & other) / together if together else 0.0


def name_likeness(one: str, other: str) -> float:
    """0 to 1: how much of the longer name is a beginning and an end that both have."""
    start = _common_beginning(one, other)
    end = _common_beginning(one[start:][::-1], other[start:][::-1])
    return (start + end) / max(len(one), len(other))


def _common_beginning(one: str, other: str) -> int:
    for at, (letter, second) in enumerate(zip(one, other, strict=False)):
        if letter != second:
            return at
    return min(len(one), len(other))
