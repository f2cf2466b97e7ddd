"""Rules on time limits: on templates that can have one, positive, and not later than the workflow's own."""

import re
from collections.abc import Iterator, Set
from typing import Any, Final

from forgec.diagnostic import Code
from forgec.lint.finding import Finding
from forgec.lint.manifest import DEFAULTS, Manifest, mapping, text
from forgec.manifest.target import Target

LEAF_LIMITS: Final = ("activeDeadlineSeconds", "timeout", "pendingTimeout")

_DURATION = re.compile(r"(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h))+|0|\{\{.*\}\}")
_PART = re.compile(r"([0-9.]+)([a-zµ]+)")
_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
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
    """The workflow's deadline ends every pod but those of exit handlers, so a later one of a template never counts."""
    whole = _seconds(manifest.spec.get("activeDeadlineSeconds"))
    if whole is None:
        return
    at_the_end = _exit_handlers(manifest)
    leaves = [each for each in manifest.all_templates() if not each.is_group and each.name not in at_the_end]
    for path, body in [(DEFAULTS, manifest.defaults), *((leaf.path, leaf.body) for leaf in leaves)]:
        for key in LEAF_LIMITS:
            own = _seconds(body.get(key)) if key == "activeDeadlineSeconds" else _length_s(text(body.get(key)))
            if own is not None and own > whole:
                message = f"the limit of {own:.15g} s never counts, since the workflow ends after {whole} s"
                yield Finding(Code.DEADLINE_BEYOND_WORKFLOW, (*path, key), message)


def limits(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: seconds are a number above 0 or a tag, and durations have units."""
    for path, body in manifest.bodies():
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


def _exit_handlers(manifest: Manifest) -> Set[str]:
    """The names of the templates that run at the end of the workflow or of a step, and of those that they start."""
    bodies = [manifest.spec, *(call.body for template in manifest.all_templates() for call in template.calls())]
    pending = [
        text(name)
        for body in bodies
        for name in (body.get("onExit"), mapping(mapping(body.get("hooks")).get("exit")).get("template"))
    ]
    found: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in found and name in manifest.by_name:
            found.add(name)
            pending += [call.template for call in manifest.by_name[name].calls()]
    return found


def _length_s(duration: str) -> float | None:
    """Of a duration with units; None for a tag, or what is none."""
    if not _DURATION.fullmatch(duration) or "{{" in duration:
        return None
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(duration))


def _seconds(value: Any) -> int | None:
    if isinstance(value, str) and _WHOLE_NUMBER.fullmatch(value):
        return int(value[:20])
    return value if isinstance(value, int) and not isinstance(value, bool) else None
