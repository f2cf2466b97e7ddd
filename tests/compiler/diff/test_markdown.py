"""The comment on a pull request: short, whole, and deaf to what users write in it."""

import re

import msgspec
import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from tests.compiler.documents import HOSTILE_TEXTS, document, documents, many, project, step

from forgec.diff.effect import Comparison, compare_runs
from forgec.diff.render_markdown import BYTES_MAX, render_markdown
from forgec.discovery.model import Discovery, Project

PHASES = {"lint": 1, "test": 2}
INJECTIONS = (
    "@everyone",
    "x @octocat/team y",
    "#1 fixes #2",
    "</details><img src=x onerror=alert(1)>",
    "<!-- hidden",
    "[text](https://example.com)",
    "![](https://example.com/x.png)",
    "`code` @someone `more`",
    "``` @someone",
    "`",
    " padded ",
    "a | b | c",
    "\\| @someone",
    "**bold** _it_ ~~gone~~",
    "https://example.com/a",
    *HOSTILE_TEXTS,
)


def comparison(before: Discovery, after: Discovery, labels: tuple[str, str] = ("main", ".")) -> Comparison:
    return compare_runs(before, after, labels=labels)


OURS = re.compile(r"[A-Za-z0-9 ,:;()→.-]*")
"""Letters and punctuation of ours: no mention, no reference, no link."""

FOLD = ("<details><summary>Every change</summary>\n", "</details>\n")


def strange(markdown: str) -> list[tuple[str, str]]:
    """What a parser of the language sees that is neither a code span nor ours."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    found = []
    for token in parser.parse(markdown):
        if token.type == "html_block" and token.content not in FOLD:
            found.append((token.type, token.content))
        for child in token.children or ():
            is_text = child.type in ("text", "softbreak") and OURS.fullmatch(child.content)
            if not (is_text or child.type in ("code_inline", "strong_open", "strong_close")):
                found.append((child.type, child.content))
    return found


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_text_of_a_user_stands_outside_a_code_span(text: str) -> None:
    def with_text(args: tuple[str, ...]) -> Discovery:
        steps = [step("unit", args=args)]
        return document(PHASES, [project("api", {"test": steps}, path=f"api/{args}")], description="".join(args))

    found = render_markdown(comparison(with_text(()), with_text((text, text * 2)), labels=(text or "x", text + "x")))

    assert strange(found) == []


@settings(max_examples=60, deadline=None)
@given(documents(), documents())
def test_no_legal_document_writes_outside_a_code_span(before: Discovery, after: Discovery) -> None:
    found = render_markdown(comparison(before, after))

    assert strange(found) == []


def test_what_is_too_long_for_a_comment_is_counted() -> None:
    before = document(PHASES, [])
    after = document(PHASES, many(100, {"lint": [f"s{at}" for at in range(20)], "test": ["unit"]}))

    found = render_markdown(comparison(before, after))

    shown = sum(line.startswith("- step") for line in found.splitlines())
    shown += sum(line.startswith("- project") for line in found.splitlines())
    match = re.search(r"^(\d+) changes left out", found, re.MULTILINE)
    assert match is not None
    assert shown + int(match[1]) == 100 + 100 * 21
    assert BYTES_MAX * 0.9 < len(found.encode()) <= BYTES_MAX
    assert found.rstrip().splitlines()[-3] == "</details>"


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_the_limit_holds_for_characters_of_any_width(length: int) -> None:
    wide = {1: "x", 2: "ü", 3: "→", 4: "\U0001f600"}[length]

    def with_args(count: int) -> Discovery:
        steps = [step(f"s{at}", args=(wide * 4000,)) for at in range(count)]
        return document(PHASES, [project(f"p{at}", {"test": steps}, path=wide * 4000 + str(at)) for at in range(40)])

    found = render_markdown(comparison(with_args(0), with_args(8), labels=(wide * 9999, wide * 9999)))

    assert len(found.encode()) <= BYTES_MAX


def test_many_things_to_look_at_are_counted() -> None:
    before, after = document(PHASES, many(60, {"test": ["unit"]})), document(PHASES, many(60))

    found = render_markdown(comparison(before, after))

    assert found.count("no longer runs") == 20
    assert "- and 40 more" in found


def test_nothing_new_is_one_line_and_the_plan() -> None:
    found = document(PHASES, [project("api", {"test": ["unit"]})])

    lines = render_markdown(comparison(found, found)).splitlines()

    assert lines[0] == "**Pipeline, `main` → `.`: no change** (jobs 1, pods 2)"
    assert len(lines) == 3


def test_a_moved_project_keeps_the_name_of_its_section() -> None:
    lone = Project(name="old", path="web", phases={"test": (step("unit"), step("e2e"))})
    renamed = msgspec.structs.replace(lone, name="new", phases={"test": (step("unit"),)})

    found = render_markdown(comparison(document(PHASES, [lone]), document(PHASES, [renamed])))

    assert "- project: renamed from `old`" in found
    assert "| `new` |  | 1 | 1 |" in found
    assert "- step `test/e2e` of `new`: no longer runs" in found
