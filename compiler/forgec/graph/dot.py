"""A graph as a program for Graphviz' dot: a cluster for each group, a cluster for each phase in it.

One arrow leads from group to group. It begins and ends at points that nobody sees, one before and one behind all of a
group, so that everything in a group stands between the groups around it. Dot fills a rank from below, so what is to
stand on top is written last. Names are our own numbers; in labels the backslash and the quote are escaped, and `&`,
because dot reads HTML's entities.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from forgec.graph.label import Detail, lane_label, step_label, task_label
from forgec.graph.model import Graph, Lane, Stage, State, Task

_HEAD: Final = (
    "digraph pipeline {",
    '  graph [rankdir=LR, compound=true, fontname="sans-serif", color="#8c959f", style=rounded, nodesep=0.12]',
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
        lines += [f"  subgraph cluster_s{at} {{", f"    label={_quoted(stage.name)}"]
        lines += [f"    s{at}{side} [shape=point, style=invis]" for side in ("a", "z")]
        lines += _lanes(f"s{at}", stage, detail)
        lines.append("  }")
    for at in range(len(graph.stages) - 1):
        lines.append(f"  s{at}z -> s{at + 1}a [ltail=cluster_s{at}, lhead=cluster_s{at + 1}, minlen=2]")
    return "\n".join([*lines, "}"]) + "\n"


def _lanes(stage_name: str, stage: Stage, detail: Detail) -> Iterator[str]:
    for at, lane in reversed(list(enumerate(stage.lanes))):
        name = f"{stage_name}l{at}"
        if detail is Detail.LANES or not lane.tasks:
            yield f"    {_node(name, lane_label(lane), lane.state)}"
            yield from _between(stage_name, name, name)
            continue
        yield f"    subgraph cluster_{name} {{"
        yield f"      graph [label={_quoted(lane_label(lane))}{_ATTRIBUTES[lane.state]}]"
        yield from _tasks(stage_name, name, lane, detail)
        yield "    }"


def _tasks(stage_name: str, parent: str, lane: Lane, detail: Detail) -> Iterator[str]:
    for at, task in reversed(list(enumerate(lane.tasks.values()))):
        name = f"{parent}t{at}"
        if detail is Detail.TASKS:
            yield f"      {_node(name, task_label(task), task.state)}"
            yield from _between(stage_name, name, name)
        else:
            yield f"      subgraph cluster_{name} {{"
            yield f"        graph [label={_quoted(task.project)}{_PLAIN_CLUSTER}]"
            yield from _steps(stage_name, name, task)
            yield "      }"


def _steps(stage_name: str, parent: str, task: Task) -> Iterator[str]:
    ranks = [[f"{parent}w{rank}x{at}" for at in range(len(wave))] for rank, wave in enumerate(task.waves)]
    for names, wave in zip(ranks, task.waves, strict=True):
        for name, step in reversed(list(zip(names, wave, strict=True))):
            yield f"        {_node(name, step_label(step), step.state)}"
    for before, names in pairwise(ranks):
        yield f"        {{{' '.join(before)}}} -> {{{' '.join(names)}}}"
    yield from _between(stage_name, " ".join(ranks[0]), " ".join(ranks[-1]))


def _between(stage_name: str, first: str, last: str) -> Iterator[str]:
    """Keeps nodes between the points around their group."""
    yield f"      {stage_name}a -> {{{first}}} [style=invis]"
    yield f"      {{{last}}} -> {stage_name}z [style=invis]"


def _node(name: str, label: str, state: State) -> str:
    return f"{name} [label={_quoted(label)}{_ATTRIBUTES[state]}]"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;").replace("\n", "\\n")
    return f'"{escaped}"'
