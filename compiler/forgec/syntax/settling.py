"""What must not be looked at while it is found out which fields a struct has.

A computed name and the clauses of a comprehension say which fields there are beside them. What they look at is not to
depend on that: CUE evaluates these in an order of its own, and finds a circle in some of them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from forgec.source import Span
from forgec.syntax.problem import Unknown
from forgec.syntax.vertex import Vertex


class Settling:
    """`expanding` are the vertices that are being expanded, innermost last; `early` makes the problem."""

    def __init__(self, expanding: Sequence[Vertex], early: Callable[[str, Span], Unknown]) -> None:
        self._expanding = expanding
        self._early = early
        self._hosts: list[tuple[Vertex, bool, bool]] = []
        self._needed: list[dict[Vertex, Span]] = []

    @contextmanager
    def of(self, vertex: Vertex, *, is_name: bool, is_settled: bool = False) -> Iterator[dict[Vertex, Span]]:
        """While it is found out which fields the vertex has, by a computed name or else by a comprehension.

        `is_settled`: the text of the comprehension tells their names. Gives the structs that are needed as a whole.
        """
        self._hosts.append((vertex, is_name, is_settled))
        self._needed.append({})
        try:
            yield self._needed[-1]
        finally:
            self._hosts.pop()
            self._needed.pop()

    def check_whole(self, vertex: Vertex, span: Span) -> None:
        """A struct as a whole is no part of what says which fields there are beside it. Raises Unknown.

        Only a comprehension may ask for it directly.
        """
        self._note(dict.fromkeys((vertex, *vertex.shared), span))
        for host, is_name, is_settled in self._hosts:
            is_beside = not is_settled and vertex is not host and vertex.is_inside(host)
            if is_beside and (is_name or self._expanding[-1] is not host):
                raise self._early(f"all of {vertex.name} is needed to find out what fields there are beside it", span)

    def note_again(self, vertex: Vertex) -> None:
        """What is known already was found out by way of others, too."""
        self._note(vertex.looked_through)

    def note_loop(self, vertex: Vertex, span: Span) -> None:
        """A list that goes through a struct; what goes through one to add to another may do so at any time."""
        if not self._hosts or self._hosts[-1][0] is not self._expanding[-1]:
            for each in self._expanding:
                each.looked_through.setdefault(vertex, span)

    def _note(self, looked_through: Mapping[Vertex, Span]) -> None:
        for known in (*self._needed, *(each.looked_through for each in self._expanding)):
            known |= {each: span for each, span in looked_through.items() if each not in known}

    def check_late(self, vertex: Vertex, span: Span) -> None:
        """What a comprehension adds to is no part of a name that is computed beside it, and the other way round.

        Raises Unknown.
        """
        for host, is_name, _ in self._hosts:
            if not is_name and vertex in host.computed:
                message = f"{vertex.name}, which a computed name leads to, is needed for a comprehension beside it"
                raise self._early(message, span)
            if is_name and host.late and any(each.parts & host.late for each in vertex.conjuncts):
                message = f"{vertex.name}, which a comprehension adds to, is needed for the name of a field beside it"
                raise self._early(message, span)
