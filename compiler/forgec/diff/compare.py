"""From two discovery documents to the changes between them.

Things that are on both sides (`match` says which is which) are compared field by field; what has no partner was added
or removed, and is told with its fields.

Pure and symmetric: the changes from B to A are those from A to B, mirrored.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final, TypeAlias, TypeVar

from forgec.diff.match import Names, Steps, match_artifacts, match_documents, match_steps, steps_of
from forgec.diff.model import Change, Field, Kind, Place, Subject
from forgec.diff.rename import Key
from forgec.diff.things import (
    Fields,
    appeared,
    artifact_fields,
    differences,
    keep_order,
    kind_of,
    phase_fields,
    project_fields,
    publisher_fields,
    repository_fields,
    same_publishers,
    step_fields,
)
from forgec.discovery.model import Discovery, Phase, Project, Publisher, Repository
from forgec.discovery.trigger import Release

_T = TypeVar("_T")


Rules: TypeAlias = Mapping[str, Release]
"""When each project is released, where configuration was read: a document says only what its event released."""

NO_RULES: Final[tuple[Rules, Rules]] = ({}, {})


def compare(before: Discovery, after: Discovery, *, rules: tuple[Rules, Rules] = NO_RULES) -> tuple[Change, ...]:
    """Every difference in what the documents mean, sorted; none for documents that mean the same."""
    names = match_documents(before, after)
    changes = [
        *_repository(before.repository, after.repository),
        *_phases(before.repository.phases, after.repository.phases, names),
        *_publishers(before.repository.publishers, after.repository.publishers, names),
        *_projects(before, after, rules, names),
    ]
    return tuple(sorted(changes, key=Change.sort_key))


def _repository(old: Repository, new: Repository) -> Iterator[Change]:
    fields = differences(repository_fields(old), repository_fields(new))
    yield from _changed(Subject.REPOSITORY, Place(name="repository"), Place(name="repository"), fields)


def _phases(old: Mapping[str, Phase], new: Mapping[str, Phase], names: Names) -> Iterator[Change]:
    neutral = {"description"}
    if keep_order((old[name].group, new[other].group) for name, other in names.phases.items()):
        neutral.add("group")
    for name, other in names.phases.items():
        fields = differences(phase_fields(old[name]), phase_fields(new[other]), neutral=neutral)
        yield from _changed(Subject.PHASE, Place(name=name), Place(name=other), fields)
    yield from _gone(Subject.PHASE, old, names.phases.keys(), phase_fields)
    yield from _new(Subject.PHASE, new, names.phases.values(), phase_fields)


def _publishers(old: Mapping[str, Publisher], new: Mapping[str, Publisher], names: Names) -> Iterator[Change]:
    for name, other in names.publishers.items():
        fields = differences(publisher_fields(old[name]), publisher_fields(new[other]))
        yield from _changed(Subject.PUBLISHER, Place(name=name), Place(name=other), fields)
    yield from _gone(Subject.PUBLISHER, old, names.publishers.keys(), publisher_fields)
    yield from _new(Subject.PUBLISHER, new, names.publishers.values(), publisher_fields)


def _projects(before: Discovery, after: Discovery, rules: tuple[Rules, Rules], names: Names) -> Iterator[Change]:
    old = {project.name: project for project in before.projects}
    new = {project.name: project for project in after.projects}
    for name, other in names.projects.items():
        fields = differences(
            project_fields(old[name], rules[0].get(name)), project_fields(new[other], rules[1].get(other))
        )
        yield from _changed(Subject.PROJECT, _project_place(old[name]), _project_place(new[other]), fields)
        yield from _steps(before.repository.phases, old[name], after.repository.phases, new[other], names.phases)
        yield from _artifacts(old[name], new[other], names.publishers)
    for name in new.keys() - names.projects.values():
        yield from _whole_project(new[name], rules[1].get(name))
    for name in old.keys() - names.projects.keys():
        yield from (change.mirrored() for change in _whole_project(old[name], rules[0].get(name)))


def _whole_project(project: Project, release: Release | None) -> Iterator[Change]:
    yield _added(Subject.PROJECT, _project_place(project), project_fields(project, release))
    for key, step in steps_of(project).items():
        yield _added(Subject.STEP, _step_place(project, key), step_fields(step, step.timeout))
    for name, artifact in project.artifacts.items():
        yield _added(Subject.ARTIFACT, Place(name=name, project=project.name), artifact_fields(artifact))


def _steps(
    old_phases: Mapping[str, Phase],
    old: Project,
    new_phases: Mapping[str, Phase],
    new: Project,
    phases: Mapping[str, str],
) -> Iterator[Change]:
    before, after = steps_of(old), steps_of(new)
    pairs = match_steps(before, after, phases)
    staying = {key: other for key, other in pairs.items() if phases.get(key[0]) == other[0]}
    in_order = _phases_in_order(before, after, staying)
    for key, other in pairs.items():
        one, two = before[key], after[other]
        limit, new_limit = one.timeout or old_phases[key[0]].timeout, two.timeout or new_phases[other[0]].timeout
        inherited = key in staying and one.timeout is None and two.timeout is None  # the phase's to tell
        before_fields = step_fields(one, None if inherited else limit)
        after_fields = step_fields(two, None if inherited else new_limit)
        neutral = {"priority"} if key in staying and other[0] in in_order else set[str]()
        fields = differences(before_fields, after_fields, neutral=neutral)
        if key not in staying:
            fields = (*differences({"phase": key[0]}, {"phase": other[0]}), *fields)
        yield from _changed(Subject.STEP, _step_place(old, key), _step_place(new, other), fields)
    for key in after.keys() - pairs.values():
        yield _added(Subject.STEP, _step_place(new, key), step_fields(after[key], after[key].timeout))
    for key in before.keys() - pairs.keys():
        yield _added(Subject.STEP, _step_place(old, key), step_fields(before[key], before[key].timeout)).mirrored()


def _phases_in_order(before: Steps, after: Steps, staying: Mapping[Key, Key]) -> set[str]:
    """The phases, by their new names, whose steps that stayed run in the order in which they ran."""
    priorities: dict[str, list[tuple[int, int]]] = {}
    for key, other in staying.items():
        priorities.setdefault(other[0], []).append((before[key].priority, after[other].priority))
    return {phase for phase, numbers in priorities.items() if keep_order(numbers)}


def _artifacts(old: Project, new: Project, publishers: Mapping[str, str]) -> Iterator[Change]:
    pairs = match_artifacts(old.artifacts, new.artifacts)
    for name, other in pairs.items():
        one, two = old.artifacts[name], new.artifacts[other]
        fields = differences(artifact_fields(one), artifact_fields(two))
        if same_publishers(one, two, publishers):  # a publisher's new name is told once, at the publisher
            fields = tuple(field for field in fields if field.name != "publishers")
        places = Place(name=name, project=old.name), Place(name=other, project=new.name)
        yield from _changed(Subject.ARTIFACT, *places, fields)
    yield from _gone(Subject.ARTIFACT, old.artifacts, pairs.keys(), artifact_fields, old.name)
    yield from _new(Subject.ARTIFACT, new.artifacts, pairs.values(), artifact_fields, new.name)


def _changed(subject: Subject, before: Place, after: Place, fields: tuple[Field, ...]) -> Iterator[Change]:
    """The change of something that is on both sides; nothing where there is none."""
    renamed = before.name != after.name
    if fields or renamed:
        kind = Kind.RENAMED if renamed else kind_of(fields)
        yield Change(subject=subject, kind=kind, before=before, after=after, fields=fields)


def _new(
    subject: Subject,
    things: Mapping[str, _T],
    paired: Collection[str],
    fields_of: Callable[[_T], Fields],
    project: str | None = None,
) -> Iterator[Change]:
    for name in things.keys() - set(paired):
        yield _added(subject, Place(name=name, project=project), fields_of(things[name]))


def _gone(
    subject: Subject,
    things: Mapping[str, _T],
    paired: Collection[str],
    fields_of: Callable[[_T], Fields],
    project: str | None = None,
) -> Iterator[Change]:
    yield from (change.mirrored() for change in _new(subject, things, paired, fields_of, project))


def _added(subject: Subject, place: Place, fields: Fields) -> Change:
    return Change(subject=subject, kind=Kind.ADDED, before=None, after=place, fields=appeared(fields))


def _project_place(project: Project) -> Place:
    return Place(name=project.name, project=project.name)


def _step_place(project: Project, key: Key) -> Place:
    phase, name = key
    return Place(name=name, project=project.name, phase=phase)
