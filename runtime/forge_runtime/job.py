"""The wire between dispatcher and worker: jobs, their results, and the record that is a job's only truth.

A job travels as a message, but lives as a record in the bucket `forge-jobs`, changed by compare-and-set alone.
The message may be delivered twice, late or never acknowledged; none of that changes what the record says.
JSON, snake_case; unknown fields are ignored on reading, so that a newer writer does not stop an older reader.
"""

import enum
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct, field

from forge_runtime.lane import Lane

RESULT_INLINE_BYTES_MAX: Final = 256 * 1024
"""A larger result goes to the object store; NATS refuses messages above 1 MiB, headers included."""

ERROR_MESSAGE_CHARS_MAX: Final = 2048

EnvironmentName = Annotated[str, Meta(pattern=r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")]
"""It becomes part of the log's key, and of the pointer's path in the GitOps repository."""


class JobType(enum.StrEnum):
    DISCOVERY = "discovery"
    CI = "ci"
    ARTIFACT = "artifact"
    RELEASE = "release"
    DEPLOYMENT = "deployment"


class JobState(enum.StrEnum):
    """queued -> leased -> one of the terminal states; lease loss: leased again, with a higher `starts`."""

    QUEUED = "queued"
    LEASED = "leased"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        return self not in (JobState.QUEUED, JobState.LEASED)


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place in a file of the repository; line and column from 1."""

    file: str
    line: int | None = None
    column: int | None = None


class ErrorRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why something failed, as job results, the database and API replies carry it.

    `error_class` decides retries: user, config, infra, timeout, cancelled, policy, internal.
    """

    code: str
    message: str
    component: str
    error_class: str = field(name="class")
    retryable: bool = False
    timestamp: str = ""
    trace_id: str | None = None
    location: Place | None = None
    context: dict[str, Any] = {}
    cause: "ErrorRecord | None" = None


class Git(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the commit is known by; at most one of branch and tag."""

    ref: str | None = None
    branch: str | None = None
    tag: str | None = None


class Limits(Struct, frozen=True, kw_only=True):
    """Seconds. Waiting in the queue and running are limited apart: a backlog must not fail jobs that never ran."""

    schedule_to_start_s: float
    start_to_close_s: float
    heartbeat_s: float = 30.0


class StepPayload(Struct, frozen=True, kw_only=True):
    name: str
    action: str
    target: str
    args: tuple[str, ...] = ()
    secrets: tuple[dict[str, Any], ...] = ()


class EarlierStep(Struct, frozen=True, array_like=True):
    phase: str
    step: str


class CiPayload(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`earlier` are the project's steps in phases that are over, in their order: they may have left files."""

    phase: str
    project: str
    project_path: str
    step: StepPayload
    earlier: tuple[EarlierStep, ...] = ()


class DiscoveryPayload(Struct, frozen=True, kw_only=True):
    trigger_type: str
    shard_size: int = 25


class Artifact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the discovery document says of an artifact: how it is made, and what each publisher needs for it."""

    name: str
    type: str
    producer: dict[str, Any]
    publishers: dict[str, dict[str, Any]] = {}


class ArtifactPayload(Struct, frozen=True, kw_only=True):
    """`release_id` is known before there is a release. `publishers`: what the repository says of those that the
    artifact names; of secrets references alone."""

    project: str
    project_path: str
    artifact: Artifact
    release_id: str
    publishers: dict[str, dict[str, Any]]


class ReleaseTrigger(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why there is a release: `branch_push`, `tag` or `manual`; of branch and tag the one that fits."""

    trigger_type: str
    branch: str | None = None
    tag: str | None = None
    triggered_by: str | None = None


class ArtifactResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an artifact job came to, as its release job is told: `data`, or where it lies.

    That is the object store, where the job put a large result by itself, or else the record of `job_id`: it stays
    there when the results of many artifacts together are more than one message should hold.
    """

    artifact_name: str
    job_id: str
    data: dict[str, Any] | None = None
    result_ref: "ResultReference | None" = None


class ReleasePayload(Struct, frozen=True, kw_only=True):
    """`artifacts` in the order of their names. `deploy`: the project has something to deploy."""

    project: str
    project_path: str
    trigger: ReleaseTrigger
    artifacts: tuple[ArtifactResult, ...]
    deploy: bool


class Approval(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That somebody agreed to a deployment, where its environment asks for it: who, and when (RFC 3339)."""

    id: str | None = None
    approved_by: str | None = None
    approved_at: str | None = None


NO_APPROVAL: Final = Approval()


class DeploymentPayload(Struct, frozen=True, kw_only=True):
    """`actor` asked for it; `approval` is the id of the one that the environment required, given by `approved_by`.

    `release_number` and `aliases` are what people know the release by.
    """

    deployment_id: str
    release_id: str
    repository: str
    project: str
    commit_sha: str
    oci_digest: str
    environment: str
    actor: str | None = None
    approval: str | None = None
    approved_by: str | None = None
    approved_at: str | None = None
    release_number: int | None = None
    aliases: tuple[str, ...] = ()


class Job(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One unit of work for one worker. `payload` is the JSON of the type's payload struct.

    `lane` is part of where its message lies, so it never changes once there is a record.
    """

    version: int = 1
    job_id: str
    type: JobType
    run_id: str
    repository: str
    clone_url: str
    commit_sha: str
    git: Git
    submitted_at: str
    limits: Limits
    payload: msgspec.Raw
    plan_digest: str | None = None
    traceparent: str | None = None
    lane: Lane = Lane.MAIN


class ResultReference(Struct, frozen=True, kw_only=True):
    """A result too large for its record: its key in the object store and what it must hash to."""

    key: str
    sha256: str
    size: int


class JobResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a job ended. `data` is the JSON of the type's data struct; timestamps are RFC 3339 UTC."""

    job_id: str
    status: JobState
    data: dict[str, Any] | None = None
    result_ref: ResultReference | None = None
    error: ErrorRecord | None = None
    worker: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    exit_code: int | None = None
    log_key: str | None = None


class CiData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result data of a CI job that left files for later phases: where a gzipped tar of them is."""

    outputs: ResultReference | None = None


class DiscoveryData(Struct, frozen=True, kw_only=True):
    """Result data of a discovery job: digests of the stored documents, and the ids of the plan's units."""

    discovery_digest: str
    plan_digest: str
    groups: tuple[tuple[str, ...], ...]
    release: tuple[str, ...]
    projects: int
    warnings: int = 0


PUBLISH_FAILED: Final = "failed"
"""The status of a location where a publisher could not put the artifact."""


class PublishedLocation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a publisher put an artifact, or why it could not."""

    publisher: str
    status: str
    uri: str | None = None
    metadata: dict[str, Any] = {}
    error: ErrorRecord | None = None

    @property
    def failed(self) -> bool:
        return self.status == PUBLISH_FAILED


class Sbom(Struct, frozen=True, kw_only=True):
    format: str
    digest: str


class ArtifactData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result data of an artifact job. `outputs` are what references in deployment resources may name."""

    artifact_name: str
    type: str
    tracking_oci_uri: str
    tracking_oci_digest: str
    outputs: dict[str, Any] = {}
    published_locations: tuple[PublishedLocation, ...] = ()
    sbom: Sbom | None = None


class RequestedDeployment(Struct, frozen=True, kw_only=True):
    """A deployment that the API has a row for, and that nobody has carried out yet."""

    id: str
    environment: EnvironmentName


class ReleaseData(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result data of a release job. `deployments`: one for each environment that takes the release by itself."""

    release_id: str
    release_number: int
    oci_uri: str
    oci_digest: str
    aliases: tuple[str, ...] = ()
    deployments: tuple[RequestedDeployment, ...] = ()


class DeploymentData(Struct, frozen=True, kw_only=True):
    """Result data of a deployment job. Not `changed`: the environment had this release already."""

    gitops_commit_sha: str
    changed: bool


class JobRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job's state. `starts` counts how often a worker began it; times are unix seconds.

    `submitted_at` is when it last entered the queue: a job handed back waits anew.
    """

    version: int = 1
    state: JobState
    job: Job
    submitted_at: float
    starts: int = 0
    worker: str | None = None
    lease_until: float | None = None
    started_at: float | None = None
    result: JobResult | None = None
    attempt_nonce: str | None = None
    """Set anew by each claim: tells two holders of one worker name apart."""

    @property
    def fails_run(self) -> bool:
        """Whether the whole run fails by this job. A deployment may fail alone: the release that it was of stays."""
        return self.state in (JobState.FAILED, JobState.EXPIRED) and self.job.type is not JobType.DEPLOYMENT


def new_error(code: str, error_class: str, message: str, *, component: str, now: float) -> ErrorRecord:
    """An error of now (unix seconds); only what the infrastructure did may be tried again."""
    return ErrorRecord(
        code=code,
        message=message[:ERROR_MESSAGE_CHARS_MAX],
        component=component,
        error_class=error_class,
        retryable=error_class == "infra",
        timestamp=utc_text(now),
    )


def utc_text(unix_s: float) -> str:
    """Unix seconds as RFC 3339 UTC to the millisecond, the form of every timestamp on the wire."""
    return datetime.fromtimestamp(unix_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(value: Struct) -> bytes:
    return msgspec.json.encode(value)


def decode_record(data: bytes) -> JobRecord:
    return _RECORD.decode(data)


def decode_job(data: bytes) -> Job:
    return _JOB.decode(data)


_RECORD = msgspec.json.Decoder(JobRecord)
_JOB = msgspec.json.Decoder(Job)
