"""Discovery jobs: a commit's `.forge` directories to a plan, both documents stored, their digests the result."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from forge_runtime.git.cache import GitCache
from forge_runtime.git.error import GitError
from forge_runtime.job import (
    DiscoveryData,
    DiscoveryPayload,
    Job,
    JobState,
)
from forge_runtime.worker.handler import JobContext, Outcome, git_failure, refused
from forgec import pipeline
from forgec.adapter.git import GitTree
from forgec.diagnostic import ForgeError
from forgec.discovery.model import Discovery
from forgec.discovery.trigger import Trigger
from forgec.manifest.lower import ManifestOptions
from forgec.plan.digest import canonical_json, digest_of
from forgec.plan.model import Plan


class DiscoveryHandler:
    def __init__(self, cache: GitCache) -> None:
        self._cache = cache

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        payload = msgspec.json.decode(job.payload, type=DiscoveryPayload)
        await context.log.write(f"discovering {job.repository} at {job.commit_sha}")
        try:
            async with AsyncExitStack() as cleanup:
                with context.trace.span("git fetch"):
                    lease = self._cache.lease(job.clone_url, job.commit_sha)
                    repository = await cleanup.enter_async_context(lease)
                with context.trace.span("compile"):
                    discovery, plan = await asyncio.to_thread(_compile, repository, job, payload)
        except GitError as error:
            await context.log.write(str(error))
            return git_failure(error, context)
        except ForgeError as error:
            return await refused(error, context)
        data = handed_out(discovery, await _store(discovery, context), plan, await _store(plan, context))
        await _report(discovery, data, context)
        return Outcome(status=JobState.SUCCEEDED, data=data)


def handed_out(discovery: Discovery, discovery_digest: str, plan: Plan, plan_digest: str) -> DiscoveryData:
    """What the rest of the run goes by: where both documents are, and which units there are to start."""
    return DiscoveryData(
        discovery_digest=discovery_digest,
        plan_digest=plan_digest,
        groups=tuple(group.unit_ids for group in plan.working_groups),
        release=plan.release_ids,
        projects=len(discovery.projects),
        warnings=len(discovery.warnings),
    )


def _compile(repository: Path, job: Job, payload: DiscoveryPayload) -> tuple[Discovery, Plan]:
    """Raises ForgeError with everything that is wrong."""
    trigger = msgspec.convert(
        {
            "commit_sha": job.commit_sha,
            "ref": job.git.ref,
            "branch": job.git.branch,
            "tag": job.git.tag,
            "trigger_type": payload.trigger_type,
        },
        Trigger,
    )
    tree = GitTree(repository, job.commit_sha)
    try:
        located = pipeline.discover_located(tree, trigger)
    finally:
        tree.close()
    plan = pipeline.plan(located.document, shard_size=payload.shard_size, places=located.places)
    # The run's own manifest is long submitted; what its plan would make of it is known here first.
    pipeline.lower(plan, ManifestOptions(run_id=job.run_id), dynamic=True, places=located.places)
    return located.document, plan


async def _store(document: Discovery | Plan, context: JobContext) -> str:
    """The document's digest, once it is stored."""
    data = canonical_json(document)
    digest = digest_of(data)
    await context.documents.put(digest, data)
    return digest


async def _report(discovery: Discovery, data: DiscoveryData, context: JobContext) -> None:
    for warning in discovery.warnings:
        place = f"{warning.file}:{warning.line}:{warning.column}: " if warning.file else ""
        await context.log.write(f"warning[{warning.code}]: {place}{warning.message}")
    units = sum(map(len, data.groups))
    await context.log.write(f"{data.projects} projects, {len(data.groups)} groups, {units} units: {data.plan_digest}")
