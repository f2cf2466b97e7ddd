"""Release jobs: what the artifacts came to, put into the project's resources, and these into an image with a number.

    results ─▶ is there a complete release? ──yes──────────────────────────────┐
                 └ no ─▶ resources ─▶ image ─▶ push, sign ─▶ register (number) ─┴▶ tags ─▶ deployments to be carried out

Each step may be repeated. The image is pushed by its digest alone and gets its tags when the API has said which image
is the release's, so of two runs of one commit neither takes the other's tag.

A publisher that failed makes the release a partial one, which is registered and not deployed, and fails the run: a new
run of the commit completes it. Where a resource says the very address that is missing, there is no release at all.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_outcome
from pathlib import Path
from typing import Final

from msgspec.json import decode
from msgspec.structs import replace

from forge_runtime.git.cache import GitCache
from forge_runtime.git.command import git_lines
from forge_runtime.git.error import GitError
from forge_runtime.job import (
    ArtifactData,
    Job,
    JobState,
    PublishedLocation,
    ReleaseData,
    ReleasePayload,
    RequestedDeployment,
    utc_text,
)
from forge_runtime.oci.exchange import RegistryAway, RegistryRefused
from forge_runtime.oci.image import BadImage
from forge_runtime.oci.reference import BadReference, parse_reference
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.produce.evidence import sign_there
from forge_runtime.release_client import (
    INTERNAL,
    PARTIAL,
    POLICY,
    NewRelease,
    Published,
    RegisteredRelease,
    ReleaseApiAway,
    ReleaseClient,
    ReleasedArtifact,
    ReleaseRefused,
)
from forge_runtime.render.files import render_files
from forge_runtime.render.image import ReleaseContent, ReleaseImages, release_image
from forge_runtime.render.values import Failure, artifact_values, failures, primary_uri
from forge_runtime.supply.sign import Signer, SigningFailed
from forge_runtime.worker.handler import JobContext, Outcome, failed, git_failure, refused
from forgec.adapter.git import GitTree
from forgec.diagnostic import Code, ForgeError, fail
from forgec.discovery.resources import InvalidResources, ProjectResources, UnresolvedReferences, read_resources

COMMAND_TIMEOUT_S: Final = 60.0
UNIX_S_MAX: Final = 253_402_300_799
"""The end of the year 9999: a commit may claim any time."""


class ReleaseHandler:
    """`signer` signs each image, if there is one."""

    def __init__(
        self,
        cache: GitCache,
        registry: RegistryClient,
        images: ReleaseImages,
        releases: ReleaseClient,
        signer: Signer | None = None,
    ) -> None:
        self._cache = cache
        self._registry = registry
        self._images = images
        self._releases = releases
        self._signer = signer

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        try:
            return await self._release(job, decode(job.payload, type=ReleasePayload), context)
        except UnresolvedReferences as error:
            return await refused(error, context, "ARTIFACT_REF_UNRESOLVED")
        except InvalidResources as error:
            return await refused(error, context, "RESOURCE_INVALID")
        except ForgeError as error:
            return await refused(error, context, "RENDER_FAILED")
        except GitError as error:
            await context.log.write(str(error))
            return git_failure(error, context)
        except SigningFailed as error:
            return await _failed("SIGNING_FAILED", "config", error, context)
        except (RegistryRefused, BadImage, BadReference) as error:
            return await _failed("PUSH_FAILED", "config", error, context)
        except RegistryAway as error:
            return await _failed("PUSH_FAILED", "infra", error, context)
        except ReleaseRefused as error:
            return await _failed(error.code, _CLASSES.get(error.code, "config"), error, context)
        except ReleaseApiAway as error:
            return await _failed("INTERNAL", "infra", error, context)

    async def _release(self, job: Job, payload: ReleasePayload, context: JobContext) -> Outcome:
        """Raises what `handle` tells."""
        artifacts = {each.artifact_name: await context.results.artifact(each) for each in payload.artifacts}
        broken = failures(artifacts)
        found = await self._releases.find(job.repository, payload.project, job.commit_sha)
        if found is not None and not found.partial:
            await context.log.write(f"release {found.release_number} of this commit is complete: {found.oci_digest}")
            new = _again(job, payload, found.oci_uri, found.oci_digest, found.artifacts)
        else:
            try:
                new = await self._made(_Making(job, payload, artifacts), context)
            except UnresolvedReferences as error:
                if not _for_want_of(error, broken):
                    raise
                return _partial(await refused(error, context, PARTIAL), broken)
        with context.trace.span("register"):
            registered = await self._releases.register(new)
        await self._tag(job, registered, context)
        if registered.partial:
            message = f"release {registered.release_number} is partial and is not deployed: {_said(broken)}"
            return _partial(await _failed(PARTIAL, "user", message, context), broken)
        deployments = await self._deployments(registered, context) if payload.deploy else ()
        data = ReleaseData(
            release_id=registered.id,
            release_number=registered.release_number,
            oci_uri=registered.oci_uri,
            oci_digest=registered.oci_digest,
            aliases=registered.aliases,
            deployments=deployments,
        )
        return Outcome(status=JobState.SUCCEEDED, data=data)

    async def _made(self, making: "_Making", context: JobContext) -> NewRelease:
        """The release with its image in the registry."""
        job, payload = making.job, making.payload
        async with self._cache.lease(job.clone_url, job.commit_sha) as repository:
            with context.trace.span("render"):
                content = await making.content(repository)
        listed = ", ".join(file.name for file in content.files) or "none"
        await context.log.write(f"resources: {listed}")
        image = release_image(content, self._images.layer_type)
        name = self._images.name(job.repository, payload.project)
        with context.trace.span("push"):
            pushed = name.at((await self._registry.push(name, image)).digest)
            if self._signer is not None:
                await sign_there(self._registry, pushed, self._signer)
        await context.log.write(f"pushed {pushed}")
        released = making.released(content.uris)
        return _again(job, payload, str(name.tagged(job.commit_sha)), pushed.identifier, released)

    async def _tag(self, job: Job, registered: RegisteredRelease, context: JobContext) -> None:
        """The commit and the aliases as tags of the image that is the release's, whichever run made it, and where."""
        image = parse_reference(registered.oci_uri).at(registered.oci_digest)
        for alias in (job.commit_sha, *registered.aliases):
            try:
                image.tagged(alias)
            except BadReference as error:  # a name that somebody chose need not be one that registries know
                await context.log.write(f"no tag for {alias}: {error}")
                continue
            await self._registry.tag(image, alias)
        await context.log.write(
            f"release {registered.release_number} ({', '.join(registered.aliases)}): {image.name}@{image.digest}"
        )

    async def _deployments(self, registered: RegisteredRelease, context: JobContext) -> tuple[RequestedDeployment, ...]:
        """Of the environments that take releases by themselves; one that does not take this one is told in the log."""
        requested = []
        for environment in registered.auto_deploy:
            try:
                deployment = await self._releases.request_deployment(registered.id, environment)
            except ReleaseRefused as error:
                await context.log.write(f"not deployed to {environment}: {error}")
                continue
            if deployment is None:
                await context.log.write(f"{environment} has this release already")
            else:
                requested.append(deployment)
        return tuple(requested)


