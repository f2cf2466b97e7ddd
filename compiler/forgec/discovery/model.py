"""The discovery document: what a commit's `.forge` directories say, evaluated, checked and sorted.

JSON with camelCase keys, at most 1 MB. Discovery writes it, the planner reads it, and people may write one by hand
(`forgec compile discovery.json`); so every constraint is on the type, where one decoder checks it and names the place.
Unknown fields are refused. Secrets are references, never values.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field, structs

from forgec.diagnostic import Diagnostic, Severity, ordered
from forgec.units import DURATION_PATTERN

PROJECTS_MAX: Final = 100
ARTIFACTS_MAX: Final = 50
DOCUMENT_BYTES_MAX: Final = 1024 * 1024

STEP_TIMEOUT_DEFAULT: Final = "30m"
"""Of a step whose phase gives none either."""

PhaseName = Annotated[
    str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,62}\Z", description="lower-case letters, digits and hyphens, at most 63")
]
StepName = PhaseName
ProjectName = Annotated[
    str,
    Meta(
        pattern=r"\A[A-Za-z0-9]+(-[A-Za-z0-9]+)*\Z",
        max_length=63,
        description="letters and digits, single hyphens between them, at most 63",
    ),
]
ProjectPath = Annotated[
    str,
    Meta(
        pattern=r"\A(\.|(?!\.{1,2}(/|\Z))[^/\x00-\x1f\x7f]+(/(?!\.{1,2}(/|\Z))[^/\x00-\x1f\x7f]+)*)\Z",
        max_length=4096,
        description='a path relative to the repository without "..", or "." for its root',
    ),
]
Target = Annotated[
    str,
    Meta(
        pattern=r"\A\+[a-z][A-Za-z0-9.-]*\Z",
        max_length=128,
        description='"+" and a target\'s name, which begins with a lower-case letter',
    ),
]
ArtifactName = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9]+([._-][a-z0-9]+)*\Z",
        max_length=63,
        description="lower-case letters and digits, single . _ - between them, at most 63",
    ),
]
PublisherName = Annotated[
    str,
    Meta(
        pattern=r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z",
        description="lower-case letters, digits and inner hyphens, at most 63",
    ),
]
ForgeVersion = Annotated[
    str,
    Meta(
        pattern=r"\Av(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)\Z",
        max_length=32,
        description='a version such as "v1.0.0"',
    ),
]
CommitSha = Annotated[str, Meta(pattern=r"\A[0-9a-f]{40}\Z", description="40 hexadecimal digits")]
Group = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
Priority = Annotated[int, Meta(ge=-1_000_000, le=1_000_000, description="a whole number from -1000000 to 1000000")]
ShortText = Annotated[str, Meta(max_length=1024)]
Argument = Annotated[
    str, Meta(pattern=r"\A[^\x00-\x08\x0b-\x1f\x7f]*\Z", max_length=4096, description="text without control characters")
]
Duration = Annotated[
    str,
    Meta(
        max_length=64,
        extra_json_schema={"pattern": DURATION_PATTERN, "description": 'such as "90s", "10m" or "1h30m", at most 24h'},
    ),
]
"""As units.parse_duration reads it; checked there, since its limit is not a pattern's."""


RESERVED_SECRET_NAME: Final = re.compile(
    r"(?:BUILDKIT|BUILDX|EARTH|EARTHLY|FORGE|GRPC|LC|LD|OTEL|PODMAN|SSL_CERT|XDG)_.*"
    r"|CONTAINER_(?:CONNECTION|HOST|PROXY|SSHKEY)"
    r"|DOCKER_(?:API_VERSION|AUTH_CONFIG|BUILDKIT|CERT_PATH|CONFIG|CONTEXT|DEFAULT_PLATFORM|HOST|TLS.*)"
    r"|GIT_(?:ALLOW_PROTOCOL|ASKPASS|CONFIG.*|DIR|EXEC_PATH|PASSWORD|PROXY_COMMAND|SSH.*|TRACE.*|USERNAME|WORK_TREE)"
    r"|BASH_ENV|ENV|GITHUB_ACTIONS|GO[A-Z]+|HOME|KUBECONFIG|LANG|PATH|SHELL|SSH_AUTH_SOCK|TMPDIR|TRACEPARENT|USER"
    r"|(?:NO|FORCE)_COLOR|(?i:https?_proxy|no_proxy|all_proxy)"
)
"""Secrets share the build tool's environment with the variables that steer it, its daemon and what it starts."""


