"""Which daemon a step goes to: properties of the order of a key, of the bound, and of runs of leases."""

import math
from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from forge_runtime.runner.affinity import BALANCE, TOGETHER_MIN, Candidate, Load, bound, choose, rank

NAMES = st.lists(st.text(min_size=1, max_size=12), min_size=2, max_size=12, unique=True)
KEYS = st.lists(st.text(max_size=20), min_size=1, max_size=60, unique=True)


def idle(names: Sequence[str], leases_max: int = 1000) -> list[Candidate]:
    return [Candidate(name=name, leases=0, leases_max=leases_max) for name in names]


def place(keys: Sequence[str], names: Sequence[str], leases_max: int = 1000) -> tuple[Counter[str], list[str | None]]:
    """Lease after lease, none given back."""
    leases: Counter[str] = Counter()
    chosen = []
    for key in keys:
        candidates = [Candidate(name=name, leases=leases[name], leases_max=leases_max) for name in names]
        name = choose(key, candidates)
        if name is not None:
            leases[name] += 1
        chosen.append(name)
    return leases, chosen


@given(NAMES, st.text(max_size=20), st.randoms())
def test_a_keys_order_does_not_depend_on_the_order_of_the_names(names: list[str], key: str, random: object) -> None:
    shuffled = list(names)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    assert rank(key, names) == rank(key, shuffled)
    assert sorted(rank(key, names)) == sorted(names)


@given(NAMES, KEYS)
def test_only_the_keys_of_a_daemon_that_leaves_move(names: list[str], keys: list[str]) -> None:
    gone, left = names[0], names[1:]

    for key in keys:
        before, after = choose(key, idle(names)), choose(key, idle(left))
        assert before == after if before != gone else after == rank(key, names)[1]


@given(NAMES, KEYS)
def test_a_daemon_that_comes_takes_keys_and_gives_none_to_others(names: list[str], keys: list[str]) -> None:
    new, old = names[0], names[1:]

    for key in keys:
        before, after = choose(key, idle(old)), choose(key, idle(names))
        assert after in (before, new)


@given(NAMES, st.lists(st.text(max_size=4), min_size=1, max_size=200))
def test_no_daemon_has_more_than_its_share(names: list[str], keys: list[str]) -> None:
    leases, _ = place(keys, names)

    assert max(leases.values()) <= max(TOGETHER_MIN, math.ceil(BALANCE * len(keys) / len(names)))


@given(NAMES, st.integers(1, 5), st.lists(st.text(max_size=4), max_size=100))
def test_no_daemon_has_more_than_it_may_and_none_waits_while_there_is_room(
    names: list[str], leases_max: int, keys: list[str]
) -> None:
    leases, chosen = place(keys, names, leases_max)

    assert max(leases.values(), default=0) <= leases_max
    assert sum(name is not None for name in chosen) == min(len(keys), leases_max * len(names))


@given(NAMES, st.text(max_size=20))
def test_a_keys_first_daemon_has_it_while_it_is_below_its_bound(names: list[str], key: str) -> None:
    first = rank(key, names)[0]
    candidates = [Candidate(name=name, leases=1 if name == first else 0, leases_max=9) for name in names]

    assert bound(candidates) >= 2
    assert choose(key, candidates) == first


def test_keys_are_spread_evenly() -> None:
    names = [f"buildkitd-{number}.buildkitd:8372" for number in range(8)]

    firsts = Counter(rank(f"github.com/org/repo/project-{number}", names)[0] for number in range(8000))

    assert min(firsts.values()) > 800
    assert max(firsts.values()) < 1200


def test_a_step_that_does_not_fit_goes_to_whoever_has_least_to_do() -> None:
    order = rank("key", ["a", "b", "c"])
    full = Candidate(name=order[0], leases=4, leases_max=4)
    busy = Candidate(name=order[1], leases=2, leases_max=4)
    calm = Candidate(name=order[2], leases=1, leases_max=4)

    assert choose("key", [full, busy, calm]) == order[2]


def test_a_daemon_whose_queue_is_not_empty_gives_way_to_one_whose_is() -> None:
    order = rank("key", ["a", "b", "c"])
    queue = Candidate(name=order[0], leases=0, leases_max=4, load=Load(20, 20, 3))
    calm = Candidate(name=order[1], leases=1, leases_max=4, load=Load(19, 20, 0))
    idle_ = Candidate(name=order[2], leases=1, leases_max=4, load=Load(1, 20, 0))

    assert choose("key", [queue, calm, idle_]) == order[2]
    assert choose("key", [queue]) == order[0]
