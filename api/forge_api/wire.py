"""Requests and replies of the REST API. Names and types only; what they mean is decided by services.

Requests refuse unknown fields, so that a misspelt one is not silently without effect. Texts that reach the database
hold no control characters: PostgreSQL cannot store NUL, and nobody can read the others.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from forge_runtime.status import ChildStatus, RunStatus

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 100
OFFSET_MAX: Final = 100_000
INTEGER_MAX: Final = 2**53 - 1
"""The largest that every JSON reader keeps exact; below what a database column holds."""

_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_REF_REFUSED = re.compile(r"\.\.|@\{|//|[\x00-\x20\x7f-\x9f~^:?*\[\\]|(^|/)\.|\.lock(/|\Z)|[./]\Z|\A/")


def plain_text(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must not contain control characters")
    return text


def readable_text(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise ValueError("must not contain control characters except line feeds and tabs")
    return text


def _git_name(text: str) -> str:
    if _REF_REFUSED.search(text):
        raise ValueError("is not a name that git accepts for a reference")
    return text


REPOSITORY_OWNER: Final = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,38})$"
REPOSITORY_NAME: Final = r"^\.?[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$"
UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

Repository = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/\.?[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$")
]
CommitSha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Branch = Annotated[str, StringConstraints(min_length=1, max_length=244), AfterValidator(_git_name)]
Ref = Annotated[
    str, StringConstraints(pattern=r"^refs/(heads|tags|pull)/.+$", max_length=255), AfterValidator(_git_name)
]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(plain_text)]
_KEY_PART = r"[A-Za-z0-9_@+=:~-][A-Za-z0-9_@+=:~.-]*"
LogKey = Annotated[str, StringConstraints(pattern=f"^{_KEY_PART}(/{_KEY_PART})*$", max_length=1024)]
TriggerName = Literal["push", "pull_request", "manual"]
WantedStatus = Literal["running", "succeeded", "success", "failed", "skipped", "cancelled"]
"""`success` is an older word for `succeeded`."""


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GithubContext(Request):
    """`context` names the commit status; a check run's id is kept as text."""

    pr_number: Annotated[int, Field(ge=1, le=INTEGER_MAX)] | None = None
    run_id: ShortText | None = None
    context: ShortText = "ci/catalyst-forge"
    check_run_id: ShortText | None = None


class CreateRun(Request):
    """Start a run of a commit. `ref` is the full name it is known by; `branch` a pull request's head branch."""

    repository: Repository
    commit_sha: CommitSha
    branch: Branch | None = None
    ref: Ref | None = None
    trigger_type: TriggerName = "manual"
    triggered_by: ShortText | None = None
    github_context: GithubContext | None = None


class RegisterRepository(Request):
    clone_url: Annotated[str, StringConstraints(min_length=8, max_length=2048), AfterValidator(plain_text)]
    github_repository_id: Annotated[int, Field(ge=1, le=INTEGER_MAX)] | None = None
    enabled: bool = True
    max_concurrent_runs: Annotated[int, Field(ge=1, le=1000)] = 100


class Location(Request):
    file: Annotated[str, StringConstraints(max_length=4096), AfterValidator(plain_text)]
    line: Annotated[int, Field(ge=1, le=INTEGER_MAX)] | None = None
    column: Annotated[int, Field(ge=1, le=INTEGER_MAX)] | None = None


class StepError(Request):
    """Why a step or task failed, as its caller tells it."""

    code: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,63}$")]
    message: Annotated[str, StringConstraints(min_length=1, max_length=2048), AfterValidator(readable_text)]
    component: ShortText
    error_class: Annotated[
        Literal["user", "config", "infra", "timeout", "cancelled", "policy", "internal"], Field(alias="class")
    ]
    retryable: bool = False
    location: Location | None = None


class PutTaskStatus(Request):
    status: WantedStatus
    error: StepError | None = None


class PutStepStatus(Request):
    """`attempt` counts the starts of the step's job from 1; one lower than stored is refused."""

    status: WantedStatus
    attempt: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    worker: ShortText | None = None
    exit_code: Annotated[int, Field(ge=-(2**31), le=2**31 - 1)] | None = None
    logs_s3_key: LogKey | None = None
    error: StepError | None = None


class ResultReference(Request):
    """A document in the object store, and what it must be."""

    key: LogKey
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, le=INTEGER_MAX)]


