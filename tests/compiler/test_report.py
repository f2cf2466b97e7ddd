"""Where findings go, and where they never go."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forgec.cli.main import main

RIGHT: dict[str, Any] = {"repository": {"forgeVersion": "v1.0.0", "tagging": {"strategy": "monorepo"}}}
DOUBTFUL: dict[str, Any] = {"repository": {"forgeVersion": "v1.9.0", "tagging": {"strategy": "monorepo"}}}
WRONG: dict[str, Any] = {"repository": {"forgeVersion": "v9.0.0", "tagging": {"strategy": "monorepo"}}}


def written(tmp_path: Path, document: dict[str, Any]) -> str:
    path = tmp_path / "discovery.json"
    path.write_text(json.dumps(document))
    return str(path)


@pytest.mark.parametrize("form", ["json", "sarif", "github"])
@pytest.mark.parametrize("document", [DOUBTFUL, WRONG])
def test_a_form_for_programs_is_all_of_standard_output(
    form: str, document: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    main(["check", written(tmp_path, document), "--format", form])

    said = capfd.readouterr()
    assert said.err == ""
    assert said.out.startswith("::" if form == "github" else "{\n")
    if form != "github":
        json.loads(said.out)


def test_text_leaves_standard_output_to_the_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["compile", written(tmp_path, DOUBTFUL)])

    said = capfd.readouterr()
    assert (code, said.out.splitlines()[0]) == (0, "apiVersion: argoproj.io/v1alpha1")
    assert said.err.startswith("warning[FC312]")


@pytest.mark.parametrize(("document", "expected"), [(RIGHT, 0), (DOUBTFUL, 1), (WRONG, 1)])
def test_denied_warnings_end_as_errors_do(
    document: dict[str, Any], expected: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = main(["compile", written(tmp_path, document), "--deny-warnings", "-o", str(tmp_path / "out.yaml")])

    assert (code, "warning[" in capfd.readouterr().err) == (expected, False)
    assert (tmp_path / "out.yaml").exists() == (expected == 0)


def test_denied_warnings_that_a_document_carries_are_errors_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    carried = RIGHT | {"warnings": [{"code": "FC313", "message": "dynamic", "file": "api/Earthfile", "line": 3}]}

    code = main(["check", written(tmp_path, carried), "--deny-warnings"])

    assert (code, capfd.readouterr().err) == (1, "error[FC313]: dynamic (api/Earthfile:3:1)\n")


def test_a_warning_is_carried_with_the_place_that_makes_sense(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    strange = [
        {"code": "FC313", "message": "a", "file": "api/Earthfile", "line": -1, "column": 0},
        {"code": "FC313", "message": "b", "file": "api/Earthfile", "line": 2, "column": -7},
        {"code": "of the future", "message": "c"},
    ]

    main(["check", written(tmp_path, RIGHT | {"warnings": strange}), "--format", "sarif"])

    (run,) = json.loads(capfd.readouterr().out)["runs"]
    places = {each["message"]["text"]: each["locations"][0]["physicalLocation"] for each in run["results"]}
    assert {name: place["region"] for name, place in places.items()} == {
        "a": {"startLine": 1, "startColumn": 1},
        "b": {"startLine": 2, "startColumn": 1},
        "c": {"startLine": 1, "startColumn": 1},
    }
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["FC313", "of the future"]


def test_a_report_that_cannot_be_written_is_an_error_with_a_reason(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "forgec", "check", written(tmp_path, RIGHT), "--format", "json"],
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )

    assert done.returncode == 1
    assert done.stderr.startswith(b"error[FC604]: cannot write to standard output")


def test_wrong_usage_is_no_report(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compile", written(tmp_path, WRONG), "--format", "json"])

    said = capfd.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert "write the output with -o FILE" in said.err
