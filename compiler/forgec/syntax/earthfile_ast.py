"""The tree of an Earthfile: frozen commands, every one with its place.

Words stay as written, with quotes, `$name` and `$(...)`: what they come to is known only when they run.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from forgec.source import Source, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """`--name` or `--name=value`; the name without its dashes, the value as written."""

    name: str
    value: str | None
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """A word, or the first word of a `(+target/path --key=value)` with the rest as `args`."""

    text: str
    args: tuple[Flag, ...] = ()
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class From:
    """`base` is an image or a target."""

    flags: tuple[Flag, ...]
    base: Operand
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class FromDockerfile:
    """`sources` are the context and the value of `-f`: paths or artifacts."""

    flags: tuple[Flag, ...]
    sources: tuple[Operand, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir:
    path: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    flags: tuple[Flag, ...]
    sources: tuple[Operand, ...]
    destination: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`text` is for a shell, or a JSON list of arguments."""

    flags: tuple[Flag, ...]
    text: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg:
    """`default` is None where none is written."""

    name: str
    default: str | None
    required: bool
    is_global: bool
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign:
    """ENV, LET or SET, told apart by `keyword`."""

    keyword: str
    name: str
    value: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    flags: tuple[Flag, ...]
    target: Operand
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Do:
    flags: tuple[Flag, ...]
    function: Operand
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    path: str
    alias: str
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveArtifact:
    """`local` is the path after AS LOCAL."""

    flags: tuple[Flag, ...]
    source: str
    destination: str | None
    local: str | None
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveImage:
    flags: tuple[Flag, ...]
    names: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    flags: tuple[Flag, ...]
    condition: str
    body: "Recipe"
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class If:
    branches: tuple[Branch, ...]
    otherwise: "Recipe"
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class For:
    flags: tuple[Flag, ...]
    name: str
    items: str
    body: "Recipe"
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    body: "Recipe"
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    body: "Recipe"
    caught: "Recipe"
    finally_: "Recipe"
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class WithDocker:
    """`loads` are the targets whose images are there for the commands inside."""

    flags: tuple[Flag, ...]
    loads: tuple[Operand, ...]
    body: "Recipe"
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """Any further command of the language (ENTRYPOINT, LOCALLY, CACHE, ...)."""

    keyword: str
    text: str
    span: Span


Command: TypeAlias = (
    From
    | FromDockerfile
    | Workdir
    | Copy
    | Run
    | Arg
    | Assign
    | Build
    | Do
    | Import
    | SaveArtifact
    | SaveImage
    | If
    | For
    | Wait
    | Try
    | WithDocker
    | Other
)
Recipe: TypeAlias = tuple[Command, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target or a function; `docs` is the comment above its header, `span` the header."""

    name: str
    docs: str
    recipe: Recipe
    span: Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Earthfile:
    """`base` is the recipe before the first header; `imports` maps an alias to the path it stands for."""

    source: Source
    version: str | None
    imports: Mapping[str, str]
    base: Recipe
    targets: Mapping[str, Target]
    functions: Mapping[str, Target]

    def is_at_least(self, major: int, minor: int) -> bool:
        """By its VERSION; a file without one is older than any."""
        return tuple(int(part) for part in (self.version or "0").split(".") if part.isdigit()) >= (major, minor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a command asks of a target: `project` is "" for the same file, a path, an import's alias or a remote URL.

    `path` is set for an artifact. `dynamic` ones contain `$` or a wildcard, and are known only when they run.
    """

    project: str
    name: str
    path: str | None
    function: bool
    dynamic: bool
    span: Span

    @property
    def target(self) -> str:
        return f"{self.project}+{self.name}"
