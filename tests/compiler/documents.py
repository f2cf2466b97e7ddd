"""Discovery documents for tests: small ones by hand, and a strategy that gives any legal one."""

import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from forgec.discovery.model import (
    Artifact,
    Discovery,
    EarthlyProducer,
    Phase,
    Producer,
    Project,
    Publisher,
    Repository,
    Secret,
    Step,
    Tagging,
    phase_groups,
)

HOSTILE_TEXTS = (
    "{{workflow.name}}",
    "{{=sprig.env('HOME')}}",
    "{{item}}",
    "}}{{",
    "a: b # c",
    "yes",
    "null",
    "0x1f",
    "2001-01-01",
    "line\nbreak\ttab",
    "'single' \"double\" \\back",
    "$(id); rm -rf /",
    "\u2028\U0001f600",
)
"""What a person may legally write into arguments, secrets and descriptions, and nobody wants to see in a manifest."""

PHASE_NAMES = ("a", "a-", "a--b", "test", "release", "main", "finish", "on", "null", "p" * 63, "x-s001")
PROJECT_NAMES = ("api", "Web", "0", "007", "1e3", "true", "NO", "a-b-c", "p" * 63)


def document(
    phases: dict[str, int],
    projects: Sequence[Project] = (),
    **phase_fields: Any,
) -> Discovery:
    """A document of phases (name to group) and projects; the derived parts are filled in."""
    declared = {name: Phase(group=group, **phase_fields) for name, group in phases.items()}
    return complete(declared, projects)


def project(
    name: str, phases: Mapping[str, Sequence[str | Step]] | None = None, *, path: str = "", release: bool = False
) -> Project:
    """A project with the steps of each phase: names, which run the target of that name, or whole steps."""
    steps = {phase: tuple(step(given) for given in listed) for phase, listed in (phases or {}).items()}
    return Project(name=name, path=path or f"projects/{name}", phases=steps, release_triggered=release)


def step(given: str | Step, **fields: Any) -> Step:
    return given if isinstance(given, Step) else Step(name=given, action="earthly", target=f"+{given}", **fields)


def many(count: int, phases: Mapping[str, Sequence[str]] | None = None, *, release: bool = False) -> list[Project]:
    return [project(f"p{at:03d}", phases, release=release) for at in range(count)]


def complete(phases: dict[str, Phase], projects: Sequence[Project]) -> Discovery:
    named = {name for project in projects for artifact in project.artifacts.values() for name in artifact.publishers}
    repository = Repository(
        forge_version="v1.0.0",
        tagging=Tagging(strategy="monorepo"),
        phases=phases,
        publishers={name: Publisher(type="docker", registry="registry.example.com", namespace="x") for name in named},
    )
    released = tuple(sorted(project.name for project in projects if project.release_triggered))
    return Discovery(
        repository=repository,
        projects=tuple(sorted(projects, key=lambda project: project.path)),
        phase_groups=phase_groups(repository),
        release_enabled=bool(released),
        release_projects=released,
    )


def shuffled(value: Any, order: Callable[[list[str]], list[str]]) -> Any:
    """The same JSON with the keys of every object in another order; `order` sorts a list of keys as it likes."""
    if isinstance(value, dict):
        return {key: shuffled(value[key], order) for key in order(list(value))}
    if isinstance(value, list):
        return [shuffled(item, order) for item in value]
    return value


def decoded(document: Discovery) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document))


_texts = st.sampled_from(HOSTILE_TEXTS)
_arguments = st.sampled_from([text for text in HOSTILE_TEXTS if "\n" not in text])
_targets = st.text(string.ascii_letters + string.digits + ".-", max_size=5).map(lambda rest: f"+t{rest}")
_secrets = st.builds(
    Secret,
    provider=st.sampled_from(["aws", "env", "file"]),
    secret_name=st.none() | _texts,
    name=st.none() | _texts,
    maps=st.dictionaries(_texts, _texts, max_size=2),
    optional=st.booleans(),
)
_steps = st.builds(
    Step,
    name=st.sampled_from(("unit", "lint", "e2e-", "x" * 63)),
    action=st.just("earthly"),
    target=_targets,
    priority=st.sampled_from((-5, 0, 0, 1, 10)),
    args=st.lists(_arguments, max_size=2).map(tuple),
    secrets=st.lists(_secrets, max_size=1).map(tuple),
    timeout=st.none() | st.sampled_from(("90s", "1h30m", "24h", "250ms")),
)
_step_lists = st.lists(_steps, max_size=3, unique_by=lambda step: step.name).map(tuple)
_artifacts = st.builds(
    Artifact,
    type=st.sampled_from(["container", "binary", "archive"]),
    producer=st.builds(Producer, earthly=st.builds(EarthlyProducer, target=_targets, args=st.tuples(_arguments))),
    publishers=st.dictionaries(
        st.sampled_from(("docker", "mirror", "on")), st.dictionaries(_texts, _texts, max_size=2), max_size=2
    ),
)


@st.composite
def documents(draw: st.DrawFn, groups_max: int = 16) -> Discovery:
    """Any legal document; legal includes text that is hostile to templates, shells and YAML."""
    numbers = st.integers(1, groups_max)
    phases = draw(
        st.dictionaries(
            st.sampled_from(PHASE_NAMES),
            st.builds(Phase, group=numbers, description=_texts, timeout=st.sampled_from(("30m", "45s"))),
            max_size=6,
        )
    )
    names = draw(st.lists(st.sampled_from(PROJECT_NAMES), unique=True, max_size=6))
    projects = [
        Project(
            name=name,
            path=f"{draw(_paths)}/{name}",
            phases={phase: draw(_step_lists) for phase in phases if draw(st.booleans())},
            artifacts=draw(st.dictionaries(st.just("image"), _artifacts, max_size=1)),
            release_triggered=draw(st.booleans()),
            deployment_triggered=draw(st.booleans()),
        )
        for name in names
    ]
    return complete(phases, projects)


_paths = st.sampled_from(("services", "{{item}}", "a b", "-", "ünï", "x/y/z"))
