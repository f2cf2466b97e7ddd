"""`.forge/repo.cue` and `.forge/project.cue`: text to configuration, with the place of every field."""

from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from msgspec import Meta, Struct

from forgec.diagnostic import Code, Diagnostic, ForgeError
from forgec.discovery.attribute import REPO, put_repo_values
from forgec.discovery.evaluate import Evaluate, check_package
from forgec.discovery.model import (
    ARTIFACTS_MAX,
    Argument,
    Artifact,
    ArtifactName,
    Duration,
    PhaseName,
    Priority,
    ProjectName,
    Repository,
    Secret,
    StepName,
    Target,
)
from forgec.discovery.place import find, place
from forgec.discovery.rules import check_repository, check_step
from forgec.discovery.trigger import Release, pattern_problem
from forgec.memo import Memo
from forgec.source import Source
from forgec.syntax.data import StructNode
from forgec.syntax.decode import decode

RESOURCES_MAX: Final = 50

_C = TypeVar("_C")


class StepConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One Earthfile target; no timeout means the phase's."""

    action: Literal["earthly"]
    target: Target
    priority: Priority = 0
    args: tuple[Argument, ...] = ()
    secrets: tuple[Secret, ...] = ()
    timeout: Duration | None = None


class Ci(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    phases: dict[PhaseName, dict[StepName, StepConfig]] = {}


class Deployment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a release runs as. Resources are rendered by the release, from the commit; nothing before looks inside."""

    resources: Annotated[tuple[dict[str, Any], ...], Meta(max_length=RESOURCES_MAX)] = ()


class ProjectConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: ProjectName
    ci: Ci = Ci()
    artifacts: Annotated[dict[ArtifactName, Artifact], Meta(max_length=ARTIFACTS_MAX)] = {}
    release: Release = Release()
    deployment: Deployment = Deployment()


class Configured(Struct, Generic[_C], frozen=True):
    """A configuration, the tree it was decoded from (for the places of fields), and what its rules complain of."""

    config: _C
    node: StructNode
    findings: tuple[Diagnostic, ...]


def read_repo(source: Source, evaluate: Evaluate) -> Configured[Repository]:
    """Raises ForgeError where the file gives no configuration at all."""
    node, repository = _read(source, evaluate, "repo", Repository, None)
    return Configured(repository, node, tuple(check_repository(repository, node)))


def read_project(source: Source, evaluate: Evaluate, repo: Configured[Repository] | None) -> Configured[ProjectConfig]:
    """Raises ForgeError where the file gives no configuration at all.

    Of the repository's configuration only what the file names with `@repo` counts; None where it names nothing.
    """
    config, told = None, ""
    if repo is not None and needs_repo(source):
        config, told = repo.config, repo.node.span.source.text
    key = (source.name, source.text, evaluate, told)
    return _PROJECTS.get(key, lambda: _read_project(source, evaluate, config), lambda _: len(source.text))


def needs_repo(source: Source) -> bool:
    """Whether a project's file may say `@repo`."""
    return REPO in source.text


_PROJECTS: Final[Memo[Configured[ProjectConfig]]] = Memo()


def _read_project(source: Source, evaluate: Evaluate, repository: Repository | None) -> Configured[ProjectConfig]:
    node, project = _read(source, evaluate, "project", ProjectConfig, repository)
    findings: list[Diagnostic] = []
    for phase, steps in project.ci.phases.items():
        for name, step in steps.items():
            findings += check_step(step, find(node, "ci", "phases", phase, name) or node)
    findings += _check_release(project.release, node)
    return Configured(project, node, tuple(findings))


def _read(
    source: Source, evaluate: Evaluate, package: str, type_: type[_C], repository: Repository | None
) -> tuple[StructNode, _C]:
    problems = check_package(source, package)
    try:
        node = evaluate(source)
    except ForgeError as error:
        raise ForgeError([*problems, *error.diagnostics]) from None
    node, missing = put_repo_values(node, repository)
    if missing:
        raise ForgeError([*problems, *missing])
    value, findings = decode(node, type_)
    problems += findings
    if value is None or problems:
        raise ForgeError(problems)
    return node, value


def _check_release(release: Release, node: StructNode) -> list[Diagnostic]:
    findings = []
    for index, rule in enumerate(release.on):
        where = ("release", "on", index)
        if (rule.branch is None) == (rule.tag is None) or rule.tag is False:
            message = 'a release rule is either {branch: "PATTERN"} or {tag: true}'
            findings.append(Diagnostic(Code.BAD_VALUE, message, place(node, *where)))
        elif rule.branch is not None and (problem := pattern_problem(rule.branch)):
            findings.append(Diagnostic(Code.BAD_VALUE, problem, place(node, *where, "branch")))
    return findings
