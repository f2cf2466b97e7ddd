"""Golden files: what each stage makes of a document, reviewed like code.

A case is a folder of golden/plans with the document, its plan and its static workflow, so that a difference shows at
which stage behaviour moved. `FORGE_GOLDEN=write` rewrites the expectations; the same run checks every workflow against
Argo's definition, so a broken one is not blessed unseen. Where the definition is not at hand, the lint's own table of
fields stands in, which is exactly the definition's down to what the compiler emits (`lint/test_field.py`).
"""

import importlib
import importlib.metadata
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.compiler.manifest.crd import absence, violations, workflow_schema
from tests.judge import Judged

from forgec import pipeline
from forgec.lint.text import lint_text
from forgec.manifest.lower import ManifestOptions, lower_dynamic
from forgec.manifest.target import TARGETS
from forgec.plan.model import SHARD_SIZE_DEFAULT
from forgec.source import Source

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
CASES = sorted(folder.name for folder in (GOLDEN / "plans").iterdir())
DYNAMIC = GOLDEN / "dynamic" / "workflow.yaml"
REWRITE = os.environ.get("FORGE_GOLDEN") == "write"


def compiled(case: str) -> dict[str, bytes]:
    """Every output of a case by the name of its file."""
    source = GOLDEN / "plans" / case / "discovery.json"
    discovery = pipeline.read(f"{case}/discovery.json", source.read_bytes())
    plan = pipeline.plan(discovery, shard_size=SHARD_SIZE_DEFAULT)
    workflow = pipeline.lower(plan, ManifestOptions(), dynamic=False)
    return {"plan.json": pipeline.emit_plan(plan), "workflow.yaml": pipeline.emit(workflow)}


def dynamic() -> bytes:
    return pipeline.emit(lower_dynamic(ManifestOptions()))


def check_golden(path: Path, found: bytes) -> None:
    if REWRITE:
        path.write_bytes(found)
    assert path.is_file(), f"{path.name} is missing; FORGE_GOLDEN=write makes it"
    assert found.decode() == path.read_text(encoding="utf-8"), f"{path} differs; FORGE_GOLDEN=write accepts the change"


@pytest.mark.parametrize("case", CASES)
def test_a_document_compiles_to_its_golden_plan_and_workflow(case: str) -> None:
    for name, found in compiled(case).items():
        check_golden(GOLDEN / "plans" / case / name, found)


def test_the_dynamic_workflow_is_the_golden_one() -> None:
    check_golden(DYNAMIC, dynamic())


def test_every_golden_file_belongs_to_a_case() -> None:
    expected = {"discovery.json", "plan.json", "workflow.yaml"}
    for case in CASES:
        assert {path.name for path in (GOLDEN / "plans" / case).iterdir()} == expected, case
    assert [path.name for path in DYNAMIC.parent.iterdir()] == [DYNAMIC.name]


def workflow(case: str) -> Any:
    return yaml.safe_load(dynamic() if case == "dynamic" else compiled(case)["workflow.yaml"])


@pytest.mark.parametrize("case", [*CASES, "dynamic"])
@pytest.mark.parametrize("version", TARGETS)
def test_every_golden_workflow_has_the_fields_of_the_table_and_nothing_that_the_lint_finds(
    case: str, version: str
) -> None:
    text = Source("workflow.yaml", yaml.safe_dump(workflow(case)))

    assert lint_text(text, TARGETS[version]).diagnostics == ()


@pytest.mark.parametrize("case", [*CASES, "dynamic"])
def test_every_golden_workflow_holds_against_argos_full_definition(case: str, judged: Judged) -> None:
    if (why := absence()) is not None:
        judged.absent("CRD of Argo's Workflow", f"{why}. Only the lint's own table of its fields judges the workflows")

    assert list(violations(workflow(case), workflow_schema())) == []
    judged("CRD of Argo's Workflow", "v1alpha1", "golden workflows held against its schema", 1)


@pytest.mark.parametrize("case", [*CASES, "dynamic"])
def test_every_golden_workflow_survives_a_round_trip_through_hera(case: str, judged: Judged) -> None:
    try:
        hera = importlib.import_module("hera.workflows.models")
    except ImportError:
        judged.absent("hera", "it is not installed; its models are made from Argo's own")
    document = workflow(case)

    read = hera.Workflow.model_validate(document)

    assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == document
    judged("hera", importlib.metadata.version("hera"), "golden workflows read and written again", 1)
