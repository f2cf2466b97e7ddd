"""Argo's validator and ours: what the compiler makes is right, and what Argo refuses the lint calls an error."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.compiler.documents import documents
from tests.compiler.lint.mistakes import changed
from tests.compiler.lint.workflows import WORKFLOWS
from tests.conformance.argo.conftest import Ask
from tests.conformance.argo.validator import examples
from tests.judge import cases
from tests.txtar import read_archive

from forgec import pipeline
from forgec.diagnostic import Code, Diagnostic, ForgeError, Severity
from forgec.discovery.model import Discovery
from forgec.lint.text import lint_text
from forgec.manifest.lower import ManifestOptions
from forgec.manifest.target import TARGETS
from forgec.plan.model import Granularity
from forgec.source import Source

pytestmark = pytest.mark.timeout(1200)  # the first test may have to build the validator

GOLDEN: Final = Path(__file__).resolve().parents[3] / "golden"
JUDGED_VERSION: Final = "4.0"
"""Of Argo; what else came with 4.1 is no matter of the validator's."""

BEYOND_ARGO: Final = frozenset(
    {
        Code.WORKFLOW_NAME,  # the API server's
        Code.TOO_MANY_TEMPLATES,  # the full definitions'
        Code.TOO_MANY_TASKS,
        Code.TOO_MANY_INPUTS,
        Code.TOO_MANY_METRICS,
        Code.MANIFEST_TOO_LARGE,  # the controller's
        Code.NODE_COLLISION,
        Code.FAIL_FAST_WITH_RETRY,
        Code.DEADLINE_ON_GROUP,
        Code.FIELD_NOT_IN_TARGET,
        Code.MISSING_FIELD,
        Code.BAD_VALUE,
        Code.WRONG_TYPE,
        Code.UNKNOWN_FIELD,  # in steps, which Argo's strict parser does not look into
        Code.TAG_OPEN,  # where a later text closes it
        Code.TAG_UNRESOLVED,  # of what runs beside or later
        Code.TEMPLATE_UNKNOWN,  # of hooks
        Code.DEPENDENCY_INVALID,
        Code.NOT_A_WORKFLOW,
    }
)
"""What the lint refuses and the validator does not see."""

OF_A_CLUSTER: Final = "is forbidden: User cannot get resource"

OF_THEIR_ORDER: Final = "failed to resolve {{workflow.outputs."
"""Argo knows what a template exports once it has looked at a step that starts it, and it looks in its own order."""


def errors(manifest: str, version: str = JUDGED_VERSION) -> list[Diagnostic]:
    try:
        found = lint_text(Source("workflow.yaml", manifest), TARGETS[version]).diagnostics
    except ForgeError as error:
        found = error.diagnostics
    return [each for each in found if each.severity is Severity.ERROR]


def test_argo_accepts_every_golden_workflow(ask: Ask) -> None:
    manifests = {
        str(path.relative_to(GOLDEN)): path.read_text(encoding="utf-8") for path in GOLDEN.rglob("workflow*.yaml")
    }

    answers = ask("golden workflows", manifests)

    assert {name: found for name, found in answers.items() if found} == {}
    assert len(answers) == len(manifests) > 10


def test_argo_accepts_what_is_made_of_any_document(ask: Ask, request: pytest.FixtureRequest) -> None:
    wanted = cases(100, full=500)
    manifests: dict[str, str] = {}

    @settings(
        max_examples=2 * wanted,
        deadline=None,
        database=None,
        derandomize=seed(request) is None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(documents(), st.sampled_from(("shard", "step")))
    def compile_static(found: Discovery, granularity: Granularity) -> None:
        plan = pipeline.plan(found, shard_size=2, granularity=granularity)
        manifest = pipeline.emit(pipeline.lower(plan, ManifestOptions(), dynamic=False)).decode()
        if len(manifests) < wanted and manifest not in manifests.values():
            manifests[f"document {len(manifests)}"] = manifest

    compile_static()
    answers = ask("workflows of generated documents", manifests)

    assert {manifests[name]: found for name, found in answers.items() if found} == {}
    assert len(answers) == wanted


def test_both_accept_workflows_of_every_kind(ask: Ask) -> None:
    answers = ask("workflows of every kind", WORKFLOWS)

    assert {name: found for name, found in answers.items() if found} == {}
    assert {name: [str(each) for each in errors(manifest)] for name, manifest in WORKFLOWS.items()} == {
        name: [] for name in WORKFLOWS
    }


def test_what_argo_refuses_among_the_lint_s_own_cases_is_an_error(ask: Ask) -> None:
    texts = {path.stem: read_archive(path).files["workflow.yaml"] for path in (GOLDEN / "lint").glob("*.txtar")}
    manifests = {name: text for name, text in texts.items() if "NOT_A_WORKFLOW" not in text}

    answers = ask("cases of the lint", manifests)

    compare(manifests, answers)
    assert any(answers.values()), "Argo refuses none of the lint's cases: they are not read"


def test_both_judge_argos_own_examples_alike(ask: Ask) -> None:
    """Those that need templates of a cluster are for Argo to refuse here, and several kinds in a file for both."""
    answers = ask("of Argo's own examples and tests", examples())

    alone = {name: found for name, found in answers.items() if not any(OF_A_CLUSTER in each for each in found)}
    compare({name: examples()[name] for name in alone}, alone)
    assert sum(not found for found in alone.values()) > 300


def test_both_judge_alike_what_somebody_got_wrong(ask: Ask, request: pytest.FixtureRequest) -> None:
    wanted = cases(600, full=3000)
    chance = random.Random(seed(request) or "0")
    right = {name: yaml.safe_load(manifest) for name, manifest in WORKFLOWS.items()}
    manifests = {}
    for at in range(wanted):
        name = chance.choice(sorted(right))
        manifests[f"{name} {at}"] = yaml.safe_dump(changed(right[name], chance), sort_keys=False)

    answers = ask("workflows with a mistake", manifests)

    compare(manifests, answers)
    assert sum(bool(found) for found in answers.values()) > wanted / 4


def seed(request: pytest.FixtureRequest) -> str | None:
    """Of `make conformance SEED=7`; without one every run has the same cases."""
    given = request.config.getoption("--hypothesis-seed")
    return None if given is None else str(given)


def compare(manifests: dict[str, str], answers: dict[str, Sequence[str]]) -> None:
    """What Argo refuses is an error, and what it accepts none but those that Argo does not look for."""
    found = {name: errors(manifest) for name, manifest in manifests.items()}

    missed = [
        f"{name}: Argo says {answer}"
        for name, answer in answers.items()
        if answer and not found[name] and not any(OF_THEIR_ORDER in each or OF_A_CLUSTER in each for each in answer)
    ]
    too_much = [
        f"{name}: Argo accepts, the lint says {each.code.id} {each.message}"
        for name, answer in answers.items()
        if not answer
        for each in found[name]
        if each.code not in BEYOND_ARGO
    ]
    assert not missed + too_much, "\n".join(missed + too_much)