class Secret(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """A reference to a secret, relative to its scope's root.

    `name` is what the build calls it; `maps` gives several names, each for one key of a JSON secret; not both.
    `path` is an accepted synonym of `secretName`. `namespace`, `repository` and `version` belong to providers that are
    understood but not enabled.
    """

    provider: Literal["aws", "env", "file", "static", "vault", "kubernetes", "github-oidc"]
    secret_name: ShortText | None = None
    path: ShortText | None = None
    key: ShortText | None = None
    region: ShortText | None = None
    namespace: ShortText | None = None
    repository: ShortText | None = None
    version: ShortText | None = None
    name: ShortText | None = None
    maps: dict[ShortText, ShortText] = {}
    optional: bool = False


class Phase(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A phase of the repository. Groups run one after another by number; phases of one group run together.

    `required`: every project takes part. It says nothing of failure: any failed step ends the run.
    """

    group: Group
    description: ShortText = ""
    timeout: Duration = STEP_TIMEOUT_DEFAULT
    required: bool = False


class Publisher(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Where artifacts go; which fields are needed depends on the type."""

    type: Literal["docker", "docs", "s3", "github", "crate", "pypi", "cue"]
    credentials: Secret | None = None
    registry: ShortText | None = None
    namespace: ShortText | None = None
    owner: ShortText | None = None
    repo: ShortText | None = None
    repository: ShortText | None = None
    bucket: ShortText | None = None
    prefix: ShortText | None = None
    region: ShortText | None = None
    public_url: ShortText | None = None


class Tagging(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """`monorepo`: a tag is `<project>/v*`; `tag-all`: `v*` releases every project that asks for tags."""

    strategy: Literal["monorepo", "tag-all"]


class Repository(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    forge_version: ForgeVersion
    tagging: Tagging
    phases: dict[PhaseName, Phase] = {}
    publishers: dict[PublisherName, Publisher] = {}


class Step(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True, forbid_unknown_fields=True):
    """One Earthfile target. Higher priorities run first, equal ones together; no timeout means the phase's."""

    name: StepName
    action: Literal["earthly"]
    target: Target
    priority: Priority = 0
    args: tuple[Argument, ...] = ()
    secrets: tuple[Secret, ...] = ()
    timeout: Duration | None = None


class EarthlyProducer(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    target: Target
    args: tuple[Argument, ...] = ()


class Producer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    earthly: EarthlyProducer


class Artifact(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a release carries. `publishers` maps a repository's publisher to what it needs for this artifact.

    The one whose `primary` is true is where the artifact is at home: its address is the artifact's. Discovery says so
    of the first that the configuration gives where no other does, because the order of keys is not part of a document.
    """

    type: Literal["container", "binary", "archive"]
    producer: Producer
    publishers: dict[PublisherName, dict[str, Any]] = {}


class ReleaseReason(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    type: Literal["branch_push", "tag"]
    branch: ShortText | None = None
    tag: ShortText | None = None


class Project(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A project and what it does in each phase; steps sorted by priority (high first), then name."""

    name: ProjectName
    path: ProjectPath
    phases: dict[PhaseName, tuple[Step, ...]] = {}
    artifacts: dict[ArtifactName, Artifact] = {}
    release_triggered: bool = False
    deployment_triggered: bool = False
    release_reason: ReleaseReason | None = None
    config_hash: ShortText | None = None


class PhaseGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    group: Group
    phases: tuple[PhaseName, ...]


class DocumentWarning(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Something worth a look that stops nothing."""

    code: ShortText
    message: str
    project: ShortText | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None


class Discovery(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The whole document. Projects are sorted by path, groups ascending, names within a group sorted."""

    schema_version: Literal[1] = 1
    commit_sha: CommitSha | None = None
    ref: ShortText | None = None
    branch: ShortText | None = None
    tag: ShortText | None = None
    trigger_type: Literal["push", "pull_request", "manual"] | None = None
    repository: Repository
    projects: tuple[Project, ...] = ()
    phase_groups: tuple[PhaseGroup, ...] = ()
    release_enabled: bool = False
    release_projects: tuple[ProjectName, ...] = ()
    warnings: tuple[DocumentWarning, ...] = field(default=())


def with_primary(artifact: Artifact) -> Artifact:
    """The artifact with a primary publisher that is told: the one that says so, else the first as they stand."""
    if not artifact.publishers or any(fields.get("primary") is True for fields in artifact.publishers.values()):
        return artifact
    first = next(iter(artifact.publishers))
    publishers = {**artifact.publishers, first: {**artifact.publishers[first], "primary": True}}
    return structs.replace(artifact, publishers=publishers)


def phase_groups(repository: Repository) -> tuple[PhaseGroup, ...]:
    """The groups of a repository's phases, ascending, the phases of each by name."""
    groups: dict[int, list[str]] = {}
    for name, phase in sorted(repository.phases.items()):
        groups.setdefault(phase.group, []).append(name)
    return tuple(PhaseGroup(group=number, phases=tuple(groups[number])) for number in sorted(groups))


def warnings_of(findings: Iterable[Diagnostic]) -> tuple[DocumentWarning, ...]:
    """The warnings among findings as a document holds them: places as numbers, in the order they are shown."""
    return tuple(_warning(finding) for finding in ordered(findings) if finding.severity is Severity.WARNING)


def _warning(finding: Diagnostic) -> DocumentWarning:
    at = finding.span.position if finding.span else None
    return DocumentWarning(
        code=finding.code.id,
        message=finding.message,
        project=finding.project,
        file=finding.span.source.name if finding.span else None,
        line=at.line if at else None,
        column=at.column if at else None,
    )


def to_json(discovery: Discovery) -> bytes:
    """The document as it is stored, compared and shown: two spaces a level, a line break at the end."""
    return msgspec.json.format(msgspec.json.encode(discovery), indent=2) + b"\n"
