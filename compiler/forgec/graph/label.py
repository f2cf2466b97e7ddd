"""How much a drawing shows, and what it calls things; lines of a label are separated by line breaks."""

import enum
from collections import Counter
from typing import Final

from forgec.graph.model import SIGNS, Graph, Lane, Step, Task

TASKS_MAX: Final = 60
"""A drawing with more boxes is folded: they no longer fit on a screen."""


class Detail(enum.Enum):
    """The smallest thing with a box of its own."""

    LANES = "phases"
    TASKS = "projects"
    STEPS = "steps"


def readable(graph: Graph) -> Detail:
    """As much as can still be read."""
    return Detail.TASKS if graph.boxes <= TASKS_MAX else Detail.LANES


def lane_label(lane: Lane) -> str:
    return "\n".join((lane_name(lane), *_lane_facts(lane)))


def lane_title(lane: Lane) -> str:
    """The same on one line."""
    return f"{lane_name(lane)}: {', '.join(_lane_facts(lane))}"


def lane_name(lane: Lane) -> str:
    return f"{SIGNS[lane.overall]}{lane.name}"


def lane_counts(lane: Lane) -> str:
    return f"{counted(lane.projects, 'project')}, {counted(lane.steps, 'step')}" if lane.tasks else "nothing to do"


def lane_differences(lane: Lane) -> str:
    """Steps that came, went and changed, such as `+3 -1`; empty for none."""
    states = Counter(step.state for task in lane.tasks.values() for step in task.steps)
    return " ".join(f"{sign.strip()}{states[state]}" for state, sign in SIGNS.items() if sign and states[state])


def _lane_facts(lane: Lane) -> list[str]:
    return [fact for fact in (lane_counts(lane), lane_differences(lane)) if fact]


def task_label(task: Task) -> str:
    return f"{SIGNS[task.state]}{task.project}\n{counted(sum(1 for _ in task.steps), 'step')}"


def step_label(step: Step) -> str:
    return f"{SIGNS[step.state]}{step.name}"


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
