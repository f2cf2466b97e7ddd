"""The `args` of a step: the few runner flags that a repository may set, and build args.

An allow-list, since the same list reaches a real CLI: a repository must not redirect the runner, its configuration or
its secrets. Everything that is not a known flag has to be `--NAME=value`, and goes behind the target, where the CLI
knows build args only.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from forge_runtime.runner.failure import config_failure

ARGS_MAX: Final = 100
ARG_CHARS_MAX: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class StepArguments:
    """`flags` as the CLI takes them, in order; `build_args` by name."""

    flags: tuple[str, ...]
    build_args: Mapping[str, str]


def parse_step_arguments(args: Sequence[str]) -> StepArguments:
    """Raises StepFailure (config) that names the first argument which is not allowed."""
    if len(args) > ARGS_MAX:
        raise config_failure(f"the step has {len(args)} args; at most {ARGS_MAX} are allowed")
    flags: list[str] = []
    build_args: dict[str, str] = {}
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        if len(arg) > ARG_CHARS_MAX or "\0" in arg:
            raise config_failure(
                f"an arg of the step is longer than {ARG_CHARS_MAX} characters or has a NUL: {arg[:40]!r}"
            )
        if arg == "--platform" and rest:
            arg = f"--platform={rest.pop(0)}"
        if arg in _FLAGS or _PLATFORM.fullmatch(arg):
            flags.append(arg)
        elif match := _BUILD_ARG.fullmatch(arg):
            build_args[match[1]] = match[2]
        else:
            allowed = ", ".join(sorted(_FLAGS))
            raise config_failure(
                f"step arg {arg[:80]!r} is not allowed: use {allowed}, --platform=os/arch, or --NAME=value for an ARG"
            )
    return StepArguments(flags=tuple(flags), build_args=MappingProxyType(build_args))


_FLAGS: Final = frozenset({"--ci", "--strict", "--no-cache", "--no-output"})
_PLATFORM: Final = re.compile(r"--platform=[a-z0-9]+(?:/[a-z0-9]+){0,2}")
_BUILD_ARG: Final = re.compile(r"--([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
