"""The API's releases and deployments, as artifact and release workers ask for them.

    find                is there a release of this commit, and what is in it
    register            make it, or complete a partial one; the same again gives what is there
    request_deployment  of a release in an environment; the same again gives the same

All three may be repeated without harm, so an answer that got lost is asked for again. The worker's token is read from
its file for each request, since it may be renewed there, and goes to the API's own address alone.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Protocol, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from forge_runtime.http import Http, HttpAway, HttpRefused, Reply, Request
from forge_runtime.job import PUBLISH_FAILED, EnvironmentName, ReleaseTrigger, RequestedDeployment

FAILED: Final = PUBLISH_FAILED
"""The status of a published location that makes its release a partial one."""

PARTIAL: Final = "PUBLISH_PARTIAL"
"""ReleaseRefused: the release lacks what one of its publishers should have published, and is not deployed."""

POLICY: Final = "POLICY_DENIED"
APPROVAL: Final = "APPROVAL_REQUIRED"
CONFLICT: Final = "RELEASE_CONFLICT"
INTERNAL: Final = "INTERNAL"
"""ReleaseRefused: neither the release nor the environment is at fault, but the request, its token or the API."""

Uuid = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]

Data = TypeVar("Data", bound=Struct)


class ReleaseRefused(Exception):
    """The API's answer stands; `code` is an error code of the platform, one of those above."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ReleaseApiAway(Exception):
    """The API does not answer; another time it may."""


