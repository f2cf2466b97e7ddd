"""Names that are no UTF-8, or move a terminal: files have them, documents do not."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from forgec.cli.command import DONE, FOUND, USAGE

FORGEC = (sys.executable, "-m", "forgec")
CASE = Path(__file__).resolve().parents[2] / "golden" / "plans" / "one-project"
ODD = os.fsdecode(b"w\xff\x1b[m")
SHOWN = "w\\u{dcff}\\x1b[m"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a document, its workflow and a golden case of such a name."""
    shutil.copytree(CASE, tmp_path / ODD)
    shutil.copy(CASE / "discovery.json", tmp_path / f"{ODD}.json")
    shutil.copy(CASE / "workflow.yaml", tmp_path / f"{ODD}.yaml")
    return tmp_path


def run(folder: Path, *argv: str) -> "subprocess.CompletedProcess[bytes]":
    environment = os.environ | {"CI": ""}  # where it is set, no golden file is updated
    return subprocess.run([*FORGEC, *argv], cwd=folder, env=environment, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["check", f"{ODD}.json"], f"{SHOWN}.json: no errors"),
        (["lint", f"{ODD}.yaml"], f"{SHOWN}.yaml: nothing found"),
        (["verify", f"{ODD}.yaml", "-i", f"{ODD}.json"], f"{SHOWN}.yaml: verified"),
        (["estimate", f"{ODD}.json"], f"{SHOWN}.json: 1 project"),
        (["diff", f"{ODD}.json", f"{ODD}.json"], f"{SHOWN}.json → {SHOWN}.json: no change"),
        (["diff", f"{ODD}.json", f"{ODD}.json", "--format", "markdown"], f"`{SHOWN}.json` → `{SHOWN}.json`: no change"),
        (["golden", "check", ODD], "1 case: 1 as expected"),
    ],
)
def test_a_file_of_any_name_is_read_and_its_name_shown_escaped(argv: list[str], said: str, folder: Path) -> None:
    done = run(folder, *argv)

    assert (done.returncode, done.stderr) == (DONE, b"")
    assert said in done.stdout.decode()


def test_a_golden_case_of_any_name_is_told_and_updated(folder: Path) -> None:
    (folder / ODD / "workflow.yaml").unlink()

    checked = run(folder, "golden", "check", ".")
    updated = run(folder, "golden", "update", ".")

    assert f"case {SHOWN}\n  workflow.yaml is missing\n" in checked.stdout.decode()
    assert f"  wrote {SHOWN}/workflow.yaml\n" in updated.stdout.decode()
    assert (checked.returncode, updated.returncode) == (FOUND, DONE)


def test_json_and_sarif_of_a_file_of_any_name_are_json(folder: Path) -> None:
    (folder / f"{ODD}.yaml").write_text("kind: Workflow\n")

    sarif = json.loads(run(folder, "lint", f"{ODD}.yaml", "--format", "sarif").stdout)
    compared = json.loads(run(folder, "diff", f"{ODD}.json", f"{ODD}.json", "--format", "json").stdout)

    (run_of_lint,) = sarif["runs"]
    places = [result["locations"][0]["physicalLocation"] for result in run_of_lint["results"]]
    assert {place["artifactLocation"]["uri"] for place in places} == {"w%FF%1B%5Bm.yaml"}
    assert compared["before"]["label"] == f"{SHOWN}.json"


def test_a_name_of_a_directory_is_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    repo, project = tmp_path / ".forge", tmp_path / "grün" / "日本" / ".forge"
    repo.mkdir()
    project.mkdir(parents=True)
    (repo / "repo.cue").write_text('package repo\nforgeVersion: "v1.0.0"\ntagging: strategy: "monorepo"\n')
    (project / "project.cue").write_text('package project\nname: "web"\n')
    (tmp_path / "ignored" / "ä").mkdir(parents=True)
    (tmp_path / ".gitignore").write_text("ä\n", encoding="utf-8")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    command = [*FORGEC, "discover", "."]
    outputs = [
        subprocess.run(
            command, cwd=tmp_path, env=os.environ | locale, capture_output=True, timeout=60, check=True
        ).stdout
        for locale in (plain, {"PYTHONUTF8": "1"})
    ]

    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0])["projects"][0]["path"] == "grün/日本"


@pytest.mark.parametrize("option", ["--branch", "--tag", "--ref", "--image"])
def test_what_comes_to_stand_in_a_document_is_utf_8(option: str, folder: Path) -> None:
    done = run(folder, "compile", f"{ODD}.json", option, ODD)

    assert (done.returncode, done.stdout) == (USAGE, b"")
    assert done.stderr.endswith(f"error: argument {option}: {ODD!r} is not UTF-8\n".encode())


@pytest.mark.parametrize("ref", ["", "main", "heads/main", "refs/heads/", "refs/"])
def test_a_ref_is_a_full_one(ref: str, tmp_path: Path) -> None:
    done = run(tmp_path, "check", ".", "--ref", ref)

    assert done.returncode == USAGE
    assert f'"{ref}" is no full ref, such as refs/heads/main' in done.stderr.decode()
