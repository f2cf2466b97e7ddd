"""The handler of release jobs, with a real repository, the real registry and the real API."""

import asyncio
import io
import json
import tarfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from tests.api.harness import Api, open_api
from tests.git_repository import commit_all, git, new_repository
from tests.registry_server import serving
from tests.runtime.attempt import Attempts

from forge_api.registry.app import create_registry
from forge_api.registry.faults import Answers, Fault, Faulty
from forge_runtime.envelope import Envelope
from forge_runtime.git.cache import GitCache
from forge_runtime.http import Http
from forge_runtime.job import (
    ArtifactData,
    ArtifactResult,
    ErrorRecord,
    Git,
    Job,
    JobState,
    PublishedLocation,
    ReleaseData,
)
from forge_runtime.oci.credentials import Credential, GivenCredentials
from forge_runtime.oci.image import Blob, Manifest
from forge_runtime.oci.registry import RegistryClient
from forge_runtime.release_client import HttpReleaseClient
from forge_runtime.render.image import ReleaseImages
from forge_runtime.run import RunRecord
from forge_runtime.supply.sign import KeySigner, Signer, signature_reference, verify_image
from forge_runtime.worker.handler import Outcome
from forge_runtime.worker.release import ReleaseHandler
from forgec import ids
from forgec.plan.model import ReleaseProject

REPOSITORY = "acme/shop"
TOKEN = "t" * 40
DIGEST = "sha256:" + "1" * 64

REPO_CUE = """package repo
forgeVersion: "v1.0.0"
tagging: strategy: "monorepo"
phases: test: group: 1
publishers: {
	hub: {type: "docker", registry: "hub.test", namespace: "acme"}
	files: {type: "docs", bucket: "files", public_url: "https://files.test"}
}
"""
PROJECT_CUE = """package project
name: "web"
artifacts: image: {type: "container", producer: earthly: target: "+image", publishers: {hub: {}, files: {}}}
release: on: [{branch: "main"}, {tag: true}]
deployment: resources: [
	{apiVersion: "apps/v1", kind: "Deployment", metadata: name: "web", spec: image: string @artifact("image.image")},
	{apiVersion: "v1", kind: "Service", metadata: name: "web", page: string @artifact("image.publishers.files.uri")},
]
"""
HUB = PublishedLocation(publisher="hub", status="published", uri="hub.test/acme/web:v1", metadata={"digest": DIGEST})
FILES = PublishedLocation(publisher="files", status="published", uri="s3://files/web/", metadata={"bucket": "files"})


def broken(publisher: str) -> PublishedLocation:
    error = ErrorRecord(code="PUBLISHER_FAILED", message="no such bucket", component="worker", error_class="config")
    return PublishedLocation(publisher=publisher, status="failed", error=error)


def away(method: str, path: str) -> Fault:
    """Until its `times` are over."""
    return Fault(what=Answers(status=503), method=method, path=path, times=None)


def artifact_data(*published: PublishedLocation) -> ArtifactData:
    return ArtifactData(
        artifact_name="image",
        type="container",
        tracking_oci_uri="track.test/acme/shop/web/image:sha-1",
        tracking_oci_digest=DIGEST,
        outputs={"digest": DIGEST, "size": 7},
        published_locations=published or (HUB, FILES),
    )


