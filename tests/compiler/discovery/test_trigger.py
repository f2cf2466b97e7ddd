"""What a push, a tag, a pull request and a person's click release."""

import time
from typing import Literal

import pytest

from forgec.discovery.model import ReleaseReason
from forgec.discovery.trigger import PATTERN_LENGTH_MAX, Release, ReleaseRule, Trigger, pattern_problem, release_verdict


def branch(name: str) -> Trigger:
    return Trigger(branch=name, trigger_type="push")


def tag(name: str) -> Trigger:
    return Trigger(tag=name, trigger_type="push")


MAIN = Release(on=(ReleaseRule(branch="main"),))
PATTERN = Release(on=(ReleaseRule(branch="main"), ReleaseRule(branch=r"release/\d+\.x")))
TAGS = Release(on=(ReleaseRule(tag=True),))
BOTH = Release(on=(ReleaseRule(branch="main"), ReleaseRule(tag=True)))
OFF = Release(on=(ReleaseRule(branch="main"), ReleaseRule(tag=True)), enabled=False)


@pytest.mark.parametrize(
    ("trigger", "release", "strategy", "released"),
    [
        (branch("main"), MAIN, "monorepo", True),
        (branch("main"), MAIN, "tag-all", True),
        (branch("main2"), MAIN, "monorepo", False),
        (branch("not/main"), MAIN, "monorepo", False),
        (branch("release/1.x"), PATTERN, "monorepo", True),
        (branch("release/1.x/fix"), PATTERN, "monorepo", False),
        (branch("main"), TAGS, "monorepo", False),
        (branch("main"), Release(), "monorepo", False),
        (branch("main"), OFF, "monorepo", False),
        (tag("web/v1.0.0"), TAGS, "monorepo", True),
        (tag("web/v1"), BOTH, "monorepo", True),
        (tag("web/v1.0.0"), MAIN, "monorepo", False),
        (tag("web/v1.0.0"), OFF, "monorepo", False),
        (tag("api/v1.0.0"), TAGS, "monorepo", False),
        (tag("web-ui/v1.0.0"), TAGS, "monorepo", False),
        (tag("web/1.0.0"), TAGS, "monorepo", False),
        (tag("v1.0.0"), TAGS, "monorepo", False),
        (tag("v1.0.0"), TAGS, "tag-all", True),
        (tag("v1.0.0"), OFF, "tag-all", False),
        (tag("v1.0.0"), MAIN, "tag-all", False),
        (tag("web/v1.0.0"), TAGS, "tag-all", False),
        (tag("v1/2"), TAGS, "tag-all", False),
        (tag("1.0.0"), TAGS, "tag-all", False),
        (tag("main"), MAIN, "monorepo", False),
        (Trigger(branch="main", trigger_type="pull_request"), BOTH, "monorepo", False),
        (Trigger(branch="main", trigger_type="manual"), BOTH, "monorepo", False),
        (Trigger(tag="v1", trigger_type="manual"), BOTH, "tag-all", False),
        (Trigger(branch="main"), BOTH, "monorepo", False),
        (Trigger(trigger_type="push"), BOTH, "monorepo", False),
    ],
)
def test_release_follows_from_trigger_and_rules(
    trigger: Trigger, release: Release, strategy: str, released: bool
) -> None:
    reason = release_verdict(trigger, release, project="web", strategy=strategy).reason

    assert (reason is not None) is released


def test_reason_names_the_branch_or_the_tag() -> None:
    by_branch = release_verdict(branch("main"), BOTH, project="web", strategy="monorepo").reason
    by_tag = release_verdict(tag("web/v1"), BOTH, project="web", strategy="monorepo").reason

    assert by_branch == ReleaseReason(type="branch_push", branch="main")
    assert by_tag == ReleaseReason(type="tag", tag="web/v1")


@pytest.mark.parametrize("pattern", ["", "(", "a{2000}", r"\1", "(?=main)", "[", "a" * (PATTERN_LENGTH_MAX + 1)])
def test_text_that_is_no_branch_pattern_is_refused(pattern: str) -> None:
    assert pattern_problem(pattern)


@pytest.mark.parametrize("pattern", ["main", "release/.+", "(?i)MAIN", "ünïcode/.*", "a" * PATTERN_LENGTH_MAX])
def test_branch_pattern_is_accepted(pattern: str) -> None:
    assert pattern_problem(pattern) is None


def test_hostile_pattern_takes_linear_time() -> None:
    release = Release(on=(ReleaseRule(branch="(a*)*(a*)*(a*)*b"),))

    started = time.monotonic()
    reason = release_verdict(branch("a" * 1000), release, project="web", strategy="monorepo").reason

    assert reason is None
    assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ("trigger", "release", "strategy", "why"),
    [
        (branch("main"), PATTERN, "monorepo", 'branch "main" matches "main"'),
        (branch("x"), PATTERN, "monorepo", r'branch "x" matches none of "main", "release/\d+\.x"'),
        (branch("main"), TAGS, "monorepo", "it is released by tags only"),
        (tag("v1"), MAIN, "monorepo", "it is released by branches only"),
        (tag("v1"), TAGS, "monorepo", 'tag "v1" is not "web/v...", as tagging strategy monorepo wants'),
        (tag("v1"), TAGS, "tag-all", 'tag "v1" is "v..." without "/"'),
        (tag("v1"), OFF, "tag-all", "release.enabled is false"),
        (tag("v1"), Release(), "tag-all", "it has no release rules (release.on)"),
        (Trigger(branch="main", trigger_type="pull_request"), MAIN, "monorepo", "a pull request releases nothing"),
        (Trigger(trigger_type="push"), MAIN, "monorepo", "the push is of neither a branch nor a tag"),
    ],
)
def test_the_reason_is_told(
    trigger: Trigger, release: Release, strategy: Literal["monorepo", "tag-all"], why: str
) -> None:
    assert release_verdict(trigger, release, project="web", strategy=strategy).why == why
