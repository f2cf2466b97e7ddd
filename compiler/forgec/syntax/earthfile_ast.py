"""The tree of an Earthfile: frozen commands, every one with its place.

Words stay as written, with quotes, `$name` and `$(...)`: what they come to is known only when they run.
"""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

from forgec.source import Source, Span


class Flag(Struct, frozen=True, kw_only=True):
    """`--name` or `--name=value`; the name without its dashes, the value as written."""

    name: str
    value: str | None
    span: Span


class Operand(Struct, frozen=True, kw_only=True):
    """A word, or the first word of a `(+target/path --key=value)` with the rest as `args`."""

    text: str
    args: tuple[Flag, ...] = ()
    span: Span


class From(Struct, frozen=True, kw_only=True):
    """`base` is an image or a target."""

    flags: tuple[Flag, ...]
    base: Operand
    span: Span


class FromDockerfile(Struct, frozen=True, kw_only=True):
    """`sources` are the context and the value of `-f`: paths or artifacts."""

    flags: tuple[Flag, ...]
    sources: tuple[Operand, ...]
    span: Span


class Workdir(Struct, frozen=True, kw_only=True):
    path: str
    span: Span


class Copy(Struct, frozen=True, kw_only=True):
    flags: tuple[Flag, ...]
    sources: tuple[Operand, ...]
    destination: str
    span: Span


class Run(Struct, frozen=True, kw_only=True):
    """`text` is for a shell, or a JSON list of arguments."""

    flags: tuple[Flag, ...]
    text: str
    span: Span


class Arg(Struct, frozen=True, kw_only=True):
    """`default` is None where none is written."""

    name: str
    default: str | None
    required: bool
    is_global: bool
    span: Span


class Assign(Struct, frozen=True, kw_only=True):
    """ENV, LET or SET, told apart by `keyword`."""

    keyword: str
    name: str
    value: str
    span: Span


class Build(Struct, frozen=True, kw_only=True):
    flags: tuple[Flag, ...]
    target: Operand
    span: Span


class Do(Struct, frozen=True, kw_only=True):
    flags: tuple[Flag, ...]
    function: Operand
    span: Span


class Import(Struct, frozen=True, kw_only=True):
    path: str
    alias: str
    span: Span


class SaveArtifact(Struct, frozen=True, kw_only=True):
    """`local` is the path after AS LOCAL."""

    flags: tuple[Flag, ...]
    source: str
    destination: str | None
    local: str | None
    span: Span


class SaveImage(Struct, frozen=True, kw_only=True):
    flags: tuple[Flag, ...]
    names: tuple[str, ...]
    span: Span


class Branch(Struct, frozen=True, kw_only=True):
    flags: tuple[Flag, ...]
    condition: str
    body: "Recipe"
    span: Span


class If(Struct, frozen=True, kw_only=True):
    branches: tuple[Branch, ...]
    otherwise: "Recipe"
    span: Span


class For(Struct, frozen=True, kw_only=True):
    flags: tuple[Flag, ...]
    name: str
    items: str
    body: "Recipe"
    span: Span


class Wait(Struct, frozen=True, kw_only=True):
    body: "Recipe"
    span: Span


class Try(Struct, frozen=True, kw_only=True):
    body: "Recipe"
    caught: "Recipe"
    finally_: "Recipe"
    span: Span


class WithDocker(Struct, frozen=True, kw_only=True):
    """`loads` are the targets whose images are there for the commands inside."""

    flags: tuple[Flag, ...]
    loads: tuple[Operand, ...]
    body: "Recipe"
    span: Span


class Other(Struct, frozen=True, kw_only=True):
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


class Target(Struct, frozen=True, kw_only=True):
    """A target or a function; `docs` is the comment above its header, `span` the header."""

    name: str
    docs: str
    recipe: Recipe
    span: Span


class Earthfile(Struct, frozen=True, kw_only=True):
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


class Reference(Struct, frozen=True, kw_only=True):
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