@dataclass(slots=True)
class Stage:
    """Everything that a release needs, and jobs for it."""

    folder: Path
    origin: Path
    host: str
    api: Api
    api_http: Http
    registry: RegistryClient
    images: ReleaseImages
    attempts: Attempts
    signer: Signer | None = None

    async def job(
        self,
        *published: PublishedLocation,
        trigger: Git | None = None,
        deploy: bool = True,
        artifacts: Sequence[ArtifactData] | None = None,
    ) -> Job:
        """Of a run of the origin's latest commit."""
        pushed = trigger or Git(ref="refs/heads/main", branch="main")
        commit_sha = git(self.origin, "rev-parse", "HEAD")
        response = await self.api.post_run(commit_sha=commit_sha, ref=pushed.ref, branch=pushed.branch)
        assert response.status_code in (200, 201), response.text
        run = RunRecord(
            run_id=response.json()["id"],
            repository=REPOSITORY,
            clone_url=self.origin.as_uri(),
            commit_sha=commit_sha,
            git=pushed,
            trigger_type="push",
            triggered_by="github:ada",
            deadline_at=4e9,
        )
        project = ReleaseProject(project="web", path="web", artifacts={}, publishers={}, deploy=deploy)
        found = (artifact_data(*published),) if artifacts is None else artifacts
        results = [
            ArtifactResult(artifact_name=data.artifact_name, job_id="job", data=msgspec.to_builtins(data))
            for data in found
        ]
        return Envelope(run, 0.0).release_job(project, results)

    async def release(self, job: Job) -> Outcome:
        client = HttpReleaseClient(self.api_http, "http://localhost", self.folder / "tokens" / "worker-release")
        cache = GitCache(self.folder / "git", allow_file=True)
        handler = ReleaseHandler(cache, self.registry, self.images, client, self.signer)
        return await self.attempts.run(handler, job)

    async def released(self, job: Job) -> ReleaseData:
        outcome = await self.release(job)
        assert outcome.error is None, outcome.error
        assert isinstance(outcome.data, ReleaseData)
        return outcome.data

    async def image(self, tag: str) -> Manifest | None:
        return await self.registry.get_manifest(self.images.name(REPOSITORY, "web").tagged(tag))

    async def digest(self, tag: str) -> str | None:
        found = await self.registry.resolve(self.images.name(REPOSITORY, "web").tagged(tag))
        return None if found is None else found.digest

    async def resources(self, tag: str) -> dict[str, Any]:
        """By kind, unpacked as Argo CD and Flux do: the only layer, as a tar."""
        manifest = await self.image(tag)
        assert manifest is not None
        (layer,) = manifest.layers
        packed = await self.registry.get_blob(self.images.name(REPOSITORY, "web"), layer)
        return {document["kind"]: document for document in _unpacked(packed).values()}

    async def stored(self) -> dict[str, Any]:
        sha = git(self.origin, "rev-parse", "HEAD")
        response = await self.api.client.get(f"/v1/releases/{REPOSITORY}/web/{sha}")
        document: dict[str, Any] = response.json()
        return document


def _unpacked(packed: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: yaml.safe_load(file.read()) for name, file in files.items() if file is not None}


async def _at_once(_delay_s: float) -> None:
    return None


@asynccontextmanager
async def open_stage(
    tmp_path: Path, *, faults: Sequence[Fault] = (), api_faults: Sequence[Fault] = (), project: str = PROJECT_CUE
) -> AsyncIterator[Stage]:
    """The clients wait for nothing between their tries."""
    origin = new_repository(tmp_path / "origin")
    for path, text in {".forge/repo.cue": REPO_CUE, "web/.forge/project.cue": project}.items():
        (origin / path).parent.mkdir(parents=True, exist_ok=True)
        (origin / path).write_text(text)
    commit_all(origin)
    with serving(create_registry(tmp_path / "registry", TOKEN, faults=faults)) as host:
        async with (
            open_api(tmp_path) as api,
            Http.open(transport=httpx2.ASGITransport(Faulty(api.app, api_faults))) as api_http,
            Http.open() as registry_http,
        ):
            await api.register(REPOSITORY)
            credentials = GivenCredentials({host: Credential(user="forge", password=TOKEN)})
            yield Stage(
                folder=tmp_path,
                origin=origin,
                host=host,
                api=api,
                api_http=replace(api_http, wait=_at_once),
                registry=RegistryClient(replace(registry_http, wait=_at_once), credentials),
                images=ReleaseImages(registry=f"{host}/releases"),
                attempts=Attempts(tmp_path / "attempts"),
            )


