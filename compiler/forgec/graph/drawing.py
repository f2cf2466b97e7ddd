"""The SVG of the page: the way from group to group, and a task as marks.

a task of two waves, five steps              marks, so that a state is seen without its colour
  []         []                                [] as it was     [] added, in another colour
  [] ------- []                                <> changed       hollow: removed
             []
"""

from collections.abc import Iterable, Sequence
from typing import Final

from forgec.graph.label import lane_counts, lane_differences, lane_name
from forgec.graph.markup import Markup, element
from forgec.graph.model import Graph, Lane, Stage, State, Task

_BOX_WIDTH: Final = 168
_BOX_HEIGHT: Final = 42
_ROW: Final = 50
_COLUMN: Final = 204
_TOP: Final = 22
_LABEL_CHARS_MAX: Final = 24

MARK: Final = 8
_PITCH: Final = 10
_MARKS_HIGH: Final = 3
_WAVE_GAP: Final = 8
_TASK_HEIGHT: Final = _PITCH * _MARKS_HIGH

_SHAPES: Final = {
    State.SAME: "M{x} {y}h8v8h-8z",
    State.ADDED: "M{x} {y}h8v8h-8z",
    State.REMOVED: "M{x}.75 {y}.75h6.5v6.5h-6.5z",
    State.CHANGED: "M{x} {m}l4-4.5 4 4.5-4 4.5z",
}


def draw_overview(graph: Graph) -> Markup:
    """A column for each group, a box for each of its phases, an arrow from group to group."""
    height = _TOP + _ROW * max((len(stage.lanes) for stage in graph.stages), default=0)
    parts = [
        part
        for at, stage in enumerate(graph.stages)
        for part in (*_column(stage, at * _COLUMN), *([_arrow(at * _COLUMN)] if at else []))
    ]
    width = max(len(graph.stages) * _COLUMN - (_COLUMN - _BOX_WIDTH), 0) + 2
    return element("svg", *parts, width=width, height=height, role="img", aria_label="groups, one after another")


def draw_task(task: Task) -> Markup:
    """Waves from left to right, the steps of one in columns of three; what they are called is the title."""
    parts = [element("title", task_title(task))]
    marks: dict[State, list[str]] = {}
    wires = []
    left = 0
    for wave in task.waves:
        if left:
            middle = _TASK_HEIGHT // 2 - 1
            wires.append(f"M{left} {middle}h{_WAVE_GAP}")
            left += _WAVE_GAP
        for at, step in enumerate(wave):
            marks.setdefault(step.state, []).append(_mark(step.state, left, at, len(wave)))
        left += _wave_width(len(wave))
    if wires:
        parts.append(element("path", class_="wire", d="".join(wires)))
    parts += (element("path", class_=_class("mark", state), d="".join(paths)) for state, paths in sorted(marks.items()))
    return element("svg", *parts, width=left, height=_TASK_HEIGHT, role="img")


def draw_mark(state: State) -> Markup:
    """One mark, for the legend."""
    path = element("path", class_=_class("mark", state), d=_mark(state, 1, 0, 3))
    return element("svg", path, width=MARK + 2, height=MARK + 2, aria_hidden="true")


def task_title(task: Task) -> str:
    return f"{task.project}: " + " → ".join(", ".join(step.name for step in wave) for wave in task.waves)


def lane_width(lane: Lane) -> int:
    """Of the widest task, in pixels."""
    return max(map(_task_width, lane.tasks.values()), default=0)


def _task_width(task: Task) -> int:
    return sum(_wave_width(len(wave)) for wave in task.waves) + _WAVE_GAP * (len(task.waves) - 1)


def _wave_width(steps: int) -> int:
    return -(-steps // _MARKS_HIGH) * _PITCH


def _mark(state: State, left: int, at: int, steps: int) -> str:
    """The path of a wave's step; a wave of fewer than three stands in the middle."""
    column, row = divmod(at, _MARKS_HIGH)
    y = row * _PITCH + max(_MARKS_HIGH - steps, 0) * _PITCH // 2
    x = left + column * _PITCH
    return _SHAPES[state].format(x=x, y=y, m=y + MARK // 2)


def _column(stage: Stage, left: int) -> Iterable[Markup]:
    yield element("text", stage.name, class_="quiet", x=left + 1, y=13)
    for at, lane in enumerate(stage.lanes):
        yield from _box(lane, left, _TOP + at * _ROW)


def _box(lane: Lane, left: int, top: int) -> Sequence[Markup]:
    name = lane_name(lane)
    differences = lane_differences(lane)
    room = _LABEL_CHARS_MAX - len(differences)
    shown = name if len(name) <= room else f"{name[: room - 1]}…"
    title = [element("title", ": ".join(filter(None, (name, lane.note))))] if lane.note or shown != name else []
    box = element(
        "rect",
        *title,
        class_=_class("box", lane.overall),
        x=left + 1,
        y=top,
        rx=6,
        width=_BOX_WIDTH,
        height=_BOX_HEIGHT,
    )
    texts = [
        element("text", shown, x=left + 11, y=top + 17),
        element("text", lane_counts(lane), class_="quiet", x=left + 11, y=top + 33),
    ]
    if differences:
        right = left + _BOX_WIDTH - 9
        texts.append(element("text", differences, class_="quiet", x=right, y=top + 17, text_anchor="end"))
    return [box, *texts]


def _arrow(left: int) -> Markup:
    start, middle = left - (_COLUMN - _BOX_WIDTH) + 7, _TOP + _BOX_HEIGHT // 2
    end = left - 6
    return element("path", class_="arrow", d=f"M{start} {middle}H{end}m-5-4 5 4-5 4")


def _class(name: str, state: State) -> str:
    return name if state is State.SAME else f"{name} {state}"
