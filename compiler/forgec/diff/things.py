"""The fields that are compared of each thing in a document, and the differences between two sets of them.

Left out is what says nothing of a run: which commit and event a document is of, the fingerprint of a project's text
(`configHash`; a comment changes it), the order in which hand-written lists name projects and steps (a plan sorts them),
and what follows from the rest.
"""

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Any, Final, TypeAlias

import msgspec

from forgec.diff.model import Field, Kind
from forgec.discovery.model import Artifact, Phase, Project, Publisher, Repository, Step
from forgec.discovery.trigger import Release
from forgec.units import parse_duration

Fields: TypeAlias = dict[str, Any]
"""By name, as JSON has them, in the order in which they are shown."""


_FIRST: Final = ("phase", "path", "group", "target")
"""Where something is and what it runs is told before the rest."""


def repository_fields(repository: Repository) -> Fields:
    return {"forgeVersion": repository.forge_version, "tagging": repository.tagging.strategy}


def phase_fields(phase: Phase) -> Fields:
    return {
        "group": phase.group,
        "timeoutS": parse_duration(phase.timeout),
        "required": phase.required,
        "description": phase.description,
    }


def publisher_fields(publisher: Publisher) -> Fields:
    return {"type": publisher.type, **_plain(publisher)}


def project_fields(project: Project, release: Release | None) -> Fields:
    """`release`: the project's rules, which a document does not hold."""
    rules = {} if release is None else {"release.on": _rules(release), "release.enabled": release.enabled}
    return {
        "path": project.path,
        "releaseTriggered": project.release_triggered,
        "deploymentTriggered": project.deployment_triggered,
        "releaseReason": _plain(project.release_reason),
        **rules,
    }


def step_fields(step: Step, timeout: str | None) -> Fields:
    """`timeout`: the step's own or its phase's, None to leave it out."""
    return {
        "action": step.action,
        "target": step.target,
        "args": list(step.args),
        "secrets": _plain(step.secrets),
        "priority": step.priority,
        "timeoutS": None if timeout is None else parse_duration(timeout),
    }


def artifact_fields(artifact: Artifact) -> Fields:
    return {
        "type": artifact.type,
        "target": artifact.producer.earthly.target,
        "args": list(artifact.producer.earthly.args),
        "publishers": _plain(artifact.publishers),
    }


def differences(before: Fields, after: Fields, *, neutral: Collection[str] = ()) -> tuple[Field, ...]:
    """`neutral` names the fields whose change is one of the text alone."""
    names = [*before, *(name for name in after if name not in before)]
    return tuple(
        Field(name=name, before=before.get(name), after=after.get(name), neutral=name in neutral)
        for name in sorted(names, key=lambda name: (name not in _FIRST, name))
        if before.get(name) != after.get(name)
    )


def appeared(fields: Fields) -> tuple[Field, ...]:
    """The fields of something new; those that are off, empty or zero go without saying."""
    return differences({}, {name: value for name, value in fields.items() if value})


def kind_of(fields: Collection[Field]) -> Kind:
    """Of a change that is no new name."""
    if any(field.name in ("path", "phase") for field in fields):
        return Kind.MOVED
    if all(field.reordered for field in fields):
        return Kind.REORDERED
    if all(field.neutral and field.name in ("group", "priority") for field in fields):
        return Kind.RENUMBERED
    return Kind.CHANGED


def keep_order(numbers: Iterable[tuple[int, int]]) -> bool:
    """Whether things with these numbers (before, after) are as they were: one after another, or together."""
    pairs = sorted(set(numbers))
    return all(one[0] < other[0] and one[1] < other[1] for one, other in pairwise(pairs))


def same_publishers(before: Artifact, after: Artifact, names: Mapping[str, str]) -> bool:
    """Whether they go to the same places, by the publishers' new names."""
    return {names.get(name, name): fields for name, fields in before.publishers.items()} == after.publishers


def _rules(release: Release) -> list[Fields]:
    return [{name: value for name, value in _plain(rule).items() if value is not None} for rule in release.on]


def _plain(value: Any) -> Any:
    """As its JSON is read again: defaults left out, lists for tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))
