"""Findings in the forms that programs read.

SARIF is checked here against what its specification (2.1.0) asks of the properties in use: the published schema is not
part of this repository.
"""

import json
import re
from typing import Any

import pytest

from forgec.diagnostic import Code, Diagnostic, Related, Severity
from forgec.explain.section import documentation
from forgec.render.finding import Finding, Place, finding_of
from forgec.render.github import SHOWN_MAX, render_github
from forgec.render.json import render_json
from forgec.render.sarif import FINGERPRINT, ROOT, render_sarif
from forgec.source import Position, Source, whole_file

TEXT = 'name: "äpi"\nci: phases: {\n  tset: unit: 1\n}\n'


def at(text: str, code: Code = Code.UNKNOWN_PHASE, *, name: str = "api/.forge/project.cue", **fields: Any) -> Finding:
    """A finding about a piece of TEXT."""
    source = Source(name, TEXT)
    start = TEXT.index(text)
    span = source.span(start, start + len(text))
    related = (Related(Source(".forge/repo.cue", "phases: test: group: 1").span(8, 12), "declared here"),)
    return finding_of(Diagnostic(code, "wrong", span, related, **fields))


NOWHERE = finding_of(Diagnostic(Code.GIT_FAILED, "git failed"))
MISSING = finding_of(Diagnostic(Code.REPO_CONFIG_MISSING, "it is missing", whole_file(".forge/repo.cue")))
CARRIED = Finding(
    code="FC999", severity=Severity.WARNING, message="new", place=Place(file="a b/c.cue", start=Position(7, 3))
)
ALL = (at("tset", help="try test", project="api"), at('"äpi"', Code.BAD_VALUE), NOWHERE, MISSING, CARRIED)


def run_of(*findings: Finding) -> dict[str, Any]:
    (run,) = json.loads(render_sarif(findings))["runs"]
    assert isinstance(run, dict)
    return run


def test_json_has_every_field_of_a_finding() -> None:
    document = json.loads(render_json([at("tset", help="try test", project="api")]))

    assert document == {
        "schemaVersion": 1,
        "errors": 1,
        "warnings": 0,
        "diagnostics": [
            {
                "code": "FC304",
                "severity": "error",
                "message": "wrong",
                "help": "try test",
                "project": "api",
                "file": "api/.forge/project.cue",
                "line": 3,
                "column": 3,
                "endLine": 3,
                "endColumn": 7,
                "related": [
                    {
                        "message": "declared here",
                        "file": ".forge/repo.cue",
                        "line": 1,
                        "column": 9,
                        "endLine": 1,
                        "endColumn": 13,
                    }
                ],
                "documentation": "compiler/forgec/explain/diagnostics.md#fc304",
            }
        ],
    }


def test_json_leaves_out_what_is_not_known() -> None:
    nowhere, missing, carried = json.loads(render_json([NOWHERE, MISSING, CARRIED]))["diagnostics"]

    assert set(nowhere) == {"code", "severity", "message", "documentation"}
    assert set(missing) == {*nowhere, "file"}
    assert set(carried) == {*nowhere, "file", "line", "column"}


def test_json_counts_errors_and_warnings() -> None:
    document = json.loads(render_json([NOWHERE, MISSING, CARRIED]))

    assert (document["errors"], document["warnings"]) == (2, 1)


def test_a_place_of_several_lines_ends_on_its_last() -> None:
    (finding,) = json.loads(render_json([at("{\n  tset: unit: 1\n}")]))["diagnostics"]

    assert [finding[name] for name in ("line", "column", "endLine", "endColumn")] == [2, 13, 4, 2]


def test_sarif_is_of_its_version_and_one_run_of_forgec() -> None:
    log = json.loads(render_sarif(ALL))

    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    assert "sarif-schema-2.1.0.json" in log["$schema"]
    (run,) = log["runs"]
    assert set(run) == {"tool", "columnKind", "originalUriBaseIds", "invocations", "results"}
    assert run["columnKind"] in {"utf16CodeUnits", "unicodeCodePoints"}
    assert set(run["tool"]["driver"]) == {"name", "version", "rules"}
    assert run["invocations"] == [{"executionSuccessful": True}]


def test_sarif_rules_are_the_codes_that_were_found_each_once() -> None:
    run = run_of(*ALL, *ALL)
    rules = run["tool"]["driver"]["rules"]

    assert [rule["id"] for rule in rules] == sorted({finding.code for finding in ALL})
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in run["results"])


def test_a_sarif_rule_explains_itself_and_names_its_anchor() -> None:
    (rule,) = run_of(at("tset"))["tool"]["driver"]["rules"]

    assert rule["name"] == "UnknownPhase"
    assert rule["shortDescription"] == {"text": Code.UNKNOWN_PHASE.title}
    assert rule["help"]["markdown"].startswith(rule["fullDescription"]["text"])
    assert rule["properties"] == {"documentation": documentation("FC304")}


