"""Which phase, publisher, project, step and artifact of one document is which of the other.

    phases      by name, then by the steps that projects have in them
    publishers  by name, then by equal fields; artifacts as well
    projects    by name, then by path, then by content in the phases' new names
    steps       by phase and name, then by target: of one name in another phase, or of another name

What every project of a repository does says nothing of who one of them is: a project whose content others have as well
is taken for another one only if their names are alike too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from forgec.diff.rename import Key, common_part, name_likeness, pair
from forgec.diff.things import artifact_fields, publisher_fields
from forgec.discovery.model import Artifact, Discovery, Project, Step

LIKENESS_MIN: Final = 0.5
"""Half of what two things are made of must be common before they are called one."""

THINGS_MAX: Final = 100 * 100
STEPS_MAX: Final = 50 * 50
"""Candidates before times candidates after that are compared at all: all projects of a repository may have new names at
once, and 50 steps of one project."""

Steps: TypeAlias = Mapping[Key, Step]
"""A project's steps by phase and name."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Names before to names after, of what is on both sides."""

    phases: dict[str, str]
    publishers: dict[str, str]
    projects: dict[str, str]


def match_documents(before: Discovery, after: Discovery) -> Names:
    phases = _match_phases(before, after)
    return Names(
        phases=phases,
        publishers=_match_equal(before.repository.publishers, after.repository.publishers, publisher_fields),
        projects=_match_projects(before, after, phases),
    )


def match_artifacts(before: Mapping[str, Artifact], after: Mapping[str, Artifact]) -> dict[str, str]:
    return _match_equal(before, after, lambda artifact: {**artifact_fields(artifact), "publishers": None})


def match_steps(before: Steps, after: Steps, phases: Mapping[str, str]) -> dict[Key, Key]:
    """`phases`: names before to names after."""
    here = {key: (phases.get(key[0], key[0]), key[1]) for key in before}
    known: dict[Key, Key] = {key: other for key, other in here.items() if other in after}

    def likeness(key: Key, other: Key) -> tuple[float, ...] | None:
        old, new = before[key], after[other]
        same_name, same_phase = key[1] == other[1], here[key][0] == other[0]
        same_content = (old.args, old.secrets) == (new.args, new.secrets)
        if old.target != new.target or not (same_name or same_content):
            return None
        return (same_name, same_phase, same_content, name_likeness(key[1], other[1]))

    return pair(list(before), list(after), likeness, known, pairs_max=STEPS_MAX)


def steps_of(project: Project) -> Steps:
    return {(phase, step.name): step for phase, steps in project.phases.items() for step in steps}


def _match_phases(before: Discovery, after: Discovery) -> dict[str, str]:
    old, new = _users(before), _users(after)
    known = {name: name for name in old if name in new}
    return _match_names(old, new, known, lambda one, other: _alike(old[one], new[other]))


def _users(document: Discovery) -> dict[str, frozenset[Any]]:
    """What is in each phase: steps, each with its project."""
    return {
        name: frozenset(
            (project.name, _text(step)) for project in document.projects for step in project.phases.get(name, ())
        )
        for name in document.repository.phases
    }


def _match_projects(before: Discovery, after: Discovery, phases: Mapping[str, str]) -> dict[str, str]:
    old = {project.name: _content(project, phases) for project in before.projects}
    new = {project.name: _content(project, {}) for project in after.projects}
    known = {name: name for name in old if name in new}
    paths = {project.path: project.name for project in after.projects if project.name not in known}
    known |= {
        project.name: paths[project.path]
        for project in before.projects
        if project.name not in known and project.path in paths
    }
    usual = {content for one, other in known.items() for content in (old[one], new[other])}

    def likeness(one: str, other: str) -> float | None:
        if not {old[one], new[other]}.isdisjoint(usual) and name_likeness(one, other) < LIKENESS_MIN:
            return None
        return _alike(old[one], new[other])

    return _match_names(old, new, known, likeness)


def _content(project: Project, phases: Mapping[str, str]) -> frozenset[Any]:
    """What a project is made of, whatever it is called and wherever it lies."""
    steps = {(phases.get(phase, phase), _text(step)) for (phase, _), step in steps_of(project).items()}
    return frozenset(steps | {(name, _text(artifact.producer)) for name, artifact in project.artifacts.items()})


def _match_equal(
    old: Mapping[str, _T], new: Mapping[str, _T], fields_of: Callable[[_T], dict[str, Any]]
) -> dict[str, str]:
    known = {name: name for name in old if name in new}
    return _match_names(
        old, new, known, lambda one, other: 1.0 if fields_of(old[one]) == fields_of(new[other]) else None
    )


def _match_names(
    old: Mapping[str, object],
    new: Mapping[str, object],
    known: Mapping[str, str],
    likeness: Callable[[str, str], float | None],
) -> dict[str, str]:
    """`pair` for things that are known by a name alone; of equally like ones those whose names are alike."""

    def score(one: Key, other: Key) -> tuple[float, ...] | None:
        found = likeness(*one, *other)
        return None if found is None else (found, name_likeness(*one, *other))

    keys: dict[Key, Key] = {(one,): (other,) for one, other in known.items()}
    pairs = pair([(name,) for name in old], [(name,) for name in new], score, keys, pairs_max=THINGS_MAX)
    return {one[0]: other[0] for one, other in pairs.items()}


def _alike(one: frozenset[Any], other: frozenset[Any]) -> float | None:
    part = common_part(one, other)
    return part if part >= LIKENESS_MIN else None


def _text(value: object) -> bytes:
    return msgspec.json.encode(value, order="deterministic")
