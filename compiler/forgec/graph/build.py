"""From a discovery document, or two, to what a picture shows."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from forgec.diff.compare import compare
from forgec.diff.model import Change, Kind, Subject
from forgec.diff.phrase import describe
from forgec.discovery import model
from forgec.graph.model import Graph, Lane, Project, Stage, State, Step, Task, Waves

RELEASE: Final = "release"

_Ranked = tuple[int, Step]
"""A step and the rank of its wave: lower ones first."""

_Job = tuple[int, str]
"""Of a release: the rank of its wave, and its name."""

_ARTIFACT: Final = 0
_RELEASE: Final = 1
_DEPLOYMENT: Final = 2

_STATES: Final = {Kind.ADDED: State.ADDED, Kind.REMOVED: State.REMOVED}


def graph_of(document: model.Discovery, against: model.Discovery | None = None) -> Graph:
    """The document's graph; with `against` what was added, removed and changed since that one."""
    changes = _Changes(compare(against, document) if against else ())
    shown = [*_own_projects(document, changes), *_removed_projects(against, changes)]
    projects = tuple(sorted(shown, key=lambda project: (project.path, project.state is State.REMOVED)))
    stages = [*_groups(document, against, changes, projects), *_release(document, against, changes, projects)]
    return Graph(stages=tuple(stages), projects=projects, compared=against is not None)


class _Changes:
    """Changes by what they are about, with today's names."""

    def __init__(self, changes: Iterable[Change]) -> None:
        self._now: dict[tuple[str, ...], Change] = {}
        self._gone: defaultdict[Subject, list[Change]] = defaultdict(list)
        self._names: dict[tuple[Subject, str, str], str] = {}
        for change in changes:
            place = change.after
            if place is None:
                self._gone[change.subject].append(change)
                continue
            self._now[_key(change.subject, place.project or "", place.phase or "", place.name)] = change
            if change.before is not None:
                self._names[change.subject, change.before.project or "", change.before.name] = place.name

    def of(self, subject: Subject, name: str, *, project: str = "", phase: str = "") -> tuple[State, str]:
        """What happened to something that is there, and in words how."""
        change = self._now.get(_key(subject, project, phase, name))
        return (State.SAME, "") if change is None else (_state(change), _note(change))

    def removed(self, subject: Subject) -> list[Change]:
        return self._gone[subject]

    def name_now(self, subject: Subject, name: str, project: str = "") -> str:
        """Of something that may have been renamed; `project` by its name before."""
        return self._names.get((subject, project, name), name)


def _key(subject: Subject, project: str, phase: str, name: str) -> tuple[str, ...]:
    return (subject, project, phase, name)


def _state(change: Change) -> State:
    return _STATES.get(change.kind, State.CHANGED)


def _note(change: Change) -> str:
    """Nothing for what came or went: its fields are shown anyway."""
    return "" if change.before is None or change.after is None else describe(change, lambda text: text)


def _own_projects(document: model.Discovery, changes: _Changes) -> Iterator[Project]:
    for project in document.projects:
        state, note = changes.of(Subject.PROJECT, project.name, project=project.name)
        yield Project(name=project.name, path=project.path, state=state, note=note)


def _removed_projects(against: model.Discovery | None, changes: _Changes) -> Iterator[Project]:
    old = _by_name(against)
    for change in changes.removed(Subject.PROJECT):
        project = old[change.place.name]
        yield Project(name=project.name, path=project.path, state=State.REMOVED)


def _by_name(document: model.Discovery | None) -> dict[str, model.Project]:
    return {project.name: project for project in document.projects} if document else {}


def _groups(
    document: model.Discovery, against: model.Discovery | None, changes: _Changes, projects: Iterable[Project]
) -> Iterator[Stage]:
    lanes: list[tuple[int, str, State, str]] = []
    for name, phase in document.repository.phases.items():
        lanes.append((phase.group, name, *changes.of(Subject.PHASE, name)))
    for change in changes.removed(Subject.PHASE):
        assert against is not None
        name = change.place.name
        lanes.append((against.repository.phases[name].group, name, State.REMOVED, ""))
    steps = _steps(document, against, changes)
    for number in sorted({group for group, *_ in lanes}):
        members = tuple(
            Lane(name=name, tasks=_tasks(steps, name, projects), state=state, note=note)
            for group, name, state, note in sorted(lanes)
            if group == number
        )
        yield Stage(name=f"group {number}", lanes=members)


