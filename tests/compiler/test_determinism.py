"""Same input, same bytes: whatever the machine around the compiler is like."""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.compiler.documents import shuffled

from forgec import pipeline
from forgec.manifest.lower import ManifestOptions
from forgec.plan.model import SHARD_SIZE_DEFAULT

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "golden" / "plans"
MONOREPO = ROOT / "examples" / "monorepo"
CASES = ("unusual-names", "release-artifacts", "sharded-100-projects")
LIMIT_S = 60

ENVIRONMENTS = {
    "no hash randomisation": {"PYTHONHASHSEED": "0"},
    "one hash seed": {"PYTHONHASHSEED": "1"},
    "another hash seed": {"PYTHONHASHSEED": "4294967295"},
    "the C locale": {"LC_ALL": "C", "LANG": "C"},
    "a locale of UTF-8": {"LC_ALL": "C.UTF-8"},
    "a locale that is not installed": {"LC_ALL": "tr_TR.UTF-8"},
    "ASCII alone": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "a time zone ahead": {"TZ": "Asia/Kathmandu"},
    "a time zone behind": {"TZ": "America/Los_Angeles"},
    "a fork of a pull request in CI": {"CI": "true", "GITHUB_ACTIONS": "true"},
    "without assertions": {"PYTHONOPTIMIZE": "1"},
    "another home": {"HOME": "/nonexistent", "USER": "somebody", "COLUMNS": "20", "NO_COLOR": "1"},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_the_environment_changes_no_byte(environment: dict[str, str]) -> None:
    case = "unusual-names"
    source = str(GOLDEN / case / "discovery.json")

    workflow, plan = (compiled(source, "--emit", form, environment=environment) for form in ("workflow", "plan"))

    assert workflow == (GOLDEN / case / "workflow.yaml").read_bytes()
    assert plan == (GOLDEN / case / "plan.json").read_bytes()


@pytest.mark.parametrize("name", ["another hash seed", "the C locale", "ASCII alone", "a time zone ahead"])
def test_the_environment_changes_no_byte_of_what_a_directory_becomes(name: str) -> None:
    usual = compiled(str(MONOREPO), "--emit", "discovery")

    assert compiled(str(MONOREPO), "--emit", "discovery", environment=ENVIRONMENTS[name]) == usual


@pytest.mark.parametrize("form", ["discovery", "workflow"])
def test_the_working_directory_and_the_way_to_the_input_change_no_byte(tmp_path: Path, form: str) -> None:
    ways = {
        compiled(str(MONOREPO), "--emit", form, directory=tmp_path),
        compiled(".", "--emit", form, directory=MONOREPO),
        compiled(f"../{MONOREPO.name}/", "--emit", form, directory=MONOREPO),
    }
    document = GOLDEN / "release" / "discovery.json"
    expected = (GOLDEN / "release" / "workflow.yaml").read_bytes()

    assert len(ways) == 1
    assert compiled("discovery.json", directory=document.parent) == expected
    assert compiled("-", directory=tmp_path, stdin=document.read_bytes()) == expected


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_keys_and_of_projects_changes_no_byte(case: str) -> None:
    raw: Any = json.loads((GOLDEN / case / "discovery.json").read_bytes())

    for seed in range(10):
        random = Random(seed)
        changed = shuffled(raw, lambda keys, random=random: random.sample(keys, len(keys)))  # type: ignore[misc]
        random.shuffle(changed["projects"])
        plan = pipeline.plan(
            pipeline.read("discovery.json", json.dumps(changed).encode()), shard_size=SHARD_SIZE_DEFAULT
        )
        workflow = pipeline.lower(plan, ManifestOptions(), dynamic=False)

        assert pipeline.emit_plan(plan) == (GOLDEN / case / "plan.json").read_bytes()
        assert pipeline.emit(workflow) == (GOLDEN / case / "workflow.yaml").read_bytes()


def compiled(
    source: str, *options: str, environment: dict[str, str] | None = None, directory: Path = ROOT, stdin: bytes = b""
) -> bytes:
    """What `forgec compile` prints for an input, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "forgec", "compile", source, *options],
        cwd=directory,
        env={"PATH": os.environ["PATH"], **(environment or {})},
        input=stdin,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
