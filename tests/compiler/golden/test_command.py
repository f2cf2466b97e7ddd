"""`forgec golden`: what is compared, what is told, and what is written."""

import re
import shutil
from pathlib import Path

import pytest
from tests.compiler.documents import document, many, project

from forgec.cli.main import main
from forgec.discovery.model import Discovery, to_json

GOLDEN = Path(__file__).resolve().parents[3] / "golden"
BEFORE = document({"test": 1}, [project("api", {"test": ["unit"]})])
AFTER = document({"test": 1}, [project("api", {"test": ["unit", "e2e"]})])


@pytest.fixture(autouse=True)
def on_a_machine_of_ones_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Two cases with their golden files."""
    for name in ("first", "second"):
        write(tmp_path / "cases" / name, BEFORE)
    assert main(["golden", "update", "cases"]) == 0
    return tmp_path / "cases"


def write(folder: Path, found: Discovery) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "discovery.json").write_bytes(to_json(found))


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_golden_plans_of_the_compiler_are_cases_of_its_own_command(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["golden", "check", str(GOLDEN / "plans")]) == 0

    count = len(list((GOLDEN / "plans").iterdir()))
    assert capfd.readouterr().out == f"{count} cases: {count} as expected, 0 not\n"


def test_a_case_is_checked_alone_or_with_its_neighbours(cases: Path) -> None:
    write(cases / "first", AFTER)

    assert main(["golden", "check", str(cases / "second")]) == 0
    assert main(["golden", "check", str(cases / "first")]) == 1
    assert main(["golden", "check", str(cases)]) == 1


def test_a_difference_of_the_work_is_told_as_that_and_without_lines_of_yaml(
    cases: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(cases / "first", AFTER)
    capfd.readouterr()

    main(["golden", "check", "cases"])

    out = capfd.readouterr().out
    assert "case first\n  golden → now: 1 added\n" in out
    assert "    + step test/e2e: target +e2e" in out
    assert "+++" not in out
    assert out.endswith("2 cases: 1 as expected, 1 not (forgec golden update cases accepts what there is now)\n")


def test_a_manifest_of_the_same_plan_is_told_by_its_lines(cases: Path, capfd: pytest.CaptureFixture[str]) -> None:
    workflow = cases / "first" / "workflow.yaml"
    workflow.write_text(re.sub("parallelism: .*", "parallelism: 7", workflow.read_text(encoding="utf-8")))
    capfd.readouterr()

    assert main(["golden", "check", "cases"]) == 1

    out = capfd.readouterr().out
    assert "the plan is the same, and the manifest is not" in out
    assert "\n  -  parallelism: 7\n  +  parallelism: " in out


def test_what_many_cases_have_in_common_is_told_once(cases: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(cases / "second", AFTER)
    assert main(["golden", "update", "cases"]) == 0
    for workflow in cases.glob("*/workflow.yaml"):
        text = workflow.read_text(encoding="utf-8")
        workflow.write_text(text.replace("    forge.io/plan:", "    forge.io/digest:"), encoding="utf-8")
    capfd.readouterr()

    assert main(["golden", "check", "cases"]) == 1

    out = capfd.readouterr().out
    assert out.startswith("case first, and alike second\n")
    assert out.count("the plan is the same, and the manifest is not") == 1


def test_many_lines_are_counted(cases: Path, capfd: pytest.CaptureFixture[str]) -> None:
    workflow = cases / "first" / "workflow.yaml"
    workflow.write_text("\n".join(f"line {at}" for at in range(100)))
    capfd.readouterr()

    main(["golden", "check", "cases"])

    assert re.search(r"^  \.\.\. and \d+ lines more$", capfd.readouterr().out, re.MULTILINE)


def test_a_plan_in_other_units_is_the_same_work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "cases" / "unit", document({"test": 1}, many(6, {"test": ["unit"]})))
    main(["golden", "update", "cases"])
    (tmp_path / "cases" / "unit" / "case.json").write_text('{"shardSize": 3}')
    capfd.readouterr()

    assert main(["golden", "check", "cases"]) == 1

    assert "the work is the same, and the plan is written otherwise or cut into other units" in capfd.readouterr().out


def test_an_update_accepts_what_there_is_now_and_says_what_that_was(
    cases: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(cases / "first", AFTER)
    capfd.readouterr()

    assert main(["golden", "update", "cases"]) == 0

    out = capfd.readouterr().out
    assert "+ step test/e2e" in out
    assert out.endswith("2 cases: 1 updated\n  wrote cases/first/plan.json\n  wrote cases/first/workflow.yaml\n")
    assert main(["golden", "check", "cases"]) == 0


def test_a_second_update_writes_nothing(cases: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in cases.rglob("*")}
    capfd.readouterr()

    assert main(["golden", "update", "cases"]) == 0

    assert capfd.readouterr().out == "2 cases: 0 updated\n"
    assert {path: path.stat().st_mtime_ns for path in cases.rglob("*")} == before


@pytest.mark.parametrize("value", ["true", "1", "woodpecker"])
def test_continuous_integration_updates_nothing(
    cases: Path, value: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write(cases / "first", AFTER)
    before = files(cases)
    monkeypatch.setenv("CI", value)

    assert main(["golden", "update", "cases"]) == 2

    assert "error[FC614]" in capfd.readouterr().err
    assert files(cases) == before


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_a_mark_that_says_no_is_none(cases: Path, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", value)

    assert main(["golden", "update", "cases"]) == 0


def test_one_broken_case_keeps_all_from_being_written(cases: Path) -> None:
    write(cases / "first", AFTER)
    (cases / "second" / "discovery.json").write_text("{")
    before = files(cases)

    assert main(["golden", "update", "cases"]) == 2

    assert files(cases) == before


def test_a_file_that_cannot_be_written_leaves_the_others_as_they_were(
    cases: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write(cases / "first", AFTER)
    write(cases / "second", AFTER)
    shutil.copy(cases / "second" / "workflow.yaml", cases / "kept")
    (cases / "second" / "workflow.yaml").unlink()
    (cases / "second" / "workflow.yaml").mkdir()
    before = files(cases)

    assert main(["golden", "update", "cases"]) == 2

    assert "nothing was changed" in capfd.readouterr().err
    assert files(cases) == before


def test_a_case_of_a_repository_follows_its_files_and_its_event(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(GOLDEN.parent / "examples" / "monorepo", tmp_path / "repo")
    case = tmp_path / "repo" / "golden" / "push-to-main"
    case.mkdir(parents=True)
    (case / "case.json").write_text('{"directory": "../..", "trigger": "push", "branch": "main"}')
    assert main(["golden", "update", "repo/golden"]) == 0
    assert main(["golden", "check", "repo/golden"]) == 0

    (case / "case.json").write_text('{"directory": "../.."}')
    capfd.readouterr()

    assert main(["golden", "check", "repo/golden"]) == 1
    assert "released yes → no" in capfd.readouterr().out
