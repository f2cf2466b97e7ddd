"""Why something runs where and when it does, or why it is not there: from the line that asks for it to the pod.

forgec why web/test/unit

web/test/unit: step of project web in phase test
  declared    services/web/.forge/project.cue:9:3
  phase       test, group 2 of 3 (.forge/repo.cue:7:2)
  order       wave 2 of 2 (priority 0), together with load; after wave 1: deps
  timeout     10m00s, the phase's
  runs        +unit of services/web/Earthfile
  unit        g02-test-s003, with 3 tasks
  manifest    spec.templates[0].steps[1][0], template shard, item 2
  dispatcher  forge-dispatcher run --run forge-... --plan sha256:... --unit g02-test-s003
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from forgec.diagnostic import Code
from forgec.discovery.discover import Survey, project_file
from forgec.discovery.files import FORGE_DIRECTORY
from forgec.discovery.model import Discovery, Project, Step
from forgec.discovery.places import Located
from forgec.discovery.trigger import Verdict
from forgec.manifest.argo import Template, Workflow
from forgec.nearest import did_you_mean
from forgec.plan.model import Plan, Task, Unit
from forgec.source import Span
from forgec.source_map import ManifestItem, manifest_items
from forgec.units import format_duration, parse_duration

LISTED_MAX: Final = 10
"""Names in a sentence; of more, the number of the rest is told."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: a label, what holds, and where that was written."""

    label: str
    text: str
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """`present`: whether what was asked for takes part in a run; the facts tell how, or why not."""

    subject: str
    present: bool
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """`project`, `project/phase` or `project/phase/step`."""

    project: str
    phase: str | None = None
    step: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.project, self.phase, self.step) if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """All that a compilation knows: what every answer is read from. A document alone has no `survey`."""

    located: Located
    plan: Plan
    workflow: Workflow
    survey: Survey | None = None

    @property
    def document(self) -> Discovery:
        return self.located.document


def why(subject: Subject, question: Question) -> Answer:
    """Of a project, what it does in each phase; of a phase, its steps; of a step, the whole chain."""
    document = subject.document
    project = next((each for each in document.projects if each.name == question.project), None)
    if project is None:
        return _no_project(subject, question)
    if question.phase is None:
        return Answer(f"project {project.name}", True, tuple(_of_project(subject, project)))
    if question.phase not in document.repository.phases:
        told = f"repo.cue declares no phase {question.phase}"
        return _absent(question, told, list(document.repository.phases), "phases")
    steps = project.phases.get(question.phase, ())
    if not steps:
        told = f"{project.name} takes no part in phase {question.phase}: it has no steps there"
        taking_part = [name for name, each in project.phases.items() if each]
        return _absent(question, told, taking_part, f"phases of {project.name}")
    if question.step is None:
        facts = tuple(_of_task(subject, project, question.phase))
        return Answer(f"{question}: task of project {project.name}", True, facts)
    step = next((each for each in steps if each.name == question.step), None)
    if step is None:
        told = f"{project.name} has no step {question.step} in phase {question.phase}"
        return _absent(question, told, [each.name for each in steps], "steps there")
    facts = tuple(_of_step(subject, project, question.phase, step))
    return Answer(f"{question}: step of project {project.name} in phase {question.phase}", True, facts)


def why_release(subject: Subject, name: str, verdict: Verdict | None) -> Answer:
    """`verdict`: what the event says of the project; None where only a document is known, which tells its reason."""
    question = Question(name)
    project = next((each for each in subject.document.projects if each.name == name), None)
    if project is None:
        return _no_project(subject, question)
    if not project.release_triggered:
        told = verdict.why if verdict else "releaseTriggered is false in the document"
        place = subject.located.places.release(name)
        return Answer(f"release of {name}", False, (Fact("not released", told, place),))
    return Answer(f"release of {name}", True, tuple(_of_release(subject, project, verdict)))


def find_step(document: Discovery, name: str) -> list[Question]:
    """The steps of that name, for whoever does not know where it is."""
    return [
        Question(project.name, phase, step.name)
        for project in document.projects
        for phase, steps in project.phases.items()
        for step in steps
        if step.name == name
    ]


