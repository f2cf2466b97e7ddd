"""Discovery documents from outside: JSON to `Discovery`, or everything that is wrong with it.

People write documents by hand, so they pass every rule that configuration passes, and must not contradict themselves.
What follows from the rest may be left out: `phaseGroups` is computed where it is missing or empty.
What is doubtful but no mistake joins the document's warnings.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, has_errors, ordered, unrelated
from forgec.discovery.model import (
    DOCUMENT_BYTES_MAX,
    PROJECTS_MAX,
    Discovery,
    Project,
    phase_groups,
    warnings_of,
)
from forgec.discovery.place import find, key_place, left_out, place
from forgec.discovery.places import Located, Places, Roots, roots_of_document
from forgec.discovery.quick import read_quickly
from forgec.discovery.rules import check_artifact, check_repository, check_step, suggestion
from forgec.source import Source
from forgec.syntax.data import Node, StructNode
from forgec.syntax.document import parse_json

_K = TypeVar("_K", bound=Hashable)


def read_document(source: Source) -> Discovery:
    """Raises ForgeError with all errors at once."""
    return locate_document(source).document


def locate_document(source: Source, *, limited: bool = True) -> Located:
    """The same with the places of what it says; if not `limited`, of any size and with any number of projects."""
    size = len(source.text.encode())
    if limited and size > DOCUMENT_BYTES_MAX:
        message = f"the document has {size} bytes; the limit is {DOCUMENT_BYTES_MAX}"
        raise ForgeError([Diagnostic(Code.OUTPUT_TOO_LARGE, message, source.span(0, 0))])
    quick = read_quickly(source)
    if quick is not None and not check_document(quick, StructNode({}, source.span(0, 0)), limited=limited):
        return _located(quick, (), lambda: roots_of_document(quick, parse_json(source)))
    return _read_carefully(source, limited)


def _read_carefully(source: Source, limited: bool) -> Located:
    from forgec.syntax.decode import decode_partly  # right documents do without

    node = parse_json(source)
    decoded = decode_partly(node, Discovery)
    document = decoded.value
    if document is None:
        raise ForgeError(decoded.problems)
    checked = check_document(document, decoded.node, limited=limited, whole=not decoded.problems)
    findings = [*decoded.problems, *unrelated(checked, decoded.problems)]
    if has_errors(findings):
        raise ForgeError(findings)
    roots = roots_of_document(document, node)
    return _located(document, tuple(_new_warnings(document, findings)), lambda: roots)


def _located(document: Discovery, new: tuple[Diagnostic, ...], roots: Callable[[], Roots]) -> Located:
    completed = msgspec.structs.replace(
        document,
        phase_groups=document.phase_groups or phase_groups(document.repository),
        warnings=(*document.warnings, *warnings_of(new)),
    )
    return Located(document=completed, places=Places(roots), findings=new, carried=document.warnings)


def check_document(document: Discovery, node: Node, *, limited: bool = True, whole: bool = True) -> list[Diagnostic]:
    """What the types cannot say of a document; `node` is the tree that it was decoded from.

    If it is not `whole` (`forgec.syntax.decode.Decoded`), nothing is judged by what is not there.
    """
    findings = list(check_repository(document.repository, find(node, "repository") or node))
    if limited and len(document.projects) > PROJECTS_MAX:
        message = f"the document has {len(document.projects)} projects; the limit is {PROJECTS_MAX}"
        findings.append(Diagnostic(Code.TOO_MANY_PROJECTS, message, place(node, "projects", PROJECTS_MAX)))
    findings += _check_names(document, node)
    for index, project in enumerate(document.projects):
        problems = _check_project(document, project, find(node, "projects", index) or node, node)
        findings += [replace(problem, project=project.name) for problem in problems]
    if whole:
        findings += _check_derived(document, node)
    return findings


def _new_warnings(document: Discovery, findings: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
    """What discovery has warned of already, at its place in the configuration, is not said again."""
    said = {(warning.code, warning.project, warning.message) for warning in document.warnings}
    for finding in ordered(findings):
        if (finding.code.id, finding.project, finding.message) not in said:
            yield finding


def _check_names(document: Discovery, node: Node) -> Iterator[Diagnostic]:
    names = (_written(project.name.casefold(), node, index, "name") for index, project in enumerate(document.projects))
    for first, again in _repeated(names):
        message = f'two projects are called "{document.projects[again].name}"'
        related = Related(place(node, "projects", first, "name"), "first here")
        yield Diagnostic(Code.PROJECT_DUPLICATE, message, place(node, "projects", again, "name"), (related,))
    paths = (_written(project.path, node, index, "path") for index, project in enumerate(document.projects))
    for first, again in _repeated(paths):
        message = f'two projects have the path "{document.projects[again].path}"'
        related = Related(place(node, "projects", first, "path"), "first here")
        yield Diagnostic(Code.PLAN_INCONSISTENT, message, place(node, "projects", again, "path"), (related,))


def _written(value: str, node: Node, index: int, field: str) -> str | int:
    """A project's name or path; something else for each that was wrong, and has a stand-in."""
    return index if left_out(node, "projects", index, field) else value


