"""A manifest as the engine for one machine reads it: typed, checked as a whole, or refused.

The types are the emitter's own, and refuse every field they do not have: what is not understood is never ignored. Some
fields are understood and ask for nothing where dispatchers are plain processes of this user: image, resources, security
contexts, service accounts, metadata and clean-up of pods, time to live.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import yaml

from forge_runtime.engine.expression import ExpressionError, Names, compile_expression
from forge_runtime.engine.port import ManifestRefused
from forgec.manifest.argo import OUTPUT_DIR, Template, Workflow, WorkflowStep

LAST_RETRY: Final = frozenset(f"lastRetry.{name}" for name in ("exitCode", "status", "duration", "message"))
MANIFEST_CHARS_MAX: Final = 1024 * 1024

_TAG = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Reading:
    """A checked workflow; `retries` holds each template's expression, ready to be asked."""

    workflow: Workflow
    templates: Mapping[str, Template]
    retries: Mapping[str, Callable[[Names], bool]]

    @property
    def name(self) -> str:
        return self.workflow.metadata.name

    @property
    def entry(self) -> Template:
        return self.templates[self.workflow.spec.entrypoint]

    @property
    def exit_handler(self) -> Template:
        return self.templates[self.workflow.spec.on_exit]


def read_manifest(text: str) -> Reading:
    """The workflow of a YAML or JSON text; ManifestRefused says which field or name is not understood."""
    if len(text) > MANIFEST_CHARS_MAX:
        raise ManifestRefused(f"the manifest has {len(text)} characters; the limit is {MANIFEST_CHARS_MAX}")
    try:
        document: Any = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe both
        workflow = msgspec.convert(document, Workflow)
    except yaml.YAMLError as error:
        raise ManifestRefused(f"the manifest is not YAML: {error}") from None
    except msgspec.ValidationError as error:
        raise ManifestRefused(f"the manifest has something this engine does not know: {error}") from None
    templates = {template.name: template for template in workflow.spec.templates}
    problems = list(_problems(workflow, templates))
    if problems:
        raise ManifestRefused("; ".join(problems))
    return Reading(workflow, templates, {name: _retry(template) for name, template in templates.items()})


def substitute(text: str, values: Mapping[str, str]) -> str:
    """The text with its tags replaced; every tag was checked when the manifest was read."""
    return _TAG.sub(lambda tag: values[tag.group(1)], text)


def items_of(parameter: str) -> list[str]:
    """The items of a `withParam` after substitution; ManifestRefused unless it is a JSON list of strings."""
    try:
        items = json.loads(parameter)
    except ValueError:
        items = None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise ManifestRefused(f"withParam is no JSON list of strings: {parameter[:80]}")
    return items


def output_file(path: str) -> str:
    """The name below the output directory that a `valueFrom.path` means."""
    return path.removeprefix(f"{OUTPUT_DIR}/")


def _retry(template: Template) -> Callable[[Names], bool]:
    if template.retry_strategy is None:
        return lambda _values: False
    return compile_expression(template.retry_strategy.expression, LAST_RETRY)


def _problems(workflow: Workflow, templates: Mapping[str, Template]) -> Iterator[str]:
    spec = workflow.spec
    if len(templates) != len(spec.templates):
        yield "two templates have one name"
    if spec.volumes:
        yield "volumes: there are no pods on this machine; name the credentials by their path"
    entry = templates.get(spec.entrypoint)
    if entry is None or not entry.steps:
        yield f'entrypoint "{spec.entrypoint}" is no steps template'
    if (on_exit := templates.get(spec.on_exit)) is None or on_exit.container is None:
        yield f'onExit "{spec.on_exit}" is no container template'
    for template in templates.values():
        if (template.container is None) == (not template.steps):
            yield f'template "{template.name}" needs either steps or a container'
        if template.steps and template is not entry:
            yield f'template "{template.name}": steps below steps are not known here'
        yield from _leaf_problems(template, template.name == spec.on_exit)
    if entry is not None:
        yield from _step_problems(entry, templates)


def _leaf_problems(template: Template, is_exit_handler: bool) -> Iterator[str]:
    container = template.container
    if container is None:
        return
    where = f'template "{template.name}"'
    known = {"workflow.name"} | {f"inputs.parameters.{name}" for name in _input_names(template)}
    if is_exit_handler:
        known.add("workflow.status")
    texts = [*container.command, *container.args, *(variable.value for variable in container.env)]
    yield from (f"{where}: {problem}" for text in texts for problem in _unknown_tags(text, known))
    if not container.command:
        yield f"{where}: no command"
    for output in template.outputs.parameters if template.outputs else ():
        name = output_file(output.value_from.path)
        if not re.fullmatch(r"[a-z0-9-]+", name):
            yield f'{where}: output path "{output.value_from.path}" is no file directly in {OUTPUT_DIR}'
    if template.retry_strategy is not None:
        if not template.retry_strategy.limit.isdigit():
            yield f'{where}: retry limit "{template.retry_strategy.limit}" is no number'
        try:
            compile_expression(template.retry_strategy.expression, LAST_RETRY)
        except ExpressionError as error:
            yield f"{where}: {error}"


def _step_problems(entry: Template, templates: Mapping[str, Template]) -> Iterator[str]:
    known = {"workflow.name"}
    seen: set[str] = set()
    for group in entry.steps:
        for step in group:
            where = f'step "{step.name}"'
            if step.name in seen:
                yield f"{where}: the name is taken"
            seen.add(step.name)
            template = templates.get(step.template)
            if template is None or template.container is None:
                yield f'{where}: "{step.template}" is no container template'
                continue
            yield from _argument_problems(step, template, known, where)
        for step in group:
            outputs = (templates[step.template].outputs if step.template in templates else None) or None
            names = [parameter.name for parameter in outputs.parameters] if outputs else []
            known |= {f"steps.{step.name}.outputs.parameters.{name}" for name in names}


def _argument_problems(step: WorkflowStep, template: Template, known: set[str], where: str) -> Iterator[str]:
    given = {argument.name: argument.value for argument in step.arguments.parameters} if step.arguments else {}
    wanted = set(_input_names(template))
    if given.keys() != wanted:
        yield f"{where}: arguments {sorted(given)} are not the inputs {sorted(wanted)} of {template.name}"
    values = known | {"item"} if step.with_param is not None else known
    for value in given.values():
        yield from (f"{where}: {problem}" for problem in _unknown_tags(value, values))
    if step.with_param is None:
        return
    yield from (f"{where}: {problem}" for problem in _unknown_tags(step.with_param, known))
    if not _TAG.search(step.with_param):
        try:
            items_of(step.with_param)
        except ManifestRefused as refused:
            yield f"{where}: {refused}"


def _input_names(template: Template) -> list[str]:
    return [parameter.name for parameter in template.inputs.parameters] if template.inputs else []


def _unknown_tags(text: str, known: set[str]) -> Iterator[str]:
    for tag in _TAG.findall(text):
        if tag not in known:
            yield f"{{{{{tag}}}}} does not resolve"
    if "{{" in _TAG.sub("", text):
        yield f'"{text}" has an unclosed tag'
