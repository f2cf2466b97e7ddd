"""A graph as a mermaid flowchart: a box for each group, a box for each phase in it, one arrow from group to group.

Mermaid lays a box out by itself as long as no arrow crosses its border, so groups are joined as boxes; boxes that stand
side by side it draws from the last to the first, so they are written that way. Identifiers are our own numbers; what
users wrote is in quoted labels, where every character that could mean something is written as its number (`#35;`).
"""

import re
from collections.abc import Iterator
from typing import Final

from forgec.graph.label import Detail, lane_label, lane_title, step_label, task_label
from forgec.graph.model import Graph, Lane, Stage, State, Task

_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:/_+~()-]|^[+-](?= )")
"""A sign and a blank begin a list of Markdown, which mermaid 11 looks for in every label and refuses to draw."""

_CLASSES: Final = {
    State.ADDED: "stroke:#1a7f37,stroke-width:2px",
    State.REMOVED: "stroke:#cf222e,stroke-width:2px,stroke-dasharray:4 3",
    State.CHANGED: "stroke:#9a6700,stroke-width:2px",
}


def to_mermaid(graph: Graph, detail: Detail) -> str:
    lines = ["flowchart LR", *_stages(graph, detail)]
    lines += [f"  s{at} --> s{at + 1}" for at in range(len(graph.stages) - 1)]
    if graph.compared:
        lines += [f"  classDef {state} {style}" for state, style in _CLASSES.items()]
    return "\n".join(lines) + "\n"


def _stages(graph: Graph, detail: Detail) -> Iterator[str]:
    for at, stage in enumerate(graph.stages):
        yield f'  subgraph s{at}["{_label(stage.name)}"]'
        yield "    direction LR"
        yield from _lanes(f"s{at}", stage, detail)
        yield "  end"


def _lanes(parent: str, stage: Stage, detail: Detail) -> Iterator[str]:
    lanes = list(enumerate(stage.lanes))
    for at, lane in lanes if detail is Detail.LANES else reversed(lanes):
        name = f"{parent}l{at}"
        if detail is Detail.LANES or not lane.tasks:
            yield f"    {_node(name, lane_label(lane), lane.overall)}"
            continue
        yield f'    subgraph {name}["{_label(lane_title(lane))}"]'
        yield "      direction LR"
        yield from _tasks(name, lane, detail)
        yield "    end"
        if lane.overall is not State.SAME:
            yield f"    class {name} {lane.overall}"


def _tasks(parent: str, lane: Lane, detail: Detail) -> Iterator[str]:
    tasks = list(enumerate(lane.tasks.values()))
    for at, task in tasks if detail is Detail.TASKS else reversed(tasks):
        name = f"{parent}t{at}"
        if detail is Detail.TASKS:
            yield f"      {_node(name, task_label(task), task.state)}"
        else:
            yield f'      subgraph {name}["{_label(task.project)}"]'
            yield "        direction LR"
            yield from _steps(name, task)
            yield "      end"


def _steps(parent: str, task: Task) -> Iterator[str]:
    before: list[str] = []
    for rank, wave in enumerate(task.waves):
        names = [f"{parent}w{rank}x{at}" for at in range(len(wave))]
        yield from (
            f"        {_node(name, step_label(step), step.state)}" for name, step in zip(names, wave, strict=True)
        )
        if before:
            yield f"        {' & '.join(before)} --> {' & '.join(names)}"
        before = names


def _node(name: str, label: str, state: State) -> str:
    return f'{name}["{_label(label)}"]' + ("" if state is State.SAME else f":::{state}")


def _label(text: str) -> str:
    """Lines of a label are separated by line breaks, which no name may contain."""
    return "<br>".join(_UNSAFE.sub(lambda found: f"#{ord(found[0])};", line) for line in text.split("\n"))
