"""What of the build language can be followed when commands run directly on this machine, and what is refused."""

from collections.abc import Mapping
from typing import Final

from forge_runtime.runner.failure import StepFailure, refused
from forgec.source import Span
from forgec.syntax import earthfile_ast as ast

_FLAGS: Final[Mapping[str, frozenset[str]]] = {
    "BUILD": frozenset({"platform", "allow-privileged", "auto-skip", "pass-args"}),
    "COPY": frozenset({"dir", "if-exists", "keep-ts", "keep-own", "platform", "allow-privileged", "pass-args"}),
    "FOR": frozenset({"sep", "no-cache"}),
    "FROM": frozenset({"platform", "allow-privileged", "pass-args"}),
    "IF": frozenset({"no-cache"}),
    "SAVE ARTIFACT": frozenset({"if-exists", "keep-ts", "keep-own", "symlink-no-follow", "force"}),
}

REFUSED: Final[Mapping[type[ast.Command], str]] = {
    ast.Do: "DO",
    ast.FromDockerfile: "FROM DOCKERFILE",
    ast.Try: "TRY",
    ast.WithDocker: "WITH DOCKER",
}

IMAGE_ONLY: Final = frozenset(
    {"CMD", "ENTRYPOINT", "EXPOSE", "LABEL", "USER", "VOLUME", "HEALTHCHECK", "STOPSIGNAL", "SHELL"}
)
"""Say something of an image, which is not built."""


def check_flags(flags: tuple[ast.Flag, ...], keyword: str) -> None:
    """Raises StepFailure (config) at the first flag whose effect the command could not have here."""
    for flag in flags:
        if flag.name not in _FLAGS[keyword]:
            raise unsupported(f"{keyword} --{flag.name}", flag.span)


def unsupported(what: str, span: Span) -> StepFailure:
    return refused(f"{what} is not supported when commands run directly on this machine", span)
