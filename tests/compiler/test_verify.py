"""`forgec verify`: who says what of input, plan and output, and what that comes to."""

import json
from pathlib import Path

import pytest
from tests.compiler.documents import document, many

from forgec.cli.main import main
from forgec.compilation import Options, compile_document
from forgec.discovery.model import to_json
from forgec.verify import Check, State, receipt_of, verify

FOUR = document({"test": 1}, many(4, {"test": ["unit"]}))
FIVE = document({"test": 1}, many(5, {"test": ["unit"]}))
DIGEST = "sha256:" + "0" * 64


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "four.json").write_bytes(to_json(FOUR))
    (tmp_path / "five.json").write_bytes(to_json(FIVE))
    return tmp_path


def states(out: str) -> dict[str, str]:
    """What is said of input, plan and output."""
    words = [line.split() for line in out.splitlines()]
    return {line[0]: line[1] for line in words if line and line[0] in ("input", "plan", "output")}


def test_what_was_compiled_is_verified(capfd: pytest.CaptureFixture[str]) -> None:
    main(["compile", "four.json", "-o", "out.yaml", "--receipt", "receipt.json"])

    assert main(["verify", "out.yaml", "--input", "four.json", "--receipt", "receipt.json"]) == 0

    out = capfd.readouterr().out
    assert states(out) == {"input": "same", "plan": "same", "output": "same"}
    assert out.endswith("out.yaml: verified\n")


def test_without_a_receipt_nothing_says_what_the_input_was(capfd: pytest.CaptureFixture[str]) -> None:
    main(["compile", "four.json", "-o", "out.yaml"])

    assert main(["verify", "out.yaml", "-i", "four.json"]) == 0

    assert states(capfd.readouterr().out) == {"input": "unknown", "plan": "same", "output": "same"}


def test_without_an_input_the_receipt_alone_is_asked(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["compile", "four.json", "-o", "out.yaml", "--receipt", "receipt.json"])

    assert main(["verify", "out.yaml", "--receipt", "receipt.json"]) == 0
    (folder / "out.yaml").write_bytes((folder / "out.yaml").read_bytes() + b"\n")
    assert main(["verify", "out.yaml", "--receipt", "receipt.json"]) == 1

    assert capfd.readouterr().out.endswith("out.yaml: not verified: output\n")


def test_another_input_differs_in_everything(capfd: pytest.CaptureFixture[str]) -> None:
    main(["compile", "four.json", "-o", "out.yaml", "--receipt", "receipt.json"])

    assert main(["verify", "out.yaml", "-i", "five.json", "--receipt", "receipt.json"]) == 1

    assert states(capfd.readouterr().out) == {"input": "differs", "plan": "differs", "output": "differs"}


def test_an_edited_workflow_is_shown_by_its_lines(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["compile", "four.json", "-o", "out.yaml"])
    text = (folder / "out.yaml").read_text(encoding="utf-8")
    (folder / "out.yaml").write_text(text.replace("parallelism: 100", "parallelism: 500"), encoding="utf-8")

    assert main(["verify", "out.yaml", "-i", "four.json"]) == 1

    out = capfd.readouterr().out
    assert states(out) == {"input": "unknown", "plan": "same", "output": "differs"}
    assert "\n-  parallelism: 500\n+  parallelism: 100\n" in out


def test_the_receipt_knows_the_options(capfd: pytest.CaptureFixture[str]) -> None:
    image = f"registry.example.com/dispatcher@{DIGEST}"
    options = ["--shard-size", "2", "--image", image, "--argo-target", "3.7"]
    main(["compile", "four.json", "-o", "out.yaml", "--receipt", "receipt.json", *options])

    assert main(["verify", "out.yaml", "-i", "four.json", "--receipt", "receipt.json"]) == 0
    assert main(["verify", "out.yaml", "-i", "four.json"]) == 1

    assert "a receipt (forgec compile --receipt) would hold the real ones" in capfd.readouterr().out


def test_the_dynamic_form_names_no_plan(capfd: pytest.CaptureFixture[str]) -> None:
    main(["compile", "four.json", "--dynamic", "-o", "out.yaml", "--receipt", "receipt.json"])

    assert main(["verify", "out.yaml", "-i", "four.json", "--receipt", "receipt.json"]) == 0


def test_another_version_of_the_compiler_is_named_as_a_cause(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["compile", "four.json", "-o", "out.yaml", "--receipt", "receipt.json"])
    receipt = json.loads((folder / "receipt.json").read_bytes())
    (folder / "receipt.json").write_text(json.dumps({**receipt, "compiler": "0.0.9", "output": DIGEST}))

    assert main(["verify", "out.yaml", "-i", "four.json", "--receipt", "receipt.json"]) == 1

    assert "compiled by forgec 0.0.9, and again by " in capfd.readouterr().out


def test_every_option_that_changes_the_workflow_is_in_the_receipt(folder: Path) -> None:
    """A new option of `forgec compile` has to be one of these, or be kept in receipts."""
    import argparse

    from forgec.cli.compile import COMMAND

    parser = argparse.ArgumentParser()
    COMMAND.add_arguments(parser)
    options = {action.dest for action in parser._actions} - {"help"}
    of_the_input = {"input", "rev", "cue_engine", "trigger", "ref", "branch", "tag", "no_limits"}
    of_the_output = {"emit", "output", "receipt", "source_map", "report_format", "deny_warnings"}

    assert options - of_the_input - of_the_output == set(Options.__struct_fields__)


def test_a_workflow_that_names_two_plans_is_not_verified() -> None:
    compiled = compile_document(FOUR, Options())
    receipt = receipt_of(FOUR, compiled, Options(), compiler="0.1.0")

    _, plan, _ = verify(compiled.workflow + DIGEST.encode(), receipt=receipt, recompiled=receipt)

    assert plan.state is State.DIFFERS
    assert plan.digests["file"] == " and ".join(sorted((DIGEST, receipt.plan)))


def test_a_digest_that_nobody_else_knows_is_neither_right_nor_wrong() -> None:
    assert Check(what="input", digests={}).state is State.UNKNOWN
    assert Check(what="input", digests={"receipt": DIGEST}).state is State.UNKNOWN
