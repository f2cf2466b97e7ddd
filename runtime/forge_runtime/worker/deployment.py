"""Deployment jobs: the pointer of a release, committed to the GitOps repository; what is there already is left."""

import uuid
from typing import Final

from msgspec.json import decode

from forge_runtime.gitops.message import Update
from forge_runtime.gitops.pointer import Aliases, BadPointer, Pointer
from forge_runtime.gitops.writer import GitOpsError, PointerWriter
from forge_runtime.job import DeploymentData, DeploymentPayload, Job, JobState, utc_text
from forge_runtime.worker.handler import JobContext, Outcome, failed

TIME_ORDERED: Final = 7
"""The version of UUIDs that begin with a time."""


class DeploymentHandler:
    def __init__(self, writer: PointerWriter) -> None:
        self._writer = writer

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        payload = decode(job.payload, type=DeploymentPayload)
        await context.log.write(
            f"deploying {payload.project} at {payload.commit_sha} to {payload.environment}, {payload.oci_digest}"
        )
        try:
            update = Update(pointer=_pointer(job, payload), job_id=job.job_id, run_id=job.run_id)
            with context.trace.span("gitops push"):
                written = await self._writer.put(update)
        except BadPointer as error:
            return await _failed("POLICY_DENIED", "policy", str(error), context)
        except GitOpsError as error:
            return await _failed(error.code, error.error_class, str(error), context)
        done = "written in" if written.changed else "there already, since"
        await context.log.write(f"{update.pointer.path}: {done} commit {written.commit_sha}")
        data = DeploymentData(gitops_commit_sha=written.commit_sha, changed=written.changed)
        return Outcome(status=JobState.SUCCEEDED, data=data)


def _pointer(job: Job, payload: DeploymentPayload) -> Pointer:
    """Raises BadPointer."""
    return Pointer(
        environment=payload.environment,
        repository=payload.repository,
        project=payload.project,
        release=payload.commit_sha,
        digest=payload.oci_digest,
        deployment_id=payload.deployment_id,
        requested_at=_requested_at(job, payload),
        deployed_by=payload.actor,
        approved_by=payload.approved_by,
        approved_at=payload.approved_at,
        aliases=_aliases(job, payload),
    )


def _requested_at(job: Job, payload: DeploymentPayload) -> str:
    """A deployment's id begins with the time of its request, by the one clock that all of them are asked by."""
    try:
        deployment = uuid.UUID(payload.deployment_id)
    except ValueError:
        return job.submitted_at
    return utc_text((deployment.int >> 80) / 1000) if deployment.version == TIME_ORDERED else job.submitted_at


def _aliases(job: Job, payload: DeploymentPayload) -> Aliases:
    """Of the names of the release those with a meaning: the tag's as it was pushed, a branch's with the number."""
    number = payload.release_number
    if number is None:
        return Aliases()
    tag = (job.git.tag or "").removeprefix(f"{payload.project}/")
    branches = [alias for alias in payload.aliases if alias.endswith(f"-{number}") and alias != tag]
    return Aliases(numeric=str(number), tag=tag if tag in payload.aliases else None, branch=next(iter(branches), None))


async def _failed(code: str, error_class: str, message: str, context: JobContext) -> Outcome:
    message = context.log.mask.text(message)
    await context.log.write(message)
    return failed(code, error_class, message, context)
