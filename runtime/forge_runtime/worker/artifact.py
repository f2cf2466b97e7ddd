"""Artifact jobs: build what the project promises, say what it is, put it where the repository wants it, and track that.

    is there a complete release of this commit? ──yes──▶ what it holds
      └ no ─▶ secrets ─▶ checkout ─▶ producer ─▶ bill, provenance, signature ─▶ publishers ─▶ tracking image

Publishers come one after another. One that fails leaves the others alone, and the job succeeds: its result says what
is missing, and the release job makes a partial release of it. Everything may be repeated: the next attempt takes what
this one built, a publisher finds what was put there, and so does the registry of tracking images.
"""

import dataclasses
import logging
import traceback
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.json import decode
from msgspec.structs import replace

from forge_runtime.blob import Blob
from forge_runtime.git.cache import GitCache
from forge_runtime.git.error import GitError
from forge_runtime.job import (
    PUBLISH_FAILED,
    ArtifactData,
    ArtifactPayload,
    Job,
    JobState,
    PublishedLocation,
    new_error,
    utc_text,
)
from forge_runtime.mask import Mask
from forge_runtime.oci.exchange import RegistryAway, RegistryRefused
from forge_runtime.oci.image import BadImage
from forge_runtime.oci.reference import BadReference, parse_reference
from forge_runtime.oci.tracking import Document
from forge_runtime.produce.earthly import EarthlyProducer, Production, TargetFailed
from forge_runtime.produce.evidence import Evidence, Made, TrackedArtifact
from forge_runtime.produce.product import ProducerFailed, Product, outputs_of
from forge_runtime.produce.staging import Staging
from forge_runtime.publish.credential import Credential, CredentialUnusable
from forge_runtime.publish.port import Publication, PublishAway, Published, Publisher, PublishRefused
from forge_runtime.release_client import (
    INTERNAL,
    POLICY,
    ReleaseApiAway,
    ReleaseClient,
    ReleasedArtifact,
    ReleaseRefused,
)
from forge_runtime.runner.port import StepRunner
from forge_runtime.secret.port import SecretRefused, SecretStoreAway
from forge_runtime.secret.resolve import PUBLISHER_SCOPE, Secrets
from forge_runtime.supply.provenance import Build
from forge_runtime.supply.sign import Signer, SigningFailed
from forge_runtime.worker.handler import JobContext, Outcome, failed, git_failure

PUBLISHED: Final = "published"
"""The status of a location where the artifact is, whether this attempt put it there or an earlier one did: a job that
is repeated has the same result."""

PRODUCER_S_MAX: Final = 1800.0
"""Of the job's 45 minutes (contracts 5.3); the rest is for publishing."""

TAIL_LINES: Final = 20
"""Of the log, in the record of a target that failed."""


