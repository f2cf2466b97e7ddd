"""A run's work as jobs, and a job's record as events: the two conversions between plan, wire and API. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from msgspec import Raw, Struct, convert
from msgspec.json import decode
from msgspec.structs import replace

from forge_runtime.event import Event, EventKind, StepAddress
from forge_runtime.job import (
    NO_APPROVAL,
    Approval,
    Artifact,
    ArtifactPayload,
    ArtifactResult,
    CiPayload,
    DeploymentPayload,
    DiscoveryPayload,
    EarlierStep,
    Job,
    JobRecord,
    JobState,
    JobType,
    Limits,
    ReleaseData,
    ReleasePayload,
    ReleaseTrigger,
    RequestedDeployment,
    StepPayload,
    encode,
    utc_text,
)
from forge_runtime.lane import EARLY_JOBS, Lane, lane_of
from forge_runtime.run import RunRecord
from forge_runtime.trace import parse_traceparent, span_id_of, trace_id_of
from forgec import ids
from forgec.plan.model import Plan, PlanStep, ReleaseProject, Task

HOUR_S: Final = 3600.0
DISCOVERY_LIMITS: Final = Limits(schedule_to_start_s=HOUR_S, start_to_close_s=600.0)
CI_SCHEDULE_TO_START_S: Final = 2 * HOUR_S
"""Twice the other pools' hour: the tasks pool is the one that whole phases of many runs queue for."""

ARTIFACT_LIMITS: Final = Limits(schedule_to_start_s=HOUR_S, start_to_close_s=2700.0)
"""30 minutes for the producer, and what publishing takes."""

RELEASE_LIMITS: Final = Limits(schedule_to_start_s=HOUR_S, start_to_close_s=900.0)
DEPLOYMENT_LIMITS: Final = Limits(schedule_to_start_s=HOUR_S, start_to_close_s=600.0)

PAYLOAD_BYTES_MAX: Final = 512 * 1024
"""A job's record also holds its result of up to 256 KiB and an error, and must fit into a message of 1 MiB."""


