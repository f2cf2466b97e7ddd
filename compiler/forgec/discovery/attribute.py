"""What `@repo(…)` and `@artifact(…)` name: a value of repo.cue, put in its place, and what a release will tell.

The evaluator leaves `{"@repo": "phases.test.timeout"}` and `{"@artifact": "web.uri"}` where nothing else gives a value.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Struct, field

from forgec.diagnostic import Code, Diagnostic
from forgec.discovery.model import Artifact, Publisher, Repository
from forgec.discovery.place import left_out
from forgec.discovery.rules import suggestion
from forgec.source import Span
from forgec.syntax.data import FieldNode, ListNode, Node, ScalarNode, StructNode, from_plain

REPO: Final = "@repo"
ARTIFACT: Final = "@artifact"

_Path = tuple[str | int, ...]

_OPAQUE: Final[_Path] = ("deployment", "resources")
"""What is rendered when a release is made; everything else must be known before."""

_PRODUCED: Final[Mapping[str, tuple[str, ...]]] = {
    "container": ("image_ref", "image_id", "digest", "size", "base_image", "layers"),
    "binary": ("executable", "arch", "os", "size", "digest", "static"),
    "archive": ("format", "size", "digest", "entries", "content_type"),
}
"""What the producer of each type of artifact tells."""

_PUBLISHED: Final[Mapping[str, tuple[str, ...]]] = {
    "docker": ("uri", "registry", "namespace", "repository", "tag", "digest"),
    "github": ("uri", "release_url", "asset_name", "download_url"),
    "pypi": ("uri", "index_url", "package_name", "version"),
    "docs": ("uri", "bucket", "key", "public_url"),
}
"""What publishers of each type tell; the others an address."""


def put_repo_values(
    node: StructNode, repository: tuple[Repository, StructNode] | None
) -> tuple[StructNode, list[Diagnostic]]:
    """A file's data with what `@repo` names in its place; None where the file is repo.cue itself.

    A value of repo.cue counts with its defaults. What names nothing is left out, with a problem that says so unless
    repo.cue has one there, and so is an `@artifact` where a value is needed before there is a release.
    """
    values, written = ({}, None) if repository is None else (msgspec.to_builtins(repository[0]), repository[1])
    filling = _Filling(values, written)
    filled = filling.fill(node, ())
    return (filled if isinstance(filled, StructNode) else StructNode({}, node.span, cut=True)), filling.problems


def check_artifact_values(
    resources: Node, artifacts: Mapping[str, Artifact], publishers: Mapping[str, Publisher]
) -> Iterator[Diagnostic]:
    """Every `@artifact` of a project's resources names an artifact of the project and a property that it will have."""
    for path, span in _artifact_values(resources):
        name = _artifact_of(path, artifacts)
        if name is None:
            first = path.rpartition(".")[0] or path
            yield _missing(f'the project has no artifact "{first}"', span, suggestion(first, artifacts))
            continue
        yield from _check_property(name, artifacts[name], path.removeprefix(f"{name}."), publishers, span)


def put_artifact_values(
    node: Node, values: Mapping[str, Mapping[str, object]]
) -> tuple[Node, list[tuple[str, Diagnostic]]]:
    """A tree with what `@artifact` names in its place, `values` being those of each artifact.

    Of each name that has none, the name and a problem that says so; it stays as it is.
    """
    missing: list[tuple[str, Diagnostic]] = []

    def fill(node: Node) -> Node:
        match node:
            case StructNode(fields=fields):
                named = _named(node, ARTIFACT)
                if named is not None:
                    return value_of(named, node)
                return StructNode({name: FieldNode(f.key_span, fill(f.value)) for name, f in fields.items()}, node.span)
            case ListNode(items=items):
                return ListNode(tuple(fill(item) for item in items), node.span)
            case _:
                return node

    def value_of(path: str, node: StructNode) -> Node:
        artifact = _artifact_of(path, values)
        value: object = values.get(artifact or "")
        for name in path.removeprefix(f"{artifact}.").split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is None or isinstance(value, Mapping):
            missing.append((path, _missing(f'nothing is known of "{path}"', node.span, None)))
            return node
        return from_plain(value, node.span)

    return fill(node), missing


