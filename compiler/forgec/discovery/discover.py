"""Discovery: a tree and a trigger to the discovery document.

    list the tree ─▶ drop what .gitignore excludes ─▶ .forge/repo.cue, <project>/.forge/project.cue
        ─▶ evaluate and decode each ─▶ check each against the repository and its Earthfile
        ─▶ triggers ─▶ document, sorted

Everything that is wrong is found in one run: a mistake in one project does not hide those of the others, and any
mistake fails the whole, because a pipeline that silently leaves a project out looks like one that passed.
Symbolic links and submodules are not followed. Other content of a `.forge` directory is ignored.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, fail, has_errors, unrelated
from forgec.discovery.attribute import check_artifact_values
from forgec.discovery.config import Configured, ProjectConfig, StepConfig, needs_repo, read_project, read_repo
from forgec.discovery.earthfiles import Earthfiles
from forgec.discovery.evaluate import Evaluate, evaluate_builtin
from forgec.discovery.files import FORGE_DIRECTORY, ForgeFiles, shown
from forgec.discovery.model import (
    DOCUMENT_BYTES_MAX,
    PROJECTS_MAX,
    Discovery,
    Project,
    ProjectPath,
    ReleaseReason,
    Repository,
    Step,
    phase_groups,
    to_json,
    warnings_of,
    with_primary,
)
from forgec.discovery.place import find, key_place, left_out, place
from forgec.discovery.places import Located, Places, Roots
from forgec.discovery.rules import check_artifact, suggestion
from forgec.discovery.target import TargetCheck, TargetUse
from forgec.discovery.tree import Tree
from forgec.discovery.trigger import Trigger, Verdict, release_verdict
from forgec.discovery.unseen import unseen
from forgec.memo import Memo, digest_of_shared
from forgec.source import Source, whole_file
from forgec.syntax.data import StructNode

REPO_FILE: Final = ".forge/repo.cue"
PROJECT_FILE: Final = ".forge/project.cue"

EVALUATOR_VERSION: Final = "1"
"""Part of every project's configHash: raise it when the same text comes to mean something else."""

_C = TypeVar("_C")


def discover(tree: Tree, trigger: Trigger, evaluate: Evaluate = evaluate_builtin) -> Discovery:
    """Raises ForgeError with every problem of every file, each with its place and project."""
    return survey(tree, evaluate).document(trigger)


def survey(tree: Tree, evaluate: Evaluate = evaluate_builtin) -> "Survey":
    """What a tree says whatever the event. Raises ForgeError as `discover` does."""
    files = ForgeFiles(tree)
    findings = [*_nested(files), *unseen(files)]
    repo = _read_repo(files, evaluate, findings)
    projects = _read_projects(files, evaluate, repo, findings)
    findings += _duplicates(projects)
    targets = TargetCheck(Earthfiles(files))
    for project in projects:
        found = _look_through(project, repo, targets, evaluate)
        findings += _of_project(project.shown_name, unrelated(found, project.configured.findings))
    if has_errors(findings) or repo is None:
        raise ForgeError(findings)
    return Survey(repo.config, repo.node, tuple(projects), files, tuple(findings))


class Survey(Struct, frozen=True):
    """A tree's configuration, evaluated and without errors; an event makes it a document."""

    repository: Repository
    repository_node: StructNode
    projects: "tuple[FoundProject, ...]"
    files: ForgeFiles
    findings: tuple[Diagnostic, ...]

    def verdicts(self, trigger: Trigger) -> dict[str, Verdict]:
        """By project: whether the event releases it, and why."""
        strategy = self.repository.tagging.strategy
        return {
            each.config.name: release_verdict(trigger, each.config.release, project=each.config.name, strategy=strategy)
            for each in self.projects
        }

    def located(self, trigger: Trigger) -> Located:
        """The document and where its parts were written. Raises ForgeError where it becomes too large."""
        return Located(document=self.document(trigger), places=Places(self._roots), findings=self.findings)

    def _roots(self) -> Roots:
        nodes = {project.config.name: project.configured.node for project in self.projects}
        return Roots(
            repository=self.repository_node, projects=nodes, phases=("ci", "phases"), release=("release", "on")
        )

    def document(self, trigger: Trigger) -> Discovery:
        """Raises ForgeError where the document becomes too large."""
        verdicts = self.verdicts(trigger)
        projects = [_project(each, verdicts[each.config.name].reason, self.files) for each in self.projects]
        document = _document(self.repository, projects, trigger, self.findings)
        size = len(to_json(document))
        if size > DOCUMENT_BYTES_MAX:
            message = f"the discovery document has {size} bytes; the limit is {DOCUMENT_BYTES_MAX}"
            raise fail(Code.OUTPUT_TOO_LARGE, message, help="split the repository, or describe less in its projects")
        return document


