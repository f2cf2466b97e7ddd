"""What a picture of a plan shows, whatever draws it.

    Graph
      stages: one after another: the groups, then the release
        lanes: side by side, a phase each
          tasks: one project's part in the lane
            waves: one after another
              steps: together

Compared with another document, everything has a state; what was removed is still there, and says so.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


class State(enum.StrEnum):
    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


SIGNS = {State.SAME: "", State.ADDED: "+ ", State.REMOVED: "- ", State.CHANGED: "~ "}
"""Before a name, so that no meaning is in a colour alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A job. `detail`: what it runs, and how long it may; `note`: how it differs from what it was."""

    name: str
    detail: str
    state: State = State.SAME
    note: str = ""


Waves = tuple[tuple[Step, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    project: str
    waves: Waves

    @property
    def steps(self) -> Iterator[Step]:
        return (step for wave in self.waves for step in wave)

    @property
    def state(self) -> State:
        return combined(step.state for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """`tasks` by project, in the order of the graph's projects."""

    name: str
    tasks: Mapping[str, Task]
    state: State = State.SAME
    note: str = ""

    @property
    def overall(self) -> State:
        """Its own, or that of what is in it."""
        if self.state is not State.SAME:
            return self.state
        return combined([State.SAME, *(task.state for task in self.tasks.values())])

    @property
    def projects(self) -> int:
        """How many take part."""
        return sum(task.state is not State.REMOVED for task in self.tasks.values())

    @property
    def steps(self) -> int:
        """How many will run."""
        return sum(step.state is not State.REMOVED for task in self.tasks.values() for step in task.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """`name`: `group 1`, by the repository's own number, or `release`."""

    name: str
    lanes: tuple[Lane, ...]
    release: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    name: str
    path: str
    state: State = State.SAME
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """`projects` in path order; `compared`: whether states mean anything."""

    stages: tuple[Stage, ...]
    projects: tuple[Project, ...]
    compared: bool

    def lanes(self) -> Iterator[Lane]:
        for stage in self.stages:
            yield from stage.lanes

    @property
    def boxes(self) -> int:
        """Of tasks, those that were removed too."""
        return sum(len(lane.tasks) for lane in self.lanes())

    @property
    def present(self) -> int:
        """How many projects there are."""
        return sum(project.state is not State.REMOVED for project in self.projects)


def combined(states: Iterable[State]) -> State:
    """Of a whole by its parts: theirs where all agree, else changed."""
    distinct = set(states)
    return distinct.pop() if len(distinct) == 1 else State.CHANGED