class PayloadTooLarge(Exception):
    """What a job has to be told does not fit into one."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Makes the jobs of one run; those of a plan's steps name the plan. `lanes`: see `lanes_of`; `earlier`: see
    `earlier_of`."""

    run: RunRecord
    now: float
    plan_digest: str | None = None
    lanes: Mapping[StepAddress, Lane] = field(default_factory=dict)
    earlier: Mapping[tuple[str, str], tuple[EarlierStep, ...]] = field(default_factory=dict)

    def job_before(self, phase: str, project: str) -> str | None:
        """The id of the last job that the project has in phases that are over; None if there is none."""
        earlier = self.earlier.get((phase, project), ())
        return ids.job_id(self.run.run_id, earlier[-1].phase, project, earlier[-1].step) if earlier else None

    def discovery_job(self) -> Job:
        payload = DiscoveryPayload(trigger_type=self.run.trigger_type, shard_size=self.run.shard_size)
        return self._job(JobType.DISCOVERY, _DISCOVERY, DISCOVERY_LIMITS, payload)

    def ci_job(self, phase: str, task: Task, step: PlanStep) -> Job:
        payload = CiPayload(
            phase=phase,
            project=task.project,
            project_path=task.path,
            step=StepPayload(
                name=step.name, action=step.action, target=step.target, args=step.args, secrets=step.secrets
            ),
            earlier=self.earlier.get((phase, task.project), ()),
        )
        limits = Limits(schedule_to_start_s=CI_SCHEDULE_TO_START_S, start_to_close_s=step.timeout_s)
        return self._job(JobType.CI, StepAddress(phase=phase, project=task.project, step=step.name), limits, payload)

    def artifact_job(self, project: ReleaseProject, name: str) -> Job:
        run = self.run
        artifact = convert({**project.artifacts[name], "name": name}, Artifact)
        payload = ArtifactPayload(
            project=project.project,
            project_path=project.path,
            artifact=artifact,
            release_id=ids.release_id(run.repository, project.project, run.commit_sha),
            publishers={publisher: project.publishers[publisher] for publisher in artifact.publishers},
        )
        address = _released(project.project, ids.artifact_step(name))
        return self._job(JobType.ARTIFACT, address, ARTIFACT_LIMITS, payload)

    def release_job(self, project: ReleaseProject, artifacts: Sequence[ArtifactResult]) -> Job:
        payload = ReleasePayload(
            project=project.project,
            project_path=project.path,
            trigger=_trigger(self.run),
            artifacts=tuple(artifacts),
            deploy=project.deploy,
        )
        return self._job(JobType.RELEASE, _released(project.project, ids.RELEASE_STEP), RELEASE_LIMITS, payload)

    def deployment_job(
        self,
        project: str,
        release: ReleaseData,
        requested: RequestedDeployment,
        approval: Approval = NO_APPROVAL,
    ) -> Job:
        payload = DeploymentPayload(
            deployment_id=requested.id,
            release_id=release.release_id,
            repository=self.run.repository,
            project=project,
            commit_sha=self.run.commit_sha,
            oci_digest=release.oci_digest,
            environment=requested.environment,
            actor=self.run.triggered_by,
            approval=approval.id,
            approved_by=approval.approved_by,
            approved_at=approval.approved_at,
            release_number=release.release_number,
            aliases=release.aliases,
        )
        address = _released(project, ids.deployment_step(requested.environment))
        return self._job(JobType.DEPLOYMENT, address, DEPLOYMENT_LIMITS, payload, Lane.EARLY)

    def _job(
        self, job_type: JobType, address: StepAddress, limits: Limits, payload: Struct, lane: Lane = Lane.MAIN
    ) -> Job:
        run = self.run
        encoded = encode(payload)
        if len(encoded) > PAYLOAD_BYTES_MAX:
            raise PayloadTooLarge(
                f'step "{address.step}" of project "{address.project}" in phase "{address.phase}": its job would carry '
                f"{len(encoded)} bytes, {PAYLOAD_BYTES_MAX} are allowed; shorten its arguments and publishers"
            )
        job_id = ids.job_id(run.run_id, address.phase, address.project, address.step)
        above = parse_traceparent(run.traceparent)
        return Job(
            job_id=job_id,
            type=job_type,
            run_id=run.run_id,
            repository=run.repository,
            clone_url=run.clone_url,
            commit_sha=run.commit_sha,
            git=run.git,
            submitted_at=utc_text(self.now),
            limits=limits,
            payload=Raw(encoded),
            plan_digest=self.plan_digest,
            lane=self.lanes.get(address, lane),
            traceparent=None if above is None else str(above.child(span_id_of(job_id))),
        )


def log_fields_of(job: Job) -> dict[str, str | None]:
    """What every log line about the job says; msgspec.ValidationError where the payload is not its type's."""
    address = address_of(job)
    return {
        "run_id": job.run_id,
        "job_id": job.job_id,
        "job_type": job.type,
        "repository": job.repository,
        "commit_sha": job.commit_sha,
        "phase": address.phase,
        "project": address.project,
        "step": address.step,
        "trace_id": trace_id_of(job.traceparent),
    }


def lanes_of(plan: Plan) -> dict[StepAddress, Lane]:
    """The lanes of the steps that do not go into the main one, by how many of their pool's come before them.

    Deployments are not among them, since no plan knows them: they go into the early lane.
    """
    tests = (
        StepAddress(phase=phase.name, project=task.project, step=step.name)
        for _, phase, unit in plan.units()
        for task in unit.tasks
        for wave in task.waves
        for step in wave.steps
    )
    projects = [project for unit in plan.release for project in unit.projects]
    artifacts = (
        _released(project.project, ids.artifact_step(name))
        for project in projects
        for name in sorted(project.artifacts)
    )
    releases = (_released(project.project, ids.RELEASE_STEP) for project in projects)
    return {
        address: lane_of(rank)
        for pool in (tests, artifacts, releases)
        for rank, address in enumerate(islice(pool, EARLY_JOBS))
    }


