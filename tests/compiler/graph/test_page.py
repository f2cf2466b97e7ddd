"""The page: self-contained, safe whatever a repository says, readable at the largest repository there may be."""

import base64
import hashlib
import re
from pathlib import Path

import pytest
from tests.browser import Page, find_browser, open_page
from tests.compiler.documents import document, many, project, step
from tests.compiler.graph.outline import Outline
from tests.compiler.graph.test_drawings import HOSTILE, case_graph, hostile_graph
from tests.judge import Judged

from forgec.discovery.model import Discovery
from forgec.graph.build import graph_of
from forgec.graph.markup import Markup, element, join
from forgec.graph.page import to_html
from forgec.render.escape import escaped

PAGE_BYTES_MAX = 500_000
"""Of 2,500 steps."""

ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "h1", "h2", "p", "div", "main", "section"),
    *("span", "b", "i", "small", "ol", "ul", "li", "label", "input", "button", "details", "summary", "script"),
    *("svg", "path", "rect", "text"),
}


def largest() -> Discovery:
    """100 projects, 5 phases, 5 steps in each: 2,500."""
    listed = [step(f"step-{at}", priority=10 if at < 2 else 0) for at in range(5)]
    return document(
        {f"phase-{at}": at for at in range(1, 6)},
        many(100, dict.fromkeys((f"phase-{at}" for at in range(1, 6)), listed)),
    )


