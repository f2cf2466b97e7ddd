"""Every code is explained, and shown by a golden case; what an explanation claims is true."""

import re
from pathlib import Path

import pytest
from tests.txtar import parse_archive

from forgec import pipeline
from forgec.cli.main import main
from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.discovery.tree import MemoryTree
from forgec.discovery.trigger import Trigger
from forgec.explain.section import documentation, sections
from forgec.lint.text import lint_text
from forgec.manifest.target import TARGET_DEFAULT, TARGETS
from forgec.source import Source

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "golden"

DEFAULT = {
    ".forge/repo.cue": """package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: {
	test: group: 1
	build: group: 2
}
publishers: images: {type: "docker", registry: "registry.example", namespace: "shop"}
""",
    "api/.forge/project.cue": """package project
name: "api"
ci: phases: test: unit: {action: "earthly", target: "+unit"}
""",
    "api/Earthfile": "VERSION 0.8\nunit:\n    RUN true\nimage:\n    RUN true\n",
}
"""The repository that the examples speak of."""

WORKFLOW = "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\n"
"""What the examples of Workflows begin with."""

_EXAMPLE = re.compile(r"^```[a-z]+ (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def examples(text: str) -> dict[str, str]:
    """The files of a section's examples; blocks without a path show something else."""
    return dict(_EXAMPLE.findall(text))


EXAMPLES = {code: found for code, section in sections().items() if (found := examples(section.text))}


def findings(files: dict[str, str]) -> list[Diagnostic]:
    document = files.get("discovery.json")
    manifest = files.get("workflow.yaml")
    try:
        if manifest is not None:
            head = "" if "kind:" in manifest else WORKFLOW
            return list(lint_text(Source("workflow.yaml", head + manifest), TARGETS[TARGET_DEFAULT]).diagnostics)
        if document is None:
            tree = MemoryTree({name: text.encode() for name, text in (DEFAULT | files).items()})
            return list(pipeline.discover_located(tree, Trigger()).findings)
        return list(pipeline.read_located("discovery.json", document.encode()).findings)
    except ForgeError as error:
        return list(error.diagnostics)


def test_every_code_has_a_section_and_the_file_is_sorted() -> None:
    assert list(sections()) == sorted(code.id for code in Code)


@pytest.mark.parametrize("code", sorted(sections()))
def test_a_section_begins_with_a_sentence_and_says_more(code: str) -> None:
    section = sections()[code]

    assert section.summary.endswith((".", ":", ".)"))
    assert len(section.text.splitlines()) >= 5
    assert not [line for line in section.text.splitlines() if len(line) > 150]


def test_the_repository_of_the_examples_has_no_mistake() -> None:
    assert findings({}) == []


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_has_the_mistake_that_its_section_is_about(code: str) -> None:
    found = findings(EXAMPLES[code])

    assert code in {finding.code.id for finding in found}


def test_every_code_of_texts_and_repositories_has_an_example_that_runs_or_is_one_that_cannot() -> None:
    silent = {code.id for code in Code if code.id < "FC313"} - set(EXAMPLES)

    # Not text; a repository without the file; too large to print; a document of 1 MB.
    assert silent == {"FC103", "FC301", "FC309", "FC310"}


def test_every_code_has_a_golden_case() -> None:
    cases = [parse_archive(path.read_text(encoding="utf-8")) for path in GOLDEN.rglob("*.txtar")]
    said = "".join(case.files.get("stderr", "") for case in cases)
    shown = set(re.findall(r"^(?:error|warning)\[(FC[0-9]{3})\]", said, re.MULTILINE))

    assert [code.name for code in Code if code.id not in shown] == []


def test_the_anchor_leads_to_the_heading() -> None:
    path, _, anchor = documentation("FC203").partition("#")

    assert f"\n## {anchor.upper()}\n" in (ROOT / path).read_text(encoding="utf-8")


def test_all_codes_are_listed_with_their_titles(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0

    lines = capfd.readouterr().out.splitlines()
    assert lines == sorted(f"{code.id}  {code.title}" for code in Code)
