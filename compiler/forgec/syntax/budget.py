"""What an evaluation may cost. Configurations come from anybody, so each kind of growth has a limit and a message."""

from typing import Final

from forgec.diagnostic import Code, fail
from forgec.source import Span
from forgec.syntax.data import DEPTH_MAX

STEPS_MAX: Final = 100_000
"""Vertices and conjuncts looked at. A project file takes some hundreds; this many take about two seconds."""

LEVEL_MAX: Final = 80
"""Evaluations inside evaluations; at most nine Python frames each, so the interpreter's limit of 1000 is not met."""

CHARACTERS_PER_STEP: Final = 256
"""Text that is searched, compared or put together in the time of one step."""


class Budget:
    """Every method names the expression that is being evaluated: the one that passes a limit is where to look."""

    def __init__(self) -> None:
        self._steps = 0
        self._level = 0

    def step(self, span: Span, count: int = 1) -> None:
        self._steps += count
        if self._steps > STEPS_MAX:
            self._stop(span, f"the evaluation takes more than {STEPS_MAX} steps")

    def read(self, span: Span, characters: int) -> None:
        self.step(span, characters // CHARACTERS_PER_STEP)

    def enter(self, span: Span) -> None:
        """Begin an evaluation; `leave` ends it."""
        self._level += 1
        self.step(span)
        if self._level > LEVEL_MAX:
            self._stop(span, f"references and expressions lead more than {LEVEL_MAX} levels deep")

    def leave(self) -> None:
        self._level -= 1

    def nest(self, span: Span, depth: int) -> None:
        if depth > DEPTH_MAX:
            self._stop(span, f"the value is nested deeper than {DEPTH_MAX} levels")

    def _stop(self, span: Span, message: str) -> None:
        advice = "look for what leads to itself, or multiplies: definitions, comprehensions, calls"
        raise fail(Code.TOO_DEEP, message, span, help=advice)
