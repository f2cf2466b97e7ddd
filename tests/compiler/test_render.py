"""Diagnostics as people and programs read them."""

import re

from forgec.diagnostic import Code, Diagnostic, Related, Severity
from forgec.render.record import error_record
from forgec.render.text import LINE_WIDTH_MAX, render_text
from forgec.source import Source, whole_file


def rendered(*diagnostics: Diagnostic) -> list[str]:
    return render_text(diagnostics, color=False).splitlines()


def at(text: str, found: str, name: str = "a.cue", code: Code = Code.CONFLICT) -> Diagnostic:
    """A diagnostic about a piece of a text."""
    start = text.index(found)
    return Diagnostic(code, "wrong", Source(name, text).span(start, start + len(found)))


def test_a_diagnostic_has_head_place_excerpt_related_place_and_help() -> None:
    source = Source("web/project.cue", 'a: 1\nb: "x"\n')
    related = Related(source.span(3, 4), "because of this")
    diagnostic = Diagnostic(Code.CONFLICT, "b is wrong", source.span(8, 11), (related,), "try 1", project="web")

    assert rendered(diagnostic) == [
        "error[FC201]: web: b is wrong",
        " --> web/project.cue:2:4",
        "  |",
        '2 | b: "x"',
        "  |    ^^^",
        " ::: web/project.cue:1:4",
        "  |",
        "1 | a: 1",
        "  |    - because of this",
        "  |",
        "  = help: try 1",
        "",
        "1 error",
    ]


def test_nothing_wrong_is_no_text() -> None:
    assert render_text((), color=False) == ""


def test_errors_and_warnings_are_counted() -> None:
    warning = Diagnostic(Code.VERSION_NEWER, "newer", severity=Severity.WARNING)
    error = Diagnostic(Code.SYNTAX, "wrong")

    assert rendered(error, warning, error)[-1] == "2 errors, 1 warning"
    assert rendered(warning)[0] == "warning[FC312]: newer"


def test_marks_stand_under_the_place_behind_tabs_and_wide_characters() -> None:
    _, _, _, line, marks, *_ = rendered(at("\ta: 日本 x", "x"))

    assert line == "1 |     a: 日本 x"
    assert marks == "  |             ^"  # two columns for each wide character


def test_text_that_would_move_the_cursor_is_shown_escaped() -> None:
    hostile = "a: \x1b[31m\u202e\r\u2028x"
    diagnostic = Diagnostic(Code.CONFLICT, f"{hostile} is wrong", Source(f"{hostile}.cue", hostile).span(3, 4))

    said = render_text([diagnostic], color=False)

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e\u2028]", said)
    assert "\\x1b[31m\\u{202e}" in said


def test_a_long_line_is_cut_around_the_place() -> None:
    text = "x" * 500 + " here " + "y" * 500

    _, _, _, line, marks, *_ = rendered(at(text, "here"))

    assert len(line) <= LINE_WIDTH_MAX + len("1 | ......")
    assert line.startswith("1 | ...x")
    assert line.endswith("y...")
    assert line[marks.index("^") : marks.rindex("^") + 1] == "here"


def test_a_place_of_several_lines_is_marked_on_its_first() -> None:
    assert rendered(at("a: {\n  b: 1\n}", "{\n  b: 1\n}"))[3:5] == ["1 | a: {", "  |    ^"]


def test_a_place_at_the_end_of_the_text_has_a_mark() -> None:
    source = Source("a.json", "[1")

    assert rendered(Diagnostic(Code.JSON_SYNTAX, "ends", source.span(2, 2)))[3:5] == ["1 | [1", "  |   ^"]


def test_a_file_that_is_not_there_has_no_excerpt() -> None:
    assert rendered(Diagnostic(Code.REPO_CONFIG_MISSING, "missing", whole_file(".forge/repo.cue")))[:3] == [
        "error[FC301]: missing",
        " --> .forge/repo.cue:1:1",
        "",
    ]


def test_colours_change_no_text() -> None:
    diagnostic = at("a: 1", "1")

    painted = render_text([diagnostic], color=True)

    assert "\x1b[" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == render_text([diagnostic], color=False)


def test_a_record_names_code_class_and_place() -> None:
    assert error_record(at("a: 1\nb: 2", "2", "web/a.cue", Code.PROJECT_DUPLICATE)) == {
        "code": "PROJECT_DUPLICATE",
        "message": "wrong",
        "component": "compiler",
        "class": "config",
        "retryable": False,
        "location": {"file": "web/a.cue", "line": 2, "column": 4},
        "context": {"diagnostic": "FC303"},
    }
    assert "location" not in error_record(Diagnostic(Code.GIT_FAILED, "git"))
