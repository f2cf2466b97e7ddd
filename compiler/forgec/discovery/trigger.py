"""When a project is released, and when it is deployed.

    event                       released if release.enabled and
    push of a branch            a {branch} pattern matches the whole name
    push of a tag, monorepo     {tag: true}, and the tag begins with "<project>/v"
    push of a tag, tag-all      {tag: true}, and the tag begins with "v" and holds no "/"
    pull request, manual        never

A released project with deployment resources is deployed as well; to which environments is not the repository's to say.
"""

from typing import Any, Final, Literal

from msgspec import Struct

from forgec.discovery.model import ReleaseReason, ShortText

PATTERN_LENGTH_MAX: Final = 256
_PATTERN_MEMORY_BYTES_MAX: Final = 1024 * 1024


class Trigger(Struct, frozen=True, kw_only=True):
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


class Verdict(Struct, frozen=True):
    """Whether an event releases a project, and `why`, in words that end a sentence about the project."""

    reason: ReleaseReason | None
    why: str


def release_verdict(
    trigger: Trigger, release: Release, *, project: str, strategy: Literal["monorepo", "tag-all"]
) -> Verdict:
    """The patterns have passed `pattern_problem`."""
    if trigger.trigger_type != "push":
        event = {"pull_request": "a pull request", "manual": "a manual run"}.get(trigger.trigger_type or "", "no event")
        return Verdict(None, f"{event} releases nothing")
    if not release.on:
        return Verdict(None, "it has no release rules (release.on)")
    if not release.enabled:
        return Verdict(None, "release.enabled is false")
    if trigger.tag is not None:
        return _of_tag(trigger.tag, release, project, strategy)
    if trigger.branch is not None:
        return _of_branch(trigger.branch, release)
    return Verdict(None, "the push is of neither a branch nor a tag")


def _of_branch(branch: str, release: Release) -> Verdict:
    patterns = [rule.branch for rule in release.on if rule.branch is not None]
    if not patterns:
        return Verdict(None, "it is released by tags only")
    for pattern in patterns:
        if _compile(pattern).fullmatch(branch):
            return Verdict(ReleaseReason(type="branch_push", branch=branch), f'branch "{branch}" matches "{pattern}"')
    return Verdict(None, f'branch "{branch}" matches none of {_listed(patterns)}')


def _of_tag(tag: str, release: Release, project: str, strategy: str) -> Verdict:
    if not any(rule.tag for rule in release.on):
        return Verdict(None, "it is released by branches only")
    wanted = f'"{project}/v..."' if strategy == "monorepo" else '"v..." without "/"'
    if _is_release_tag(tag, project, strategy):
        return Verdict(ReleaseReason(type="tag", tag=tag), f'tag "{tag}" is {wanted}')
    return Verdict(None, f'tag "{tag}" is not {wanted}, as tagging strategy {strategy} wants')


def _listed(patterns: list[str]) -> str:
    return ", ".join(f'"{pattern}"' for pattern in patterns)


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
