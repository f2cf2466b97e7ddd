"""Both forms of a workflow start the same jobs, in the same order, with the same ids: those that the document asks for.

Each form is compiled to YAML and read back by an interpreter that knows Argo's meaning and nothing else. What it starts
are command lines of the dispatcher, which are parsed by the dispatcher's own parser and turned into jobs by its own
function, from the plan as it is stored. The dynamic form's lists are files that the dispatcher wrote from what the
discovery worker hands out.
"""

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.compiler.documents import complete, document, project
from tests.compiler.manifest.interpreter import Started, started
from tests.runtime.samples import run_record

from forge_runtime.command_line import parse_command
from forge_runtime.dispatcher import OUTPUT_DIR_DEFAULT, BadConfiguration, write_outputs
from forge_runtime.envelope import Envelope
from forge_runtime.flow import Part, parts_of
from forge_runtime.job import (
    Job,
    JobRecord,
    JobResult,
    JobState,
    JobType,
    ReleaseData,
    ReleasePayload,
    RequestedDeployment,
)
from forge_runtime.worker.discovery import handed_out
from forgec import ids, pipeline
from forgec.diagnostic import Code, ForgeError
from forgec.discovery.model import Artifact, Discovery, EarthlyProducer, Phase, Producer, Project, Step
from forgec.manifest.lower import ManifestOptions
from forgec.plan.digest import canonical_json, plan_digest, read_plan
from forgec.plan.model import GROUPS_MAX, Granularity, Plan

RUN = run_record("0190c6d2-5a58-7c1b-9d6b-8e0b1c7f4a52")
OPTIONS = ManifestOptions(run_id=RUN.run_id)
IMAGE = Artifact(type="container", producer=Producer(earthly=EarthlyProducer(target="+image")))

