"""What a rule says of a manifest, before anybody knows where in which text that is."""

from typing import Final

from msgspec import Struct

from forgec.diagnostic import Code, Severity

Path = tuple[str | int, ...]
"""Keys and indexes from the root of a Workflow."""


class Finding(Struct, frozen=True):
    """`at_key`: what is wrong is the key at the end of the path, or that it is there, and not its value."""

    code: Code
    path: Path
    message: str
    help: str | None = None
    at_key: bool = False

    @property
    def severity(self) -> Severity:
        return Severity.WARNING if self.code in ADVICE else Severity.ERROR


ADVICE: Final = frozenset(
    {
        Code.POD_NAME_LONG,
        Code.LITERAL_TOO_LARGE,
        Code.TAG_FOREIGN,
        Code.RETRY_ON_GROUP,
        Code.RETRY_POLICY_IMPLICIT,
        Code.RETRY_AFTER_DEADLINE,
        Code.DEADLINE_BEYOND_WORKFLOW,
        Code.NAME_GENERATED,
        Code.COMMAND_MISSING,
        Code.NOT_CLEANED_UP,
        Code.TOKEN_MOUNTED,
        Code.TOO_MANY_PODS,
    }
)
"""Warnings: Argo runs such a workflow, and it may do what was meant. All else Argo refuses, or it cannot work."""


def shown(path: Path) -> str:
    """`spec.templates[0].steps[1][0].name`"""
    parts = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(parts).removeprefix(".")
