"""From a discovery document to a plan: who does what, with whom, and after what.

The document says what each project does in each phase; the plan transposes that to what each phase does with all
projects, and cuts every phase into units that one dispatcher can carry:

    discovery                                plan
    api:  lint: [fmt], test: [unit]          group 1   lint   g01-lint-s001  api: fmt
    web:  test: [deps(10), unit]                         |
                                             group 2   test   g02-test-s001  api: unit
    lint is of group 1, test of group 2                       g02-test-s002  web: deps, then unit

A phase of n tasks is n units of one while n is at most the shard size, so that a small repository shows every task as
a node of its own; above that it is ceil(n / shard size) units as equally full as they can be. By step a unit is always
one task, and each of its steps gets a dispatcher. Groups without a task get no index, so unit ids do not depend on
phases nobody uses.

Pure: the same document gives the same plan, whatever the order of its keys.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from forgec.diagnostic import ForgeError
from forgec.discovery.model import Discovery, Phase, Project, Publisher, Step, with_primary
from forgec.discovery.places import NO_PLACES, Places
from forgec.plan.check import check_plan
from forgec.plan.model import (
    SHARD_SIZE_DEFAULT,
    Granularity,
    GroupPlan,
    PhasePlan,
    Plan,
    PlanStep,
    ReleaseProject,
    ReleaseUnit,
    Task,
    Unit,
    Wave,
)
from forgec.units import parse_duration

RELEASE_UNIT_PREFIX: Final = "release"

_Item = TypeVar("_Item")


def build_plan(
    discovery: Discovery,
    *,
    shard_size: int = SHARD_SIZE_DEFAULT,
    granularity: Granularity = "shard",
    places: Places = NO_PLACES,
) -> Plan:
    """The plan of a document that discovery wrote or `read_document` accepted; ForgeError where it does not fit a run.

    `shard_size` is the number of tasks (in the release stage: projects) that one unit may hold, at least 1; by step a
    unit holds one, whatever the size. `places` tells where the document says what, for findings.
    """
    if shard_size < 1:
        raise ValueError(f"shard size must be at least 1, not {shard_size}")
    undeclared = {phase for project in discovery.projects for phase in project.phases} - set(
        discovery.repository.phases
    )
    assert not undeclared, f"the document was not checked: it declares no phase {sorted(undeclared)}"
    projects = sorted(discovery.projects, key=lambda project: project.path)
    by_step = granularity == "step"
    size = 1 if by_step else shard_size
    plan = Plan(
        groups=_groups(discovery.repository.phases, projects, size, by_step=by_step),
        release=_release(projects, discovery.repository.publishers, size),
    )
    problems = check_plan(plan, places)
    if problems:
        raise ForgeError(problems)
    return plan


def shards(items: Sequence[_Item], shard_size: int) -> list[Sequence[_Item]]:
    """Consecutive parts: one item each up to `shard_size` items, else the fewest that hold them, sizes within one."""
    if len(items) <= shard_size:
        return [items[at : at + 1] for at in range(len(items))]
    count = -(-len(items) // shard_size)
    size, larger = divmod(len(items), count)
    parts = []
    start = 0
    for index in range(count):
        end = start + size + (index < larger)
        parts.append(items[start:end])
        start = end
    return parts


def _groups(
    phases: dict[str, Phase], projects: Sequence[Project], shard_size: int, *, by_step: bool
) -> tuple[GroupPlan, ...]:
    groups = []
    index = 0
    by_number = sorted(phases.items(), key=lambda item: (item[1].group, item[0]))
    for number, members in groupby(by_number, key=lambda item: item[1].group):
        tasks = {name: _tasks(name, phase, projects) for name, phase in members}
        index += any(tasks.values())
        units = {name: _units(f"g{index:02d}-{name}", tasks[name], shard_size, by_step=by_step) for name in tasks}
        group = tuple(PhasePlan(name=name, units=units[name]) for name in tasks)
        groups.append(GroupPlan(number=number, phases=group))
    return tuple(groups)


def _units(prefix: str, tasks: Sequence[Task], shard_size: int, *, by_step: bool) -> tuple[Unit, ...]:
    return tuple(
        Unit(id=_unit_id(prefix, number), tasks=tuple(part), by_step=by_step)
        for number, part in enumerate(shards(tasks, shard_size), 1)
    )


def _release(projects: Sequence[Project], publishers: dict[str, Publisher], shard_size: int) -> tuple[ReleaseUnit, ...]:
    released = [_released(project, publishers) for project in projects if project.release_triggered]
    return tuple(
        ReleaseUnit(id=_unit_id(RELEASE_UNIT_PREFIX, number), projects=tuple(part))
        for number, part in enumerate(shards(released, shard_size), 1)
    )


def _released(project: Project, publishers: dict[str, Publisher]) -> ReleaseProject:
    """A document that names no primary publisher has its first one by name: the order of its keys says nothing."""
    artifacts = {
        name: with_primary(replace(artifact, publishers=dict(sorted(artifact.publishers.items()))))
        for name, artifact in project.artifacts.items()
    }
    used = {name for artifact in artifacts.values() for name in artifact.publishers}
    return ReleaseProject(
        project=project.name,
        path=project.path,
        artifacts=_plain(artifacts),
        publishers=_plain({name: publishers[name] for name in used}),
        deploy=project.deployment_triggered,
    )


def _unit_id(prefix: str, number: int) -> str:
    return f"{prefix}-s{number:03d}"


def _tasks(name: str, phase: Phase, projects: Sequence[Project]) -> list[Task]:
    """A phase's tasks in path order; a project that lists no step for it takes no part."""
    return [
        Task(project=project.name, path=project.path, waves=_waves(project.phases[name], phase))
        for project in projects
        if project.phases.get(name)
    ]


def _waves(steps: Sequence[Step], phase: Phase) -> tuple[Wave, ...]:
    by_priority = sorted(steps, key=lambda step: (-step.priority, step.name))
    return tuple(
        Wave(priority=priority, steps=tuple(_step(step, phase) for step in wave))
        for priority, wave in groupby(by_priority, key=lambda step: step.priority)
    )


def _step(step: Step, phase: Phase) -> PlanStep:
    return PlanStep(
        name=step.name,
        action=step.action,
        target=step.target,
        timeout_s=parse_duration(step.timeout or phase.timeout),
        args=step.args,
        secrets=tuple(_plain(secret) for secret in step.secrets),
    )


def _plain(value: Any) -> Any:
    """As the plan's JSON will be read back: `to_builtins` would keep tuples, and the two would not be equal."""
    return msgspec.json.decode(msgspec.json.encode(value))
