"""The release pointer: which release of a project an environment has, as a file of the GitOps repository. Pure.

    environments/<environment>/<owner>/<name>/<project>/release.yaml

Names are in lower case, as in registries, so that two spellings of one repository are one file. None of them can lead
out of this path. The file says which deployment wrote it and when that was asked for, so whoever finds it can tell
whether it is newer than what he was told to write.
"""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from forgec.manifest.yaml import emit_yaml

API_VERSION: Final = "forge.projectcatalyst.io/v1"
KIND: Final = "ReleasePointer"

DEPLOYMENT_ID: Final = "forge.projectcatalyst.io/deployment-id"
REQUESTED_AT: Final = "forge.projectcatalyst.io/requested-at"

POINTER_BYTES_MAX: Final = 64 * 1024
"""Of a pointer that is read: ours have less than one."""

TEXT_CHARS_MAX: Final = 256
"""Of a name that people gave: an alias, an actor."""

_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,98}[a-z0-9_-])?")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")


class BadPointer(ValueError):
    """A name or an id with which no pointer is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aliases:
    """What people call a release: its number, the tag and the branch that it came from."""

    numeric: str | None = None
    tag: str | None = None
    branch: str | None = None

    @property
    def number(self) -> int | None:
        return int(self.numeric) if self.numeric is not None and re.fullmatch("[0-9]{1,18}", self.numeric) else None

    @property
    def spoken(self) -> str | None:
        """The one with a meaning beside the number."""
        return self.tag or self.branch


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """A release in an environment. `requested_at` is RFC 3339, and orders the deployments of one environment.

    Raises BadPointer.
    """

    environment: str
    repository: str
    project: str
    release: str
    digest: str
    deployment_id: str
    requested_at: str
    deployed_by: str | None = None
    approved_by: str | None = None
    approved_at: str | None = None
    aliases: Aliases = field(default_factory=Aliases)

    def __post_init__(self) -> None:
        for what, name in (
            ("environment", self.environment),
            *(("repository", part) for part in self._repository_parts()),
            ("project", self.project),
        ):
            if not _NAME.fullmatch(name.lower()) or name.lower().endswith(".git") or ".." in name:
                raise BadPointer(
                    f'{what} "{_short(name)}" is no name that a directory of the GitOps repository may have'
                )
        for what, text, grammar in (
            ("commit", self.release, _COMMIT),
            ("digest", self.digest, _DIGEST),
            ("deployment", self.deployment_id, _ID),
        ):
            if not grammar.fullmatch(text):
                raise BadPointer(f'"{_short(text)}" is not the {what} of a release')
        if moment(self.requested_at) is None:
            raise BadPointer(f'"{_short(self.requested_at)}" is not a moment (RFC 3339)')

    @property
    def path(self) -> str:
        """Where the file lies; its directories begin with `environments`."""
        owner, name = self._repository_parts()
        return f"environments/{self.environment}/{owner}/{name}/{self.project}/release.yaml".lower()

    def text(self, deployed_at: str) -> str:
        """The file; the same pointer of the same moment is the same text."""
        aliases = {"numeric": self.aliases.numeric, "tag": self.aliases.tag, "branch": self.aliases.branch}
        spec = {
            "release": self.release,
            "repository": self.repository,
            "project": self.project,
            "digest": self.digest,
            "aliases": _given({name: _text(alias) for name, alias in aliases.items()}),
            "deployedAt": deployed_at,
            "deployedBy": _text(self.deployed_by),
            "approvedAt": self.approved_at,
            "approvedBy": _text(self.approved_by),
        }
        metadata = {
            "name": self.project.lower(),
            "labels": {"environment": self.environment},
            "annotations": {DEPLOYMENT_ID: self.deployment_id, REQUESTED_AT: self.requested_at},
        }
        return emit_yaml({"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": _given(spec)})

    def _repository_parts(self) -> tuple[str, str]:
        owner, slash, name = self.repository.partition("/")
        if not slash:
            raise BadPointer(f'repository "{_short(self.repository)}" is not of the form owner/name')
        return owner, name


class _Metadata(Struct):
    annotations: dict[str, str] = {}


class _Aliases(Struct):
    numeric: str | int | None = None
    tag: str | None = None
    branch: str | None = None


class _Spec(Struct):
    release: Annotated[str, Meta(max_length=64)]
    repository: str | None = None
    project: str | None = None
    digest: str | None = None
    aliases: _Aliases = msgspec.field(default_factory=_Aliases)


class _Document(Struct):
    spec: _Spec
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A pointer as it lies in the repository, whoever wrote it: people may leave out what orders deployments."""

    release: str
    digest: str | None
    aliases: Aliases
    deployment_id: str | None
    requested_at: datetime | None

    def names(self, pointer: Pointer) -> bool:
        """Whether it is of the same release; an environment that has it needs no commit."""
        return (self.release, self.digest) == (pointer.release, pointer.digest)

    def newer_than(self, pointer: Pointer) -> bool:
        """Whether another deployment wrote it that was asked for later."""
        if self.requested_at is None or self.deployment_id == pointer.deployment_id:
            return False
        asked = moment(pointer.requested_at)
        return asked is not None and self.requested_at > asked


def read_pointer(data: bytes) -> Found | None:
    """What a file says; None where it is no pointer, which is then written anew."""
    if len(data) > POINTER_BYTES_MAX:
        return None
    try:
        document = msgspec.yaml.decode(data, type=_Document)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return None
    spec, annotations = document.spec, document.metadata.annotations
    numeric = None if spec.aliases.numeric is None else str(spec.aliases.numeric)
    return Found(
        release=spec.release,
        digest=spec.digest,
        aliases=Aliases(numeric=numeric, tag=spec.aliases.tag, branch=spec.aliases.branch),
        deployment_id=annotations.get(DEPLOYMENT_ID),
        requested_at=moment(annotations.get(REQUESTED_AT, "")),
    )


def moment(text: str) -> datetime | None:
    """RFC 3339 with a time zone, or None."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return None
    return read if read.tzinfo is not None else None


def one_line(text: str) -> str:
    """A text that others wrote, where no line break of theirs may begin a line of ours."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:TEXT_CHARS_MAX]


def _text(text: str | None) -> str | None:
    return None if text is None else one_line(text)


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, {})}


def _short(text: str) -> str:
    return one_line(text)[:80]
