"""`@repo` and `@artifact` in a project's configuration."""

import pytest

from forgec.diagnostic import Code, ForgeError
from forgec.discovery.discover import discover
from forgec.discovery.model import Discovery
from forgec.discovery.tree import MemoryTree
from forgec.discovery.trigger import Trigger

PUSH = Trigger(commit_sha="a" * 40, ref="refs/heads/main", branch="main", trigger_type="push")
REPO = """package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: {test: group: 1, lint: {group: 1, timeout: "7m"}}
"""
EARTHFILE = "VERSION 0.8\nunit:\n    RUN true\n"


def timeouts(reference: str, repo: str = REPO) -> Discovery:
    step = f'{{action: "earthly", target: "+unit", timeout: {reference}}}'
    files = {
        ".forge/repo.cue": repo,
        "api/.forge/project.cue": f'package project\nname: "api"\nci: phases: test: unit: {step}\n',
        "api/Earthfile": EARTHFILE,
    }
    return discover(MemoryTree({path: text.encode() for path, text in files.items()}), PUSH)


@pytest.mark.parametrize(
    ("reference", "timeout"),
    [
        ('string @repo(path="phases.lint.timeout")', "7m"),
        ('@repo("phases.lint.timeout")', "7m"),
        ('@repo("phases.test.timeout")', "30m"),
        ('"9m" @repo("phases.lint.timeout")', "9m"),
    ],
    ids=["after the value", "in its place", "with the default of the other file", "a value that is given stays"],
)
def test_repo_reference_is_the_value_of_repo_cue(reference: str, timeout: str) -> None:
    document = timeouts(reference)

    assert document.projects[0].phases["test"][0].timeout == timeout


def test_change_of_repo_cue_reaches_a_project_whose_file_is_the_same() -> None:
    before = timeouts('@repo("phases.lint.timeout")')

    after = timeouts('@repo("phases.lint.timeout")', REPO.replace("7m", "8m"))

    assert before.projects[0].phases["test"][0].timeout == "7m"
    assert after.projects[0].phases["test"][0].timeout == "8m"


def test_value_of_another_type_is_refused_where_the_reference_stands() -> None:
    with pytest.raises(ForgeError) as caught:
        timeouts('@repo("phases.lint.group")')

    (problem,) = caught.value.diagnostics
    assert problem.code is Code.WRONG_TYPE
    assert problem.span is not None
    assert problem.span.source.name == "api/.forge/project.cue"


def test_repo_cue_does_not_refer_to_itself() -> None:
    with pytest.raises(ForgeError) as caught:
        timeouts('"1m"', REPO + 'phases: test: description: string @repo("phases.lint.timeout")\n')

    (problem,) = caught.value.diagnostics
    assert problem.code is Code.VALUE_MISSING
    assert "itself" in problem.message


def test_broken_repo_cue_is_told_once_not_for_each_reference_to_it() -> None:
    with pytest.raises(ForgeError) as caught:
        timeouts('@repo("phases.lint.timeout")', REPO.replace("v1.0.0", "one"))

    (problem,) = caught.value.diagnostics
    assert problem.span is not None
    assert problem.span.source.name == ".forge/repo.cue"
