"""Two plans compared as what they would have been planned from: for a stored plan whose document nobody kept."""

import msgspec

from forgec.diff.compare import compare
from forgec.diff.effect import Comparison, compared, run_of
from forgec.discovery.model import Artifact, Discovery, Phase, Project, Publisher, Repository, Secret, Step, Tagging
from forgec.plan.model import Plan, PlanStep


def compare_plans(before: Plan, after: Plan, *, labels: tuple[str, str]) -> Comparison:
    """No change where only the units differ. Raises msgspec.ValidationError where a plan was not made by a planner."""
    changes = compare(document_of(before), document_of(after))
    return compared(run_of(labels[0], before), run_of(labels[1], after), changes)


def document_of(plan: Plan) -> Discovery:
    """The least that a document of this plan says: every step has its own time limit, nothing is described."""
    projects: dict[str, Project] = {}
    phases = {phase.name: Phase(group=group.number) for group in plan.groups for phase in group.phases}
    for _, phase, unit in plan.units():
        for task in unit.tasks:
            project = projects.get(task.project) or Project(name=task.project, path=task.path)
            steps = tuple(_step(step, wave.priority) for wave in task.waves for step in wave.steps)
            projects[task.project] = msgspec.structs.replace(project, phases={**project.phases, phase.name: steps})
    publishers: dict[str, Publisher] = {}
    for release in plan.release:
        for released in release.projects:
            project = projects.get(released.project) or Project(name=released.project, path=released.path)
            publishers |= msgspec.convert(released.publishers, dict[str, Publisher])
            projects[released.project] = msgspec.structs.replace(
                project,
                artifacts=msgspec.convert(released.artifacts, dict[str, Artifact]),
                release_triggered=True,
                deployment_triggered=released.deploy,
            )
    repository = Repository(
        forge_version="v1.0.0", tagging=Tagging(strategy="monorepo"), phases=phases, publishers=publishers
    )
    return Discovery(repository=repository, projects=tuple(projects[name] for name in sorted(projects)))


def _step(step: PlanStep, priority: int) -> Step:
    return Step(
        name=step.name,
        action=step.action,
        target=step.target,
        priority=priority,
        args=step.args,
        secrets=msgspec.convert(step.secrets, tuple[Secret, ...]),
        timeout=f"{step.timeout_s:f}s",
    )