@dataclass(frozen=True, slots=True)
class _Making:
    """A release that is being made."""

    job: Job
    payload: ReleasePayload
    artifacts: Mapping[str, ArtifactData]

    async def content(self, repository: Path) -> ReleaseContent:
        """Of `.forge` files alone, read from the bare repository. Raises ForgeError and GitError."""
        job = self.job
        committed_at = await _committed_at(repository, job.commit_sha)
        resources = await asyncio.to_thread(_read, repository, job.commit_sha, self.payload.project_path)
        declared = resources.config.artifacts
        if strangers := self.artifacts.keys() - declared.keys():
            raise fail(Code.PLAN_INCONSISTENT, f"{', '.join(sorted(strangers))}: built, and no artifact of this commit")
        values = {name: artifact_values(declared[name], data) for name, data in self.artifacts.items()}
        uris = {name: primary_uri(declared[name], data) for name, data in self.artifacts.items()}
        return ReleaseContent(
            repository=job.repository,
            project=self.payload.project,
            project_path=self.payload.project_path,
            commit_sha=job.commit_sha,
            committed_at=committed_at,
            files=await asyncio.to_thread(lambda: render_files(resources.resolved(values))),
            source=job.clone_url if job.clone_url.startswith("https://") else None,
            artifacts=self.artifacts,
            uris={name: uri for name, uri in uris.items() if uri is not None},
        )

    def released(self, uris: Mapping[str, str]) -> tuple[ReleasedArtifact, ...]:
        return tuple(
            ReleasedArtifact(
                name=name,
                type=data.type,
                tracking_oci_uri=data.tracking_oci_uri,
                tracking_oci_digest=data.tracking_oci_digest,
                primary_published_uri=uris.get(name),
                published=tuple(_published(location) for location in data.published_locations),
            )
            for name, data in self.artifacts.items()
        )


