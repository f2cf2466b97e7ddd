"""`forgec diff` on a repository: revisions, paths, and words that might be either."""

from pathlib import Path

import pytest
from tests.git_repository import git, new_repository

from forgec.cli.main import main

pytestmark = pytest.mark.usefixtures("real_git")

REPO = 'package repo\n\nforgeVersion: "v1.0.0"\ntagging: strategy: "monorepo"\nphases: test: group: 1\n'
PROJECT = 'package project\n\nname: "api"\nci: phases: test: {steps}\n'
UNIT = 'unit: {action: "earthly", target: "+unit"}'
RACE = 'race: {action: "earthly", target: "+race"}'
EARTHFILE = "VERSION 0.8\n\nunit:\n    RUN true\n\nrace:\n    RUN true\n"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Branch `main` has one step, the working directory two; they lie in a directory `ci` of the repository."""
    root = new_repository(tmp_path / "repository")
    write(root / "ci" / ".forge" / "repo.cue", REPO)
    write(root / "ci" / "api" / ".forge" / "project.cue", PROJECT.format(steps=UNIT))
    write(root / "ci" / "api" / "Earthfile", EARTHFILE)
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "first")
    write(root / "ci" / "api" / ".forge" / "project.cue", PROJECT.format(steps=f"{{{UNIT}, {RACE}}}"))
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_branch_against_the_working_directory(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository / "ci")

    assert main(["diff", "main", "."]) == 1

    commit = git(repository, "rev-parse", "--short=12", "main")
    out, err = capfd.readouterr()
    assert out.startswith(f"main ({commit}) → .: 1 added\n")
    assert "  + step test/race: target +race\n" in out
    assert err == ""


def test_two_revisions_of_another_directory(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    git(repository, "commit", "-q", "-a", "-m", "second")

    assert main(["diff", "-C", str(repository / "ci"), "HEAD~1", "HEAD"]) == 1
    assert main(["diff", "-C", str(repository / "ci"), "main", "HEAD"]) == 0

    assert "+ step test/race" in capfd.readouterr().out


def test_a_directory_that_is_called_as_a_branch_comes_first_and_is_told(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    git(repository, "branch", "ci")
    monkeypatch.chdir(repository)

    assert main(["diff", "ci", "./ci"]) == 0

    warning = 'warning[FC611]: "ci" is taken as the path, and is a revision as well'
    assert capfd.readouterr().err.startswith(warning)
    assert main(["diff", "-C", "ci", "rev:ci", "./ci"]) == 1
    assert "warning" not in capfd.readouterr().err


def test_a_word_that_is_neither_is_told_with_the_repository_it_was_looked_for_in(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository / "ci")

    assert main(["diff", "mian", "."]) == 2

    message = "error[FC610]: mian: no file or directory is called so, and no commit is called"
    assert capfd.readouterr().err.startswith(message)


def test_a_revision_that_cannot_be_compiled_is_told_by_its_name(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    git(repository, "rm", "-q", "--cached", "ci/.forge/repo.cue")
    git(repository, "commit", "-q", "-m", "broken")
    monkeypatch.chdir(repository / "ci")

    assert main(["diff", "main", "main~1"]) == 2

    err = capfd.readouterr().err
    assert err.startswith("error[FC301]: main: ")
    assert "main~1" not in err


def test_a_document_against_a_revision(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(repository / "ci")
    main(["discover", ".", "--rev", "main", "-o", "../before.json"])

    assert main(["diff", "../before.json", "rev:main"]) == 0
    assert main(["diff", "../before.json", "."]) == 1

    assert capfd.readouterr().err == ""
