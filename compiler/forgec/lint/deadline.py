"""Rules on time limits: on templates that can have one, positive, and not later than the workflow's own."""

import re
from collections.abc import Iterator
from typing import Any, Final

from forgec.diagnostic import Code
from forgec.lint.finding import Finding
from forgec.lint.manifest import Manifest, text
from forgec.manifest.target import Target

LEAF_LIMITS: Final = ("activeDeadlineSeconds", "timeout", "pendingTimeout")

_DURATION = re.compile(r"(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h))+|0|\{\{.*\}\}")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")


def deadline_on_group(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator, and since 4.0 the rules of its definitions: only what has a pod has these limits."""
    advice = "limit the templates that have a pod, or the workflow: spec.activeDeadlineSeconds"
    for template in manifest.all_templates():
        for key in LEAF_LIMITS:
            if template.is_group and template.body.get(key) is not None:
                message = f"{key} is not for {template.kinds[0]} templates"
                yield Finding(Code.DEADLINE_ON_GROUP, (*template.path, key), message, help=advice, at_key=True)


def deadline_beyond_workflow(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """The workflow's deadline ends every pod, so a later one of a template never counts."""
    whole = _seconds(manifest.spec.get("activeDeadlineSeconds"))
    for template in manifest.all_templates():
        own = _seconds(template.body.get("activeDeadlineSeconds"))
        if whole is not None and own is not None and own > whole:
            message = f"the limit of {own} s never counts, since the workflow ends after {whole} s"
            yield Finding(Code.DEADLINE_BEYOND_WORKFLOW, (*template.path, "activeDeadlineSeconds"), message)


def limits(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: seconds are a number above 0 or a tag, and durations have units."""
    for path, body in [(template.path, template.body) for template in manifest.all_templates()] + [
        (("spec",), manifest.spec)
    ]:
        seconds = body.get("activeDeadlineSeconds")
        number = _seconds(seconds)
        is_tag = isinstance(seconds, str) and seconds.startswith("{{") and seconds.endswith("}}")
        if seconds is not None and not is_tag and (number is None or number <= 0):
            message = "activeDeadlineSeconds is a whole number of seconds above 0, or a tag"
            yield Finding(Code.BAD_VALUE, (*path, "activeDeadlineSeconds"), message)
        for key in ("timeout", "pendingTimeout"):
            duration = text(body.get(key))
            if duration and not _DURATION.fullmatch(duration):
                example = f'"{duration}s"' if _WHOLE_NUMBER.fullmatch(duration) else '"1h30m"'
                message = f"a {key} is a duration with units, such as {example}"
                yield Finding(Code.BAD_VALUE, (*path, key), message)


def _seconds(value: Any) -> int | None:
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value[:20])
    return value if isinstance(value, int) and not isinstance(value, bool) else None
