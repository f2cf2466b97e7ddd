"""The outer list of a workflow: what runs one after another, and what each entry starts together.

    static                         dynamic
                                   discovery    one node
    group-01   its units           group-01     its units
    group-02   its units           ...
    release    its units           group-16     none, a Skipped node
                                   release      its units

The dynamic form is written before its plan is known and has room for every group there may be; the static form has
what the plan has. From `group-01` on both start the same units in the same order.

A list that a static manifest writes out is one text. Where it would be too long a text (thousands of units, when every
step is one), the entry has several steps with a part of the list each: `group-01`, `group-01-2`, ... The steps of an
entry start together, so nothing else changes.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from msgspec import Struct

from forgec.plan.model import GROUPS_MAX, Plan

DISCOVERY: Final = "discovery"
RELEASE: Final = "release"

RETRIES_MAX: Final = 2
"""Of a leaf, after its first attempt: the dispatcher retries infrastructure itself before it asks for another pod."""


LIST_BYTES_MAX: Final = 65_536
"""Of a list's text in a static manifest: half of the 128 KiB from which on Argo no longer passes a text on as it is."""


class Entry(Struct, frozen=True, kw_only=True):
    """`items` are the unit ids that the entry starts a node each for; None where it is a single node without a list.

    `cuts` are the places in `items` where a further step begins.
    """

    name: str
    items: tuple[str, ...] | None
    cuts: tuple[int, ...] = ()

    def steps(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The steps that start together: name and list of each; none of a single node."""
        if self.items is None:
            return
        bounds = (0, *self.cuts, len(self.items))
        for number, (start, end) in enumerate(pairwise(bounds), 1):
            yield self.name if number == 1 else f"{self.name}-{number}", self.items[start:end]


def static_entries(plan: Plan) -> tuple[Entry, ...]:
    """What the plan has; without a group an empty one, because Argo accepts no template without a step."""
    lists = [group.unit_ids for group in plan.working_groups] or [()]
    named = [(group_name(index), ids) for index, ids in enumerate(lists, 1)]
    named += [(RELEASE, plan.release_ids)] if plan.release else []
    return tuple(Entry(name=name, items=ids, cuts=_cuts(ids)) for name, ids in named)


def dynamic_entries(plan: Plan) -> tuple[Entry, ...]:
    """What the dynamic form becomes once its discovery has handed out this plan's units."""
    lists: list[tuple[str, ...]] = [group.unit_ids for group in plan.working_groups]
    lists += [()] * (GROUPS_MAX - len(lists))
    groups = tuple(Entry(name=group_name(index), items=ids) for index, ids in enumerate(lists, 1))
    return (Entry(name=DISCOVERY, items=None), *groups, Entry(name=RELEASE, items=plan.release_ids))


def group_name(index: int) -> str:
    """Of a group that has work, counted from 1: an entry of the outer list, a parameter and a file of discovery."""
    return f"group-{index:02d}"


def list_text(items: tuple[str, ...]) -> str:
    """A list of unit ids as a `withParam`; ids need no escapes."""
    return "[" + ",".join(f'"{item}"' for item in items) + "]"


def _cuts(items: tuple[str, ...]) -> tuple[int, ...]:
    """Where a list must be cut so that the text of no part is too long; parts as full as they can be."""
    cuts = []
    size = len("[]")
    for at, item in enumerate(items):
        size += len(f'"{item}",')
        if size > LIST_BYTES_MAX:
            cuts.append(at)
            size = len(f'[]"{item}",')
    return tuple(cuts)
