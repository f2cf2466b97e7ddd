"""Every field of a document is compared, or is on the list of those that say nothing of a run."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from forgec.diff.compare import compare
from forgec.discovery.model import (
    Artifact,
    Discovery,
    EarthlyProducer,
    Phase,
    Producer,
    Project,
    Publisher,
    ReleaseReason,
    Repository,
    Secret,
    Step,
    Tagging,
)

TEXT = "text"
UNCOMPARED = {
    *("Discovery.commit_sha", "Discovery.ref", "Discovery.branch", "Discovery.tag", "Discovery.trigger_type"),
    *("Discovery.schema_version", "Discovery.phase_groups", "Discovery.warnings"),
    *("Discovery.release_enabled", "Discovery.release_projects", "Project.config_hash"),
}
"""Which commit and event it is, fingerprints of the text, and what follows from the rest."""


def every_field_set(kind: type[msgspec.Struct], **given: Any) -> Any:
    """A struct whose optional texts are all set, and that has what was given."""
    texts = {
        each.name: TEXT
        for each in msgspec.structs.fields(kind)
        if each.name not in given and each.default in (None, "")
    }
    return kind(**texts, **given)


SECRET = every_field_set(Secret, provider="aws", maps={"A": "a"}, optional=True)
DOCUMENT = every_field_set(
    Discovery,
    commit_sha="0" * 40,
    trigger_type="push",
    repository=Repository(
        forge_version="v1.0.0",
        tagging=Tagging(strategy="monorepo"),
        phases={"test": Phase(group=1, description=TEXT, timeout="10m", required=True), "spare": Phase(group=2)},
        publishers={"images": every_field_set(Publisher, type="docker", credentials=SECRET)},
    ),
    projects=(
        every_field_set(
            Project,
            name="api",
            path="services/api",
            phases={
                "test": (
                    Step(
                        name="unit",
                        action="earthly",
                        target="+unit",
                        priority=5,
                        args=("--A=1", "--B=2"),
                        secrets=(SECRET,),
                        timeout="5m",
                    ),
                    Step(name="lint", action="earthly", target="+lint", priority=1),
                )
            },
            artifacts={
                "image": Artifact(
                    type="container",
                    producer=Producer(earthly=EarthlyProducer(target="+image", args=("--A=1",))),
                    publishers={"images": {"tags": ["v1"]}},
                )
            },
            release_triggered=True,
            deployment_triggered=True,
            release_reason=every_field_set(ReleaseReason, type="tag"),
        ),
    ),
    release_enabled=True,
    release_projects=("api",),
)


def mutations(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Each value in which one leaf is another, or one item is gone, and the field it is in."""
    match value:
        case msgspec.Struct():
            for each in msgspec.structs.fields(value):
                field = f"{type(value).__name__}.{each.name}"
                for where, mutated in mutations(getattr(value, each.name), field):
                    yield where, msgspec.structs.replace(value, **{each.name: mutated})
        case dict():
            for key, item in value.items():
                yield name, {other: value[other] for other in value if other != key}
                yield from ((where, {**value, key: mutated}) for where, mutated in mutations(item, name))
        case tuple() | list():
            for at, item in enumerate(value):
                kind = type(value)
                yield name, value[:at] + value[at + 1 :]
                yield from (
                    (where, value[:at] + kind([mutated]) + value[at + 1 :]) for where, mutated in mutations(item, name)
                )
        case bool():
            yield name, not value
        case int():
            yield name, value + 1
        case str():
            yield name, "7m" if name.endswith(".timeout") else value + "x"


MUTATIONS = [each for each in mutations(DOCUMENT, "Discovery") if "test" in each[1].repository.phases]
"""Without the phase that the project takes part in it would be no document."""


@pytest.mark.parametrize(("field", "mutated"), MUTATIONS, ids=[field for field, _ in MUTATIONS])
def test_another_value_is_a_change(field: str, mutated: Discovery) -> None:
    assert bool(compare(DOCUMENT, mutated)) is (field not in UNCOMPARED)


def test_no_field_was_left_out() -> None:
    structs = (Discovery, Repository, Tagging, Phase, Publisher, Secret, Project, Step)
    structs += (Artifact, EarthlyProducer, ReleaseReason)
    fields = {f"{kind.__name__}.{each.name}" for kind in structs for each in msgspec.structs.fields(kind)}
    containers = {"Discovery.repository", "Repository.tagging", "Publisher.credentials", "Project.release_reason"}
    containers |= {"Artifact.producer", "Discovery.phase_groups", "Discovery.warnings"}

    assert {field for field, _ in MUTATIONS} >= fields - containers
