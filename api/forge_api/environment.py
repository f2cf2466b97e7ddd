"""Environments, and what each takes: platform configuration, since a repository does not know where it is deployed.

    dev         every release, by itself
    staging     releases of main and release/*, when somebody asks for it
    production  releases of a tag or made by hand, when somebody asks for it and another one approved

A file of the same shape replaces these three (JSON: a list of environments).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from forge_runtime.job import EnvironmentName

TriggerKind = Literal["branch_push", "tag", "manual"]
Glob = Annotated[str, Meta(min_length=1, max_length=255)]
Subject = Annotated[str, Meta(min_length=1, max_length=255)]


class EnvironmentsInvalid(ValueError):
    """The configuration of environments cannot be read; the message says where and why."""


class Environment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`allowed_branches` are globs, and matter to releases of a push to a branch alone. `four_eyes`: whoever deploys
    must not be who approved. `developers` may deploy here; so may `approvers`, who are named, and approve."""

    name: EnvironmentName
    allowed_triggers: tuple[TriggerKind, ...]
    allowed_branches: tuple[Glob, ...] = ("*",)
    auto_deploy: bool = False
    requires_approval: bool = False
    four_eyes: bool = True
    developers: bool = False
    approvers: tuple[Subject, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """What a release came from: a push to `branch`, a tag, or somebody's hands."""

    trigger_type: str
    branch: str | None = None


Environments = Mapping[str, Environment]
"""By name."""

STANDARD: Final[Environments] = {
    environment.name: environment
    for environment in (
        Environment(name="dev", allowed_triggers=("branch_push", "tag", "manual"), auto_deploy=True, developers=True),
        Environment(
            name="staging",
            allowed_triggers=("branch_push", "tag", "manual"),
            allowed_branches=("main", "release/*"),
        ),
        Environment(
            name="production",
            allowed_triggers=("tag", "manual"),
            allowed_branches=("main",),
            requires_approval=True,
        ),
    )
}


def read_environments(path: Path) -> Environments:
    """Raises EnvironmentsInvalid."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=list[Environment])
    except (OSError, msgspec.DecodeError) as error:
        raise EnvironmentsInvalid(f"{path}: {error}") from None
    names = [environment.name for environment in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise EnvironmentsInvalid(f"{path}: more than one environment is called {', '.join(twice)}")
    for environment in found:
        if environment.auto_deploy and environment.requires_approval:
            raise EnvironmentsInvalid(f"{path}: {environment.name} deploys by itself and requires an approval")
    return {environment.name: environment for environment in found}


def refusal(environment: Environment, origins: Iterable[Origin]) -> str | None:
    """Why the environment does not take a release that came from these; None if it does. One fitting origin will do."""
    reasons = []
    for origin in origins:
        if origin.trigger_type not in environment.allowed_triggers:
            reasons.append(
                f"it takes releases of {_listed(environment.allowed_triggers)}, not of {origin.trigger_type}"
            )
        elif origin.trigger_type == "branch_push" and not _fits(origin.branch, environment.allowed_branches):
            reasons.append(f"it takes the branches {_listed(environment.allowed_branches)}, not {origin.branch}")
        else:
            return None
    return f"{environment.name} does not take this release: {'; '.join(reasons)}"


def automatic(environments: Environments, origins: Iterable[Origin]) -> tuple[str, ...]:
    """The environments that take a release by themselves."""
    origins = tuple(origins)
    return tuple(
        environment.name
        for environment in environments.values()
        if environment.auto_deploy and refusal(environment, origins) is None
    )


def _fits(branch: str | None, globs: Iterable[str]) -> bool:
    return branch is not None and any(fnmatchcase(branch, glob) for glob in globs)


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words)
