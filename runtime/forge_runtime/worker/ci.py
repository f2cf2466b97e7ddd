"""CI jobs: one Earthfile target of one project, on a checkout of the run's commit."""

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from msgspec.json import decode
from msgspec.structs import replace

from forge_runtime.blob import Blob
from forge_runtime.git.cache import GitCache
from forge_runtime.git.error import GitError
from forge_runtime.job import CiData, CiPayload, Job, JobState
from forge_runtime.runner.port import StepOutcome, StepRequest, StepRunner
from forge_runtime.secret.port import SecretRefused, SecretStoreAway
from forge_runtime.secret.resolve import STEP_SCOPE, Secrets
from forge_runtime.trace import TraceContext
from forge_runtime.worker.handler import JobContext, Outcome, failed, git_failure
from forge_runtime.worker.outputs import Outputs, OutputsRefused, left_out

TAIL_LINES = 20
"""Of the log, in the error record: enough to see the cause of most failures without opening the log."""

COMMAND_CHARS_MAX = 2_000
"""Of the target and its arguments, in the error record: the job beside it has all of them."""

_OUTPUTS = "outputs"
"""Below the attempt's scratch area: what the step saves AS LOCAL."""

_log = logging.getLogger(__name__)


class CiHandler:
    """`blob` keeps files that a step leaves for later phases; without it they are lost, as the log then says."""

    def __init__(self, cache: GitCache, runner: StepRunner, secrets: Secrets, blob: Blob | None = None) -> None:
        self._cache = cache
        self._runner = runner
        self._secrets = secrets
        self._outputs = Outputs(blob) if blob is not None and runner.keeps_outputs else None

    async def handle(self, job: Job, context: JobContext) -> Outcome:
        payload = decode(job.payload, type=CiPayload)
        try:
            secrets = await self._secrets.bound(payload.step.secrets, STEP_SCOPE)
        except (SecretRefused, SecretStoreAway) as error:
            message = f"step {payload.step.name}: {error}"
            await context.log.write(message)
            error_class = "config" if isinstance(error, SecretRefused) else "infra"
            return failed("SECRET_UNRESOLVED", error_class, message, context)
        context.log.mask.hide(secrets.values())
        ended: StepOutcome | None = None
        left: CiData | None = None
        try:
            async with AsyncExitStack() as cleanup:
                checkout = self._cache.checkout(job.clone_url, job.commit_sha, context.scratch / "workspace")
                with context.trace.span("git checkout"):
                    workspace = await cleanup.enter_async_context(checkout)
                await self._lay(payload, workspace, context)
                ended = await self._run(job, payload, workspace, secrets, context)
                left = await self._keep(job, payload, ended, context)
        except OutputsRefused as refused:
            await context.log.write(str(refused))
            return failed("CONFIG_INVALID", "config", f"step {payload.step.name}: {refused}", context)
        except GitError as error:
            if ended is None:
                await context.log.write(str(error))
                return git_failure(error, context)
            _log.warning("checkout not removed", extra={"why": str(error)})  # the step's end stands
        return _outcome(ended, left, payload, context)

    async def _lay(self, payload: CiPayload, workspace: Path, context: JobContext) -> None:
        """Earlier phases' files into the checkout; the log says which, and which this worker leaves out."""
        aside = context.scratch / "earlier"
        if self._outputs is not None:
            told = await self._outputs.lay(payload, context.results, workspace, aside)
        else:
            told = await left_out(payload, context.results)
        for line in told:
            await context.log.write(line)

    async def _keep(self, job: Job, payload: CiPayload, ended: StepOutcome, context: JobContext) -> CiData | None:
        """This step's files for later phases."""
        if self._outputs is None or ended.status is not JobState.SUCCEEDED:
            return None
        folder = context.scratch / _OUTPUTS
        kept = await self._outputs.keep(job, payload, folder, folder.with_suffix(".tar.gz"))
        return None if kept is None else CiData(outputs=kept)

    async def _run(
        self, job: Job, payload: CiPayload, workspace: Path, secrets: Mapping[str, str], context: JobContext
    ) -> StepOutcome:
        step = payload.step
        scratch = context.scratch / "step"
        scratch.mkdir()
        names = {"forge.phase": payload.phase, "forge.project": payload.project, "forge.step": step.name}
        with context.trace.span("step", **names) as span:
            request = StepRequest(
                workspace=workspace,
                project_path=payload.project_path,
                target=step.target,
                args=step.args,
                scratch=scratch,
                timeout_s=job.limits.start_to_close_s,
                environment=_environment(job, payload, span.context),
                secrets=secrets,
                mask=context.log.mask,
                affinity=f"{job.repository}/{payload.project}",
                outputs_to=context.scratch / _OUTPUTS if self._outputs is not None else None,
            )
            ended = await self._runner.run(request, context.log.write)
            if ended.error is not None:
                span.error = context.log.mask.text(f"{ended.error.code}: {ended.error.message}")
        return ended


def _environment(job: Job, payload: CiPayload, trace: TraceContext | None) -> dict[str, str]:
    """What a step may know of itself; its own spans, if it makes any, go below `trace`."""
    environment = {
        "FORGE_RUN_ID": job.run_id,
        "FORGE_PROJECT": payload.project,
        "FORGE_PHASE": payload.phase,
        "FORGE_COMMIT": job.commit_sha,
    }
    return environment | ({"TRACEPARENT": str(trace)} if trace is not None else {})


def _outcome(ended: StepOutcome, left: CiData | None, payload: CiPayload, context: JobContext) -> Outcome:
    """The runner's outcome; a failure tells where it happened and what was printed last."""
    error = ended.error
    if ended.status is JobState.FAILED and error is not None:
        command = context.log.mask.text(" ".join((payload.step.target, *payload.step.args)))[:COMMAND_CHARS_MAX]
        facts = {"command": command, **error.context, "tail": list(context.log.tail(TAIL_LINES))}
        message = context.log.mask.text(error.message)
        error = replace(error, message=message, component=context.component, context=facts)
    return Outcome(status=ended.status, data=left, exit_code=ended.exit_code, error=error)