large = settings(max_examples=25, deadline=None)
middling = settings(max_examples=20, deadline=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A job's place in the order: it waits for everything of earlier stages and, of its own stage, for these jobs."""

    stage: int
    after: frozenset[str]


Order = Mapping[str, When]
"""By job id."""


@st.composite
def repositories(draw: st.DrawFn, *, projects_max: int, groups: tuple[int, int] = (0, GROUPS_MAX)) -> Discovery:
    """Documents of many projects whose phases make up so many groups; those of more groups than 16 all have work."""
    numbers = draw(st.lists(st.integers(1, 40), unique=True, min_size=groups[0], max_size=groups[1]))
    return repository(
        phases={f"p{number}-{at}": number for number in numbers for at in range(draw(st.integers(1, 2)))},
        projects=draw(st.integers(1 if groups[0] else 0, projects_max)),
        busy=draw(st.sampled_from((0.05, 0.5, 1.0))),
        released=draw(st.sampled_from((0.0, 0.3, 1.0))),
        random=Random(draw(st.integers(0, 2**32))),
    )


def repository(*, phases: Mapping[str, int], projects: int, busy: float, released: float, random: Random) -> Discovery:
    """`busy`: the chance that a project takes part in a phase; `released`: that it is released."""
    crowded = len(set(phases.values())) > GROUPS_MAX
    found = [
        Project(
            name=f"n{random.randrange(10**6)}-{at}",
            path=f"{random.choice('abc')}/{at}",
            phases={
                name: _steps(random, at_least=int(crowded))
                for name in phases
                if random.random() < busy or (crowded and at == 0)
            },
            artifacts={name: IMAGE for name in ("image", "docs") if random.random() < 0.5},
            release_triggered=random.random() < released,
            deployment_triggered=random.random() < 0.5,
        )
        for at in range(projects)
    ]
    return complete({name: Phase(group=number) for name, number in phases.items()}, found)


def _steps(random: Random, *, at_least: int) -> tuple[Step, ...]:
    names = random.sample(("lint", "unit", "e2e", "docs", "deps"), random.randint(at_least, 5))
    return tuple(
        Step(name=name, action="earthly", target="+x", priority=random.choice((-1, 0, 0, 0, 7))) for name in names
    )


LARGEST = repository(
    phases={f"p{number}": number for number in range(1, 17)}, projects=100, busy=1.0, released=1.0, random=Random(1)
)


@large
@given(repositories(projects_max=100), st.integers(1, 40))
@example(LARGEST, 25)
def test_both_forms_start_the_jobs_of_the_document_in_its_order(found: Discovery, shard_size: int) -> None:
    plan = pipeline.plan(found, shard_size=shard_size)

    static, dynamic = static_order(plan), dynamic_order(found, plan)

    assert static == dynamic
    assert static == wanted(found)


@middling
@given(repositories(projects_max=12))
def test_a_dispatcher_for_each_step_changes_neither_jobs_nor_order(found: Discovery) -> None:
    plan = pipeline.plan(found, shard_size=25, granularity="step")

    assert static_order(plan) == wanted(found)


@middling
@given(repositories(projects_max=12), st.integers(1, 40))
def test_the_dynamic_form_begins_with_discovery_and_is_the_same_for_every_document(
    found: Discovery, shard_size: int
) -> None:
    plan = pipeline.plan(found, shard_size=shard_size)

    manifest = pipeline.emit(pipeline.lower(plan, OPTIONS, dynamic=True))

    assert manifest == pipeline.emit(pipeline.lower(pipeline.plan(document({}), shard_size=1), OPTIONS, dynamic=True))
    first, *rest = started(manifest, outputs_of(found, plan))
    assert first.argv == ("forge-dispatcher", "discover", "--run", f"forge-{RUN.run_id}")
    assert all(pod.entry > first.entry and pod.argv[1] == "run" for pod in rest)


@settings(max_examples=20, deadline=None)
@given(repositories(projects_max=5, groups=(GROUPS_MAX + 1, 20)), st.sampled_from(("shard", "step")))
def test_more_groups_than_a_workflow_has_room_for_are_refused_before_either_form(
    found: Discovery, granularity: Granularity
) -> None:
    with pytest.raises(ForgeError) as raised:
        pipeline.plan(found, shard_size=25, granularity=granularity)

    assert [problem.code for problem in raised.value.diagnostics] == [Code.TOO_MANY_GROUPS]


def test_more_lists_than_a_workflow_reads_are_refused_by_the_dispatcher_too(tmp_path: Path) -> None:
    found = document({"test": 1}, [project("api", {"test": ["unit"]})])
    plan = pipeline.plan(found, shard_size=25)
    groups = plan.groups * (GROUPS_MAX + 1)
    data = handed_out(found, "sha256:0", Plan(groups=groups, release=()), "sha256:0")

    with pytest.raises(BadConfiguration, match="17 groups with work, a workflow has room for 16"):
        write_outputs(data, tmp_path)

    assert list(tmp_path.iterdir()) == []


def static_order(plan: Plan) -> Order:
    return order(started(pipeline.emit(pipeline.lower(plan, OPTIONS, dynamic=False)), {}), plan)


def dynamic_order(found: Discovery, plan: Plan) -> Order:
    manifest = pipeline.emit(pipeline.lower(plan, OPTIONS, dynamic=True))
    return order((pod for pod in started(manifest, outputs_of(found, plan)) if pod.argv[1] != "discover"), plan)


def outputs_of(found: Discovery, plan: Plan) -> Mapping[str, str]:
    """The files that the discovery dispatcher leaves in its pod."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_outputs(handed_out(found, "sha256:0", plan, plan_digest(plan)), directory)
        return {f"{OUTPUT_DIR_DEFAULT}/{file.name}": file.read_text(encoding="utf-8") for file in directory.iterdir()}


def order(pods: Iterable[Started], plan: Plan) -> Order:
    """What the dispatchers of these pods do, stages counted over the entries that start anything."""
    pods = list(pods)
    stored, digest = read_plan(canonical_json(plan)), plan_digest(plan)
    stages = {entry: number for number, entry in enumerate(sorted({pod.entry for pod in pods}))}
    found: dict[str, When] = {}
    answered: list[str] = []
    for pod in pods:
        command = parse_command(pod.argv[1:])
        assert (command.leaf, command.run_id, command.plan) == ("run", RUN.run_id, digest)
        assert command.unit is not None
        for part in parts_of(stored, command.unit, Envelope(RUN, 0.0, digest)) or ():
            before: frozenset[str] = frozenset()
            waves = waves_of(part)
            for wave in waves:
                for job in wave:
                    when = When(stage=stages[pod.entry], after=before)
                    assert found.setdefault(job, when) == when
                before |= frozenset(wave)
            answered += [job for wave in waves[part.own_from :] for job in wave]
    assert sorted(answered) == sorted(found), "each job is answered for by one dispatcher"
    return found


def waves_of(part: Part) -> list[list[str]]:
    """The jobs of a part, when each of them succeeds."""
    ended: list[list[JobRecord]] = []
    while (wave := part.next_wave(ended)) is not None:
        ended.append([succeeded(job) for job in wave])
    return [[record.job.job_id for record in wave] for wave in ended if wave]


def succeeded(job: Job) -> JobRecord:
    """A release that may be deployed is to be deployed to one environment."""
    data = None
    if job.type is JobType.RELEASE:
        deploy = msgspec.json.decode(job.payload, type=ReleasePayload).deploy
        requested = [RequestedDeployment(id="1", environment="dev")] if deploy else []
        release = ReleaseData(release_id="1", release_number=1, oci_uri="", oci_digest="", deployments=tuple(requested))
        data = msgspec.to_builtins(release)
    result = JobResult(job_id=job.job_id, status=JobState.SUCCEEDED, data=data)
    return JobRecord(state=JobState.SUCCEEDED, job=job, submitted_at=0.0, result=result)


def release_jobs(project: str, steps: Iterable[str]) -> list[str]:
    return [ids.job_id(RUN.run_id, ids.RELEASE_PHASE, project, step) for step in steps]


def wanted(found: Discovery) -> Order:
    """What the document asks for, by its own words."""
    phases = found.repository.phases
    working = sorted({phases[name].group for each in found.projects for name, steps in each.phases.items() if steps})
    jobs: dict[str, When] = {}
    for each in found.projects:
        for name, steps in each.phases.items():
            by_id = {ids.job_id(RUN.run_id, name, each.name, step.name): step.priority for step in steps}
            for job, priority in by_id.items():
                after = frozenset(other for other, higher in by_id.items() if higher > priority)
                jobs[job] = When(stage=working.index(phases[name].group), after=after)
        if each.release_triggered:
            artifacts = release_jobs(each.name, [f"artifact:{name}" for name in each.artifacts])
            release = release_jobs(each.name, ["release"])
            deployments = release_jobs(each.name, ["deploy:dev"] if each.deployment_triggered else [])
            stage = len(working)
            jobs |= {job: When(stage=stage, after=frozenset()) for job in artifacts}
            jobs |= {job: When(stage=stage, after=frozenset(artifacts)) for job in release}
            jobs |= {job: When(stage=stage, after=frozenset(artifacts + release)) for job in deployments}
    return jobs