_CLASSES: Final = {POLICY: "policy", INTERNAL: "internal"}


def _again(
    job: Job, payload: ReleasePayload, oci_uri: str, oci_digest: str, artifacts: tuple[ReleasedArtifact, ...]
) -> NewRelease:
    return NewRelease(
        repository=job.repository,
        project=payload.project,
        commit_sha=job.commit_sha,
        oci_uri=oci_uri,
        oci_digest=oci_digest,
        trigger=payload.trigger,
        artifacts=artifacts,
        pipeline_run_id=job.run_id,
    )


def _published(location: PublishedLocation) -> Published:
    return Published(publisher=location.publisher, status=location.status, uri=location.uri, metadata=location.metadata)


def _for_want_of(error: UnresolvedReferences, broken: Sequence[Failure]) -> bool:
    """Whether all that is not known of artifacts is what a publisher of theirs would have told."""
    lacking = {name for name, _ in broken}
    return bool(lacking) and all(any(named.startswith(f"{name}.") for name in lacking) for named in error.named)


def _partial(outcome: Outcome, broken: Sequence[Failure]) -> Outcome:
    """Trying again would find the same results, so whatever the publisher failed of, this job is over."""
    assert outcome.error is not None
    cause = next((location.error for _, location in broken if location.error is not None), None)
    return replace_outcome(outcome, error=replace(outcome.error, cause=cause))


def _said(broken: Sequence[Failure]) -> str:
    return "; ".join(
        f"publisher {location.publisher} of artifact {name} failed"
        + (f": {location.error.message}" if location.error is not None else "")
        for name, location in broken
    )


async def _failed(code: str, error_class: str, why: object, context: JobContext) -> Outcome:
    message = context.log.mask.text(str(why))
    await context.log.write(message)
    return failed(code, error_class, message, context)


async def _committed_at(repository: Path, commit_sha: str) -> str:
    """By the committer's clock, which may say anything."""
    said: list[str] = []
    arguments = ("log", "-1", "--no-show-signature", "--format=%ct", commit_sha)
    await git_lines(repository, *arguments, timeout_s=COMMAND_TIMEOUT_S, line=said.append)
    unix_s = next((int(line) for line in said if re.fullmatch("-?[0-9]{1,18}", line)), 0)
    return utc_text(min(max(unix_s, 0), UNIX_S_MAX))


def _read(repository: Path, commit_sha: str, project_path: str) -> ProjectResources:
    tree = GitTree(repository, commit_sha)
    try:
        return read_resources(tree, project_path)
    finally:
        tree.close()