def earlier_of(plan: Plan) -> dict[tuple[str, str], tuple[EarlierStep, ...]]:
    """By phase and project: the project's steps in groups before the phase's, in the order of groups, phases and waves.

    Phases of one group run together, so none of them is earlier than another. Releases come after all of them.
    """
    found: dict[tuple[str, str], tuple[EarlierStep, ...]] = {}
    done: dict[str, list[EarlierStep]] = {}
    for group in plan.groups:
        tasks = [(phase.name, task) for phase in group.phases for unit in phase.units for task in unit.tasks]
        found |= {(phase, task.project): tuple(done[task.project]) for phase, task in tasks if task.project in done}
        for phase, task in tasks:
            steps = [EarlierStep(phase, step.name) for wave in task.waves for step in wave.steps]
            done.setdefault(task.project, []).extend(steps)
    released = [project.project for unit in plan.release for project in unit.projects]
    return found | {(ids.RELEASE_PHASE, project): tuple(done[project]) for project in released if project in done}


def running_event(record: JobRecord) -> Event:
    """A worker began the job."""
    assert record.started_at is not None
    return _event(record, "running", utc_text(record.started_at))


def ended_event(record: JobRecord, now: float) -> Event:
    """The job ended; an expired job is told as a failed one, which its error explains."""
    result = record.result
    assert record.state.terminal
    assert result is not None
    status = "failed" if record.state is JobState.EXPIRED else record.state.value
    event = _event(record, status, result.completed_at or utc_text(now))
    if event.kind is not EventKind.STEP and result.data is not None:
        event = replace(event, data=result.data, plan_digest=result.data.get("plan_digest", event.plan_digest))
    if event.kind is EventKind.DEPLOYMENT:  # also of one that failed it must be known which it was
        deployment_id = decode(record.job.payload, type=DeploymentPayload).deployment_id
        event = replace(event, data={**event.data, "deployment_id": deployment_id})
    return replace(event, exit_code=result.exit_code, log_key=result.log_key, error=result.error)


def address_of(job: Job) -> StepAddress:
    """Where the job stands in the run: phase, project, step."""
    match job.type:
        case JobType.DISCOVERY:
            return _DISCOVERY
        case JobType.CI:
            payload = decode(job.payload, type=CiPayload)
            return StepAddress(phase=payload.phase, project=payload.project, step=payload.step.name)
        case JobType.ARTIFACT:
            artifact = decode(job.payload, type=ArtifactPayload)
            return _released(artifact.project, ids.artifact_step(artifact.artifact.name))
        case JobType.RELEASE:
            return _released(decode(job.payload, type=ReleasePayload).project, ids.RELEASE_STEP)
        case JobType.DEPLOYMENT:
            deployment = decode(job.payload, type=DeploymentPayload)
            return _released(deployment.project, ids.deployment_step(deployment.environment))


def _trigger(run: RunRecord) -> ReleaseTrigger:
    if run.trigger_type == "push" and run.git.tag is not None:
        return ReleaseTrigger(trigger_type="tag", tag=run.git.tag, triggered_by=run.triggered_by)
    if run.trigger_type == "push" and run.git.branch is not None:
        return ReleaseTrigger(trigger_type="branch_push", branch=run.git.branch, triggered_by=run.triggered_by)
    return ReleaseTrigger(trigger_type="manual", triggered_by=run.triggered_by)


def _released(project: str, step: str) -> StepAddress:
    return StepAddress(phase=ids.RELEASE_PHASE, project=project, step=step)


def _event(record: JobRecord, status: str, at: str) -> Event:
    job = record.job
    return Event(
        kind=event_kind(job.type),
        run_id=job.run_id,
        status=status,
        at=at,
        job_id=job.job_id,
        attempt=max(record.starts, 1),
        address=address_of(job),
        plan_digest=job.plan_digest,
        worker=record.worker,
    )


_DISCOVERY: Final = StepAddress(phase=ids.DISCOVERY_PHASE, project=ids.DISCOVERY_TASK, step=ids.DISCOVERY_STEP)


def event_kind(job_type: JobType) -> EventKind:
    """Under which kind jobs of a type are told."""
    return _KIND[job_type]


_KIND: Final = {
    JobType.DISCOVERY: EventKind.DISCOVERY,
    JobType.CI: EventKind.STEP,
    JobType.ARTIFACT: EventKind.STEP,
    JobType.RELEASE: EventKind.RELEASE,
    JobType.DEPLOYMENT: EventKind.DEPLOYMENT,
}
