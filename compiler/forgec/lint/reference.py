"""Rules on templates and who calls them: each has one body, each call finds its template and brings its inputs."""

from collections.abc import Iterator, Mapping
from typing import Any

from forgec.diagnostic import Code
from forgec.lint.finding import Finding, Path
from forgec.lint.manifest import KINDS, Call, Manifest, Template, mapping, objects, text
from forgec.manifest.target import Target
from forgec.nearest import did_you_mean

_LOOPS = ("withItems", "withParam", "withSequence")
_LOCATIONS = ("s3", "git", "http", "artifactory", "hdfs", "raw", "oss", "gcs", "azure", "plugin")


def template_kinds(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: a template is exactly one thing."""
    for template in manifest.all_templates():
        kinds = template.kinds
        if len(kinds) > 1:
            message = f"the {template.title} has several bodies: {', '.join(kinds)}"
            yield Finding(Code.TEMPLATE_KIND, (*template.path, kinds[1]), message, at_key=True)
        elif not kinds:
            message = f"the {template.title} has no body"
            yield Finding(Code.TEMPLATE_KIND, template.path, message, help=f"give it one of {', '.join(KINDS)}")
        elif kinds == ("dag",) and not template.tasks:
            message = f"the {template.title} has a DAG without a task"
            yield Finding(Code.TEMPLATE_KIND, (*template.path, "dag"), message, at_key=True)
        elif kinds == ("containerSet",) and not list(template.containers()):
            message = f"the {template.title} has a set without a container"
            yield Finding(Code.TEMPLATE_KIND, (*template.path, "containerSet"), message, at_key=True)


def template_references(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: what is called is there. Templates of other objects (`templateRef`) are the cluster's."""
    if manifest.is_reference:
        if manifest.templates:
            message = "a workflow with a workflowTemplateRef has its templates from there and none of its own"
            yield Finding(Code.TEMPLATE_UNKNOWN, ("spec", "templates"), message, at_key=True)
        return
    if not text(manifest.spec.get("entrypoint")):
        message = "the workflow has no entrypoint, so Argo does not know where to begin"
        yield Finding(Code.TEMPLATE_UNKNOWN, ("spec", "entrypoint"), message)
    for key in ("entrypoint", "onExit"):
        yield from _reference(manifest, ("spec", key), text(manifest.spec.get(key)))
    yield from _hooks(manifest, ("spec",), manifest.spec)
    for template in manifest.all_templates():
        for call in template.calls():
            yield from _call(manifest, call)


def arguments(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: an input without a value or default is the caller's to give, and an argument has a value."""
    given = mapping(manifest.spec.get("arguments"))
    yield from _values(given, ("spec", "arguments"))
    if manifest.is_reference:
        return
    for key in ("entrypoint", "onExit"):
        started = manifest.by_name.get(text(manifest.spec.get(key)))
        if started is not None:
            yield from _missing(started, given, ("spec", key))
    for template in manifest.all_templates():
        for call in template.calls():
            yield from _values(call.arguments, (*call.path, "arguments"))
            callee = manifest.callee(call)
            if callee is not None:
                place = (*call.path, "arguments") if call.arguments else call.path
                yield from _missing(callee, call.arguments, place)


def loops(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: a step is repeated over one thing."""
    for template in manifest.all_templates():
        for call in template.calls():
            given = [key for key in _LOOPS if call.body.get(key) not in (None, "", [])]
            if len(given) > 1:
                message = f"{given[0]} and {given[1]} do not go together: a step is repeated over one of them"
                yield Finding(Code.BAD_VALUE, (*call.path, given[1]), message, at_key=True)
            sequence = mapping(call.body.get("withSequence"))
            if sequence.get("count") is not None and sequence.get("end") is not None:
                path = (*call.path, "withSequence", "end")
                yield Finding(Code.BAD_VALUE, path, "a sequence has a count or an end, not both", at_key=True)


def outputs(manifest: Manifest, _target: Target) -> Iterator[Finding]:
    """Argo's validator: where an output comes from depends on what the template is."""
    for template in manifest.all_templates():
        for path, parameter in template.parameters("outputs"):
            source = parameter.get("valueFrom")
            if (source is None) == (parameter.get("value") is None):
                message = "an output parameter has either a value or a valueFrom"
                yield Finding(Code.BAD_VALUE, path, message)
            elif isinstance(source, dict):
                yield from _output_source(template, (*path, "valueFrom"), source)


def _output_source(template: Template, path: Path, source: Mapping[str, Any]) -> Iterator[Finding]:
    kinds = template.kinds
    if not kinds:
        return
    fitting = {"resource": ("jqFilter", "jsonPath"), "steps": ("parameter", "expression")}
    fitting["dag"] = fitting["steps"]
    keys = fitting.get(kinds[0], ("path",))
    sources = ("path", "jqFilter", "jsonPath", "parameter", "expression", "supplied")
    given = [key for key in sources if source.get(key) not in (None, "")]
    if len(given) > 1:
        message = f"a valueFrom has one source, not {' and '.join(given)}"
        yield Finding(Code.BAD_VALUE, (*path, given[1]), message, at_key=True)
    elif not given or (kinds[0] in (*fitting, "container", "containerSet", "script") and given[0] not in keys):
        message = f"an output parameter of a {kinds[0]} template comes from {' or '.join(keys)}"
        yield Finding(Code.BAD_VALUE, path, message, at_key=True)


def _call(manifest: Manifest, call: Call) -> Iterator[Finding]:
    if call.template:
        yield from _reference(manifest, (*call.path, "template"), call.template)
    ways = [key for key in ("template", "templateRef", "inline") if call.body.get(key) not in (None, "")]
    if not ways:
        message = f'"{call.name}" starts nothing: it has neither template, templateRef nor inline'
        yield Finding(Code.TEMPLATE_UNKNOWN, call.path, message)
    elif len(ways) > 1:
        message = f'"{call.name}" has both {ways[0]} and {ways[1]}'
        yield Finding(Code.TEMPLATE_UNKNOWN, (*call.path, ways[1]), message, at_key=True)
    yield from _reference(manifest, (*call.path, "onExit"), text(call.body.get("onExit")))
    yield from _hooks(manifest, call.path, call.body)


def _hooks(manifest: Manifest, path: Path, body: Mapping[str, Any]) -> Iterator[Finding]:
    for name, hook in mapping(body.get("hooks")).items():
        place = (*path, "hooks", name)
        yield from _reference(manifest, (*place, "template"), text(mapping(hook).get("template")))
        if name != "exit" and not text(mapping(hook).get("expression")):
            message = f'the hook "{name}" has no expression, and only the one called exit needs none'
            yield Finding(Code.MISSING_FIELD, place, message, at_key=True)


def _reference(manifest: Manifest, path: Path, name: str) -> Iterator[Finding]:
    if name and name not in manifest.by_name:
        known = [template for template in manifest.by_name if template]
        message = f'there is no template "{name}"'
        yield Finding(Code.TEMPLATE_UNKNOWN, path, message, help=did_you_mean(name, known))


def _missing(callee: Template, given: Mapping[str, Any], place: Path) -> Iterator[Finding]:
    names = _given(given, "parameters")
    for _, parameter in callee.parameters("inputs"):
        name = text(parameter.get("name"))
        if name not in names and not any(parameter.get(key) is not None for key in ("value", "default", "valueFrom")):
            message = f'the {callee.title} needs the parameter "{name}", which is not given here'
            yield Finding(Code.ARGUMENT_MISSING, place, message, at_key=True)
    names = _given(given, "artifacts")
    for path, artifact in callee.artifacts("inputs"):
        name = text(artifact.get("name"))
        if name not in names and not artifact.get("optional") and not _has_location(artifact):
            message = f'the {callee.title} needs the artifact "{name}", which is not given here'
            yield Finding(Code.ARGUMENT_MISSING, place, message, at_key=True)
        if artifact.get("from"):
            yield Finding(Code.BAD_VALUE, (*path, "from"), "an input has no from; the caller says it", at_key=True)


def _given(given: Mapping[str, Any], kind: str) -> set[str]:
    return {text(item.get("name")) for _, item in objects(given.get(kind), ())}


def _values(given: Mapping[str, Any], path: Path) -> Iterator[Finding]:
    for place, parameter in objects(given.get("parameters"), (*path, "parameters")):
        if parameter.get("value") is None and parameter.get("valueFrom") is None:
            message = f'the argument "{text(parameter.get("name"))}" has neither a value nor a valueFrom'
            yield Finding(Code.ARGUMENT_MISSING, place, message)
        choices = parameter.get("enum")
        if isinstance(choices, list) and parameter.get("value") is not None and parameter["value"] not in choices:
            message = f'the value of "{text(parameter.get("name"))}" is none of its enum'
            yield Finding(Code.BAD_VALUE, (*place, "value"), message)
    for place, artifact in objects(given.get("artifacts"), (*path, "artifacts")):
        if not (artifact.get("from") or artifact.get("fromExpression") or _has_location(artifact)):
            message = f'the artifact "{text(artifact.get("name"))}" comes from nowhere'
            yield Finding(Code.ARGUMENT_MISSING, place, message)


def _has_location(artifact: Mapping[str, Any]) -> bool:
    """Whether it says where it lies; one with empty fields only does not."""
    return any(
        isinstance(artifact.get(key), dict) and (key == "raw" or any(artifact[key].values())) for key in _LOCATIONS
    )
