"""A run's work as jobs, and a job's record as events: the two conversions between plan, wire and API. Pure."""

from dataclasses import dataclass
from typing import Final

from msgspec import Raw, Struct
from msgspec.json import decode
from msgspec.structs import replace

from forge_runtime.event import Event, EventKind, StepAddress
from forge_runtime.job import (
    CiPayload,
    DiscoveryPayload,
    Job,
    JobRecord,
    JobState,
    JobType,
    Limits,
    StepPayload,
    encode,
    utc_text,
)
from forge_runtime.run import RunRecord
from forgec import ids
from forgec.plan.model import PlanStep, Task

HOUR_S: Final = 3600.0
DISCOVERY_LIMITS: Final = Limits(schedule_to_start_s=HOUR_S, start_to_close_s=600.0)
CI_SCHEDULE_TO_START_S: Final = 2 * HOUR_S
"""Twice the other pools' hour: the tasks pool is the one that whole phases of many runs queue for."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Makes the jobs of one run; those of a plan's steps name the plan."""

    run: RunRecord
    now: float
    plan_digest: str | None = None

    def discovery_job(self) -> Job:
        payload = DiscoveryPayload(trigger_type=self.run.trigger_type, shard_size=self.run.shard_size)
        return self._job(JobType.DISCOVERY, ids.discovery_job_id(self.run.run_id), DISCOVERY_LIMITS, payload)

    def ci_job(self, phase: str, task: Task, step: PlanStep) -> Job:
        payload = CiPayload(
            phase=phase,
            project=task.project,
            project_path=task.path,
            step=StepPayload(
                name=step.name, action=step.action, target=step.target, args=step.args, secrets=step.secrets
            ),
        )
        limits = Limits(schedule_to_start_s=CI_SCHEDULE_TO_START_S, start_to_close_s=step.timeout_s)
        job_id = ids.job_id(self.run.run_id, phase, task.project, step.name)
        return self._job(JobType.CI, job_id, limits, payload)

    def _job(self, job_type: JobType, job_id: str, limits: Limits, payload: Struct) -> Job:
        run = self.run
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
            payload=Raw(encode(payload)),
            plan_digest=self.plan_digest,
            traceparent=run.traceparent,
        )


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
    if event.kind is EventKind.DISCOVERY and result.data is not None:
        event = replace(event, data=result.data, plan_digest=result.data["plan_digest"])
    return replace(event, exit_code=result.exit_code, log_key=result.log_key, error=result.error)


def address_of(job: Job) -> StepAddress:
    """Where the job stands in the run: phase, project, step."""
    match job.type:
        case JobType.DISCOVERY:
            return StepAddress(phase=ids.DISCOVERY_PHASE, project=ids.DISCOVERY_TASK, step=ids.DISCOVERY_STEP)
        case JobType.CI:
            payload = decode(job.payload, type=CiPayload)
            return StepAddress(phase=payload.phase, project=payload.project, step=payload.step.name)
        case JobType.ARTIFACT | JobType.RELEASE | JobType.DEPLOYMENT:
            raise ValueError(f"this version has no jobs of type {job.type}")


def _event(record: JobRecord, status: str, at: str) -> Event:
    job = record.job
    return Event(
        kind=EventKind.DISCOVERY if job.type is JobType.DISCOVERY else EventKind.STEP,
        run_id=job.run_id,
        status=status,
        at=at,
        job_id=job.job_id,
        attempt=max(record.starts, 1),
        address=address_of(job),
        plan_digest=job.plan_digest,
        worker=record.worker,
    )
