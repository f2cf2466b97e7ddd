"""A graph as one page of HTML that needs nothing else: no network, no fonts, and to read it no script.

    title, counts, legend
    overview        groups from left to right, phases as boxes
    projects        a row each, phases in columns that a tick box in the head folds; a row opens to its steps

The script only filters rows and opens them all. The content security policy allows this very style and this very
script, by their hashes, and nothing else: what a repository's texts could do here is be read.
"""

import base64
import hashlib
from collections.abc import Iterable, Iterator
from importlib.resources import files
from typing import Final

from forgec.graph.drawing import draw_mark, draw_overview, draw_task, lane_width
from forgec.graph.label import counted
from forgec.graph.markup import Markup, element, join
from forgec.graph.model import SIGNS, Graph, Lane, Project, State, Step, Task, combined

_PADDING_PX: Final = 18
_CHARACTER_PX: Final = 9
_COLUMN_PX_MIN: Final = 64
_COLUMN_PX_MAX: Final = 260
_WORDS: Final = {
    State.SAME: "as before",
    State.ADDED: "added",
    State.REMOVED: "removed",
    State.CHANGED: "changed",
}


def to_html(graph: Graph, *, name: str, against: str | None = None) -> str:
    """`name` and `against` are what the documents are called."""
    lanes = [(lane, first, stage.name) for stage in graph.stages for first, lane in _marked_first(stage.lanes)]
    style = Markup(_resource("page.css") + "".join(_column_rule(at, lane) for at, (lane, _, _) in enumerate(lanes)))
    script = Markup(_resource("page.js"))
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width"),
        element("title", f"{name}: pipeline"),
        element("style", style),
    )
    columns = element("div", element("span", element("b", "project"), class_="name"), *_heads(lanes), class_="head")
    rows = (_row(graph, project, lanes) for project in graph.projects)
    body = element(
        "body",
        _header(graph, name, against),
        element("main", columns, *rows),
        element("script", script),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


_Column = tuple[Lane, bool, str]
"""A lane, whether it is the first of its stage, and the stage's name."""


def _marked_first(lanes: Iterable[Lane]) -> Iterator[tuple[bool, Lane]]:
    return ((at == 0, lane) for at, lane in enumerate(lanes))


def _header(graph: Graph, name: str, against: str | None) -> Markup:
    working = [stage for stage in graph.stages if any(lane.projects for lane in stage.lanes)]
    counts = (
        counted(graph.present, "project"),
        counted(sum(lane.state is not State.REMOVED for lane in graph.lanes()), "phase"),
        f"{counted(len(working), 'group')} with work",
        counted(sum(lane.projects for lane in graph.lanes()), "task"),
        counted(sum(lane.steps for lane in graph.lanes()), "step"),
    )
    parts = [element("h1", name), element("p", " · ".join(counts))]
    if against is not None:
        parts.append(element("p", f"compared with {against}: {_differences(graph)}"))
    parts.append(element("div", draw_overview(graph), class_="overview"))
    return element("header", *parts, element("p", *_legend(graph), class_="legend"), _tools(graph))


def _differences(graph: Graph) -> str:
    states = [step.state for lane in graph.lanes() for task in lane.tasks.values() for step in task.steps]
    counts = [(states.count(state), _WORDS[state]) for state in State if state is not State.SAME]
    return ", ".join(f"{counted(count, 'step')} {word}" for count, word in counts if count) or "no step differs"


def _legend(graph: Graph) -> Iterator[Markup]:
    if graph.compared:
        yield from (element("span", draw_mark(state), _WORDS[state]) for state in State)
    else:
        yield element("span", draw_mark(State.SAME), "a step")
    yield element("span", "from left to right one after another, on top of each other together")
    yield element("span", "a tick in the head of a column folds it, a click on a row opens it")


def _tools(graph: Graph) -> Markup:
    """Hidden until the script is there to serve them."""
    only = element("label", element("input", type="checkbox", id="changed"), " only what differs")
    return element(
        "div",
        element("input", type="search", id="filter", placeholder="filter by project", aria_label="filter by project"),
        element("button", "open all", type="button", id="open"),
        element("button", "close all", type="button", id="close"),
        only if graph.compared else Markup(),
        element("span", id="told", role="status"),
        class_="tools",
        id="tools",
        hidden=True,
    )


def _heads(lanes: Iterable[_Column]) -> Iterator[Markup]:
    for at, (lane, first, stage) in enumerate(lanes):
        yield element(
            "label",
            element("i", stage if first else ""),
            element("input", type="checkbox", id=f"c{at}", checked=True, aria_label=f"show {lane.name}"),
            element("b", f"{SIGNS[lane.state]}{lane.name}"),
            element("small", f"{lane.projects:,} · {lane.steps:,}"),
            class_=_lane_class(at, first, lane.state),
            title=f"{counted(lane.projects, 'project')}, {counted(lane.steps, 'step')}"
            + (f"; {lane.note}" if lane.note else ""),
        )


def _row(graph: Graph, project: Project, lanes: Iterable[_Column]) -> Markup:
    tasks = [(at, column, column[0].tasks.get(project.name)) for at, column in enumerate(lanes)]
    present = [(column[0], task) for _, column, task in tasks if task is not None]
    state = _row_state(project, [task for _, task in present])
    title = element(
        "span",
        element("b", f"{SIGNS[state]}{project.name}"),
        element("small", project.path, title=project.path),
        class_=f"name {state}",
    )
    cells = (
        element("span", draw_task(task) if task else "", class_=_lane_class(at, column[1], State.SAME))
        for at, column, task in tasks
    )
    note = [element("p", f"the project: {project.note}")] if project.note else []
    sections = (_section(lane, task) for lane, task in present)
    body = element("div", *note, *sections, class_="body")
    return element("details", element("summary", title, *cells), body, data_state=state if graph.compared else None)


def _row_state(project: Project, tasks: Iterable[Task]) -> State:
    states = {project.state, *(task.state for task in tasks)}
    return project.state if project.state in (State.ADDED, State.REMOVED) else _changed_or_same(states)


def _changed_or_same(states: Iterable[State]) -> State:
    return State.SAME if combined(states) is State.SAME else State.CHANGED


def _section(lane: Lane, task: Task) -> Markup:
    waves = (element("li", element("ul", *map(_step, wave))) for wave in task.waves)
    return element("section", element("h2", lane.name), element("ol", *waves))


def _step(step: Step) -> Markup:
    title = (
        element("span", f"{SIGNS[step.state]}{step.name}", class_="title")
        if step.state is not State.SAME
        else step.name
    )
    about = " · ".join(filter(None, (step.detail, step.note)))
    content = join(title, " ", element("small", about)) if about else join(title)
    return element("li", content, class_=None if step.state is State.SAME else str(step.state))


def _lane_class(at: int, first: bool, state: State) -> str:
    return f"lane l{at}" + (" first" if first else "") + ("" if state is State.SAME else f" {state}")


def _column_rule(at: int, lane: Lane) -> str:
    """Its width, for which its head and its widest task decide; and how it folds."""
    head = (len(SIGNS[lane.state] + lane.name) + 3) * _CHARACTER_PX
    width = min(max(lane_width(lane), head, _COLUMN_PX_MIN), max(_COLUMN_PX_MAX, lane_width(lane))) + _PADDING_PX
    folded = f":root:has(#c{at}:not(:checked)) .l{at}"
    return f".l{at}{{flex:0 0 {width}px}}{folded}{{flex-basis:34px}}{folded}>:not(input){{display:none}}\n"


def _resource(name: str) -> str:
    return files("forgec.graph").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
