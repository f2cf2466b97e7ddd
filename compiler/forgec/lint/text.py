"""The lint of a file that somebody wrote: every Workflow in it, by all rules, with the place of every finding."""

from collections.abc import Sequence, Set
from typing import Final

from msgspec import Struct

from forgec.diagnostic import Code, Diagnostic, Severity, ordered
from forgec.discovery.place import find, place
from forgec.lint.finding import Path
from forgec.lint.rules import check_manifest
from forgec.lint.shape import API_GROUP, check_shape
from forgec.lint.workflow import diagnostic_of
from forgec.lint.yaml import parse_yaml
from forgec.manifest.target import Target
from forgec.source import Source
from forgec.syntax.data import Node, ScalarNode, to_plain

KIND: Final = "Workflow"


class Linted(Struct, frozen=True, kw_only=True):
    """What was found in a file, and how many of its documents are Workflows."""

    diagnostics: Sequence[Diagnostic]
    workflows: int


def lint_text(source: Source, target: Target) -> Linted:
    """Every Workflow of a YAML (or JSON) text; ForgeError where it is no YAML or more than is read."""
    documents = parse_yaml(source)
    found: list[Diagnostic] = []
    workflows = 0
    for document in documents:
        if _text(document, "kind") == KIND and _text(document, "apiVersion").partition("/")[0] == API_GROUP:
            workflows += 1
            found += _lint_document(document, target)
        else:
            found.append(_passed_over(document))
    if not workflows:
        message = "there is no Workflow of Argo in this file"
        found.append(Diagnostic(Code.NOT_A_WORKFLOW, message, source.span(0, 0)))
    return Linted(diagnostics=ordered(found), workflows=workflows)


def _lint_document(document: Node, target: Target) -> list[Diagnostic]:
    body = to_plain(document)
    assert isinstance(body, dict)
    shape = check_shape(body, target)
    broken = {finding.path for finding in shape}
    findings = [*shape, *(finding for finding in check_manifest(body, target) if not _follows(finding.path, broken))]
    return [diagnostic_of(finding, document) for finding in findings]


def _follows(path: Path, broken: Set[Path]) -> bool:
    """Whether a value that has another form than it should, or one around it, is found fault with already."""
    return any(path[:length] in broken for length in range(1, len(path) + 1))


def _passed_over(document: Node) -> Diagnostic:
    kind = _text(document, "kind")
    what = f"a {kind}" if kind else "something without a kind"
    message = f"this document is {what} and was passed over: only Workflows are linted"
    return Diagnostic(Code.NOT_A_WORKFLOW, message, place(document, "kind"), severity=Severity.WARNING)


def _text(document: Node, key: str) -> str:
    value = find(document, key)
    return value.value if isinstance(value, ScalarNode) and isinstance(value.value, str) else ""
