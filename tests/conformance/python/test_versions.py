"""Every Python of this machine compiles the same bytes."""

import functools
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance.python.interpreters import dependencies, interpreters
from tests.go_tool import Unavailable
from tests.judge import Judged

ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "golden" / "plans"
MONOREPO = ROOT / "examples" / "monorepo"
LIMIT_S = 60

PYTHONS = interpreters()

PROGRAM = """
import hashlib, json, pathlib, sys
from forgec import pipeline
from forgec.manifest.lower import ManifestOptions

def digests(folder):
    document = pipeline.read("discovery.json", (folder / "discovery.json").read_bytes())
    plan = pipeline.plan(document, shard_size=25)
    workflow = pipeline.lower(plan, ManifestOptions(), dynamic=False)
    return [hashlib.sha256(data).hexdigest() for data in (pipeline.emit_plan(plan), pipeline.emit(workflow))]

print(json.dumps({folder.name: digests(folder) for folder in pathlib.Path(sys.argv[1]).iterdir()}))
"""


@pytest.fixture(params=PYTHONS or [""], ids=lambda version: version or "none")
def python(request: pytest.FixtureRequest, judged: Judged) -> str:
    """The version of another Python that can run the compiler."""
    version: str = request.param
    if not version:
        judged.absent("python", f"there is no CPython besides {sys.version.split()[0]} on this machine")
    if reason := why_not(version):
        judged.absent(f"python {version}", reason)
    return version


@functools.cache
def why_not(version: str) -> str:
    """Why a Python cannot run the compiler; empty if it can."""
    try:
        dependencies(PYTHONS[version], version)
    except Unavailable as reason:
        return str(reason)
    return ""


def test_golden_documents_compile_to_their_golden_bytes(python: str, judged: Judged) -> None:
    found = json.loads(output(python, "-c", PROGRAM, str(GOLDEN)))

    assert found == {
        folder.name: [
            hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("plan.json", "workflow.yaml")
        ]
        for folder in GOLDEN.iterdir()
    }
    judged("python", python, "golden documents compiled", len(found))


@pytest.mark.parametrize("form", ["discovery", "workflow"])
def test_a_directory_is_what_it_is_here(python: str, form: str, judged: Judged) -> None:
    command = ("-m", "forgec", "compile", str(MONOREPO), "--emit", form)
    here = subprocess.run([sys.executable, *command], capture_output=True, timeout=LIMIT_S, check=True).stdout

    assert output(python, *command) == here
    judged("python", python, "directories compiled", 1)


def output(python: str, *arguments: str) -> bytes:
    """What a program prints; it finds the compiler's sources and dependencies, and nothing else of the tests' own."""
    folders = [ROOT / "compiler", ROOT / "grammar", dependencies(PYTHONS[python], python)]
    done = subprocess.run(
        [PYTHONS[python], "-B", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONNOUSERSITE": "1"},
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
