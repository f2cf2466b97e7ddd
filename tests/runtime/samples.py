"""Small plans, runs and records that the runtime's tests share."""

import dataclasses
import uuid
from collections.abc import Mapping, Sequence

from msgspec import Raw

from forge_runtime import subject
from forge_runtime.bus.jetstream import JetStreamBus
from forge_runtime.bus.port import Bus
from forge_runtime.envelope import Envelope
from forge_runtime.job import CiPayload, Git, Job, JobRecord, JobState, JobType, Limits, StepPayload, encode
from forge_runtime.run import RunRecord
from forgec import ids
from forgec.plan.digest import canonical_json, digest_of
from forgec.plan.model import GroupPlan, PhasePlan, Plan, PlanStep, ReleaseProject, ReleaseUnit, Task, Unit, Wave

DEADLINE_AT = 4e9
UNIT = "g01-test-s001"
RELEASE_UNIT = "release-s001"


def new_run_id() -> str:
    return str(uuid.uuid4())


def run_record(
    run_id: str, *, clone_url: str = "file:///nowhere", commit_sha: str = "0" * 40, deadline_at: float = DEADLINE_AT
) -> RunRecord:
    return RunRecord(
        run_id=run_id,
        repository="local/sample",
        clone_url=clone_url,
        commit_sha=commit_sha,
        git=Git(),
        trigger_type="manual",
        deadline_at=deadline_at,
    )


def ci_job(run_id: str, *, step: str = "unit", limits: Limits | None = None) -> Job:
    payload = CiPayload(
        phase="test",
        project="web",
        project_path="web",
        step=StepPayload(name=step, action="earthly", target="+test"),
    )
    return Job(
        job_id=ids.job_id(run_id, "test", "web", step),
        type=JobType.CI,
        run_id=run_id,
        repository="local/sample",
        clone_url="file:///nowhere",
        commit_sha="0" * 40,
        git=Git(),
        submitted_at="2026-01-01T00:00:00.000Z",
        limits=limits or Limits(schedule_to_start_s=100, start_to_close_s=60, heartbeat_s=30),
        payload=Raw(encode(payload)),
    )


def queued_record(*, now: float = 0.0, limits: Limits | None = None) -> JobRecord:
    return JobRecord(state=JobState.QUEUED, job=ci_job(new_run_id(), limits=limits), submitted_at=now)


def released(project: str, *artifacts: str, deploy: bool = True) -> ReleaseProject:
    """A project to release, with artifacts that two publishers take."""
    described = {
        "type": "archive",
        "producer": {"earthly": {"target": "+dist"}},
        "publishers": {"docs": {"primary": True}, "pages": {}},
    }
    return ReleaseProject(
        project=project,
        path=project,
        artifacts=dict.fromkeys(artifacts, described),
        publishers={"docs": {"type": "docs", "bucket": "docs"}, "pages": {"type": "github"}},
        deploy=deploy,
    )


def plan_of(
    projects: Mapping[str, Sequence[Mapping[str, str]]],
    release: Sequence[ReleaseProject] = (ReleaseProject(project="web", path="web"),),
) -> Plan:
    """One unit, `g01-test-s001`, of a task a project: its waves, which map a step's name to its shell script.

    And one, `release-s001`, of the projects to release.
    """
    tasks = tuple(
        Task(
            project=project,
            path=project,
            waves=tuple(
                Wave(
                    priority=-index,
                    steps=tuple(
                        PlanStep(name=name, action="earthly", target="+test", timeout_s=60, args=(script,))
                        for name, script in steps.items()
                    ),
                )
                for index, steps in enumerate(waves)
            ),
        )
        for project, waves in projects.items()
    )
    units = (Unit(id=UNIT, tasks=tasks),)
    groups = (GroupPlan(number=1, phases=(PhasePlan(name="test", units=units),)),)
    return Plan(groups=groups, release=(ReleaseUnit(id=RELEASE_UNIT, projects=tuple(release)),))


async def set_ack_wait(bus: JetStreamBus, queue: subject.WorkQueue, seconds: float) -> None:
    """Shorter than provisioned, so that tests need not wait for half a minute."""
    jetstream = bus.connection.jetstream
    for name in queue.consumers:
        config = (await jetstream.consumer_info(queue.stream, name)).config
        await jetstream.add_consumer(queue.stream, dataclasses.replace(config, ack_wait=seconds))


async def store_run(bus: Bus, run: RunRecord) -> None:
    await bus.runs.put(subject.run_key(run.run_id), encode(run))


async def store_plan(bus: Bus, plan: Plan) -> str:
    data = canonical_json(plan)
    await bus.put_object(digest_of(data), data)
    return digest_of(data)


def jobs_of(run: RunRecord, plan: Plan, digest: str) -> list[Job]:
    envelope = Envelope(run, 0.0, digest)
    return [
        envelope.ci_job(phase.name, task, step)
        for _, phase, unit in plan.units()
        for task in unit.tasks
        for wave in task.waves
        for step in wave.steps
    ]
