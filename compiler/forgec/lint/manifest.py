"""A Workflow as the rules read it: whatever is there, with its path; what has a wrong type is not there.

The rules see any file that somebody calls a Workflow, so nothing is taken for granted here; that a value has a wrong
type is for `shape` to say, once.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from forgec.lint.finding import Path

GROUP_KINDS: Final = ("steps", "dag")
"""Templates that start others and have no pod of their own."""

CONTAINER_KINDS: Final = ("container", "script")

POD_KINDS: Final = (*CONTAINER_KINDS, "containerSet", "resource", "data")

DEFAULTS: Final = ("spec", "templateDefaults")

KINDS: Final = (*GROUP_KINDS, *POD_KINDS, "suspend", "http", "plugin")
"""The keys of which a template has exactly one."""


class Call(Struct, frozen=True, kw_only=True):
    """A step, or a task of a DAG: what starts a template."""

    path: Path
    body: Mapping[str, Any]
    inline: "Template | None"

    @property
    def name(self) -> str:
        return text(self.body.get("name"))

    @property
    def template(self) -> str:
        return text(self.body.get("template"))

    @property
    def is_loop(self) -> bool:
        return any(self.body.get(key) not in (None, "", []) for key in ("withItems", "withParam", "withSequence"))

    @property
    def arguments(self) -> Mapping[str, Any]:
        return mapping(self.body.get("arguments"))


class Template(Struct, frozen=True, kw_only=True):
    """`groups` are those of steps: the outer list one after another, the calls of an inner one together."""

    path: Path
    body: Mapping[str, Any]
    groups: tuple[tuple[Call, ...], ...]
    tasks: tuple[Call, ...]

    @property
    def name(self) -> str:
        return text(self.body.get("name"))

    @property
    def title(self) -> str:
        return f'template "{self.name}"' if self.name else "inline template"

    @property
    def kinds(self) -> tuple[str, ...]:
        """In the order of the text."""
        return tuple(kind for kind in self.body if kind in KINDS and self.body[kind] is not None)

    @property
    def is_group(self) -> bool:
        return any(self.body.get(kind) is not None for kind in GROUP_KINDS)

    @property
    def has_pod(self) -> bool:
        return any(self.body.get(kind) is not None for kind in POD_KINDS)

    def calls(self) -> Iterator[Call]:
        for group in self.groups:
            yield from group
        yield from self.tasks

    def parameters(self, side: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Of `inputs` or `outputs`."""
        yield from objects(mapping(self.body.get(side)).get("parameters"), (*self.path, side, "parameters"))

    def artifacts(self, side: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        yield from objects(mapping(self.body.get(side)).get("artifacts"), (*self.path, side, "artifacts"))

    def containers(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """The main ones: of a container or a script, or all of a container set."""
        for kind in CONTAINER_KINDS:
            if isinstance(self.body.get(kind), dict):
                yield (*self.path, kind), self.body[kind]
        inner = mapping(self.body.get("containerSet")).get("containers")
        yield from objects(inner, (*self.path, "containerSet", "containers"))

    def sidecars(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        yield from objects(self.body.get("sidecars"), (*self.path, "sidecars"))


class Manifest(Struct, frozen=True, kw_only=True):
    """`templates` are those of the list; `all_templates` has the ones inside of steps and tasks as well."""

    body: Mapping[str, Any]
    templates: tuple[Template, ...]
    by_name: Mapping[str, Template]

    @property
    def metadata(self) -> Mapping[str, Any]:
        return mapping(self.body.get("metadata"))

    @property
    def spec(self) -> Mapping[str, Any]:
        return mapping(self.body.get("spec"))

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What Argo merges into every template when it runs one, whatever its kind."""
        return mapping(self.spec.get("templateDefaults"))

    @property
    def name(self) -> str:
        return text(self.metadata.get("name"))

    @property
    def is_reference(self) -> bool:
        """Its templates are those of a WorkflowTemplate in the cluster."""
        return self.spec.get("workflowTemplateRef") is not None

    def all_templates(self) -> Iterator[Template]:
        pending = list(reversed(self.templates))
        while pending:
            template = pending.pop()
            yield template
            pending += [call.inline for call in template.calls() if call.inline is not None]

    def bodies(self) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """What may say how templates run: the workflow, its templateDefaults, and every template."""
        yield ("spec",), self.spec
        yield DEFAULTS, self.defaults
        for template in self.all_templates():
            yield template.path, template.body

    def body_of(self, template: Template) -> Mapping[str, Any]:
        """The template as Argo runs it: what it does not say itself its workflow's templateDefaults do."""
        return {**self.defaults, **{key: value for key, value in template.body.items() if value is not None}}

    def callee(self, call: Call) -> Template | None:
        return call.inline or self.by_name.get(call.template)

    def retry_of(self, template: Template) -> Mapping[str, Any]:
        """The strategy that the template runs under: its own with what templateDefaults add, or the workflow's."""
        own, added = (mapping(body.get("retryStrategy")) for body in (template.body, self.defaults))
        return {**added, **own} or mapping(self.spec.get("retryStrategy"))


def read_manifest(body: Mapping[str, Any]) -> Manifest:
    listed = objects(mapping(body.get("spec")).get("templates"), ("spec", "templates"))
    templates = tuple(_template(path, item) for path, item in listed)
    by_name: dict[str, Template] = {}
    for template in templates:
        by_name.setdefault(template.name, template)
    return Manifest(body=body, templates=templates, by_name=by_name)


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def objects(value: Any, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The objects of a list, with their paths."""
    for at, item in enumerate(sequence(value)):
        if isinstance(item, dict):
            yield (*path, at), item


def texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text below, keys left out."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from texts(item, (*path, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from texts(item, (*path, at))


def _template(path: Path, body: Mapping[str, Any]) -> Template:
    groups = tuple(tuple(_calls(group, (*path, "steps", at))) for at, group in enumerate(sequence(body.get("steps"))))
    tasks = tuple(_calls(mapping(body.get("dag")).get("tasks"), (*path, "dag", "tasks")))
    return Template(path=path, body=body, groups=groups, tasks=tasks)


def _calls(value: Any, path: Path) -> Iterator[Call]:
    for place, item in objects(value, path):
        inner = item.get("inline")
        inline = _template((*place, "inline"), inner) if isinstance(inner, dict) else None
        yield Call(path=place, body=item, inline=inline)
