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
from forgec.graph.label import counted, lane_counts, lane_name
from forgec.graph.markup import Markup, element, join
from forgec.graph.model import SIGNS, Graph, Lane, Project, State, Step, Task

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

_Column = tuple[Lane, str]
"""A lane, and the name of its stage where it is the first one of it."""


def to_html(graph: Graph, *, name: str, against: str | None = None) -> str:
    """`name` and `against` are what the documents are called."""
    columns = [(lane, "" if at else stage.name) for stage in graph.stages for at, lane in enumerate(stage.lanes)]
    style = Markup(_resource("page.css") + "".join(_column_rule(at, lane) for at, (lane, _) in enumerate(columns)))
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
    titles = element("div", element("span", element("b", "project"), class_="name"), *_heads(columns), class_="head")
    rows = (_row(graph, project, columns) for project in graph.projects)
    body = element(
        "body",
        _header(graph, name, against),
        element("main", titles, *rows),
        element("script", script),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _header(graph: Graph, name: str, against: str | None) -> Markup:
    groups = [stage for stage in graph.stages if not stage.release]
    phases = [lane for stage in groups for lane in stage.lanes if lane.state is not State.REMOVED]
    counts = (
        counted(graph.present, "project"),
        counted(len(phases), "phase"),
        f"{counted(sum(any(lane.projects for lane in stage.lanes) for stage in groups), 'group')} with work",
        counted(sum(lane.projects for lane in phases), "task"),
        counted(sum(lane.steps for lane in phases), "step"),
        *(counted(lane.projects, "release") for stage in graph.stages if stage.release for lane in stage.lanes),
    )
    parts = [element("h1", name), element("p", " · ".join(counts))]
    if against is not None:
        parts.append(element("p", f"compared with {against}: {_differences(graph)}"))
    overview = draw_overview(graph)
    parts.append(element("div", overview, class_="overview", tabindex=0, role="region", aria_label="overview"))
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
    yield element("span", "left to right: one after another; on top of each other: together")
    yield element("span", "a tick folds a phase, a click opens a project")


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


def _heads(columns: Iterable[_Column]) -> Iterator[Markup]:
    for at, (lane, stage) in enumerate(columns):
        yield element(
            "label",
            element("i", stage),
            element("input", type="checkbox", id=f"c{at}", checked=True, aria_label=f"show {lane.name}"),
            element("b", lane_name(lane)),
            element("small", f"{lane.projects:,} · {lane.steps:,}"),
            class_=_lane_class(at, stage, lane.overall),
            title="; ".join(filter(None, (lane_counts(lane), lane.note))),
        )


def _row(graph: Graph, project: Project, columns: Iterable[_Column]) -> Markup:
    tasks = [(lane, stage, lane.tasks.get(project.name)) for lane, stage in columns]
    present = [(lane, task) for lane, _, task in tasks if task is not None]
    state = _row_state(project, [task for _, task in present])
    title = element(
        "span",
        element("b", f"{SIGNS[state]}{project.name}"),
        element("small", project.path, title=project.path),
        class_=f"name {state}",
    )
    cells = (
        element("span", draw_task(task) if task else "", class_=_lane_class(at, stage, State.SAME))
        for at, (_, stage, task) in enumerate(tasks)
    )
    note = [element("p", f"the project: {project.note}")] if project.note else []
    sections = (_section(lane, task) for lane, task in present)
    body = element("div", *note, *sections, class_="body")
    return element("details", element("summary", title, *cells), body, data_state=state if graph.compared else None)


def _row_state(project: Project, tasks: Iterable[Task]) -> State:
    """A project that came or went did so as a whole; another one is what it says of itself and what it does."""
    if project.state in (State.ADDED, State.REMOVED):
        return project.state
    states = {project.state, *(task.state for task in tasks)}
    return State.SAME if states == {State.SAME} else State.CHANGED


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


def _lane_class(at: int, stage: str, state: State) -> str:
    return f"lane l{at}" + (" first" if stage else "") + ("" if state is State.SAME else f" {state}")


def _column_rule(at: int, lane: Lane) -> str:
    """Its width, for which its head and its widest task decide; and how it folds."""
    head = (len(lane_name(lane)) + 3) * _CHARACTER_PX
    width = min(max(lane_width(lane), head, _COLUMN_PX_MIN), max(_COLUMN_PX_MAX, lane_width(lane))) + _PADDING_PX
    folded = f":root:has(#c{at}:not(:checked)) .l{at}"
    return f".l{at}{{flex:0 0 {width}px}}{folded}{{flex-basis:34px}}{folded}>:not(input){{display:none}}\n"


def _resource(name: str) -> str:
    return files("forgec.graph").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
