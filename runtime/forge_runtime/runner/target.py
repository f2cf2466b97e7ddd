"""What targets of one step have to do with each other: what one leaves to the next, and what all of them share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from forge_runtime.mask import Mask
from forge_runtime.runner.port import LineSink
from forgec.source import Span
from forgec.syntax import earthfile_ast as ast


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltTarget:
    """What an executed target leaves to those that name it."""

    tree: Path
    workdir: str
    environment: Mapping[str, str]
    artifacts: Path
    global_args: Mapping[str, str]
    outputs: tuple[Path, ...] = ()
    """Folders of what it and the targets that it BUILDs save AS LOCAL."""


class Targets(Protocol):
    """Executes other targets, each once."""

    async def build(self, reference: ast.Reference, args: Mapping[str, str], directory: str) -> BuiltTarget: ...


@dataclass(slots=True)
class Progress:
    """Which command runs; what a step that ran too long can say of itself."""

    at: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all targets of a step share. `environment` is the base of every command's.

    `outputs_of` is the directory of the project whose files saved AS LOCAL are kept, if any are.
    """

    environment: Mapping[str, str]
    output: LineSink
    scratch: Path
    timeout_s: float
    groups: Path | None
    progress: Progress
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    mask: Mask = field(default_factory=Mask, repr=False)
    outputs_of: str | None = None
