"""The outer list of a workflow: what runs one after another, and what each entry starts together.

    static                         dynamic
                                   discovery    one node
    group-01   its units           group-01     its units
    group-02   its units           ...
    release    its units           group-16     none, a Skipped node
                                   release      its units

The dynamic form is written before its plan is known and has room for every group there may be; the static form has
what the plan has. From `group-01` on both start the same units in the same order.
"""

from dataclasses import dataclass
from typing import Final

from forgec.plan.model import GROUPS_MAX, Plan

DISCOVERY: Final = "discovery"
RELEASE: Final = "release"

RETRIES_MAX: Final = 2
"""Of a leaf, after its first attempt: the dispatcher retries infrastructure itself before it asks for another pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`items` are the unit ids that the entry starts a node each for; None where it is a single node without a list."""

    name: str
    items: tuple[str, ...] | None


def static_entries(plan: Plan) -> tuple[Entry, ...]:
    """What the plan has; without a group an empty one, because Argo accepts no template without a step."""
    lists = [group.unit_ids for group in plan.working_groups] or [()]
    release = [Entry(name=RELEASE, items=plan.release_ids)] if plan.release else []
    return tuple(Entry(name=group_name(index), items=ids) for index, ids in enumerate(lists, 1)) + tuple(release)


def dynamic_entries(plan: Plan) -> tuple[Entry, ...]:
    """What the dynamic form becomes once its discovery has handed out this plan's units."""
    lists: list[tuple[str, ...]] = [group.unit_ids for group in plan.working_groups]
    lists += [()] * (GROUPS_MAX - len(lists))
    groups = tuple(Entry(name=group_name(index), items=ids) for index, ids in enumerate(lists, 1))
    return (Entry(name=DISCOVERY, items=None), *groups, Entry(name=RELEASE, items=plan.release_ids))


def group_name(index: int) -> str:
    """Of a group that has work, counted from 1: an entry of the outer list, a parameter and a file of discovery."""
    return f"group-{index:02d}"