class FoundProject(Struct, frozen=True):
    """A project's directory and what its file says."""

    path: str
    configured: Configured[ProjectConfig]

    @property
    def config(self) -> ProjectConfig:
        return self.configured.config

    @property
    def shown_name(self) -> str:
        """What its findings are told by: its path where its name is wrong."""
        return self.path if left_out(self.configured.node, "name") else self.config.name


def _nested(files: ForgeFiles) -> Iterator[Diagnostic]:
    reported: set[str] = set()
    for entry in files.forge:
        parts = entry.path.split("/")[:-1]
        if parts.count(FORGE_DIRECTORY) < 2 or files.visible(entry.path) is None:
            continue
        outer = parts.index(FORGE_DIRECTORY)
        inner = "/".join(parts[: parts.index(FORGE_DIRECTORY, outer + 1) + 1])
        if inner not in reported:
            reported.add(inner)
            message = f"{shown(inner)} lies inside another {FORGE_DIRECTORY} directory, which holds no projects"
            yield Diagnostic(Code.NESTED_FORGE, message, whole_file(shown(entry.path)), help="move or remove it")


def _read_repo(files: ForgeFiles, evaluate: Evaluate, findings: list[Diagnostic]) -> Configured[Repository] | None:
    if files.visible(REPO_FILE) is None:
        advice = files.why_absent(REPO_FILE)
        if advice is None and (misspelt := files.misspelt(REPO_FILE)):
            advice = f"it is called {shown(misspelt)} here, and case matters"
        if advice is None:
            advice = (
                f'write {REPO_FILE} at the root of the repository: package repo, forgeVersion: "v1.0.0", '
                'tagging: strategy: "monorepo"'
            )
        message = f"the repository has no {REPO_FILE}"
        findings.append(Diagnostic(Code.REPO_CONFIG_MISSING, message, whole_file(REPO_FILE), help=advice))
        return None
    repo = _read(partial(read_repo, evaluate=evaluate), files, REPO_FILE, None, findings)
    if repo is not None:
        findings += repo.findings
    return repo


def _read_projects(
    files: ForgeFiles, evaluate: Evaluate, repo: Configured[Repository] | None, findings: list[Diagnostic]
) -> list[FoundProject]:
    """The projects whose file gives a configuration, by path."""
    suffix = f"/{PROJECT_FILE}"
    paths = sorted(
        entry.path.removesuffix(PROJECT_FILE).rstrip("/") or "."
        for entry in files.forge
        if (entry.path == PROJECT_FILE or entry.path.endswith(suffix))
        and entry.path.split("/").count(FORGE_DIRECTORY) == 1
        and files.visible(entry.path)
    )
    if len(paths) > PROJECTS_MAX:
        message = f"the repository has {len(paths)} projects; the limit is {PROJECTS_MAX}"
        findings.append(
            Diagnostic(Code.TOO_MANY_PROJECTS, message, whole_file(shown(project_file(paths[PROJECTS_MAX]))))
        )
        return []
    found = []
    for path in paths:
        problem = _path_problem(path)
        if problem is not None:
            findings.append(problem)
            continue
        if repo is None and needs_repo(files.read(project_file(path))):
            continue  # its values are the repository's, of which it is told already what is wrong
        read = partial(read_project, evaluate=evaluate, repo=repo)
        configured = _read(read, files, project_file(path), path, findings)
        if configured is not None:
            found.append(FoundProject(path, configured))
            findings += _of_project(found[-1].shown_name, configured.findings)
    return found


