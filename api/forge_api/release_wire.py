"""Requests and replies about releases, deployments and approvals. Names and types only, as in wire.py.

What comes from workers is what a repository's builds came to, so every list, text and document has a limit. An address
never holds credentials: it would be shown to whoever may read the release.
"""

import json
import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, StringConstraints, model_validator

from forge_api.wire import (
    UUID,
    Branch,
    CommitSha,
    Repository,
    Request,
    ShortText,
    StepError,
    plain_text,
    readable_text,
)

ARTIFACTS_MAX: Final = 50
PUBLISHED_MAX: Final = 50
ALIASES_MAX: Final = 20
METADATA_BYTES_MAX: Final = 4096

PROJECT: Final = r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$"
ENVIRONMENT: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(value)
    if len(text) > METADATA_BYTES_MAX:
        raise ValueError(f"must not be longer than {METADATA_BYTES_MAX} bytes as JSON")
    if "\\u0000" in text:
        raise ValueError("must not contain control characters")
    return value


def _uri(text: str) -> str:
    """An address (https://host/path), or a reference to an image, which has no scheme."""
    plain_text(text)
    if re.search(r"\s", text):
        raise ValueError("must not contain spaces")
    try:
        parts = urlsplit(text if "://" in text else f"oci://{text}")
        user = "@" in parts.netloc
    except ValueError:
        raise ValueError("is not an address") from None
    if user:
        raise ValueError("must not contain credentials")
    if not parts.netloc or not _SCHEME.fullmatch(parts.scheme):
        raise ValueError("is not an address")
    return text


def _alias(text: str) -> str:
    if _COMMIT.fullmatch(text):
        raise ValueError("is a commit, and stands for the release of that")
    return text


Uuid = Annotated[str, StringConstraints(pattern=UUID)]
Project = Annotated[str, StringConstraints(pattern=PROJECT, max_length=63)]
EnvironmentName = Annotated[str, StringConstraints(pattern=ENVIRONMENT)]
ArtifactName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=63)]
PublisherName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=2048), AfterValidator(_uri)]
Alias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/+-]{0,127}$"), AfterValidator(_alias)]
Metadata = Annotated[dict[ShortText, Any], AfterValidator(_metadata)]
Justification = Annotated[str, StringConstraints(min_length=1, max_length=2048), AfterValidator(readable_text)]


class Published(Request):
    """Where a publisher put an artifact; the status `failed` says that it could not."""

    publisher: PublisherName
    status: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,31}$")]
    uri: Uri | None = None
    metadata: Metadata = Field(default_factory=dict)


class ReleasedArtifact(Request):
    name: ArtifactName
    type: Literal["container", "binary", "archive"]
    tracking_oci_uri: Uri
    tracking_oci_digest: Digest
    primary_published_uri: Uri | None = None
    published: Annotated[list[Published], Field(max_length=PUBLISHED_MAX, default_factory=list)]


class Trigger(Request):
    """Why there is the release: of branch and tag the one that fits the type, and no other."""

    trigger_type: Literal["branch_push", "tag", "manual"]
    branch: Branch | None = None
    tag: Branch | None = None
    triggered_by: ShortText | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        wanted = {"branch_push": "branch", "tag": "tag", "manual": None}[self.trigger_type]
        for name in ("branch", "tag"):
            if (getattr(self, name) is not None) != (name == wanted):
                raise ValueError(f"{name} is {'missing' if name == wanted else f'not for {self.trigger_type}'}")
        return self


class CreateRelease(Request):
    """`aliases`: further ones; number, tag and branch give theirs by themselves."""

    repository: Repository
    project: Project
    commit_sha: CommitSha
    oci_uri: Uri
    oci_digest: Digest
    trigger: Trigger
    artifacts: Annotated[list[ReleasedArtifact], Field(max_length=ARTIFACTS_MAX, default_factory=list)]
    aliases: Annotated[list[Alias], Field(max_length=ALIASES_MAX, default_factory=list)]
    pipeline_run_id: Uuid | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [artifact.name for artifact in self.artifacts]
        if len(set(names)) < len(names):
            raise ValueError("more than one artifact has the same name")
        return self


class CreateDeployment(Request):
    release_id: Uuid
    environment: EnvironmentName
    approval_id: Uuid | None = None


class PutDeploymentStatus(Request):
    """`active` names the commit that has the pointer; `failed` may say why."""

    status: Literal["active", "failed"]
    gitops_commit_sha: CommitSha | None = None
    error: StepError | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if (self.status == "active") != (self.gitops_commit_sha is not None):
            raise ValueError("gitops_commit_sha belongs to the status active, and to no other")
        if self.error is not None and self.status != "failed":
            raise ValueError("error belongs to the status failed")
        return self


class CreateApproval(Request):
    release_id: Uuid
    environment: EnvironmentName
    justification: Justification


class TriggerView(BaseModel):
    trigger_type: Literal["branch_push", "tag", "manual"]
    branch: str | None
    tag: str | None
    triggered_by: str
    triggered_at: datetime


class PublishedView(BaseModel):
    publisher: str
    status: str
    uri: str | None = None
    metadata: dict[str, Any] = {}


class ArtifactView(BaseModel):
    name: str
    type: Literal["container", "binary", "archive"]
    tracking_oci_uri: str
    tracking_oci_digest: str
    primary_published_uri: str | None
    published: list[PublishedView]


class AliasView(BaseModel):
    alias: str
    alias_type: Literal["numeric", "tag", "branch", "custom"]


class ReleaseSummary(BaseModel):
    """`canonical_id` is `<owner>/<name>/<project>/<commit>`. A `partial` release is not deployable."""

    id: str
    canonical_id: str
    repository: str
    project: str
    commit_sha: str
    release_number: int
    pipeline_run_id: str | None
    oci_uri: str
    oci_digest: str
    partial: bool
    aliases: list[str]
    created_at: datetime
    created_by: str


class ReleaseView(ReleaseSummary):
    """`alias_types` tells what each alias is, in the order of `aliases`."""

    alias_types: list[AliasView]
    trigger: TriggerView
    artifacts: list[ArtifactView]


class RegisteredView(ReleaseSummary):
    """`auto_deploy`: the environments that take the release by themselves."""

    auto_deploy: list[str]


class ReleasePage(BaseModel):
    releases: list[ReleaseSummary]
    total: int
    limit: int
    offset: int


class DeploymentView(BaseModel):
    """`deployment_id` is `id` once more, under an older name."""

    id: str
    deployment_id: str
    release_id: str
    repository: str
    project: str
    environment: str
    status: Literal["pending", "active", "superseded", "failed"]
    approval_id: str | None
    requested_at: datetime
    deployed_by: str
    deployed_at: datetime | None
    gitops_commit_sha: str | None
    error: dict[str, Any] | None


class DeploymentPage(BaseModel):
    deployments: list[DeploymentView]
    total: int
    limit: int
    offset: int


class ApprovalView(BaseModel):
    approval_id: str
    release_id: str
    environment: str
    approver: str
    approved_at: datetime
    expires_at: datetime | None
    justification: str
    status: Literal["active", "expired", "revoked"]


class ApprovalList(BaseModel):
    """Newest first."""

    approvals: list[ApprovalView]
