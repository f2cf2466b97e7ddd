"""Why a push failed: the race was lost, a rule of the server's forbids it, or something is broken. Pure.

`git push --porcelain` prints a line for the reference, `!`, tab, `from:to`, tab, `[rejected] (fetch first)`; what the
server or its hooks say comes beside it in lines that begin with `remote:`. Who rejected tells less than the reason:
servers report a lost race both ways.
"""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from forge_runtime.gitops.pointer import one_line

WORDS_CHARS_MAX: Final = 1000
"""Of what the server says, in an error."""


class Cause(enum.Enum):
    RACE = "race"
    """Another push came first: build on its commit and try again."""

    POLICY = "policy"
    """A hook or a protected branch: trying again changes nothing."""

    ACCESS = "access"
    """The server does not let us in, or does not know the repository."""

    BROKEN = "broken"
    """The network, a full disk, a server in trouble: later it may work."""


@dataclass(frozen=True, slots=True)
class Rejection:
    cause: Cause
    words: str


def read_rejection(output: Iterable[str]) -> Rejection:
    """What a failed push printed, with credentials masked already."""
    lines = list(output)
    reasons = [found for line in lines if (found := _REJECTED.match(line))]
    if not reasons:
        said = _words(lines)
        return Rejection(Cause.ACCESS if any(_ACCESS.search(line) for line in lines) else Cause.BROKEN, said)
    text = f"{reasons[0]['by']} ({reasons[0]['reason'] or 'no reason given'})"
    words = _bounded([text, *_remote(lines)])
    if _RACE.search(reasons[0]["reason"] or ""):
        return Rejection(Cause.RACE, words)
    if reasons[0]["by"] == "remote rejected" and not _TROUBLE.search(reasons[0]["reason"] or ""):
        return Rejection(Cause.POLICY, words)
    return Rejection(Cause.BROKEN, words)


_REJECTED: Final = re.compile(r"!\t[^\t]*\t\[(?P<by>[a-z ]+)\](?: \((?P<reason>.*)\))?")

_RACE: Final = re.compile(
    r"non-fast-forward|fetch first|stale info|cannot lock ref|failed to (?:update|lock) ref|failed to lock"
    r"|incorrect old value provided|reference already exists|unable to create .*\.lock",
    re.IGNORECASE,
)
"""Texts of git's own send-pack and receive-pack, and of the servers built on other implementations."""

_TROUBLE: Final = re.compile(
    r"unpacker error|internal|missing necessary objects|unable to (?:write|migrate)|timed? ?out|unavailable",
    re.IGNORECASE,
)
"""What a server answers in the same place when it is itself at fault."""

_ACCESS: Final = re.compile(
    r"authentication failed|could not read (?:username|password)|permission (?:to .+ )?denied|access denied"
    r"|repository .*not found|does not appear to be a git repository|returned error: 40[134]|host key verification",
    re.IGNORECASE,
)


def _words(lines: list[str]) -> str:
    """The server's words, else the last ones of git's."""
    return _bounded(_remote(lines) or [line for line in lines if line.strip()][-1:] or ["no reason given"])


def _remote(lines: list[str]) -> list[str]:
    said = (line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:"))
    return [line for line in said if line]


def _bounded(words: list[str]) -> str:
    text = "; ".join(one_line(word) for word in words)
    return text if len(text) <= WORDS_CHARS_MAX else text[: WORDS_CHARS_MAX - 3] + "..."
