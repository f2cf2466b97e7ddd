"""The lint of a workflow that the compiler made: its rules on every compilation, without a text and without YAML."""

from forgec.diagnostic import Diagnostic
from forgec.discovery.place import find, key_place, place
from forgec.lint.finding import Finding, shown
from forgec.lint.rules import COMPILED_RULES, check_manifest
from forgec.manifest import argo
from forgec.manifest.target import Target
from forgec.source import Span
from forgec.syntax.data import Node, ScalarNode


def lint_workflow(workflow: argo.Workflow, target: Target) -> list[Diagnostic]:
    """It has the right fields by construction; a finding has a path and no place."""
    return [diagnostic_of(finding) for finding in check_manifest(argo.to_builtins(workflow), target, COMPILED_RULES)]


def diagnostic_of(finding: Finding, document: Node | None = None) -> Diagnostic:
    """With the path in front of the message: it is shorter than the lines that lead to a place in a long list."""
    where = shown(finding.path)
    message = f"{where}: {finding.message}" if where else finding.message
    span = None if document is None else _place(finding, document)
    return Diagnostic(finding.code, message, span, help=finding.help, severity=finding.severity)


def _place(finding: Finding, document: Node) -> Span:
    """A single value itself, of an object or a list the key; of what is missing the nearest thing around it."""
    path = finding.path
    while path and find(document, *path) is None:
        path = path[:-1]
    if not finding.at_key and isinstance(find(document, *path), ScalarNode):
        return place(document, *path)
    return key_place(document, *path) if path else document.span