_CLASSES: Final = {POLICY: "policy", INTERNAL: "internal"}
"""Of what the API refuses; all else is somebody's to configure."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlets:
    """Where artifacts go: publishers by their type, the secrets that they need, and `blob` for what is on its way.

    `builder` is an address that names who runs these workers, `version` that of the platform: provenance says both.
    """

    publishers: Mapping[str, Publisher]
    secrets: Secrets
    blob: Blob
    builder: str
    version: str


class ArtifactHandler:
    def __init__(
        self, cache: GitCache, runner: StepRunner, outlets: Outlets, evidence: Evidence, releases: ReleaseClient
    ) -> None:
        self._cache = cache
        self._producer = EarthlyProducer(runner)
        self._outlets = outlets
        self._evidence = evidence
        self._releases = releases

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        payload = decode(job.payload, type=ArtifactPayload)
        making = _Making(job=job, payload=payload, context=context, began=context.clock())
        try:
            data = await self._stored(making) or await self._made(making)
        except TargetFailed as error:
            return making.target_failed(error)
        except ProducerFailed as error:
            return await making.failed("PRODUCER_FAILED", "user", error)
        except GitError as error:
            await context.log.write(str(error))
            return git_failure(error, context)
        except (SecretRefused, SecretStoreAway) as error:
            error_class = "config" if isinstance(error, SecretRefused) else "infra"
            return await making.failed("SECRET_UNRESOLVED", error_class, error)
        except SigningFailed as error:
            return await making.failed("SIGNING_FAILED", "config", error)
        except (RegistryRefused, BadImage, BadReference) as error:
            return await making.failed("PUSH_FAILED", "config", error)
        except RegistryAway as error:
            return await making.failed("PUSH_FAILED", "infra", error)
        except ReleaseRefused as error:
            return await making.failed(error.code, _CLASSES.get(error.code, "config"), error)
        except ReleaseApiAway as error:
            return await making.failed("INTERNAL", "infra", error)
        return Outcome(status=JobState.SUCCEEDED, data=data)

    async def _stored(self, making: "_Making") -> ArtifactData | None:
        """What a complete release of this commit has of the artifact: it is not built again."""
        job, payload, log = making.job, making.payload, making.context.log
        release = await self._releases.find(job.repository, payload.project, job.commit_sha)
        if release is None or release.partial:
            return None
        stored = release.artifact(payload.artifact.name)
        if stored is None:
            return None
        await log.write(f"release {release.release_number} of this commit is complete: {stored.tracking_oci_uri}")
        return ArtifactData(
            artifact_name=stored.name,
            type=stored.type,
            tracking_oci_uri=stored.tracking_oci_uri,
            tracking_oci_digest=stored.tracking_oci_digest,
            outputs=await self._outputs(making, stored),
            published_locations=tuple(
                PublishedLocation(publisher=each.publisher, status=each.status, uri=each.uri, metadata=each.metadata)
                for each in stored.published
            ),
        )

    async def _outputs(self, making: "_Making", stored: ReleasedArtifact) -> dict[str, Any]:
        """A complete release is not rendered again, so nothing depends on them."""
        try:
            image = parse_reference(stored.tracking_oci_uri).at(stored.tracking_oci_digest)
            return dict(await self._evidence.outputs(image))
        except (BadReference, RegistryRefused, RegistryAway, msgspec.MsgspecError) as error:
            await making.context.log.write(f"the tracking image cannot be read: {error}")
            return {}

    async def _made(self, making: "_Making") -> ArtifactData:
        """Raises what `handle` tells."""
        credentials = await self._credentials(making)
        product = await self._produced(making)
        made = making.made(product, self._outlets)
        with making.context.trace.span("examine"):
            documents = await self._evidence.examine(made, making.folder("examine"), making.context.log.write)
        publication = making.publication(product, documents, self._evidence.signer)
        locations = await self._published(making, publication, credentials)
        with making.context.trace.span("track"):
            tracked = await self._evidence.track(made, documents, locations)
        await making.context.log.write(f"tracked as {tracked.uri}, {tracked.digest}")
        await making.staging(self._outlets.blob).forget()
        return making.data(product, locations, tracked)

    async def _credentials(self, making: "_Making") -> Mapping[str, Credential]:
        """By publisher; all of them before anything is built, so that nothing is printed that is not hidden."""
        found = {}
        for name, settings in making.payload.publishers.items():
            reference = settings.get("credentials")
            if reference is None:
                continue
            values = await self._outlets.secrets.bound(({**reference, "name": name},), PUBLISHER_SCOPE)
            if name in values:
                found[name] = Credential(values[name])
                making.context.log.mask.hide(found[name].secrets())
        return found

    async def _produced(self, making: "_Making") -> Product:
        context, artifact = making.context, making.payload.artifact
        staging = making.staging(self._outlets.blob)
        product = await staging.found(making.folder("staged")) if context.attempt > 1 else None
        if product is not None:
            await context.log.write(f"{artifact.type} {artifact.name} was built by an earlier attempt")
        else:
            product = await self._built(making)
            await staging.keep(product)
        facts = ", ".join(f"{name} {value}" for name, value in outputs_of(product).items())
        await context.log.write(f"{artifact.type} {artifact.name}: {facts}")
        return product

    async def _built(self, making: "_Making") -> Product:
        job, context = making.job, making.context
        product: Product | None = None
        try:
            async with AsyncExitStack() as cleanup:
                checkout = self._cache.checkout(job.clone_url, job.commit_sha, context.scratch / "workspace")
                with context.trace.span("git checkout"):
                    workspace = await cleanup.enter_async_context(checkout)
                with context.trace.span("produce", **{"forge.artifact": making.payload.artifact.name}):
                    product = await self._producer.produce(making.production(workspace), context.log.write)
        except GitError as error:
            if product is None:
                raise
            _log.warning("checkout not removed", extra={"why": str(error)})  # the artifact stands
        return product

    async def _published(
        self, making: "_Making", publication: Publication, credentials: Mapping[str, Credential]
    ) -> tuple[PublishedLocation, ...]:
        locations = []
        for name, fields in making.payload.artifact.publishers.items():
            one = dataclasses.replace(
                publication,
                settings=making.payload.publishers.get(name, {}),
                fields=fields,
                scratch=making.folder(f"publish-{name}"),
                credential=credentials.get(name),
            )
            with making.context.trace.span("publish", **{"forge.publisher": name}) as span:
                location = await self._publish(making, name, one)
                if location.error is not None:
                    span.error = location.error.message
            locations.append(location)
        return tuple(locations)

    async def _publish(self, making: "_Making", name: str, publication: Publication) -> PublishedLocation:
        publisher = self._outlets.publishers.get(publication.settings.get("type", ""))
        try:
            if publisher is None:
                raise PublishRefused(f'this worker has no publisher of the type "{publication.settings.get("type")}"')
            published = await publisher.publish(publication)
        except (PublishRefused, CredentialUnusable) as error:
            return await making.not_published(name, "config", error)
        except PublishAway as error:
            return await making.not_published(name, "infra", error)
        except (OSError, SigningFailed):
            raise  # the machine's, and the platform's key's: no other publisher would fare better
        except Exception as error:
            trace = making.context.log.mask.text("".join(traceback.format_exception(error)))
            _log.error("publisher failed", extra={"publisher": name, "exception": trace})
            return await making.not_published(name, "internal", f"{type(error).__name__}: {error}")
        return await making.published(name, published)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Making:
    """One artifact on its way."""

    job: Job
    payload: ArtifactPayload
    context: JobContext
    began: float

    def folder(self, name: str) -> Path:
        folder = self.context.scratch / name
        folder.mkdir()
        return folder

    def staging(self, blob: Blob) -> Staging:
        payload = self.payload
        place = f"artifact-staging/{payload.release_id}/{payload.project}/{payload.artifact.name}/{self.job.run_id}"
        return Staging(blob, place)

    def production(self, workspace: Path) -> Production:
        job, payload = self.job, self.payload
        return Production(
            name=payload.artifact.name,
            type=payload.artifact.type,
            producer=payload.artifact.producer,
            workspace=workspace,
            project_path=payload.project_path,
            scratch=self.folder("produce"),
            timeout_s=min(PRODUCER_S_MAX, job.limits.start_to_close_s),
            environment={
                "FORGE_RUN_ID": job.run_id,
                "FORGE_PROJECT": payload.project,
                "FORGE_ARTIFACT": payload.artifact.name,
                "FORGE_COMMIT": job.commit_sha,
            },
            mask=self.context.log.mask,
            affinity=f"{job.repository}/{payload.project}",
        )

    def made(self, product: Product, outlets: Outlets) -> Made:
        job, payload = self.job, self.payload
        build = Build(
            repository=job.repository,
            clone_url=job.clone_url,
            commit_sha=job.commit_sha,
            ref=job.git.ref,
            project_path=payload.project_path,
            artifact=payload.artifact.name,
            artifact_type=payload.artifact.type,
            parameters=payload.artifact.producer,
            builder=outlets.builder,
            builder_version=outlets.version,
            run_id=job.run_id,
            job_id=job.job_id,
            started_at=utc_text(self.began),
            finished_at=utc_text(self.context.clock()),
        )
        return Made(product=product, build=build, project=payload.project)

    def publication(self, product: Product, documents: tuple[Document, ...], signer: Signer | None) -> Publication:
        """What all publishers are told."""
        job, payload = self.job, self.payload
        return Publication(
            product=product,
            artifact=payload.artifact.name,
            project=payload.project,
            repository=job.repository,
            commit_sha=job.commit_sha,
            git_tag=job.git.tag,
            settings={},
            fields={},
            scratch=self.context.scratch,
            documents=documents,
            signer=signer,
        )

    async def published(self, name: str, published: Published) -> PublishedLocation:
        """What servers said is masked as well: one that sends a secret back must not get it into a result."""
        mask = self.context.log.mask
        uri = mask.text(published.uri)
        await self.context.log.write(f"{name}: {uri}{' (was there already)' if published.unchanged else ''}")
        for note in published.notes:
            await self.context.log.write(f"{name}: {note}")
        metadata = {field: _masked(value, mask) for field, value in published.metadata.items()}
        return PublishedLocation(publisher=name, status=PUBLISHED, uri=uri, metadata=metadata)

    async def not_published(self, name: str, error_class: str, why: Exception | str) -> PublishedLocation:
        context = self.context
        message = context.log.mask.text(f"publisher {name}: {why}")
        await context.log.write(message)
        error = new_error("PUBLISHER_FAILED", error_class, message, component=context.component, now=context.clock())
        return PublishedLocation(publisher=name, status=PUBLISH_FAILED, error=error)

    def data(
        self, product: Product, locations: tuple[PublishedLocation, ...], tracked: TrackedArtifact
    ) -> ArtifactData:
        return ArtifactData(
            artifact_name=self.payload.artifact.name,
            type=self.payload.artifact.type,
            tracking_oci_uri=tracked.uri,
            tracking_oci_digest=tracked.digest,
            outputs=outputs_of(product),
            published_locations=locations,
            sbom=tracked.sbom,
        )

    def target_failed(self, error: TargetFailed) -> Outcome:
        """The runner's own word where the machinery failed, which another try may cure; else the producer's, with the
        runner's as its cause."""
        context, record = self.context, error.error
        record = replace(record, message=context.log.mask.text(record.message), component=context.component)
        if record.error_class not in ("infra", "cancelled"):
            message = f"artifact {self.payload.artifact.name}: {record.message}"
            facts = {**record.context, "tail": list(context.log.tail(TAIL_LINES))}
            told = new_error(
                "PRODUCER_FAILED", record.error_class, message, component=context.component, now=context.clock()
            )
            record = replace(told, location=record.location, context=facts, cause=replace(record, context={}))
        return Outcome(status=error.outcome.status, exit_code=error.outcome.exit_code, error=record)

    async def failed(self, code: str, error_class: str, why: Exception) -> Outcome:
        message = self.context.log.mask.text(f"artifact {self.payload.artifact.name}: {why}")
        await self.context.log.write(message)
        return failed(code, error_class, message, self.context)


def _masked(value: Any, mask: Mask) -> Any:
    return mask.text(value) if isinstance(value, str) else value
