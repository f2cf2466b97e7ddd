"""When a project is released, and when it is deployed.

    event                       released if release.enabled and
    push of a branch            a {branch} pattern matches the whole name
    push of a tag, monorepo     {tag: true}, and the tag begins with "<project>/v"
    push of a tag, tag-all      {tag: true}, and the tag begins with "v" and holds no "/"
    pull request, manual        never

A released project with deployment resources is deployed as well; to which environments is not the repository's to say.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from msgspec import Struct

from forgec.discovery.model import ReleaseReason, ShortText

PATTERN_LENGTH_MAX: Final = 256
_PATTERN_MEMORY_BYTES_MAX: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The commit and what it is known by. A push has a branch or a tag."""

    commit_sha: str | None = None
    ref: str | None = None
    branch: str | None = None
    tag: str | None = None
    trigger_type: Literal["push", "pull_request", "manual"] | None = None


class ReleaseRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either a pattern (RE2) for the branch's whole name, or `tag: true`."""

    branch: ShortText | None = None
    tag: bool | None = None


class Release(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any rule is enough; `enabled: false` opts out, for repositories where one tag releases everything."""

    on: tuple[ReleaseRule, ...] = ()
    enabled: bool = True


def release_reason(
    trigger: Trigger, release: Release, *, project: str, strategy: Literal["monorepo", "tag-all"]
) -> ReleaseReason | None:
    """Why this event releases the project; None if it does not. The patterns have passed `pattern_problem`."""
    if trigger.trigger_type != "push" or not release.enabled:
        return None
    if trigger.tag is not None:
        if any(rule.tag for rule in release.on) and _is_release_tag(trigger.tag, project, strategy):
            return ReleaseReason(type="tag", tag=trigger.tag)
    elif trigger.branch is not None:
        patterns = [rule.branch for rule in release.on if rule.branch is not None]
        if any(_compile(pattern).fullmatch(trigger.branch) for pattern in patterns):
            return ReleaseReason(type="branch_push", branch=trigger.branch)
    return None


def pattern_problem(pattern: str) -> str | None:
    """Why a text is no branch pattern; None if it is one."""
    import re2  # most projects have no pattern

    if not pattern:
        return "a branch pattern cannot be empty"
    if len(pattern) > PATTERN_LENGTH_MAX:
        return f"a branch pattern has at most {PATTERN_LENGTH_MAX} characters, this one {len(pattern)}"
    try:
        _compile(pattern)
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        return f"not a regular expression (RE2): {reason.decode() if isinstance(reason, bytes) else reason}"
    return None


def _is_release_tag(tag: str, project: str, strategy: str) -> bool:
    if strategy == "monorepo":
        return tag.startswith(f"{project}/v")
    return tag.startswith("v") and "/" not in tag


def _compile(pattern: str) -> Any:
    """RE2 matches in linear time, whatever the pattern; its own words on a mistake are ours to print, not its."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY_BYTES_MAX
    return re2.compile(pattern, options)
