"""A handler for the jobs of releases that makes nothing: it notes what it was asked for, and ends as it is told."""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.json import decode

from forge_runtime.envelope import address_of
from forge_runtime.job import (
    ArtifactData,
    ArtifactPayload,
    DeploymentData,
    Job,
    JobState,
    JobType,
    ReleaseData,
    ReleasePayload,
    RequestedDeployment,
)
from forge_runtime.worker.handler import Handler, JobContext, Outcome, failed


class Stages:
    """Of artifacts, releases and deployments, named `<project>/<step>`.

    `environments` take every release. `failing` maps a name to the class of its error, `held` names those that go on
    for ever, `bulk` is text that makes each artifact's result large.
    """

    def __init__(self, environments: Sequence[str] = ("dev", "test"), *, bulk: Mapping[str, str] | None = None) -> None:
        self.environments = environments
        self.bulk = bulk or {}
        self.failing: dict[str, str] = {}
        self.held: set[str] = set()
        self.started: list[str] = []
        self.jobs: dict[str, Job] = {}
        self.built: dict[str, list[ArtifactData]] = {}

    @property
    def handlers(self) -> dict[JobType, Handler]:
        return dict.fromkeys((JobType.ARTIFACT, JobType.RELEASE, JobType.DEPLOYMENT), self)

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        address = address_of(job)
        name = f"{address.project}/{address.step}"
        self.started.append(name)
        self.jobs[name] = job
        if name in self.held:
            await asyncio.Event().wait()
        if name in self.failing:
            return failed("PRODUCER_FAILED", self.failing[name], "as told", context)
        return Outcome(status=JobState.SUCCEEDED, data=await self._data(job, context))

    async def _data(self, job: Job, context: JobContext) -> Struct:
        match job.type:
            case JobType.ARTIFACT:
                name = decode(job.payload, type=ArtifactPayload).artifact.name
                return ArtifactData(
                    artifact_name=name,
                    type="archive",
                    tracking_oci_uri=f"registry.test/{name}",
                    tracking_oci_digest="sha256:0",
                    outputs={"bulk": self.bulk.get(name, "")},
                )
            case JobType.RELEASE:
                payload = decode(job.payload, type=ReleasePayload)
                self.built[payload.project] = [await context.results.artifact(each) for each in payload.artifacts]
                requested = [
                    RequestedDeployment(id=f"{payload.project}-{name}", environment=name) for name in self.environments
                ]
                return ReleaseData(
                    release_id=f"release-of-{payload.project}",
                    release_number=7,
                    oci_uri=f"registry.test/{payload.project}",
                    oci_digest="sha256:1",
                    deployments=tuple(requested if payload.deploy else ()),
                )
            case _:
                return DeploymentData(gitops_commit_sha="0" * 40, changed=True)
