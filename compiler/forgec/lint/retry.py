"""Rules on retries: where they stand, what they repeat, and what keeps them from working."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from forgec.diagnostic import Code
from forgec.lint.finding import Finding, Path
from forgec.lint.manifest import DEFAULTS, Manifest, mapping, text
from forgec.manifest.target import Target

_FOR_ALL: Final = ((*DEFAULTS, "retryStrategy"), ("spec", "retryStrategy"))

_TELLS_DEADLINES = re.compile(r"lastRetry\.(message|duration)")
_ASKS_FOR_DEADLINES = re.compile(r"lastRetry\.message\s+(contains|matches|startsWith)\s+['\"][^'\"]*deadline", re.I)
_NEGATES = re.compile(r"!|\bnot\b")
_ERRORS_ONLY = re.compile(r"\s*lastRetry\.status\s*==\s*['\"]Error['\"]\s*")
"""A pod that a deadline has ended has failed, which is no error to Argo."""
_EXIT_CODES = re.compile(r"lastRetry\.exitCode")
_SIGNALS = re.compile(r"\b(137|143)\b|-1\b|[<>]|!=")


def fail_fast(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """A failed attempt counts as a failed child: no retry is made (argo-workflows 5398), or it never ends (16849)."""
    for template in manifest.all_templates():
        if manifest.body_of(template).get("failFast") is not True or not template.is_group:
            continue
        where = template.path if template.body.get("failFast") else DEFAULTS
        for call in template.calls():
            callee = manifest.callee(call)
            if callee is not None and manifest.retry_of(callee):
                message = f'failFast keeps "{call.name}", which has a retryStrategy, from being tried again'
                advice = "leave failFast out; it does not end what is running anyway"
                yield Finding(Code.FAIL_FAST_WITH_RETRY, (*where, "failFast"), message, advice, at_key=True)
                break


def retry_on_group(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """A retry of steps or of a DAG starts all of it again, also what has succeeded (argo-workflows 12009)."""
    advice = "put the retryStrategy on the templates that have a pod"
    groups = [template for template in manifest.all_templates() if template.is_group]
    for template in groups:
        if template.body.get("retryStrategy") is not None:
            message = f"the retry of the {template.title} repeats all of its {template.kinds[0]}"
            path = (*template.path, "retryStrategy")
            yield Finding(Code.RETRY_ON_GROUP, path, message, help=advice, at_key=True)
    for path, _ in _for_all(manifest):
        if groups:
            message = f"this retry is every template's, also of the {groups[0].title}, which it repeats as a whole"
            yield Finding(Code.RETRY_ON_GROUP, path, message, help=advice, at_key=True)


def implicit_policy(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """With an expression the policy is Always since Argo 3.5, and OnFailure before and without one."""
    for path, own, retry in _strategies(manifest):
        if text(own.get("expression")) and not text(retry.get("retryPolicy")):
            message = "with an expression and no retryPolicy it depends on Argo's version what is tried again"
            advice = "say retryPolicy: Always, which is what Argo takes since 3.5"
            yield Finding(Code.RETRY_POLICY_IMPLICIT, (*path, "expression"), message, help=advice, at_key=True)


def retry_after_deadline(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """A pod that its deadline ended has failed like any other, with a signal's exit code, and is tried again."""
    for path, retry, limit in _limited_strategies(manifest):
        if _repeats_deadlines(retry):
            message = f"what {limit} has stopped is tried again, with the same time as before"
            advice = "leave it out in the expression: !(lastRetry.message contains 'deadline')"
            yield Finding(Code.RETRY_AFTER_DEADLINE, path, message, help=advice, at_key=True)


def _strategies(manifest: Manifest) -> Iterator[tuple[Path, Mapping[str, Any], Mapping[str, Any]]]:
    """Every strategy as it is written, and with what templateDefaults add to a template's own."""
    for path, retry in _for_all(manifest):
        yield path, retry, retry
    for template in manifest.all_templates():
        own = mapping(template.body.get("retryStrategy"))
        if own:
            yield (*template.path, "retryStrategy"), own, manifest.retry_of(template)


def _limited_strategies(manifest: Manifest) -> Iterator[tuple[Path, Mapping[str, Any], str]]:
    """Every strategy that meets a time limit of a pod, and the limit; either may be of the template or of all."""
    for_all = _limits(manifest.defaults)
    for path, retry in _for_all(manifest) if for_all else ():
        yield path, retry, for_all[0]
    for template in manifest.all_templates():
        own, limits = mapping(template.body.get("retryStrategy")), _limits(template.body)
        if own and (limits or for_all):
            yield (*template.path, "retryStrategy"), manifest.retry_of(template), (limits or for_all)[0]
        elif limits and not for_all and not template.is_group:
            yield (*template.path, limits[0]), manifest.retry_of(template), limits[0]


def _limits(body: Mapping[str, Any]) -> list[str]:
    return [key for key in ("activeDeadlineSeconds", "timeout") if body.get(key) is not None]


def _for_all(manifest: Manifest) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in _FOR_ALL:
        body = manifest.defaults if "templateDefaults" in path else manifest.spec
        retry = mapping(body.get("retryStrategy"))
        if retry:
            yield path, retry


def _repeats_deadlines(retry: Mapping[str, Any]) -> bool:
    if not retry:
        return False
    expression = text(retry.get("expression"))
    policy = text(retry.get("retryPolicy")) or ("Always" if expression else "OnFailure")
    if policy not in ("Always", "OnFailure") or _ERRORS_ONLY.fullmatch(expression):
        return False
    if _TELLS_DEADLINES.search(expression):
        return bool(_ASKS_FOR_DEADLINES.search(expression)) and not _NEGATES.search(expression)
    return not _EXIT_CODES.search(expression) or bool(_SIGNALS.search(expression))
