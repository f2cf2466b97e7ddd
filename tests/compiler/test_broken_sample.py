"""The sample of examples/broken: twelve mistakes, as people make them, and twelve errors."""

import json
from pathlib import Path

import pytest

from forgec.cli.main import main

BROKEN = Path(__file__).resolve().parents[2] / "examples" / "broken"

MISTAKES = [
    ".forge/repo.cue:9:FC206",  # a duration in words
    "api/.forge/project.cue:7:FC307",  # a target that is called otherwise
    "api/.forge/project.cue:13:FC306",  # a publisher that nobody declared
    "billing/.forge/project.cue:6:FC101",  # a string that is left open
    "docs/.forge/project.cue:5:FC305",  # no part in a required phase
    "mail/.forge/project.cue:6:FC203",  # an unknown field
    "mail/.forge/project.cue:7:FC205",  # a number in quotes
    "payments/.forge/project.cue:13:FC201",  # two values for one field, in two places
    "search/.forge/project.cue:12:FC202",  # a definition that is called otherwise
    "web-next/.forge/project.cue:3:FC303",  # a copied project that kept its name
    "web/.forge/project.cue:7:FC304",  # a phase that is called otherwise
    "worker/.forge/project.cue:9:FC206",  # a regular expression that does not close
]


def test_each_of_twelve_mistakes_is_reported_once_at_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["check", str(BROKEN), "--format", "json"])

    found = json.loads(capfd.readouterr().out)
    assert (code, found["errors"], found["warnings"]) == (1, 12, 0)
    assert [f"{each['file']}:{each['line']}:{each['code']}" for each in found["diagnostics"]] == MISTAKES


def test_the_mistakes_are_told_in_words_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    main(["check", str(BROKEN)])

    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("\nerror[") + said.err.startswith("error[") == len(MISTAKES)
    assert said.err.endswith("\n12 errors\n")
