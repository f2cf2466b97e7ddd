"""What holds for every plan, checked before one is handed on; everything that does not is reported at once.

The planner orders and numbers; what can still be wrong comes from the document (a project twice, two steps of one
name, too many groups) or from a bug. Both end here and not in a cluster.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from forgec.diagnostic import Code, Diagnostic
from forgec.discovery.places import NO_PLACES, Places
from forgec.plan.model import GROUPS_MAX, UNIT_ID_LENGTH_MAX, Plan, Task
from forgec.source import Span
from forgec.units import DURATION_S_MAX


def check_plan(plan: Plan, places: Places = NO_PLACES) -> list[Diagnostic]:
    """Every broken rule of a plan, where the document says it; none for a plan that may be run."""
    return [*_too_many_groups(plan, places), *_unit_ids(plan), *_order(plan, places), *_work(plan, places)]


def _too_many_groups(plan: Plan, places: Places) -> Iterator[Diagnostic]:
    working = plan.working_groups
    if len(working) > GROUPS_MAX:
        numbers = ", ".join(str(group.number) for group in working)
        message = f"{len(working)} groups have work ({numbers}), a workflow has room for {GROUPS_MAX}"
        first_too_many = working[GROUPS_MAX].phases[0].name
        advice = "give phases that may run together the same group number"
        yield Diagnostic(Code.TOO_MANY_GROUPS, message, places.group(first_too_many), help=advice)


def _unit_ids(plan: Plan) -> Iterator[Diagnostic]:
    ids = [*(unit_id for group in plan.groups for unit_id in group.unit_ids), *plan.release_ids]
    for unit_id in _repeated(ids):
        yield _broken(f'two units have the id "{unit_id}"')
    for unit_id in ids:
        if len(unit_id) > UNIT_ID_LENGTH_MAX:
            yield _broken(f'the unit id "{unit_id}" is longer than {UNIT_ID_LENGTH_MAX} characters')
    empty = [unit.id for _, _, unit in plan.units() if not unit.tasks]
    empty += [unit.id for unit in plan.release if not unit.projects]
    for unit_id in empty:
        yield _broken(f'unit "{unit_id}" has nothing to do')


def _order(plan: Plan, places: Places) -> Iterator[Diagnostic]:
    numbers = [group.number for group in plan.groups]
    if numbers != sorted(set(numbers)):
        yield _broken(f"groups are not in ascending order: {numbers}")
    for name in _repeated(phase.name for group in plan.groups for phase in group.phases):
        yield _broken(f'phase "{name}" is in the plan more than once', places.phase(name))


def _work(plan: Plan, places: Places) -> Iterator[Diagnostic]:
    for phase, tasks in _phase_tasks(plan):
        for project in _repeated(task.project for task in tasks):
            yield _broken(f'project "{project}" is in phase "{phase}" more than once', places.task(project, phase))
        for task in tasks:
            yield from _task(phase, task, places)
    for project in _repeated(project.project for unit in plan.release for project in unit.projects):
        yield _broken(f'project "{project}" is released more than once', places.project(project))


def _task(phase: str, task: Task, places: Places) -> Iterator[Diagnostic]:
    where = f'project "{task.project}", phase "{phase}"'
    steps = [step for wave in task.waves for step in wave.steps]
    if not steps:
        yield _broken(f"{where}: the task has no step", places.task(task.project, phase))
    for name in _repeated(step.name for step in steps):
        yield _broken(f'{where}: two steps have the name "{name}"', places.step(task.project, phase, name))
    priorities = [wave.priority for wave in task.waves]
    if priorities != sorted(set(priorities), reverse=True):
        message = f"{where}: waves are not in the order of their priority: {priorities}"
        yield _broken(message, places.task(task.project, phase))
    for step in steps:
        if not 0 < step.timeout_s <= DURATION_S_MAX:
            message = f'{where}, step "{step.name}": a time limit of {step.timeout_s} s is not within 24 h'
            yield _broken(message, places.step(task.project, phase, step.name))


def _broken(message: str, span: Span | None = None) -> Diagnostic:
    return Diagnostic(Code.PLAN_INCONSISTENT, message, span)


def _phase_tasks(plan: Plan) -> Iterator[tuple[str, list[Task]]]:
    for group in plan.groups:
        for phase in group.phases:
            yield phase.name, [task for unit in phase.units for task in unit.tasks]


def _repeated(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]