def why_nothing(subject: Subject, name: str) -> Answer:
    """Of a single word that is no project and no step; it may be a phase, which has steps of many projects."""
    if name in subject.document.repository.phases:
        taking_part = [project.name for project in subject.document.projects if project.phases.get(name)]
        who = f"of {_listed(taking_part)}" if taking_part else "no project takes part in it"
        advice = Fact("help", f"{name} is a phase, {who}; ask for PROJECT/{name}", subject.located.places.phase(name))
        return Answer(name, False, (Fact("not there", f"no project and no step is called {name}"), advice))
    steps = {step.name for project in subject.document.projects for steps in project.phases.values() for step in steps}
    return _no_project(subject, Question(name), f"no project and no step is called {name}", steps)


def _no_project(subject: Subject, question: Question, told: str = "", near: Iterable[str] = ()) -> Answer:
    names = [each.name for each in subject.document.projects]
    answer = _absent(question, told or f"no project is called {question.project}", names, "projects", near)
    first, *others = answer.facts
    return replace(answer, facts=(first, *_overlooked(subject, question.project), *others))


def _absent(question: Question, told: str, known: Sequence[str], what: str, near: Iterable[str] = ()) -> Answer:
    """`near`: names besides the known ones that may have been meant."""
    facts = [Fact("not there", told)]
    wanted = question.step or question.phase or question.project
    if advice := did_you_mean(wanted, {*known, *near}):
        facts.append(Fact("help", advice))
    facts.append(Fact("known", f"{what}: {_listed(known)}" if known else f"there are no {what}"))
    return Answer(str(question), False, tuple(facts))


def _overlooked(subject: Subject, name: str) -> Iterator[Fact]:
    """Why discovery sees no project in a directory of that name: beside another project's, or at the root."""
    survey = subject.survey
    if survey is None:
        return
    for finding in survey.findings:
        if finding.code is Code.CONFIG_UNSEEN and finding.span is not None:
            directory = finding.span.source.name.casefold().partition(f"/{FORGE_DIRECTORY}")[0]
            if posixpath.basename(directory) == name.casefold():
                yield Fact("not seen", finding.message, finding.span)
    for parent in sorted({"", *(posixpath.dirname(each.path) for each in survey.projects)}):
        reason = survey.files.why_absent(project_file(posixpath.join(parent, name)))
        if reason is not None:
            yield Fact("not seen", reason)


def _of_project(subject: Subject, project: Project) -> Iterator[Fact]:
    yield Fact("declared", f"at {project.path}", subject.located.places.project(project.name))
    for group in subject.document.phase_groups:
        for phase in group.phases:
            steps = project.phases.get(phase, ())
            text = _listed([step.name for step in steps]) if steps else "no steps"
            yield Fact(phase, text, subject.located.places.task(project.name, phase) if steps else None)
    released = "this event releases it" if project.release_triggered else "not for this event"
    yield Fact("release", released, subject.located.places.release(project.name))


def _of_task(subject: Subject, project: Project, phase: str) -> Iterator[Fact]:
    places = subject.located.places
    yield Fact("declared", _listed([step.name for step in project.phases[phase]]), places.task(project.name, phase))
    yield _phase(subject, phase)
    unit, task = _carrier(subject.plan, project.name, phase)
    for number, wave in enumerate(task.waves, 1):
        names = _listed([step.name for step in wave.steps])
        yield Fact(f"wave {number}", f"{names} (priority {wave.priority})")
    for unit_id in _ids(unit, task, None):
        yield from _of_unit(subject, unit, unit_id)


def _of_step(subject: Subject, project: Project, phase: str, step: Step) -> Iterator[Fact]:
    places = subject.located.places
    yield Fact("declared", f"priority {step.priority}", places.step(project.name, phase, step.name))
    yield _phase(subject, phase)
    unit, task = _carrier(subject.plan, project.name, phase)
    yield Fact("order", _order(task, step.name))
    inherited = subject.document.repository.phases[phase].timeout
    whose = "its own" if step.timeout else "the phase's"
    yield Fact("timeout", f"{format_duration(parse_duration(step.timeout or inherited))}, {whose}")
    where = "Earthfile" if project.path == "." else f"{project.path}/Earthfile"
    arguments = f" with {' '.join(step.args)}" if step.args else ""
    yield Fact("runs", f"{step.target} of {where}{arguments}")
    for unit_id in _ids(unit, task, step.name):
        yield from _of_unit(subject, unit, unit_id)


