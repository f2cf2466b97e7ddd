"""House rules that no linter knows."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE_ROOTS = ("compiler/", "runtime/", "api/", "grammar/")
MODULE_LINES_MAX = 400
LEFTOVERS = re.compile(r"\b(?:" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")) + r")\b|\bbreakpoint\(")
MACHINE_PATHS = re.compile(r"/(?:work|root|home)/[a-z]")

TRACKED = [
    name
    for name in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    ).stdout.splitlines()
    if (ROOT / name).is_file()
]
MODULES = [name for name in TRACKED if name.endswith(".py") and name.startswith(SOURCE_ROOTS)]
TEXTS = [
    name for name in TRACKED if name.endswith((".py", ".md", ".toml", ".lark", ".cue", ".yaml")) or "." not in name
]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 100
    assert "pyproject.toml" in TEXTS


@pytest.mark.parametrize("name", MODULES)
def test_a_module_holds_one_idea_and_says_which(name: str) -> None:
    text = read(name)

    assert ast.get_docstring(ast.parse(text)), "a module begins with its purpose"
    assert text.count("\n") <= MODULE_LINES_MAX, "a module this long holds two nouns"


@pytest.mark.parametrize("name", [name for name in MODULES if name.endswith("__init__.py")])
def test_a_package_imports_nothing_itself(name: str) -> None:
    assert len(ast.parse(read(name)).body) == 1, "names come from the module that defines them"


def test_no_leftovers_and_no_paths_of_a_machine() -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in TEXTS
        for number, line in enumerate(read(name).splitlines(), 1)
        if LEFTOVERS.search(line) or MACHINE_PATHS.search(line)
    ]

    assert found == []
