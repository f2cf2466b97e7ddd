"""Rules on names: those that Kubernetes and Argo refuse, and those that make pods' names too long."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from forgec.diagnostic import Code
from forgec.lint.finding import Finding, Path
from forgec.lint.manifest import Manifest, mapping, objects, text
from forgec.manifest.name import LABEL_LENGTH_MAX, NODE_HASH_LENGTH_MAX, fits_pod_name
from forgec.manifest.target import Target

ELEMENT_LENGTH_MAX: Final = 128
"""Of a template, step or task."""

_CONTAINERS: Final = ("containerSet", "containers")

_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_ELEMENT = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]*")
_PARAMETER = re.compile(r"[-a-zA-Z0-9_]+")
_TAG = re.compile(r"\{\{\s*(?:inputs|workflow)\..*?\}\}")
_METRIC = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def workflow_name(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Kubernetes takes DNS-1123 names, and Argo 63 characters, since the name is also the value of a label.

    Of a `generateName` Kubernetes cuts what is too long; what it adds are letters and digits.
    """
    generated = text(manifest.metadata.get("generateName"))
    if not manifest.name and not generated:
        path = ("metadata", "name")
        yield Finding(Code.WORKFLOW_NAME, path, "the workflow has neither a name nor a generateName")
    elif len(manifest.name) > LABEL_LENGTH_MAX:
        message = f"a workflow has at most {LABEL_LENGTH_MAX} characters in its name, this one {len(manifest.name)}"
        yield Finding(Code.WORKFLOW_NAME, ("metadata", "name"), message)
    elif not _SUBDOMAIN.fullmatch(manifest.name or f"{generated}x"):
        path = ("metadata", "name" if manifest.name else "generateName")
        yield Finding(Code.WORKFLOW_NAME, path, f'"{manifest.name or generated}" is not a DNS-1123 name')


def element_names(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: letters, digits and hyphens, in parameters underscores too; never empty, never twice."""
    yield from _names([(template.path, template.name) for template in manifest.templates], "template")
    yield from _arguments(mapping(manifest.spec.get("arguments")), ("spec", "arguments"))
    for template in manifest.all_templates():
        for kind, calls in (("step", [call for group in template.groups for call in group]), ("task", template.tasks)):
            yield from _names([(call.path, call.name) for call in calls], kind)
            for call in calls:
                yield from _arguments(call.arguments, (*call.path, "arguments"))
        inner = mapping(template.body.get("containerSet")).get("containers")
        named = [(path, text(item.get("name"))) for path, item in objects(inner, (*template.path, *_CONTAINERS))]
        yield from _names(named, "container")
        for side in ("inputs", "outputs"):
            for kind, found in (("parameter", template.parameters(side)), ("artifact", template.artifacts(side))):
                named = [(path, text(item.get("name"))) for path, item in found]
                yield from _names(named, kind, with_tags=side == "outputs")


def metric_names(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: metrics and their labels have Prometheus' names, without colons."""
    bodies = [(("spec",), manifest.spec), *((template.path, template.body) for template in manifest.all_templates())]
    for path, body in bodies:
        listed = mapping(body.get("metrics")).get("prometheus")
        for place, metric in objects(listed, (*path, "metrics", "prometheus")):
            labels = objects(metric.get("labels"), (*place, "labels"))
            named = [
                ((*place, "name"), metric.get("name")),
                *(((*at, "key"), label.get("key")) for at, label in labels),
            ]
            for at, name in named:
                if isinstance(name, str) and not _METRIC.fullmatch(name):
                    message = f'a metric and its labels may have letters, digits and underscores, not "{name}"'
                    yield Finding(Code.ELEMENT_NAME, at, message)


def pod_names(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """`<workflow>-<template>-<hash>` is a label's value and a host's name, which end at 63 characters."""
    if not manifest.name:
        return
    for template in manifest.templates:
        if template.has_pod and template.name and not fits_pod_name(manifest.name, template.name):
            room = LABEL_LENGTH_MAX - NODE_HASH_LENGTH_MAX - 2
            length = len(manifest.name) + len(template.name)
            message = (
                f'pods of the template "{template.name}" get a name that is longer than {LABEL_LENGTH_MAX} characters: '
                f"workflow and template have {length} together, {room} are left for them"
            )
            yield Finding(Code.POD_NAME_LONG, (*template.path, "name"), message, help="shorten one of the two names")


def _arguments(given: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    for kind, key in (("parameter", "parameters"), ("artifact", "artifacts")):
        yield from _names(
            [(place, text(item.get("name"))) for place, item in objects(given.get(key), (*path, key))], kind
        )


def _names(named: list[tuple[Path, str]], kind: str, *, with_tags: bool = False) -> Iterator[Finding]:
    """`with_tags`: of outputs Argo looks at the names when it has filled in inputs and what the workflow says."""
    pattern, characters = (
        (_PARAMETER, "letters, digits, hyphens and underscores")
        if kind in ("parameter", "artifact")
        else (_ELEMENT, "letters, digits and hyphens, and begin with a letter or digit")
    )
    first: dict[str, Path] = {}
    for path, name in named:
        place = (*path, "name")
        if not name:
            yield Finding(Code.ELEMENT_NAME, place, f"the {kind} has no name")
        elif not pattern.fullmatch(_TAG.sub("x", name) if with_tags else name):
            yield Finding(
                Code.ELEMENT_NAME,
                place,
                f'the name of a{"n" if kind == "artifact" else ""} {kind} may have {characters}, not "{name}"',
            )
        elif len(name) > ELEMENT_LENGTH_MAX:
            message = f"a {kind} has at most {ELEMENT_LENGTH_MAX} characters in its name, this one {len(name)}"
            yield Finding(Code.ELEMENT_NAME, place, message)
        elif name in first:
            yield Finding(Code.NAME_TWICE, place, f'another {kind} before this one has the name "{name}"')
        first.setdefault(name, path)


def generated_name(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Node ids are 32 bit hashes of names that begin with the workflow's: without it nobody can prove them distinct."""
    if not manifest.name and manifest.metadata.get("generateName"):
        message = "the name is made in the cluster, so that no two nodes get one id cannot be checked"
        advice = "give the workflow a name of your own; two nodes with one id are one to Argo, and one never runs"
        yield Finding(Code.NAME_GENERATED, ("metadata", "generateName"), message, help=advice, at_key=True)