def test_a_sarif_result_has_level_message_places_and_project() -> None:
    (result,) = run_of(at("tset", help="try test", project="api"))["results"]

    assert result["level"] == "error"
    assert result["message"] == {"text": "wrong\ntry test"}
    assert result["properties"] == {"project": "api"}
    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "api/.forge/project.cue", "uriBaseId": ROOT},
                "region": {
                    "startLine": 3,
                    "startColumn": 3,
                    "endLine": 3,
                    "endColumn": 7,
                    "snippet": {"text": "tset"},
                },
            }
        }
    ]
    (related,) = result["relatedLocations"]
    assert (related["id"], related["message"]) == (1, {"text": "declared here"})


def test_no_text_that_is_quoted_becomes_a_link_of_a_sarif_message() -> None:
    quoted = Finding(
        code="FC206",
        severity=Severity.ERROR,
        message='"[here](https://example.com)" is no duration, nor is [] (1)',
        related=((Place(file="d.json"), '"[0](1)" is'),),
    )

    (result,) = run_of(quoted)["results"]

    assert result["message"]["text"] == '"[here\\](https://example.com)" is no duration, nor is [] (1)'
    assert result["relatedLocations"][0]["message"]["text"] == '"[0\\](1)" is'


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("a b/100%/ä.cue", {"uri": "a%20b/100%25/%C3%A4.cue", "uriBaseId": ROOT}),
        ("./discovery.json", {"uri": "discovery.json", "uriBaseId": ROOT}),
        ("/tmp/discovery.json", {"uri": "file:///tmp/discovery.json"}),
        ("<stdin>", {"uri": "%3Cstdin%3E", "uriBaseId": ROOT}),
        ("a:b/c.cue", {"uri": "a%3Ab/c.cue", "uriBaseId": ROOT}),
    ],
)
def test_a_sarif_artifact_is_a_uri_relative_to_the_root(file: str, uri: dict[str, str]) -> None:
    (result,) = run_of(at("tset", name=file))["results"]

    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == uri


def test_every_sarif_result_has_a_line_since_code_scanning_refuses_a_file_for_one_without() -> None:
    about_another = Finding(
        code="FC502", severity=Severity.ERROR, message="twice", related=((Place(file="d.json"), "here"),)
    )

    results = run_of(NOWHERE, MISSING, CARRIED, about_another)["results"]

    places = [result["locations"][0]["physicalLocation"] for result in results]
    assert [(place["artifactLocation"]["uri"], place["region"]["startLine"]) for place in places] == [
        (".forge/repo.cue", 1),
        (".forge/repo.cue", 1),
        ("a%20b/c.cue", 7),
        ("d.json", 1),
    ]
    assert all("endLine" not in place["region"] for place in places), "no more is claimed than is known"


def test_a_fingerprint_stays_when_the_text_moves_and_tells_equal_findings_apart() -> None:
    moved = Diagnostic(Code.UNKNOWN_PHASE, "wrong", Source("api/.forge/project.cue", "\n\n\ntset").span(3, 7))

    results = run_of(at("tset"), finding_of(moved), at('"äpi"'))["results"]

    first, again, other = (result["partialFingerprints"][FINGERPRINT] for result in results)
    assert (first[:-2], first[-2:], again[-2:]) == (again[:-2], ":1", ":2")
    assert other[:-2] != first[:-2]


def test_an_annotation_has_place_title_and_text() -> None:
    assert render_github([at("tset", help="try test", project="api"), NOWHERE, MISSING, CARRIED]) == (
        "::error file=api/.forge/project.cue,line=3,col=3,endLine=3,endColumn=6,title=FC304::"
        "api: wrong%0A.forge/repo.cue:1:9: declared here%0Ahelp: try test\n"
        "::error title=FC605::git failed\n"
        "::error file=.forge/repo.cue,title=FC301::it is missing\n"
        "::warning file=a b/c.cue,line=7,col=3,title=FC999::new\n"
    )


def test_nothing_of_a_repository_ends_a_property_or_begins_a_command() -> None:
    hostile = "100%\r\n::set-output name=x,y::z\x1b[0m\u2028"
    finding = finding_of(Diagnostic(Code.BAD_VALUE, hostile, Source(f"{hostile}.cue", TEXT).span(0, 1), help=hostile))

    (line,) = render_github([finding]).splitlines()

    properties, _, data = line.removeprefix("::error ").partition("::")
    assert [each.partition("=")[0] for each in properties.split(",")] == [
        "file",
        "line",
        "col",
        "endLine",
        "endColumn",
        "title",
    ]
    assert "100%25\\x0d\\x0a%3A%3Aset-output name=x%2Cy" in properties
    assert data.startswith("100%25\\x0d\\x0a::set-output")
    assert not re.search(r"[\x00-\x1f\u2028]", line)


def test_a_place_of_several_lines_is_annotated_at_its_start() -> None:
    assert "line=2,col=13,title" in render_github([at("{\n  tset: unit: 1\n}")])


def test_more_annotations_than_are_shown_are_announced() -> None:
    few = render_github([NOWHERE] * SHOWN_MAX)
    many = render_github([NOWHERE] * (SHOWN_MAX + 1) + [CARRIED])

    assert "::notice" not in few
    assert many.splitlines()[-1] == "::notice::10 annotations of a type are shown; this log has 11 errors, 1 warning"


def test_nothing_found_is_a_document_too() -> None:
    assert json.loads(render_json([]))["diagnostics"] == []
    assert run_of()["results"] == []
    assert render_github([]) == ""
