"""Argo's node names and ids, known before the workflow runs.

Argo keeps a workflow's nodes under an id that is a 32 bit hash (FNV-1a) of the node's name. Two names with one hash
are one node to it: the second step is silently never run. The names follow from the manifest, so the compiler can
prove that no two collide; a collision among n nodes has a chance of about n^2 / 2^33, one in 26 000 for 570 nodes.

    forge-<uuid>                                  the steps of main
    forge-<uuid>[0]                               an entry of the outer list
    forge-<uuid>[0].discovery                     a leaf; it has a retryStrategy, so this is its Retry node,
    forge-<uuid>[0].discovery(0)                  and each attempt is a pod node of its own
    forge-<uuid>[1].group-01                      the Skipped node of a list that turned out empty
    forge-<uuid>[1].group-01(0:g01-test-s001)     item 0 of a list, a Retry node again
    forge-<uuid>[1].group-01(0:g01-test-s001)(0)
    forge-<uuid>.onExit                           the exit handler
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from forgec.diagnostic import Code, Diagnostic, Related
from forgec.discovery.places import NO_PLACES, Places
from forgec.manifest.entry import RETRIES_MAX, Entry, dynamic_entries, static_entries
from forgec.plan.model import Plan
from forgec.source import Span

_FNV_OFFSET: Final = 0x811C9DC5
_FNV_PRIME: Final = 0x01000193


def check_nodes(workflow_name: str, plan: Plan, *, dynamic: bool, places: Places = NO_PLACES) -> list[Diagnostic]:
    """A diagnostic for each node that would take the place of another; in the static or in the dynamic form.

    It points at the phases of both, whose names are what the document gives to the nodes' names.
    """
    entries = dynamic_entries(plan) if dynamic else static_entries(plan)
    by_step = any(unit.by_step for _, _, unit in plan.units())
    others = "another run id, which changes" if by_step else "another run id or shard size: both change"
    found = []
    names = node_names(workflow_name, entries)
    for other, name in collisions(_hashed(next(names), names)):
        message = f'the nodes "{other}" and "{name}" have one id in Argo, so one of them would never run'
        advice = f"start the run again, or compile with {others} the names"
        span, first = _phase_place(name, plan, places), _phase_place(other, plan, places)
        related = (Related(first, "the other node"),) if first and first != span else ()
        found.append(Diagnostic(Code.NODE_COLLISION, message, span, related, help=advice))
    return found


def node_names(workflow_name: str, entries: Sequence[Entry]) -> Iterator[str]:
    """Every name a node of the workflow can have, attempts that may never be made included."""
    yield workflow_name
    for index, entry in enumerate(entries):
        group = f"{workflow_name}[{index}]"
        yield group
        if not entry.items:
            yield from _attempts(f"{group}.{entry.name}") if entry.items is None else (f"{group}.{entry.name}",)
        for step, items in entry.steps():
            for at, item in enumerate(items):
                yield from _attempts(f"{group}.{step}({at}:{item})")
    yield from _attempts(f"{workflow_name}.onExit")


def node_id(workflow_name: str, node_name: str) -> str:
    """Argo's id of a node: the workflow's name, for all but the root with the hash behind it."""
    if node_name == workflow_name:
        return workflow_name
    return f"{workflow_name}-{fnv32a(node_name.encode())}"


def fnv32a(data: bytes, value: int = _FNV_OFFSET) -> int:
    """FNV-1a, 32 bits; `value` is the hash of what stands before the data."""
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & 0xFFFFFFFF
    return value


def collisions(names: Iterable[tuple[str, int]]) -> Iterator[tuple[str, str]]:
    """Of names with their hashes, each pair that has one hash, once.

    Equal hashes stay equal with the same text behind them, so the attempts of two such nodes collide as well.
    """
    first: dict[int, str] = {}
    told_other = told = ""
    for name, value in names:
        other = first.setdefault(value, name)
        attempt = name.removeprefix(told)
        if other == name or (attempt != name and other == told_other + attempt):
            continue
        told_other, told = other, name
        yield other, name


def _attempts(retry_node: str) -> Iterator[str]:
    yield retry_node
    for attempt in range(RETRIES_MAX + 1):
        yield f"{retry_node}({attempt})"


_ITEM = re.compile(r"\([0-9]+:([^()]+)\)")


def _phase_place(node: str, plan: Plan, places: Places) -> Span | None:
    """Of the phase whose unit a node is; the release stage and single nodes are of none."""
    item = _ITEM.search(node)
    found = (phase.name for _, phase, unit in plan.units() for _, unit_id in unit.ids() if item and unit_id == item[1])
    name = next(found, None)
    return None if name is None else places.phase(name)


def _hashed(root: str, names: Iterator[str]) -> Iterator[tuple[str, int]]:
    """Names with their hashes; the root's id has none. A name most often begins with one before it, whose hash is then
    gone on with: of ten thousand names that saves nine tenths of the work."""
    before = [(root, fnv32a(root.encode()))]
    for name in names:
        while not name.startswith(before[-1][0]):
            before.pop()
        prefix, value = before[-1]
        value = fnv32a(name[len(prefix) :].encode(), value)
        before.append((name, value))
        yield name, value