def _of_release(subject: Subject, project: Project, verdict: Verdict | None) -> Iterator[Fact]:
    reason = project.release_reason
    told = (
        verdict.why if verdict else f"{reason.type} {reason.branch or reason.tag}" if reason else "as the document says"
    )
    yield Fact("released", told, subject.located.places.release(project.name))
    yield Fact("artifacts", f"together: {_listed(sorted(project.artifacts))}" if project.artifacts else "none")
    yield Fact("release", "after the artifacts" if project.artifacts else "at once")
    yield Fact("deployment", "after the release" if project.deployment_triggered else "none")
    unit = next(each for each in subject.plan.release if any(part.project == project.name for part in each.projects))
    yield Fact("unit", f"{unit.id}, with {len(unit.projects)} project{'' if len(unit.projects) == 1 else 's'}")
    yield from _of_manifest(subject.workflow, unit.id)


def _phase(subject: Subject, name: str) -> Fact:
    groups = [group.group for group in subject.document.phase_groups]
    phase = subject.document.repository.phases[name]
    needed = "; every project takes part in it" if phase.required else ""
    nth = groups.index(phase.group) + 1
    text = f"{name}, group {phase.group} (number {nth} of {len(groups)}){needed}"
    return Fact("phase", text, subject.located.places.phase(name))


def _carrier(plan: Plan, project: str, phase: str) -> tuple[Unit, Task]:
    return next(
        (unit, task)
        for _, phase_plan, unit in plan.units()
        if phase_plan.name == phase
        for task in unit.tasks
        if task.project == project
    )


def _order(task: Task, name: str) -> str:
    names = [[step.name for step in wave.steps] for wave in task.waves]
    at = next(index for index, wave in enumerate(names) if name in wave)
    parts = [f"wave {at + 1} of {len(names)}"]
    if together := [each for each in names[at] if each != name]:
        parts.append(f"together with {_listed(together)}")
    if at:
        parts.append(f"after {_listed([each for wave in names[:at] for each in wave])}")
    return ", ".join(parts)


def _ids(unit: Unit, task: Task, step: str | None) -> list[str]:
    """The ids of the dispatchers that carry a step (without one: anything) of the task."""
    found = []
    for _, unit_id in unit.ids():
        dispatch = unit.dispatch("", unit_id)
        assert dispatch is not None
        carried = [each for each in dispatch.tasks if each.project == task.project]
        waves = [wave for each in carried for wave in (each.waves[-1:] if dispatch.last_wave_only else each.waves)]
        if any(step is None or each.name == step for wave in waves for each in wave.steps):
            found.append(unit_id)
    return found


def _of_unit(subject: Subject, unit: Unit, unit_id: str) -> Iterator[Fact]:
    tasks = f"{len(unit.tasks)} task{'' if len(unit.tasks) == 1 else 's'}"
    yield Fact("unit", f"{unit_id}, a step of its own" if unit.by_step else f"{unit_id}, with {tasks}")
    yield from _of_manifest(subject.workflow, unit_id)


def _of_manifest(workflow: Workflow, unit_id: str) -> Iterator[Fact]:
    templates = {template.name: template for template in workflow.spec.templates}
    for item in manifest_items(workflow):
        if item.unit_id == unit_id:
            yield Fact(
                "manifest", f"{item.path}, entry {item.entry.name}, item {item.index}, template {item.entry.template}"
            )
            yield Fact("dispatcher", _command(workflow, templates[item.entry.template], item))


def _command(workflow: Workflow, template: Template, item: ManifestItem) -> str:
    """What the pod runs, its tags filled in."""
    assert template.container is not None
    arguments = item.entry.arguments.parameters if item.entry.arguments else ()
    tags = {f"inputs.parameters.{parameter.name}": parameter.value for parameter in arguments}
    tags |= {"inputs.parameters.unit": item.unit_id, "workflow.name": workflow.metadata.name}
    words = (*template.container.command, *template.container.args)
    return " ".join(_TAG.sub(lambda tag: tags[tag[1]], word) for word in words)


_TAG: Final = re.compile(r"\{\{([a-z.]+)\}\}")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:LISTED_MAX])
    return shown if len(names) <= LISTED_MAX else f"{shown} and {len(names) - LISTED_MAX} more"