async def test_release_is_an_image_with_a_number_and_a_deployment_to_carry_out(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        job = await stage.job()

        data = await stage.released(job)

        assert data.release_id == ids.release_id(REPOSITORY, "web", job.commit_sha)
        assert (data.release_number, sorted(data.aliases)) == (1, ["1", "main-1"])
        assert data.oci_uri == f"{stage.host}/releases/acme/shop/web:{job.commit_sha}"
        assert [each.environment for each in data.deployments] == ["dev"]
        assert {await stage.digest(tag) for tag in (job.commit_sha, "1", "main-1")} == {data.oci_digest}
        assert (await stage.resources("1"))["Deployment"]["spec"] == {"image": f"hub.test/acme/web@{DIGEST}"}
        assert (await stage.resources("1"))["Service"]["page"] == "s3://files/web/"
        stored = await stage.stored()
        assert (stored["oci_digest"], stored["partial"], stored["pipeline_run_id"]) == (
            data.oci_digest,
            False,
            job.run_id,
        )
        assert stored["artifacts"][0]["primary_published_uri"] == "hub.test/acme/web:v1"
        assert "resources: deployment-web.yaml, service-web.yaml" in stage.attempts.log


async def test_image_carries_its_commits_time_and_nothing_of_the_run(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        job = await stage.job()

        data = await stage.released(job)

        manifest = await stage.image("1")
        assert manifest is not None
        assert manifest.annotations["org.opencontainers.image.created"] == "2023-11-14T22:13:20.000Z"
        config = json.loads(await stage.registry.get_blob(stage.images.name(REPOSITORY, "web"), manifest.config))
        assert {job.run_id, *data.aliases}.isdisjoint(json.dumps(config).split('"'))


async def test_job_that_comes_again_gives_the_same_release_and_deployments(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        job = await stage.job()

        first = await stage.released(job)
        again = await stage.released(job)

        assert again == first


async def test_two_runs_of_one_commit_at_once_are_one_release(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        elsewhere = msgspec.structs.replace(FILES, uri="s3://files/elsewhere/")
        jobs = [await stage.job(HUB, files) for files in (FILES, elsewhere)]

        one, other = await asyncio.gather(*(stage.released(job) for job in jobs))

        assert one == other
        tags = (jobs[0].commit_sha, *one.aliases)
        assert {await stage.digest(tag) for tag in tags} == {one.oci_digest}


async def test_release_without_deployments_asks_for_none(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        assert (await stage.released(await stage.job(deploy=False))).deployments == ()


async def test_tag_on_a_released_commit_is_one_more_name_of_the_same_image(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        first = await stage.released(await stage.job())
        other_bytes = PublishedLocation(publisher="hub", status="published", uri="hub.test/other", metadata={})
        tagged = await stage.released(
            await stage.job(other_bytes, trigger=Git(ref="refs/tags/web/v1.2.3", tag="web/v1.2.3"))
        )

        assert (tagged.release_number, tagged.oci_digest) == (1, first.oci_digest)
        assert "v1.2.3" in tagged.aliases
        assert await stage.digest("v1.2.3") == first.oci_digest


async def test_failed_publisher_makes_a_partial_release_that_fails_and_is_completed_later(tmp_path: Path) -> None:
    project = PROJECT_CUE.replace('string @artifact("image.publishers.files.uri")', '"none"')
    async with open_stage(tmp_path, project=project) as stage:
        outcome = await stage.release(await stage.job(HUB, broken("files")))
        partial = await stage.stored()

        completed = await stage.released(await stage.job(HUB, FILES))

        assert outcome.status is JobState.FAILED
        assert outcome.error is not None
        assert outcome.error.code == "PUBLISH_PARTIAL"
        assert not outcome.error.retryable
        assert outcome.error.error_class != "infra"
        assert "publisher files of artifact image failed: no such bucket" in outcome.error.message
        assert outcome.error.cause is not None
        assert outcome.error.cause.code == "PUBLISHER_FAILED"
        assert (partial["partial"], completed.release_number) == (True, 1)
        assert (await stage.stored())["partial"] is False
        assert await stage.digest("1") == completed.oci_digest
        assert [each.environment for each in completed.deployments] == ["dev"]


async def test_reference_to_what_a_failed_publisher_would_tell_leaves_no_release(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        outcome = await stage.release(await stage.job(HUB, broken("files")))

        assert outcome.error is not None
        assert outcome.error.code == "PUBLISH_PARTIAL"
        assert outcome.error.location is not None
        assert (outcome.error.location.file, outcome.error.location.line) == ("web/.forge/project.cue", 7)
        assert outcome.error.cause is not None
        assert (await stage.stored())["error"]["code"] == "not_found"
        assert await stage.digest(git(stage.origin, "rev-parse", "HEAD")) is None


async def test_reference_that_nothing_explains_is_the_repositorys_fault(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        outcome = await stage.release(await stage.job(HUB))

        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.error_class) == ("ARTIFACT_REF_UNRESOLVED", "config")
        assert 'nothing is known of "image.publishers.files.uri"' in outcome.error.message
        assert "web/.forge/project.cue:7:" in stage.attempts.log


async def test_resource_that_no_cluster_takes_is_told_with_its_place(tmp_path: Path) -> None:
    async with open_stage(tmp_path, project=PROJECT_CUE.replace('kind: "Service"', 'kind: "a b"')) as stage:
        outcome = await stage.release(await stage.job())

        assert outcome.error is not None
        assert outcome.error.code == "RESOURCE_INVALID"
        assert outcome.error.location is not None
        assert outcome.error.location.line == 7


async def test_artifact_that_the_commit_does_not_declare_is_no_crash(tmp_path: Path) -> None:
    stranger = msgspec.structs.replace(artifact_data(), artifact_name="stranger")
    async with open_stage(tmp_path) as stage:
        outcome = await stage.release(await stage.job(artifacts=[artifact_data(), stranger]))

        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.error_class) == ("RENDER_FAILED", "config")
        assert "stranger" in outcome.error.message


@pytest.mark.parametrize(
    ("faults", "api_faults"),
    [
        ([away("POST", "/blobs/uploads/")], []),
        ([away("PUT", "/manifests/sha256:")], []),
        ([away("PUT", "/manifests/[0-9a-f]{40}$")], []),
        ([away("PUT", "/manifests/main-1$")], []),
        ([], [away("GET", "/v1/releases/")]),
        ([], [away("POST", "/v1/releases$")]),
        ([], [away("POST", "/v1/deployments$")]),
    ],
    ids=["blob", "manifest", "tag of the commit", "alias", "question", "registration", "deployment"],
)
async def test_job_that_was_cut_short_anywhere_is_finished_when_it_comes_again(
    tmp_path: Path, faults: list[Fault], api_faults: list[Fault]
) -> None:
    async with open_stage(tmp_path, faults=faults, api_faults=api_faults) as stage:
        job = await stage.job()

        cut_short = await stage.release(job)
        for fault in (*faults, *api_faults):
            fault.times = 0
        data = await stage.released(job)

        assert cut_short.error is not None
        assert cut_short.error.error_class == "infra"
        assert (data.release_number, sorted(data.aliases)) == (1, ["1", "main-1"])
        assert {await stage.digest(tag) for tag in (job.commit_sha, "1", "main-1")} == {data.oci_digest}
        assert [each.environment for each in data.deployments] == ["dev"]


async def test_registry_that_denies_is_not_asked_again(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        async with Http.open() as http:
            stage.registry = RegistryClient(http, GivenCredentials())
            outcome = await stage.release(await stage.job())

        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.error_class) == ("PUSH_FAILED", "config")


async def test_repository_that_is_not_registered_gets_no_release(tmp_path: Path) -> None:
    async with open_stage(tmp_path) as stage:
        job = msgspec.structs.replace(await stage.job(), repository="acme/other")

        outcome = await stage.release(job)

        assert outcome.status is JobState.FAILED
        assert outcome.error is not None
        assert outcome.error.error_class != "infra"


async def test_signed_release_can_be_verified(tmp_path: Path) -> None:
    signer = KeySigner(ec.generate_private_key(ec.SECP256R1()))
    async with open_stage(tmp_path) as stage:
        stage.signer = signer
        data = await stage.released(await stage.job())

        name = stage.images.name(REPOSITORY, "web").at(data.oci_digest)
        signature = await stage.registry.get_manifest(signature_reference(name))
        assert signature is not None
        (layer,) = signature.layers
        verify_image(name, Blob(descriptor=layer, content=await stage.registry.get_blob(name, layer)), signer.verifier)