class PutDiscovery(Request):
    """The discovery document of the run's commit, or where it lies."""

    output: dict[str, Any] | None = None
    result_ref: ResultReference | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.output is None) == (self.result_ref is None):
            raise ValueError("either output or result_ref is needed, and not both")
        return self


class PutRunStatus(Request):
    status: Literal["succeeded", "success", "failed", "cancelled"]
    error: StepError | None = None


class StepView(BaseModel):
    id: str
    name: str
    action: str
    target: str
    status: ChildStatus
    attempt: int
    worker: str | None
    exit_code: int | None
    error: dict[str, Any] | None
    started_at: datetime | None
    completed_at: datetime | None
    logs_url: str | None


class TaskView(BaseModel):
    id: str
    project_name: str
    project_path: str
    status: ChildStatus
    error: dict[str, Any] | None
    started_at: datetime | None
    completed_at: datetime | None
    steps: list[StepView]


class PhaseView(BaseModel):
    id: str
    name: str
    group_number: int
    status: ChildStatus
    started_at: datetime | None
    completed_at: datetime | None
    tasks: list[TaskView]


class RunSummary(BaseModel):
    """A run without what is below it. Log lines and spans of the run bear its `trace_id`."""

    id: str
    repository: str
    commit_sha: str
    ref: str | None
    branch: str | None
    tag: str | None
    trigger_type: TriggerName
    triggered_by: str
    status: RunStatus
    attempt: int
    github_context: dict[str, Any] | None
    argo_workflow_name: str
    trace_id: str
    error: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


class DeploymentOfRun(BaseModel):
    id: str
    environment: str
    status: Literal["pending", "active", "superseded", "failed"]
    gitops_commit_sha: str | None


class ReleaseOfRun(BaseModel):
    """What the run released, or found released of its commit, and where that is deployed; newest last."""

    id: str
    project: str
    release_number: int
    canonical_id: str
    oci_uri: str
    oci_digest: str
    partial: bool
    aliases: list[str]
    deployments: list[DeploymentOfRun]


class RunWarning(BaseModel):
    """What went wrong without failing the run."""

    code: str
    message: str
    phase: str
    project: str
    step: str


class RunView(RunSummary):
    """A run with its phases; `discovery` only where it was asked for."""

    plan_digest: str | None
    phases: list[PhaseView]
    releases: list[ReleaseOfRun]
    warnings: list[RunWarning]
    discovery: dict[str, Any] | None = None


class RunPage(BaseModel):
    runs: list[RunSummary]
    total: int
    limit: int
    offset: int


class JobView(BaseModel):
    """A job's record; `name` is `project/step`."""

    job_id: str
    type: str
    phase: str
    name: str
    status: Literal["queued", "leased", "succeeded", "failed", "cancelled", "expired"]
    attempt: int
    worker: str | None
    lease_until: datetime | None


class JobList(BaseModel):
    jobs: list[JobView]


class LogAddress(BaseModel):
    url: str
    expires_at: datetime


class LogMark(BaseModel):
    """Line `line` (from 0) begins at byte `offset`, with this time."""

    line: int
    offset: int
    time: str


class LogIndexView(BaseModel):
    """Of a step's whole log: about every 64 KiB a mark. `truncated`: the step printed more than is kept."""

    size: int
    lines: int
    sha256: str
    truncated: bool
    marks: list[LogMark]


class RepositoryView(BaseModel):
    full_name: str
    clone_url: str
    github_repository_id: int | None
    enabled: bool
    max_concurrent_runs: int
    created_by: str
    created_at: datetime


class AuditView(BaseModel):
    """A write by a caller; its hash covers that of the one before."""

    id: int
    at: datetime
    actor: str
    action: str
    resource_type: str
    resource_id: str
    request_id: str
    details: dict[str, Any]
    previous_hash: str
    hash: str


class AuditPage(BaseModel):
    events: list[AuditView]
    total: int
    limit: int
    offset: int


class ErrorDetail(BaseModel):
    """`details` has the request's id, and for a 422 every wrong field: `errors: [{path, message}]`."""

    code: str
    message: str
    details: dict[str, Any]


class ErrorReply(BaseModel):
    error: ErrorDetail


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Each part by name: "ok", or what is wrong with it."""

    ready: bool
    parts: dict[str, str]