class Published(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a publisher put an artifact; with the status `failed`, it could not."""

    publisher: str
    status: str
    uri: str | None = None
    metadata: dict[str, Any] = {}


class ReleasedArtifact(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An artifact of a release. `type` is container, binary or archive; the rest of what is known of it lies in its
    tracking image."""

    name: str
    type: str
    tracking_oci_uri: str
    tracking_oci_digest: str
    primary_published_uri: str | None = None
    published: tuple[Published, ...] = ()


class StoredRelease(Struct, frozen=True, kw_only=True):
    """A release as the API has it. A `partial` one is completed by registering it again."""

    id: Uuid
    repository: str
    project: str
    commit_sha: str
    release_number: int
    oci_uri: str
    oci_digest: str
    partial: bool
    aliases: tuple[str, ...]
    artifacts: tuple[ReleasedArtifact, ...]

    def artifact(self, name: str) -> ReleasedArtifact | None:
        return next((artifact for artifact in self.artifacts if artifact.name == name), None)


class NewRelease(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a release consists of. It is partial if a publisher of one of its artifacts failed.

    The API gives it its number and, from the trigger, its aliases; `aliases` are further ones.
    """

    repository: str
    project: str
    commit_sha: str
    oci_uri: str
    oci_digest: str
    trigger: ReleaseTrigger
    artifacts: tuple[ReleasedArtifact, ...] = ()
    aliases: tuple[str, ...] = ()
    pipeline_run_id: str | None = None


class RegisteredRelease(Struct, frozen=True, kw_only=True):
    """A release that is registered, by this request (`created`) or by an earlier one.

    The image is the one that counts: that of the earlier request, whatever this one named. `auto_deploy` are the
    environments that take it by themselves; a partial release has none.
    """

    id: Uuid
    release_number: int
    aliases: tuple[str, ...]
    oci_uri: str
    oci_digest: str
    partial: bool
    auto_deploy: tuple[EnvironmentName, ...]
    created: bool


class ReleaseClient(Protocol):
    """Each call raises ReleaseRefused and ReleaseApiAway."""

    async def find(self, repository: str, project: str, commit_sha: str) -> StoredRelease | None:
        """The release of a commit, complete or partial, or None."""
        ...

    async def register(self, release: NewRelease) -> RegisteredRelease:
        """Also for a release that `find` gave: a tag on a commit that was released before becomes its alias."""
        ...

    async def request_deployment(self, release_id: str, environment: str) -> RequestedDeployment | None:
        """The deployment to carry out; None where the environment has the release already."""
        ...


@dataclass(frozen=True, slots=True)
class HttpReleaseClient:
    """The API at `url`, which has no path. `token_file` holds the worker's token."""

    http: Http
    url: str
    token_file: Path

    async def find(self, repository: str, project: str, commit_sha: str) -> StoredRelease | None:
        owner, _, name = repository.partition("/")
        path = "/".join(quote(part, safe="") for part in (owner, name, project, commit_sha))
        reply = await self._call("GET", f"/v1/releases/{path}", None, (200, 404))
        if reply.status == 404:
            _read(reply, _ErrorReply)  # from the API, and not from something before it that knows no such path
            return None
        found = _read(reply, StoredRelease)
        if found.commit_sha != commit_sha:
            raise ReleaseRefused(INTERNAL, f"{reply.url}: the answer is the release of commit {found.commit_sha}")
        return found

    async def register(self, release: NewRelease) -> RegisteredRelease:
        reply = await self._call("POST", "/v1/releases", release, (200, 201))
        found = _read(reply, _Registered)
        return RegisteredRelease(
            id=found.id,
            release_number=found.release_number,
            aliases=found.aliases,
            oci_uri=found.oci_uri,
            oci_digest=found.oci_digest,
            partial=found.partial,
            auto_deploy=found.auto_deploy,
            created=reply.status == 201,
        )

    async def request_deployment(self, release_id: str, environment: str) -> RequestedDeployment | None:
        wanted = _WantedDeployment(release_id=release_id, environment=environment)
        found = _read(await self._call("POST", "/v1/deployments", wanted, (200, 201)), _Deployment)
        if found.status == "active":
            return None
        return RequestedDeployment(id=found.id, environment=environment)

    async def _call(self, method: str, path: str, body: Struct | None, ok: tuple[int, ...]) -> Reply:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        request = Request(
            method=method,
            url=self.url.rstrip("/") + path,
            headers=headers,
            secret_headers={"Authorization": f"Bearer {await asyncio.to_thread(self._token)}"},
            body=None if body is None else msgspec.json.encode(body),
        )
        try:
            return await self.http.send(request, ok=ok)
        except HttpRefused as refused:
            raise _refusal(refused) from None
        except HttpAway as away:
            raise ReleaseApiAway(str(away)) from None

    def _token(self) -> str:
        try:
            token = self.token_file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ReleaseRefused(
                INTERNAL, f"cannot read the API's token at {self.token_file}: {type(error).__name__}"
            ) from None
        if not token.isprintable() or not token:
            raise ReleaseRefused(INTERNAL, f"what lies at {self.token_file} is no token")
        return token


class _WantedDeployment(Struct, frozen=True, kw_only=True):
    release_id: str
    environment: str


class _Registered(Struct, frozen=True, kw_only=True):
    id: Uuid
    release_number: int
    aliases: tuple[str, ...]
    oci_uri: str
    oci_digest: str
    partial: bool
    auto_deploy: tuple[EnvironmentName, ...]


class _Deployment(Struct, frozen=True, kw_only=True):
    id: Uuid
    status: str


class _Details(Struct):
    reason: str = INTERNAL


class _Error(Struct):
    message: str
    details: _Details = msgspec.field(default_factory=_Details)


class _ErrorReply(Struct):
    error: _Error


def _refusal(refused: HttpRefused) -> ReleaseRefused:
    """The API says what is wrong in words, and in `details.reason` for which of the platform's reasons."""
    try:
        error = msgspec.json.decode(refused.body, type=_ErrorReply).error
    except msgspec.DecodeError:
        return ReleaseRefused(INTERNAL, str(refused))
    return ReleaseRefused(error.details.reason, error.message)


def _read(reply: Reply, kind: type[Data]) -> Data:
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except msgspec.DecodeError as error:
        raise ReleaseRefused(INTERNAL, f"{reply.url}: the answer is not one of a release API: {error}") from None