def project_file(project_path: str) -> str:
    return PROJECT_FILE if project_path == "." else f"{project_path}/{PROJECT_FILE}"


def _path_problem(path: str) -> Diagnostic | None:
    """A project's path is printed, and is part of the document: it must be text."""
    try:
        path.encode()
        msgspec.convert(path, ProjectPath)
    except (UnicodeEncodeError, msgspec.ValidationError):
        message = "the path of a project must be UTF-8 without control characters, at most 4096 characters"
        return Diagnostic(Code.BAD_VALUE, message, whole_file(shown(project_file(path))))
    return None


def _read(
    read: Callable[[Source], Configured[_C]],
    files: ForgeFiles,
    path: str,
    project: str | None,
    findings: list[Diagnostic],
) -> Configured[_C] | None:
    """What a file says; None where that cannot be told, with the reasons among the findings."""
    try:
        return read(files.read(path))
    except ForgeError as error:
        findings += _of_project(project, error.diagnostics)
        return None


def _of_project(project: str | None, diagnostics: Iterator[Diagnostic] | Sequence[Diagnostic]) -> list[Diagnostic]:
    return [replace(diagnostic, project=project) for diagnostic in diagnostics]


def _duplicates(projects: Sequence[FoundProject]) -> Iterator[Diagnostic]:
    first: dict[str, FoundProject] = {}
    for project in projects:
        if left_out(project.configured.node, "name"):
            continue
        name = project.config.name
        other = first.setdefault(name.casefold(), project)
        if other is not project:
            related = Related(place(other.configured.node, "name"), f'project "{other.config.name}"')
            yield Diagnostic(
                Code.PROJECT_DUPLICATE,
                f'another project is called "{other.config.name}"',
                place(project.configured.node, "name"),
                (related,),
                help="names are unique in a repository, whatever their case",
                project=name,
            )


def _look_through(
    project: FoundProject, repo: Configured[Repository] | None, targets: TargetCheck, evaluate: Evaluate
) -> list[Diagnostic]:
    """What a project says against what its repository declares, and its targets against its Earthfile.

    That there is nothing to find is kept, where it depends on these three files alone.
    """
    steps = project.config.ci.phases or project.config.artifacts
    earthfile = targets.earthfile(project.path) if repo and steps else None
    if repo is None or earthfile is None:
        return [*(_check_project(project, repo) if repo else ()), *targets.check(project.path, list(_uses(project)))]
    text, targets_text = project.configured.source.text, earthfile.source.text
    key = (project.path, evaluate, text, targets_text, digest_of_shared(repo.source.text))
    if _FAULTLESS.find(key):
        return []
    found, uses = list(_check_project(project, repo)), list(_uses(project))
    if not targets.is_faultless(project.path, uses):
        found += targets.check(project.path, uses)
    elif not found:
        _FAULTLESS.keep(key, True, len(text) + len(targets_text))
    return found


_FAULTLESS: Final[Memo[bool]] = Memo()