class _Filling(Struct):
    repository: object
    written: StructNode | None
    problems: list[Diagnostic] = field(default_factory=list)

    def fill(self, node: Node, at: _Path) -> Node | None:
        """None for what has no value."""
        match node:
            case StructNode(fields=fields):
                named = _named(node, REPO)
                if named is not None:
                    return self._value(named, node)
                if _named(node, ARTIFACT) is not None and at[:2] != _OPAQUE:
                    advice = "only deployment.resources may use it: everything else is read before anything is built"
                    self.problems.append(_missing("an artifact's property is not known here", node.span, advice))
                    return None
                filled = {}
                for name, each in fields.items():
                    value = self.fill(each.value, (*at, name))
                    if value is not None:
                        filled[name] = FieldNode(each.key_span, value)
                return StructNode(filled, node.span, node.cut or len(filled) < len(fields))
            case ListNode(items=items):
                values = [self.fill(item, (*at, index)) for index, item in enumerate(items)]
                known = tuple(value for value in values if value is not None)
                return ListNode(known, node.span, node.cut or len(known) < len(items))
            case _:
                return node

    def _value(self, path: str, node: StructNode) -> Node | None:
        if self.written is None:
            advice = "refer to the field by its name, without @repo"
            self.problems.append(_missing("repo.cue cannot refer to itself with @repo", node.span, advice))
            return None
        names = path.split(".")
        if left_out(self.written, *names):
            return None
        value: object = self.repository
        for name in names:
            if not isinstance(value, Mapping) or value.get(name) is None:
                near = suggestion(name, value) if isinstance(value, Mapping) else None
                self.problems.append(_missing(f'repo.cue has no "{path}": no "{name}"', node.span, near))
                return None
            value = value[name]
        return from_plain(value, node.span)


def _artifact_values(node: Node) -> Iterator[tuple[str, Span]]:
    match node:
        case StructNode(fields=fields):
            named = _named(node, ARTIFACT)
            if named is not None:
                yield named, node.span
                return
            for each in fields.values():
                yield from _artifact_values(each.value)
        case ListNode(items=items):
            for item in items:
                yield from _artifact_values(item)
        case ScalarNode():
            return


def _artifact_of(path: str, artifacts: Iterable[str]) -> str | None:
    """Names have dots, so the longest that there is, is meant."""
    return max((name for name in artifacts if path.startswith(f"{name}.")), key=len, default=None)


def _check_property(
    name: str, artifact: Artifact, named: str, publishers: Mapping[str, Publisher], span: Span
) -> Iterator[Diagnostic]:
    home = ("uri", "image") if artifact.type == "container" else ("uri",)
    first, _, rest = named.partition(".")
    if first == "publishers":
        publisher, _, told = rest.rpartition(".")
        if publisher not in artifact.publishers:
            wanted = publisher or told
            advice = suggestion(wanted, artifact.publishers)
            yield _missing(f'artifact "{name}" has no publisher "{wanted}"', span, advice)
        elif publisher in publishers:
            fields = _PUBLISHED.get(publishers[publisher].type, ("uri",))
            if told not in fields:
                yield _missing(f'publisher "{publisher}" tells no "{told}"', span, suggestion(told, fields))
    elif named in home:
        if not artifact.publishers:
            advice = "give the artifact a publisher: an address is where it is published"
            yield _missing(f'artifact "{name}" has no "{named}"', span, advice)
    elif named not in _PRODUCED[artifact.type]:
        known = (*home, *_PRODUCED[artifact.type], "publishers")
        yield _missing(f'artifact "{name}", a {artifact.type}, has no "{named}"', span, suggestion(named, known))


def _named(node: StructNode, attribute: str) -> str | None:
    """What the attribute names, if the struct is what the evaluator leaves in its place."""
    if len(node.fields) != 1 or attribute not in node.fields:
        return None
    value = node.fields[attribute].value
    return value.value if isinstance(value, ScalarNode) and isinstance(value.value, str) else None


def _missing(message: str, span: Span, advice: str | None) -> Diagnostic:
    return Diagnostic(Code.VALUE_MISSING, message, span, help=advice)
