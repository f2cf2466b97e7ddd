"""A project's deployment resources, as its release puts them into the cluster.

Discovery sees that they can be evaluated, and that what they say of artifacts may come to be; a release knows what it
came to. Then every `@artifact` is replaced by its value, and the resources must be what Kubernetes can be given: each
with a kind and a name, no two of one name, and nothing in them that belongs to one environment, since a release is the
same in all of them.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from forgec.diagnostic import Code, Diagnostic, ForgeError, Related, fail, ordered
from forgec.discovery.attribute import put_artifact_values
from forgec.discovery.config import ProjectConfig, read_project, read_repo
from forgec.discovery.discover import REPO_FILE, project_file
from forgec.discovery.evaluate import Evaluate, evaluate_builtin
from forgec.discovery.files import ForgeFiles, shown
from forgec.discovery.place import find, key_place, place
from forgec.discovery.tree import Tree
from forgec.nearest import did_you_mean
from forgec.source import Source, Span, whole_file
from forgec.syntax.data import ListNode, ScalarNode, StructNode, to_plain

NAME_CHARS_MAX: Final = 253
"""Of the names of Kubernetes' objects."""


class Resource(Struct, frozen=True, kw_only=True):
    """An object for the cluster; `document` is all of it, `place` where it is written."""

    api_version: str
    kind: str
    name: str
    namespace: str | None
    document: dict[str, Any]
    place: Span

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What no two resources have in common; the order in which they are listed."""
        return (self.kind, self.name, self.namespace or "", self.api_version)


class UnresolvedReferences(ForgeError):
    """Resources name what no artifact came to; `named` are these names."""

    def __init__(self, diagnostics: "list[Diagnostic]", named: frozenset[str]) -> None:
        super().__init__(diagnostics)
        self.named = named


class InvalidResources(ForgeError):
    """Resources that a cluster does not take, or that are not the same in every environment."""


class ProjectResources(Struct, frozen=True):
    """A project's configuration at a commit, and its resources before anything is known of its artifacts."""

    config: ProjectConfig
    node: StructNode

    def resolved(self, values: Mapping[str, Mapping[str, object]]) -> tuple[Resource, ...]:
        """The resources by `Resource.key`; `values` are those of each artifact.

        Raises UnresolvedReferences and InvalidResources.
        """
        resources = find(self.node, *_RESOURCES)
        if not isinstance(resources, ListNode):
            return ()
        filled, missing = put_artifact_values(resources, values)
        assert isinstance(filled, ListNode)
        if missing:
            problems = [problem for _, problem in missing]
            raise UnresolvedReferences(problems, frozenset(name for name, _ in missing))
        found = [_resource(item) for item in filled.items]
        problems = [problem for item in found if not isinstance(item, Resource) for problem in item]
        checked = [item for item in found if isinstance(item, Resource)]
        problems += _duplicates(checked)
        if problems:
            raise InvalidResources(ordered(problems))
        return tuple(sorted(checked, key=lambda resource: resource.key))


def read_resources(tree: Tree, project_path: str, evaluate: Evaluate = evaluate_builtin) -> ProjectResources:
    """Of nothing but `.forge` files. Raises ForgeError where they give no configuration."""
    files = ForgeFiles(tree)
    repo = read_repo(_source(files, REPO_FILE), evaluate)
    repo.whole()
    configured = read_project(_source(files, project_file(project_path)), evaluate, repo)
    return ProjectResources(configured.whole(), configured.node)


def _source(files: ForgeFiles, path: str) -> Source:
    if files.visible(path) is None:
        raise fail(Code.UNREADABLE, f"{shown(path)} is not there, or no file", whole_file(shown(path)))
    return files.read(path)


_RESOURCES: Final = ("deployment", "resources")
_API_VERSION: Final = re.compile(r"(?:[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[a-z0-9]{1,63}")
_KIND: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9:._-]{0,251}[A-Za-z0-9])?")
_NAMESPACE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

_ENVIRONMENTAL: Final = (
    ("environment",),
    ("environments",),
    ("metadata", "environment"),
    ("metadata", "labels", "environment"),
    ("metadata", "annotations", "environment"),
)
_ENVIRONMENT_KIND: Final = "EnvironmentConfig"


def _resource(node: object) -> "Resource | list[Diagnostic]":
    assert isinstance(node, StructNode)  # the type of the list's items
    texts: dict[str, str | None] = {}
    problems: list[Diagnostic] = []
    for what, path, grammar, needed in (
        ("apiVersion", ("apiVersion",), _API_VERSION, True),
        ("kind", ("kind",), _KIND, True),
        ("metadata.name", ("metadata", "name"), _NAME, True),
        ("metadata.namespace", ("metadata", "namespace"), _NAMESPACE, False),
    ):
        value = find(node, *path)
        texts[what] = value.value if isinstance(value, ScalarNode) and isinstance(value.value, str) else None
        if value is None and needed:
            problems.append(_missing(node, what, path))
        elif value is not None and not grammar.fullmatch(texts[what] or ""):
            message = f"{what} of a resource: {_shown(value)} is none that Kubernetes takes"
            problems.append(Diagnostic(Code.BAD_VALUE, message, value.span))
    problems += _environmental(node, texts["kind"])
    if problems:
        return problems
    assert texts["apiVersion"] is not None
    assert texts["kind"] is not None
    assert texts["metadata.name"] is not None
    document = to_plain(node)
    assert isinstance(document, dict)
    return Resource(
        api_version=texts["apiVersion"],
        kind=texts["kind"],
        name=texts["metadata.name"],
        namespace=texts["metadata.namespace"],
        document=document,
        place=node.span,
    )


def _missing(node: StructNode, what: str, path: tuple[str, ...]) -> Diagnostic:
    holder = find(node, *path[:-1])
    near = did_you_mean(path[-1], holder.fields) if isinstance(holder, StructNode) else None
    return Diagnostic(Code.MISSING_FIELD, f"a resource has no {what}", place(node, *path[:-1]), help=near)


def _environmental(node: StructNode, kind: str | None) -> Iterator[Diagnostic]:
    advice = "a release is the same in every environment; what differs belongs to the environment's own configuration"
    for path in _ENVIRONMENTAL:
        if find(node, *path) is not None:
            message = f"{'.'.join(path)} names an environment"
            yield Diagnostic(Code.UNKNOWN_FIELD, message, key_place(node, *path), help=advice)
    if kind == _ENVIRONMENT_KIND:
        yield Diagnostic(Code.BAD_VALUE, f"{kind} is a kind of environments", place(node, "kind"), help=advice)


def _duplicates(resources: list[Resource]) -> Iterator[Diagnostic]:
    first: dict[tuple[str, str, str, str], Resource] = {}
    for resource in resources:
        other = first.setdefault(resource.key, resource)
        if other is not resource:
            message = f'a second {resource.kind} "{resource.name}"'
            yield Diagnostic(Code.BAD_VALUE, message, resource.place, (Related(other.place, "the first one"),))


def _shown(node: object) -> str:
    return repr(node.value)[:80] if isinstance(node, ScalarNode) else "this"