def _check_project(document: Discovery, project: Project, node: Node, root: Node) -> Iterator[Diagnostic]:
    phases, publishers = document.repository.phases, document.repository.publishers
    for name, steps in project.phases.items():
        where = ("phases", name)
        if name not in phases and not left_out(root, "repository", "phases"):
            message = f'phase "{name}" is not in repository.phases'
            span = key_place(node, *where)
            yield Diagnostic(Code.UNKNOWN_PHASE, message, span, help=suggestion(name, phases))
        steps_node = find(node, *where) or node
        names = (index if left_out(steps_node, index, "name") else step.name for index, step in enumerate(steps))
        for first, again in _repeated(names):
            message = f'two steps of phase "{name}" are called "{steps[again].name}"'
            related = Related(place(node, *where, first, "name"), "first here")
            yield Diagnostic(Code.PLAN_INCONSISTENT, message, place(node, *where, again, "name"), (related,))
        for index, step in enumerate(steps):
            yield from check_step(step, find(node, *where, index) or node)
    for name, phase in phases.items():
        if phase.required and not project.phases.get(name) and not left_out(node, "phases", name):
            message = f'no step in phase "{name}", which every project must take part in'
            yield Diagnostic(Code.REQUIRED_PHASE_MISSING, message, place(node, "phases", name))
    for name, artifact in project.artifacts.items():
        if not any(left_out(root, "repository", "publishers", *each) for each in ((), *((one,) for one in publishers))):
            yield from check_artifact(artifact, find(node, "artifacts", name) or node, publishers)
    if project.deployment_triggered and not project.release_triggered and not left_out(node, "releaseTriggered"):
        message = "the project is to be deployed but not released"
        yield Diagnostic(Code.PLAN_INCONSISTENT, message, place(node, "deploymentTriggered"))


def _check_derived(document: Discovery, node: Node) -> Iterator[Diagnostic]:
    if document.branch is not None and document.tag is not None:
        message = "the document has both a branch and a tag; a commit is known by one of them"
        yield Diagnostic(Code.PLAN_INCONSISTENT, message, place(node, "tag"))
    if document.phase_groups and document.phase_groups != phase_groups(document.repository):
        message = "phaseGroups is not what repository.phases says"
        advice = "list every phase under its group, groups ascending and names sorted, or leave phaseGroups out"
        yield Diagnostic(Code.PLAN_INCONSISTENT, message, place(node, "phaseGroups"), help=advice)
    released = sorted(project.name for project in document.projects if project.release_triggered)
    if sorted(document.release_projects) != released:
        message = "releaseProjects does not list just the projects whose releaseTriggered is true"
        advice = f"they are {', '.join(released)}" if released else "there are none"
        yield Diagnostic(Code.PLAN_INCONSISTENT, message, place(node, "releaseProjects"), help=advice)
    if document.release_enabled != bool(released):
        message = "releaseEnabled must be false, since no project is released"
        if released:
            message = f'releaseEnabled must be true, since project "{released[0]}" is released'
        yield Diagnostic(Code.PLAN_INCONSISTENT, message, place(node, "releaseEnabled"))


def _repeated(keys: Iterable[_K]) -> Iterator[tuple[int, int]]:
    """The indexes of the first and of each further occurrence."""
    first: dict[_K, int] = {}
    for index, key in enumerate(keys):
        if first.setdefault(key, index) != index:
            yield first[key], index