def policy_of(outline: Outline) -> str:
    (policy,) = (meta["content"] for meta in outline.of("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    return policy


@pytest.mark.parametrize("case", ["release", "compared"])
def test_a_page_asks_for_nothing_outside_itself(case: str) -> None:
    outline = Outline(to_html(case_graph(case), name="release"))

    assert {tag for tag, _ in outline.elements} <= ALLOWED
    names = {name for _, attributes in outline.elements for name in attributes}
    assert not names & {"src", "href", "srcset", "action", "style"}
    assert not any(name.startswith("on") for name in names)
    assert "url(" not in "".join(outline.text("style"))
    assert "default-src 'none'" in policy_of(outline)


def test_the_policy_allows_the_pages_own_style_and_script_and_no_other() -> None:
    outline = Outline(to_html(hostile_graph(), name=HOSTILE, against=HOSTILE))

    for tag in ("style", "script"):
        (text,) = outline.text(tag)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy_of(outline)
    assert "unsafe" not in policy_of(outline)


def test_what_users_wrote_is_text_and_nothing_else() -> None:
    plain = Outline(to_html(hostile_graph(), name="n", against="a"))
    outline = Outline(to_html(hostile_graph(), name=HOSTILE, against=HOSTILE))

    assert [tag for tag, _ in outline.elements] == [tag for tag, _ in plain.elements]
    assert "b" in ALLOWED
    assert outline.text("h1") == [escaped(HOSTILE)]
    assert escaped(HOSTILE) in outline.text("h2")
    assert not any(character in text for _, text in outline.texts for character in "\u202e\u2028")


def test_text_and_attributes_are_escaped_by_the_one_function_that_makes_elements() -> None:
    assert element("p", "a<b>&\"'", title='"><script>', hidden=True, id=None) == (
        '<p title="&quot;&gt;&lt;script&gt;" hidden>a&lt;b&gt;&amp;&quot;&#x27;</p>'
    )
    assert element("input", type="search") == '<input type="search">'
    assert element("li", Markup("<b>x</b>"), "<") == "<li><b>x</b>&lt;</li>"
    assert join("\u2028", "\u202e", "é") == "\\u{2028}\\u{202e}é"


def test_without_a_script_every_step_is_in_a_list_that_opens_by_itself() -> None:
    outline = Outline(to_html(graph_of(largest()), name="largest"))

    assert len(outline.of("details")) == 100
    assert sum(data.startswith("step-") for data in outline.text("li")) == 2500
    (tools,) = (each for each in outline.of("div") if each.get("id") == "tools")
    assert "hidden" in tools, "what only a script can serve is not shown without one"


def test_a_page_of_2500_steps_is_small() -> None:
    page = to_html(graph_of(largest()), name="largest")

    assert len(page.encode()) < PAGE_BYTES_MAX


def test_differences_are_counted_marked_and_told_apart_without_colour() -> None:
    page = to_html(case_graph("compared"), name="new", against="old")

    outline = Outline(page)
    (sentence,) = (text for text in outline.text("p") if text.startswith("compared with old: "))
    assert re.fullmatch(r"compared with old: \d+ steps? added, \d+ steps? removed", sentence)
    assert {row["data-state"] for row in outline.of("details")} == {"added", "changed"}
    assert any(text.startswith("+ ") for text in outline.text("b"))
    assert any(text.startswith("- ") for text in outline.text("b"))


@pytest.fixture
def browser(judged: Judged) -> str:
    found = find_browser()
    if found is None:
        judged.absent("chromium", "no such browser is installed")
    return found


def saved(graph_document: Discovery, folder: Path, against: Discovery | None = None) -> Path:
    path = folder / "page.html"
    path.write_text(to_html(graph_of(graph_document, against), name="largest", against="old" if against else None))
    return path


def count(page: Page, selector: str) -> int:
    found: int = page.evaluate(f"document.querySelectorAll({selector!r}).length")
    return found


def test_a_browser_shows_filters_folds_and_opens_it_by_keyboard(browser: str, judged: Judged, tmp_path: Path) -> None:
    with open_page(browser, saved(largest(), tmp_path), tmp_path / "profile") as page:
        assert count(page, "details") == 100
        assert page.evaluate("document.getElementById('tools').hidden") is False

        page.evaluate("document.getElementById('filter').focus()")
        page.type("p01")
        assert count(page, "details:not([hidden])") == 10
        assert page.evaluate("document.getElementById('told').textContent") == "10 of 100 projects"

        page.evaluate("document.querySelector('details:not([hidden]) summary').focus()")
        page.press("Enter", 13)
        assert count(page, "details[open]") == 1

        page.evaluate("document.getElementById('open').click()")
        assert count(page, "details[open]") == 10, "what is filtered out stays closed"

        page.evaluate("document.getElementById('c1').focus()")
        page.press(" ", 32)
        assert page.evaluate("getComputedStyle(document.querySelector('summary .l1 svg')).display") == "none"
        assert page.evaluate("getComputedStyle(document.querySelector('summary .l2 svg')).display") == "block"

        page.prefer("dark")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.prefer("light")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)" != dark

        assert page.complaints() == []
        judged("chromium", page.version, "pages shown", 1)


def test_a_browser_without_scripts_shows_and_opens_it(browser: str, judged: Judged, tmp_path: Path) -> None:
    with open_page(browser, saved(largest(), tmp_path), tmp_path / "profile", scripts=False) as page:
        page.evaluate("document.querySelector('summary').focus()")
        page.press("Enter", 13)

        assert count(page, "details[open]") == 1
        assert page.evaluate("document.getElementById('tools').offsetParent") is None
        judged("chromium", page.version, "pages shown", 1)


def test_a_browser_runs_nothing_that_a_repository_brought(browser: str, judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    attack = (
        "</title></style></script><script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    )
    injected = to_html(hostile_graph(), name=attack, against=attack).replace("<main>", f"<main>{attack}", 1)
    path.write_text(injected)

    with open_page(browser, path, tmp_path / "profile") as page:
        assert page.evaluate("document.title") == f"{attack}: pipeline"
        assert count(page, "img") == 1, "even markup that would get in runs nothing"
        assert any("Content Security Policy" in complaint for complaint in page.complaints())
        judged("chromium", page.version, "pages shown", 1)


def test_a_browser_keeps_only_what_differs(browser: str, judged: Judged, tmp_path: Path) -> None:
    before = largest()
    after = document({"phase-1": 1}, [*many(3, {"phase-1": ["step-0"]}), project("new", {"phase-1": ["step-0"]})])

    with open_page(browser, saved(after, tmp_path, before), tmp_path / "profile") as page:
        page.evaluate("document.getElementById('changed').click()")

        assert count(page, "details:not([hidden])") == count(page, "details:not([data-state=same])")
        judged("chromium", page.version, "pages shown", 1)