def _steps(
    document: model.Discovery, against: model.Discovery | None, changes: _Changes
) -> Mapping[tuple[str, str], list[_Ranked]]:
    """By phase and project; what was removed under the names that its phase and project have now."""
    found: defaultdict[tuple[str, str], list[_Ranked]] = defaultdict(list)
    for project in document.projects:
        for phase, steps in project.phases.items():
            for step in steps:
                state, note = changes.of(Subject.STEP, step.name, project=project.name, phase=phase)
                found[phase, project.name].append((-step.priority, _step(document, phase, step, state, note)))
    old = _by_name(against)
    for change in changes.removed(Subject.STEP):
        place = change.place
        assert against is not None
        assert place.project is not None
        assert place.phase is not None
        step = next(step for step in old[place.project].phases[place.phase] if step.name == place.name)
        names = (
            changes.name_now(Subject.PHASE, place.phase),
            changes.name_now(Subject.PROJECT, place.project, place.project),
        )
        found[names].append((-step.priority, _step(against, place.phase, step, State.REMOVED, "")))
    return found


def _step(document: model.Discovery, phase: str, step: model.Step, state: State, note: str) -> Step:
    limit = step.timeout or document.repository.phases[phase].timeout
    return Step(name=step.name, detail=f"{step.target} {limit}", state=state, note=note)


def _tasks(steps: Mapping[tuple[str, str], list[_Ranked]], lane: str, projects: Iterable[Project]) -> dict[str, Task]:
    return {
        project.name: Task(project=project.name, waves=_waves(steps[lane, project.name]))
        for project in projects
        if (lane, project.name) in steps
    }


def _waves(ranked: Iterable[_Ranked]) -> Waves:
    by_rank: defaultdict[int, list[Step]] = defaultdict(list)
    for rank, step in ranked:
        by_rank[rank].append(step)
    return tuple(tuple(sorted(by_rank[rank], key=lambda step: step.name)) for rank in sorted(by_rank))


def _release(
    document: model.Discovery, against: model.Discovery | None, changes: _Changes, projects: Iterable[Project]
) -> Iterator[Stage]:
    after = {project.name: _jobs(project) for project in document.projects}
    before = after if against is None else _jobs_before(against, changes)
    steps = {}
    for name in after.keys() | before.keys():
        old, new = before.get(name, frozenset()), after.get(name, frozenset())
        ranked = [(job[0], _release_step(name, job, old, new, changes)) for job in old | new]
        if ranked:
            steps[RELEASE, name] = ranked
    if steps:
        yield Stage(name=RELEASE, lanes=(Lane(name=RELEASE, tasks=_tasks(steps, RELEASE, projects)),), release=True)


def _jobs(project: model.Project) -> frozenset[_Job]:
    if not project.release_triggered:
        return frozenset()
    deployments = [(_DEPLOYMENT, "deploy")] if project.deployment_triggered else []
    return frozenset([*((_ARTIFACT, name) for name in project.artifacts), (_RELEASE, RELEASE), *deployments])


def _jobs_before(against: model.Discovery, changes: _Changes) -> dict[str, frozenset[_Job]]:
    """Under the names that projects and artifacts have now."""
    return {
        changes.name_now(Subject.PROJECT, project.name, project.name): frozenset(
            (rank, changes.name_now(Subject.ARTIFACT, name, project.name) if rank == _ARTIFACT else name)
            for rank, name in _jobs(project)
        )
        for project in against.projects
    }


def _release_step(project: str, job: _Job, before: frozenset[_Job], after: frozenset[_Job], changes: _Changes) -> Step:
    rank, name = job
    state, note = State.SAME, ""
    if job not in after:
        state = State.REMOVED
    elif job not in before:
        state = State.ADDED
    elif rank == _ARTIFACT:
        state, note = changes.of(Subject.ARTIFACT, name, project=project)
    return Step(name=name, detail="artifact" if rank == _ARTIFACT else "", state=state, note=note)
