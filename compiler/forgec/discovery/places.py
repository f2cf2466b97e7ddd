"""A discovery document with the places of what it says, wherever that was written.

A document of JSON and one that discovery made of `.forge` directories say the same in different texts; findings of the
later stages, which know names and no texts, get their places here.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from forgec.diagnostic import Diagnostic
from forgec.discovery.model import Discovery, DocumentWarning
from forgec.discovery.place import find, key_place, place
from forgec.source import Span
from forgec.syntax.data import ListNode, Node, ScalarNode, StructNode


class Roots(Struct, frozen=True, kw_only=True):
    """The trees that were read: of phases in `repository`, of all else in the project's own.

    `phases` is the way to a project's phases in its tree: a list of steps in a document, steps by name in a file.
    `release` is the way to what says whether a project is released.
    """

    repository: Node
    projects: Mapping[str, Node]
    phases: tuple[str, ...]
    release: tuple[str, ...]


class Places:
    """By name; None where no text is at hand. The trees are made when they are asked for: most documents are right."""

    def __init__(self, load: Callable[[], Roots] | None = None) -> None:
        self._roots = functools.cache(load) if load else None

    def phase(self, name: str) -> Span | None:
        return key_place(self._roots().repository, "phases", name) if self._roots else None

    def group(self, phase: str) -> Span | None:
        """The number of the group that a phase belongs to."""
        return place(self._roots().repository, "phases", phase, "group") if self._roots else None

    def project(self, name: str) -> Span | None:
        node = self._project(name)
        return None if node is None else place(node, "name")

    def task(self, project: str, phase: str) -> Span | None:
        """What a project does in a phase."""
        node = self._project(project)
        return None if node is None else key_place(node, *self._phases, phase)

    def step(self, project: str, phase: str, name: str) -> Span | None:
        node = self._project(project)
        if node is None:
            return None
        match find(node, *self._phases, phase):
            case StructNode(fields=fields) if name in fields:
                return fields[name].key_span
            case ListNode(items=items):
                for item in items:
                    match find(item, "name"):
                        case ScalarNode(value=value, span=span) if value == name:
                            return span
        return self.task(project, phase)

    def release(self, project: str) -> Span | None:
        """The rules of a project's release, or the project where it has none."""
        node = self._project(project)
        if node is None or self._roots is None or find(node, *self._roots().release) is None:
            return self.project(project)
        return key_place(node, *self._roots().release)

    def _project(self, name: str) -> Node | None:
        return self._roots().projects.get(name) if self._roots else None

    @property
    def _phases(self) -> tuple[str, ...]:
        return self._roots().phases if self._roots else ()


NO_PLACES: Final = Places()
"""Of a document that was not read from a text."""


class Located(Struct, frozen=True, kw_only=True):
    """What `read_document` and `discover` give, with places.

    `findings` are warnings about the text that was read; `carried` those that the document told of itself, whose text
    is elsewhere. The document's own warnings are both.
    """

    document: Discovery
    places: Places
    findings: tuple[Diagnostic, ...]
    carried: tuple[DocumentWarning, ...] = ()


def roots_of_document(document: Discovery, node: Node) -> Roots:
    """`node` is the tree that the document was decoded from."""
    nodes = {project.name: find(node, "projects", index) or node for index, project in enumerate(document.projects)}
    return Roots(
        repository=find(node, "repository") or node, projects=nodes, phases=("phases",), release=("releaseTriggered",)
    )
