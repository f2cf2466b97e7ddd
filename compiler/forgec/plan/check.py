"""What holds for every plan, checked before one is handed on; everything that does not is reported at once.

The planner orders and numbers; what can still be wrong comes from the document (a project twice, two steps of one
name, too many groups) or from a bug. Both end here and not in a cluster.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from forgec.diagnostic import Code, Diagnostic
from forgec.discovery.places import Places
from forgec.plan.model import GROUPS_MAX, UNIT_ID_LENGTH_MAX, Plan, Task
from forgec.units import DURATION_S_MAX


def check_plan(plan: Plan, places: Places | None = None) -> list[Diagnostic]:
    """Every broken rule of a plan; none for a plan that may be run."""
    return [*_too_many_groups(plan), *(Diagnostic(Code.PLAN_INCONSISTENT, message) for message in _broken(plan))]


def _too_many_groups(plan: Plan) -> Iterator[Diagnostic]:
    working = plan.working_groups
    if len(working) > GROUPS_MAX:
        numbers = ", ".join(str(group.number) for group in working)
        message = f"{len(working)} groups have work ({numbers}), a workflow has room for {GROUPS_MAX}"
        advice = "give phases that may run together the same group number"
        yield Diagnostic(Code.TOO_MANY_GROUPS, message, help=advice)


def _broken(plan: Plan) -> Iterator[str]:
    yield from _unit_ids(plan)
    yield from _order(plan)
    for name, tasks in _phase_tasks(plan):
        for project in _repeated(task.project for task in tasks):
            yield f'project "{project}" is in phase "{name}" more than once'
        for task in tasks:
            yield from _task(name, task)
    released = [project.project for unit in plan.release for project in unit.projects]
    for project in _repeated(released):
        yield f'project "{project}" is released more than once'


def _unit_ids(plan: Plan) -> Iterator[str]:
    ids = [*(unit_id for group in plan.groups for unit_id in group.unit_ids), *plan.release_ids]
    for unit_id in _repeated(ids):
        yield f'two units have the id "{unit_id}"'
    for unit_id in ids:
        if len(unit_id) > UNIT_ID_LENGTH_MAX:
            yield f'the unit id "{unit_id}" is longer than {UNIT_ID_LENGTH_MAX} characters'
    empty = [unit.id for _, _, unit in plan.units() if not unit.tasks]
    empty += [unit.id for unit in plan.release if not unit.projects]
    for unit_id in empty:
        yield f'unit "{unit_id}" has nothing to do'


def _order(plan: Plan) -> Iterator[str]:
    numbers = [group.number for group in plan.groups]
    if numbers != sorted(set(numbers)):
        yield f"groups are not in ascending order: {numbers}"
    names = [phase.name for group in plan.groups for phase in group.phases]
    for name in _repeated(names):
        yield f'phase "{name}" is in the plan more than once'


def _task(phase: str, task: Task) -> Iterator[str]:
    where = f'project "{task.project}", phase "{phase}"'
    steps = [step for wave in task.waves for step in wave.steps]
    if not steps:
        yield f"{where}: the task has no step"
    for name in _repeated(step.name for step in steps):
        yield f'{where}: two steps have the name "{name}"'
    priorities = [wave.priority for wave in task.waves]
    if priorities != sorted(set(priorities), reverse=True):
        yield f"{where}: waves are not in the order of their priority: {priorities}"
    for step in steps:
        if not 0 < step.timeout_s <= DURATION_S_MAX:
            yield f'{where}, step "{step.name}": a time limit of {step.timeout_s} s is not within 24 h'


def _phase_tasks(plan: Plan) -> Iterator[tuple[str, list[Task]]]:
    for group in plan.groups:
        for phase in group.phases:
            yield phase.name, [task for unit in phase.units for task in unit.tasks]


def _repeated(values: Iterable[Hashable]) -> list[Hashable]:
    return [value for value, count in Counter(values).items() if count > 1]
