"""A graph as a program for Graphviz' dot: a cluster for each group, a cluster for each phase in it.

One arrow leads from group to group. It begins and ends at points that nobody sees, one before and one behind all of a
group, so that everything in a group stands between the groups around it. What stands above what is dot's own choice; of
clusters it mostly draws the last one on top, so phases are written that way. Names are our own numbers; in labels the
backslash and the quote are escaped, and `&`, because dot reads HTML's entities.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from forgec.graph.label import Detail, lane_label, step_label, task_label
from forgec.graph.model import Graph, Lane, Stage, State, Task

_HEAD: Final = (
    "digraph pipeline {",
    "  graph [rankdir=LR, compound=true, nodesep=0.12, ranksep=0.25]",
    '  graph [fontname="sans-serif", color="#8c959f", style=rounded]',
    '  node [shape=box, style=rounded, fontname="sans-serif", fontsize=11, height=0.3, color="#57606a"]',
    '  edge [color="#57606a"]',
)
_ATTRIBUTES: Final = {
    State.SAME: "",
    State.ADDED: ', color="#1a7f37", penwidth=2',
    State.REMOVED: ', color="#cf222e", penwidth=2, style="rounded,dashed"',
    State.CHANGED: ', color="#9a6700", penwidth=2',
}

_PLAIN_CLUSTER: Final = ', color="#8c959f", penwidth=1, style=rounded'
"""A cluster takes the attributes of the one around it unless it has its own."""


def to_dot(graph: Graph, detail: Detail) -> str:
    lines = list(_HEAD)
    for at, stage in enumerate(graph.stages):
        lines += _stage(f"s{at}", stage, detail)
    for at in range(len(graph.stages) - 1):
        lines.append(f"  s{at}z -> s{at + 1}a [ltail=cluster_s{at}, lhead=cluster_s{at + 1}, minlen=2]")
    return "\n".join([*lines, "}"]) + "\n"


_Ends = list[tuple[str, str]]
"""The first and the last nodes of what stands between a group's points. A node that is named in a cluster belongs to
it, so the points are named after all clusters are closed."""


def _stage(name: str, stage: Stage, detail: Detail) -> Iterator[str]:
    ends: _Ends = []
    yield f"  subgraph cluster_{name} {{"
    yield f"    label={_quoted(stage.name)}"
    yield from _lanes(name, stage, detail, ends)
    yield f"    {name}a, {name}z [shape=point, style=invis]"
    for first, last in ends:
        yield f"    {name}a -> {{{first}}} [style=invis]"
        yield f"    {{{last}}} -> {name}z [style=invis]"
    yield "  }"


def _lanes(parent: str, stage: Stage, detail: Detail, ends: _Ends) -> Iterator[str]:
    for at, lane in reversed(list(enumerate(stage.lanes))):
        name = f"{parent}l{at}"
        if detail is Detail.LANES or not lane.tasks:
            yield f"    {_node(name, lane_label(lane), lane.overall)}"
            ends.append((name, name))
            continue
        yield f"    subgraph cluster_{name} {{"
        yield f"      graph [label={_quoted(lane_label(lane))}{_ATTRIBUTES[lane.overall]}]"
        yield from _tasks(name, lane, detail, ends)
        yield "    }"


def _tasks(parent: str, lane: Lane, detail: Detail, ends: _Ends) -> Iterator[str]:
    for at, task in enumerate(lane.tasks.values()):
        name = f"{parent}t{at}"
        if detail is Detail.TASKS:
            yield f"      {_node(name, task_label(task), task.state)}"
            ends.append((name, name))
        else:
            yield f"      subgraph cluster_{name} {{"
            yield f"        graph [label={_quoted(task.project)}{_PLAIN_CLUSTER}]"
            yield from _steps(name, task, ends)
            yield "      }"


def _steps(parent: str, task: Task, ends: _Ends) -> Iterator[str]:
    ranks = [[f"{parent}w{rank}x{at}" for at in range(len(wave))] for rank, wave in enumerate(task.waves)]
    for names, wave in zip(ranks, task.waves, strict=True):
        for name, step in zip(names, wave, strict=True):
            yield f"        {_node(name, step_label(step), step.state)}"
    for before, names in pairwise(ranks):
        yield f"        {{{' '.join(before)}}} -> {{{' '.join(names)}}}"
    ends.append((" ".join(ranks[0]), " ".join(ranks[-1])))


def _node(name: str, label: str, state: State) -> str:
    return f"{name} [label={_quoted(label)}{_ATTRIBUTES[state]}]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;").replace("\n", "\\n")
    return f'"{escaped}"'
