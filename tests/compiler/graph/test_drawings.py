"""Mermaid and dot: golden drawings, folding, and names that neither takes for its own syntax."""

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from tests.compiler.documents import document, documents, many
from tests.compiler.graph.outline import Outline
from tests.judge import Judged

from forgec import pipeline
from forgec.discovery.model import Discovery
from forgec.graph.build import graph_of
from forgec.graph.dot import to_dot
from forgec.graph.label import TASKS_MAX, Detail, readable
from forgec.graph.mermaid import to_mermaid
from forgec.graph.model import Graph, Lane, Project, Stage, State, Step, Task
from forgec.graph.page import to_html

GOLDEN = Path(__file__).resolve().parents[3] / "golden"
REWRITE = os.environ.get("FORGE_GOLDEN") == "write"
CASES = {"release": ("release", None), "compared": ("release", "two-phases-one-group")}
"""Name of the drawings to the plan cases that are drawn, and compared with."""

FORMATS = ("mmd", "steps.mmd", "dot", "steps.dot", "html")
HOSTILE = 'a"]; end & <b>x</b> #35; \\" \\N \n{{`%%}} \u202e|é'


def case_graph(name: str) -> Graph:
    after, before = CASES[name]
    read = {
        each: pipeline.read(each, (GOLDEN / "plans" / each / "discovery.json").read_bytes())
        for each in (after, before)
        if each is not None
    }
    return graph_of(read[after], read[before] if before else None)


def drawings(name: str) -> dict[str, str]:
    graph = case_graph(name)
    return {
        "mmd": to_mermaid(graph, readable(graph)),
        "steps.mmd": to_mermaid(graph, Detail.STEPS),
        "dot": to_dot(graph, readable(graph)),
        "steps.dot": to_dot(graph, Detail.STEPS),
        "html": to_html(graph, name=CASES[name][0], against=CASES[name][1]),
    }


def hostile_graph() -> Graph:
    """Names of all kinds are checked long before; a drawing does not rely on it."""
    step = Step(name=HOSTILE, detail=HOSTILE, note=HOSTILE, state=State.CHANGED)
    lane = Lane(name=HOSTILE, tasks={HOSTILE: Task(project=HOSTILE, waves=((step,),))}, state=State.ADDED, note=HOSTILE)
    project = Project(name=HOSTILE, path=HOSTILE, note=HOSTILE)
    return Graph(stages=(Stage(name=HOSTILE, lanes=(lane,)),), projects=(project,), compared=True)


@pytest.mark.parametrize("name", CASES)
def test_drawings_are_the_golden_ones(name: str) -> None:
    for suffix, drawn in drawings(name).items():
        path = GOLDEN / "graph" / f"{name}.{suffix}"
        if REWRITE:
            path.write_text(drawn, encoding="utf-8")
        assert drawn == path.read_text(encoding="utf-8"), f"{path.name} differs; FORGE_GOLDEN=write accepts the change"


def test_every_golden_drawing_belongs_to_a_case() -> None:
    expected = {f"{name}.{suffix}" for name in CASES for suffix in FORMATS}

    assert {path.name for path in (GOLDEN / "graph").iterdir()} == expected


@pytest.mark.parametrize(("projects", "detail"), [(TASKS_MAX, Detail.TASKS), (TASKS_MAX + 1, Detail.LANES)])
def test_a_drawing_is_folded_when_it_would_have_too_many_boxes(projects: int, detail: Detail) -> None:
    assert readable(graph_of(document({"test": 1}, many(projects, {"test": ["unit"]})))) is detail


@pytest.mark.parametrize("detail", Detail)
def test_mermaid_has_no_character_of_a_name_that_could_mean_something(detail: Detail) -> None:
    drawn = to_mermaid(hostile_graph(), detail)

    quoted = re.findall(r'\["(.*?)"\]', drawn)
    frame = re.sub(r'\["(.*?)"\]', "", drawn)
    assert quoted
    for label in quoted:
        assert re.fullmatch(r"(?:[A-Za-z0-9 .,:/_+~()-]|#[0-9]+;|<br>)*", label)
        assert decoded(label).count(HOSTILE) == 1
    assert re.fullmatch(r"[a-z0-9 \n:#,.A-Z-]*", frame)


@pytest.mark.parametrize("detail", Detail)
def test_no_label_of_mermaid_begins_a_list_of_markdown(detail: Detail) -> None:
    drawn = to_mermaid(case_graph("compared"), detail)

    labels = re.findall(r'\["(.*?)"\]', drawn)
    assert {label[0] for label in map(decoded, labels)} >= {"-", "~"}
    assert [label for label in labels if re.match(r"([-+*>#]|[0-9]+[.)]) ", label)] == []


def decoded(label: str) -> str:
    return re.sub(r"#([0-9]+);", lambda found: chr(int(found[1])), label.replace("<br>", "\n"))


@pytest.mark.parametrize("detail", Detail)
def test_graphviz_reads_every_name_as_it_is(detail: Detail, judged: Judged) -> None:
    graph = hostile_graph()

    svg = graphviz(to_dot(graph, detail), "svg", judged)

    shown = [html.unescape(text) for text in re.findall(r"<text [^>]*>(.*?)</text>", svg)]
    first, second = HOSTILE.split("\n")
    assert (first, second) == (shown[0], shown[1])
    assert sum(first in line for line in shown) == {Detail.LANES: 2, Detail.TASKS: 3, Detail.STEPS: 4}[detail]


@pytest.mark.parametrize("name", CASES)
def test_graphviz_lays_the_golden_drawings_out(name: str, judged: Judged) -> None:
    for suffix in ("dot", "steps.dot"):
        assert graphviz(drawings(name)[suffix], "plain", judged).endswith("stop\n")


def graphviz(drawn: str, form: str, judged: Judged) -> str:
    if shutil.which("dot") is None:
        judged.absent("graphviz", "dot is not installed")
    done = subprocess.run(["dot", "-V", f"-T{form}"], capture_output=True, text=True, timeout=60, check=True)
    version = re.findall(r"[0-9]+\.[0-9.]+", done.stderr)[0]
    done = subprocess.run(["dot", f"-T{form}"], input=drawn, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == ""
    judged("graphviz", version, "drawings laid out", 1)
    return done.stdout


@settings(max_examples=40, deadline=None)
@given(documents(), documents())
def test_any_two_documents_have_all_drawings(after: Discovery, before: Discovery) -> None:
    graph = graph_of(after, before)

    for detail in Detail:
        lines = to_mermaid(graph, detail).splitlines()
        assert sum(line.strip().startswith("subgraph ") for line in lines) == sum(
            line.strip() == "end" for line in lines
        )
        drawn = to_dot(graph, detail)
        assert sum(line.endswith("{") for line in drawn.splitlines()) == sum(
            line.strip() == "}" for line in drawn.splitlines()
        )
    assert Outline(to_html(graph, name="after", against="before")).of("details") != [] or not graph.projects
