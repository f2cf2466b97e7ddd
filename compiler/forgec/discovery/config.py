"""`.forge/repo.cue` and `.forge/project.cue`: text to configuration, with the place of every field."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, ForgeError, has_errors, unrelated
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
from forgec.discovery.place import find, left_out, place
from forgec.discovery.rules import check_repository, check_step
from forgec.discovery.salvage import salvage
from forgec.discovery.trigger import Release, pattern_problem
from forgec.memo import Memo, digest_of_shared
from forgec.source import Source
from forgec.syntax.data import StructNode
from forgec.syntax.decode import decode_partly

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
    """A configuration, the tree it was decoded from (for the places of fields), and what is wrong with it.

    Where there are errors, what is wrong is in neither of both (`Decoded`), so that the rest can be looked at.
    """

    config: _C
    node: StructNode
    findings: tuple[Diagnostic, ...]

    @property
    def source(self) -> Source:
        return self.node.span.source

    def whole(self) -> _C:
        """The configuration; raises ForgeError where something is wrong with it."""
        if has_errors(self.findings):
            raise ForgeError(self.findings)
        return self.config


def read_repo(source: Source, evaluate: Evaluate) -> Configured[Repository]:
    """Raises ForgeError where the file gives no configuration at all."""
    key = (source.name, source.text, evaluate)
    return _REPOSITORIES.get(key, lambda: _read_repo(source, evaluate), lambda _: len(source.text))


def read_project(source: Source, evaluate: Evaluate, repo: Configured[Repository] | None) -> Configured[ProjectConfig]:
    """Raises ForgeError where the file gives no configuration at all.

    Of the repository's configuration only what the file names with `@repo` counts; None where it names nothing.
    """
    needed = repo if needs_repo(source) else None
    key = (source.name, source.text, evaluate, digest_of_shared(needed.source.text) if needed else b"")
    return _PROJECTS.get(key, lambda: _read_project(source, evaluate, needed), lambda _: len(source.text))


def needs_repo(source: Source) -> bool:
    """Whether a project's file may say `@repo`."""
    return REPO in source.text


_REPOSITORIES: Final[Memo[Configured[Repository]]] = Memo()
_PROJECTS: Final[Memo[Configured[ProjectConfig]]] = Memo()


def _read_repo(source: Source, evaluate: Evaluate) -> Configured[Repository]:
    read = _read(source, evaluate, "repo", Repository, None)
    return _with_findings(read, check_repository(read.config, read.node))


def _read_project(source: Source, evaluate: Evaluate, repo: Configured[Repository] | None) -> Configured[ProjectConfig]:
    read = _read(source, evaluate, "project", ProjectConfig, repo)
    return _with_findings(read, _check_project(read.config, read.node))


def _check_project(project: ProjectConfig, node: StructNode) -> Iterator[Diagnostic]:
    for phase, steps in project.ci.phases.items():
        for name, step in steps.items():
            yield from check_step(step, find(node, "ci", "phases", phase, name) or node)
    yield from _check_release(project.release, node)


def _with_findings(read: Configured[_C], further: Iterable[Diagnostic]) -> Configured[_C]:
    return replace(read, findings=(*read.findings, *unrelated(further, read.findings)))


def _read(
    source: Source, evaluate: Evaluate, package: str, type_: type[_C], repo: Configured[Repository] | None
) -> Configured[_C]:
    problems = check_package(source, package)
    try:
        node = evaluate(source)
    except ForgeError as error:
        problems += error.diagnostics
        rest = salvage(source, error.diagnostics)
        if rest is None:
            raise ForgeError(problems) from None
        node = rest
    node, missing = put_repo_values(node, None if repo is None else (repo.config, repo.node))
    decoded = decode_partly(node, type_)
    problems += missing
    problems += unrelated(decoded.problems, problems)
    if decoded.value is None:
        raise ForgeError(problems)
    assert isinstance(decoded.node, StructNode)
    return Configured(decoded.value, decoded.node, tuple(problems))


def _check_release(release: Release, node: StructNode) -> Iterator[Diagnostic]:
    for index, rule in enumerate(release.on):
        where = ("release", "on", index)
        if left_out(node, *where):
            continue
        if (rule.branch is None) == (rule.tag is None) or rule.tag is False:
            message = 'a release rule is either {branch: "PATTERN"} or {tag: true}'
            yield Diagnostic(Code.BAD_VALUE, message, place(node, *where))
        elif rule.branch is not None and (problem := pattern_problem(rule.branch)):
            yield Diagnostic(Code.BAD_VALUE, problem, place(node, *where, "branch"))