def _check_project(project: FoundProject, repo: Configured[Repository]) -> Iterator[Diagnostic]:
    """What a project says against what its repository declares."""
    config, node = project.config, project.configured.node
    phases = repo.config.phases
    for name in config.ci.phases:
        if name not in phases and not left_out(repo.node, "phases"):
            message = f'phase "{name}" is not in repo.cue'
            span = key_place(node, "ci", "phases", name)
            yield Diagnostic(Code.UNKNOWN_PHASE, message, span, help=suggestion(name, phases))
    for name, phase in phases.items():
        if phase.required and not config.ci.phases.get(name) and not left_out(node, "ci", "phases", name):
            related = Related(key_place(repo.node, "phases", name), "required here")
            message = f'no step in phase "{name}", which every project must take part in'
            where = ("ci", "phases") if find(node, "ci", "phases") else ("name",)
            yield Diagnostic(Code.REQUIRED_PHASE_MISSING, message, key_place(node, *where), (related,))
    publishers = {
        name: publisher
        for name, publisher in repo.config.publishers.items()
        if find(repo.node, "publishers", name, "type") is not None
    }
    is_known = len(publishers) == len(repo.config.publishers) and not left_out(repo.node, "publishers")
    for name, artifact in config.artifacts.items():
        for finding in check_artifact(artifact, find(node, "artifacts", name) or node, publishers):
            if is_known or finding.code is not Code.UNKNOWN_PUBLISHER:
                yield finding
    resources = find(node, "deployment", "resources")
    artifacts = [("artifacts",), *(("artifacts", name, *more) for name in config.artifacts for more in _ADDRESSED)]
    if resources is not None and not any(left_out(node, *artifact) for artifact in artifacts):
        yield from check_artifact_values(resources, config.artifacts, publishers)


_ADDRESSED: Final = ((), ("publishers",))
"""What an artifact's values depend on, beside itself."""


def _uses(project: FoundProject) -> Iterator[TargetUse]:
    node = project.configured.node
    for phase, steps in project.config.ci.phases.items():
        for name, step in steps.items():
            where = find(node, "ci", "phases", phase, name) or node
            if find(where, "target") is not None:
                yield TargetUse(target=step.target, args=step.args, node=where)
    for name, artifact in project.config.artifacts.items():
        earthly = artifact.producer.earthly
        where = find(node, "artifacts", name, "producer", "earthly") or node
        if find(where, "target") is not None:
            yield TargetUse(target=earthly.target, args=earthly.args, node=where)


def _project(project: FoundProject, reason: ReleaseReason | None, files: ForgeFiles) -> Project:
    config = project.config
    return Project(
        name=config.name,
        path=project.path,
        phases={name: _steps(steps) for name, steps in sorted(config.ci.phases.items()) if steps},
        artifacts={name: with_primary(artifact) for name, artifact in sorted(config.artifacts.items())},
        release_triggered=reason is not None,
        deployment_triggered=reason is not None and bool(config.deployment.resources),
        release_reason=reason,
        config_hash=_config_hash(project.path, files),
    )


def _steps(steps: dict[str, StepConfig]) -> tuple[Step, ...]:
    named = (Step(name=name, **msgspec.structs.asdict(step)) for name, step in steps.items())
    return tuple(sorted(named, key=lambda step: (-step.priority, step.name)))


def _config_hash(path: str, files: ForgeFiles) -> str:
    """Changes whenever the project's configuration may mean something else."""
    root = FORGE_DIRECTORY if path == "." else f"{path}/{FORGE_DIRECTORY}"
    entries = {
        entry.path.removeprefix(root): files.object_id(entry)
        for entry in files.forge_below(root)
        if files.visible(entry.path)
    }
    repo = files.visible(REPO_FILE)
    assert repo is not None
    parts = [EVALUATOR_VERSION, files.object_id(repo), *(f"{entries[name]} {name}" for name in sorted(entries))]
    return "sha256:" + hashlib.sha256("\0".join(parts).encode(errors="surrogateescape")).hexdigest()


def _document(
    repository: Repository, projects: list[Project], trigger: Trigger, findings: Sequence[Diagnostic]
) -> Discovery:
    released = tuple(sorted(project.name for project in projects if project.release_triggered))
    return Discovery(
        commit_sha=trigger.commit_sha,
        ref=trigger.ref,
        branch=trigger.branch,
        tag=trigger.tag,
        trigger_type=trigger.trigger_type,
        repository=msgspec.structs.replace(
            repository,
            phases=dict(sorted(repository.phases.items())),
            publishers=dict(sorted(repository.publishers.items())),
        ),
        projects=tuple(projects),
        phase_groups=phase_groups(repository),
        release_enabled=bool(released),
        release_projects=released,
        warnings=warnings_of(findings),
    )
