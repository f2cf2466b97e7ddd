"""How many nodes and pods a workflow has, as far as the manifest says: counted, not walked.

A step with a list is counted once for each item, one whose list comes at run time once. A template that is started
from several places is counted each time, and one that starts itself ends the count at the depth where Argo ends it.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from forgec.lint.manifest import Call, Manifest, Template, mapping, text

DEPTH_MAX: Final = 100
"""Calls inside calls; Argo ends a workflow that goes deeper."""

COUNT_MAX: Final = 10**9
"""Beyond, a number says no more."""

ITEMS_MAX: Final = 100_000
"""Of a sequence; a list that is written out ends with the file."""


class Count(Struct, frozen=True):
    nodes: int
    pods: int

    def times(self, number: int) -> "Count":
        return Count(min(self.nodes * number, COUNT_MAX), min(self.pods * number, COUNT_MAX))

    def plus(self, other: "Count") -> "Count":
        return Count(min(self.nodes + other.nodes, COUNT_MAX), min(self.pods + other.pods, COUNT_MAX))


def count_nodes(manifest: Manifest) -> Count:
    """Of a run in which every step runs, and none a second time."""
    counter = _Counter(manifest)
    started = [manifest.by_name.get(text(manifest.spec.get(key))) for key in ("entrypoint", "onExit")]
    total = Count(0, 0)
    for template in started:
        if template is not None:
            total = total.plus(counter.of(template, 0))
    return total


def items_of(call: Call) -> list[Any] | None:
    """The items of a step's list where the manifest has them; None where they come at run time."""
    listed = call.body.get("withItems")
    if isinstance(listed, list) and listed:
        return listed
    parameter = text(call.body.get("withParam"))
    if parameter:
        return _decoded(parameter)
    return _numbers(mapping(call.body.get("withSequence")))


class _Counter:
    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._known: dict[int, Count] = {}

    def of(self, template: Template, depth: int) -> Count:
        key = id(template)
        if key not in self._known:
            if depth >= DEPTH_MAX:
                return Count(1, 0)
            self._known[key] = Count(1, 0)  # of itself, inside of itself
            self._known[key] = self._counted(template, depth)
        return self._known[key]

    def _counted(self, template: Template, depth: int) -> Count:
        retry = 1 if self._manifest.retry_of(template) else 0  # the Retry node; its first attempt is the template's
        total = Count(1 + retry + len(template.groups), 1 if template.has_pod else 0)
        for call in template.calls():
            total = total.plus(self._call(call, depth))
        return total

    def _call(self, call: Call, depth: int) -> Count:
        callee = self._manifest.callee(call)
        each = Count(1, 0) if callee is None else self.of(callee, depth + 1)
        if not call.is_loop:
            return each
        items = items_of(call)
        if items is None:
            return each
        return each.times(len(items)) if items else Count(1, 0)  # of an empty list one, Skipped


def _decoded(parameter: str) -> list[Any] | None:
    if "{{" in parameter:
        return None
    try:
        decoded = msgspec.json.decode(parameter)
    except msgspec.DecodeError:
        return None
    return decoded if isinstance(decoded, list) else None


def _numbers(given: Mapping[str, Any]) -> list[Any] | None:
    """Of a sequence whose items are plain numbers, and not too many."""
    numbers = [given.get(key) for key in ("start", "count", "end")]
    if not given or given.get("format"):
        return None
    try:
        start, count, end = (None if value is None else int(str(value)[:12]) for value in numbers)
    except ValueError:
        return None
    first = start or 0
    last = first + count - 1 if count is not None else end
    if last is None or abs(last - first) > ITEMS_MAX:
        return None
    step = -1 if count is None and last < first else 1
    return list(range(first, last + step, step))
