"""A discovery document with the places of what it says, wherever that was written.

A document of JSON and one that discovery made of `.forge` directories say the same in different texts; findings of the
later stages, which know names and no texts, get their places here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from forgec.diagnostic import Diagnostic
from forgec.discovery.model import Discovery, DocumentWarning
from forgec.discovery.place import find, key_place, place
from forgec.source import Span
from forgec.syntax.data import ListNode, Node, ScalarNode, StructNode


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """By name: of phases in `repository`, of all else in the project's own node; None where no text is at hand.

    `phases` is the way to a project's phases in its node: a list of steps in a document, steps by name in a file.
    """

    repository: Node | None = None
    projects: Mapping[str, Node] = field(default_factory=dict)
    phases: tuple[str, ...] = ("phases",)

    def phase(self, name: str) -> Span | None:
        return None if self.repository is None else key_place(self.repository, "phases", name)

    def group(self, phase: str) -> Span | None:
        """The number of the group that a phase belongs to."""
        return None if self.repository is None else place(self.repository, "phases", phase, "group")

    def project(self, name: str) -> Span | None:
        node = self.projects.get(name)
        return None if node is None else place(node, "name")

    def task(self, project: str, phase: str) -> Span | None:
        """What a project does in a phase."""
        node = self.projects.get(project)
        return None if node is None else key_place(node, *self.phases, phase)

    def step(self, project: str, phase: str, name: str) -> Span | None:
        node = self.projects.get(project)
        if node is None:
            return None
        match find(node, *self.phases, phase):
            case StructNode(fields=fields) if name in fields:
                return fields[name].key_span
            case ListNode(items=items):
                for item in items:
                    match find(item, "name"):
                        case ScalarNode(value=value, span=span) if value == name:
                            return span
        return self.task(project, phase)


NO_PLACES: Final = Places()
"""Of a document that was not read from a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """What `read_document` and `discover` give, with places.

    `findings` are warnings about the text that was read; `carried` those that the document told of itself, whose text
    is elsewhere. The document's own warnings are both.
    """

    document: Discovery
    places: Places
    findings: tuple[Diagnostic, ...]
    carried: tuple[DocumentWarning, ...] = ()


def places_of_document(document: Discovery, node: Node) -> Places:
    """`node` is the tree that the document was decoded from."""
    nodes = {project.name: find(node, "projects", index) or node for index, project in enumerate(document.projects)}
    return Places(repository=find(node, "repository") or node, projects=nodes, phases=("phases",))
