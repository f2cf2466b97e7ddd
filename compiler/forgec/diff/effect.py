"""What the changes do to a run: its jobs, its pods, its plan, and which changes a person should look at."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from forgec import pipeline
from forgec.diff.compare import NO_RULES, Rules, compare
from forgec.diff.model import Change, Kind, Subject, projects_now
from forgec.discovery.model import Discovery
from forgec.plan.digest import plan_digest
from forgec.plan.model import SHARD_SIZE_DEFAULT, Plan

_PODS_OF_EXIT_HANDLER: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one side of a comparison would run.

    `jobs`: steps, and for each released project its artifacts and its release; deployments are not known before.
    `pods`: dispatchers of the static workflow, retries not counted.
    """

    label: str
    jobs: int
    pods: int
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """A change that takes something away or gives something out, whose (by the name now), and what it is."""

    change: Change
    project: str | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    before: Run
    after: Run
    changes: tuple[Change, ...]
    concerns: tuple[Concern, ...]


def compare_runs(
    before: Discovery, after: Discovery, *, labels: tuple[str, str], rules: tuple[Rules, Rules] = NO_RULES
) -> Comparison:
    """Raises ForgeError where a document has no plan. `labels` are what people call the two documents."""
    changes = compare(before, after, rules=rules)
    old, new = (pipeline.plan(document, shard_size=SHARD_SIZE_DEFAULT) for document in (before, after))
    return compared(run_of(labels[0], old), run_of(labels[1], new), changes)


def compared(before: Run, after: Run, changes: tuple[Change, ...]) -> Comparison:
    return Comparison(before=before, after=after, changes=changes, concerns=tuple(_concerns(changes)))


def run_of(label: str, plan: Plan) -> Run:
    pods = sum(len(group.unit_ids) for group in plan.groups) + len(plan.release) + _PODS_OF_EXIT_HANDLER
    return Run(label=label, jobs=_jobs(plan), pods=pods, plan=plan_digest(plan))


def _jobs(plan: Plan) -> int:
    steps = sum(len(wave.steps) for _, _, unit in plan.units() for task in unit.tasks for wave in task.waves)
    released = sum(len(project.artifacts) + 1 for unit in plan.release for project in unit.projects)
    return steps + released


def _concerns(changes: Sequence[Change]) -> Iterator[Concern]:
    """In the order of the changes. What goes with its project is that project's concern alone."""
    gone = {change.place.name for change in changes if (change.subject, change.kind) == (Subject.PROJECT, Kind.REMOVED)}
    names = projects_now(changes)
    for change in changes:
        project = None if change.subject is Subject.PROJECT else change.place.project
        if project not in gone:
            for reason in _reasons(change):
                yield Concern(change=change, project=names.get(project, project) if project else None, reason=reason)


def _reasons(change: Change) -> Iterator[str]:
    match change.subject:
        case Subject.REPOSITORY if change.field("tagging"):
            yield "tags release other projects than they did"
        case Subject.PHASE if _went_off(change, "required"):
            yield "projects may leave it out"
        case Subject.PUBLISHER if change.before and change.after and change.fields:
            yield "artifacts go elsewhere, or with other credentials"
        case Subject.PROJECT:
            yield from _reasons_of_project(change)
        case Subject.STEP:
            if change.kind is Kind.REMOVED:
                yield "no longer runs"
            if _gained(change, "secrets"):
                yield "reads a secret that it did not read"
        case Subject.ARTIFACT:
            if change.kind is Kind.REMOVED:
                yield "is no longer released"
            elif change.before and change.field("publishers"):
                yield "is published elsewhere, or otherwise"


def _reasons_of_project(change: Change) -> Iterator[str]:
    if change.kind is Kind.REMOVED:
        yield "takes part in no run"
        return
    for name, done in (("releaseTriggered", "released"), ("deploymentTriggered", "deployed")):
        if _went_off(change, name):
            yield f"is no longer {done}"
        elif change.field(name):
            yield f"is {done} now"
    if change.before and (change.field("release.on") or change.field("release.enabled")):
        yield "is released by other events"


def _went_off(change: Change, name: str) -> bool:
    field = change.field(name)
    return field is not None and bool(field.before) and not field.after


def _gained(change: Change, name: str) -> bool:
    field = change.field(name)
    if field is None:
        return False
    before: list[Any] = field.before or []
    return any(item not in before for item in field.after or [])
