"""What an evaluation may cost. Configurations come from anybody, so each kind of growth has a limit and a message."""

from typing import Final

from forgec.diagnostic import Code, fail
from forgec.syntax.data import DEPTH_MAX
from forgec.syntax.vertex import Vertex

STEPS_MAX: Final = 100_000
"""Vertices and conjuncts looked at. A project file takes some hundreds; this many take a few seconds."""

LEVEL_MAX: Final = 100
"""Evaluations inside evaluations; at most six Python frames each, so the interpreter's limit of 1000 is not met."""


class Budget:
    def __init__(self) -> None:
        self._steps = 0
        self._level = 0

    def step(self, vertex: Vertex, count: int = 1) -> None:
        self._steps += count
        if self._steps > STEPS_MAX:
            self._stop(vertex, f"the evaluation takes more than {STEPS_MAX} steps")

    def enter(self, vertex: Vertex) -> None:
        """Begin an evaluation for the vertex; `leave` ends it."""
        self._level += 1
        self.step(vertex)
        if self._level > LEVEL_MAX:
            self._stop(vertex, f"references and expressions lead more than {LEVEL_MAX} levels deep")
        if vertex.depth > DEPTH_MAX:
            self._stop(vertex, f"the value is nested deeper than {DEPTH_MAX} levels")

    def leave(self) -> None:
        self._level -= 1

    def _stop(self, vertex: Vertex, message: str) -> None:
        raise fail(Code.TOO_DEEP, message, vertex.place, help="look for definitions that lead to each other")
