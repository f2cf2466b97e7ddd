"""What a unit's dispatcher brings to its end: parts that go on together, each a sequence of waves of jobs.

    the discovery job       one wave of one job
    a task of a phase       its waves as planned
    a released project      its artifacts -> the release, told what they came to -> the deployments that it names

What comes next in a part is a function of the records of what has ended, and a job's id of the run and its place in it.
So a part can be gone through anew at any moment, by a dispatcher that was started again as by one that runs at the same
time, and it comes by the same jobs.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, convert

from forge_runtime.envelope import Envelope, log_fields_of
from forge_runtime.job import (
    RESULT_INLINE_BYTES_MAX,
    ArtifactResult,
    Job,
    JobRecord,
    JobState,
    ReleaseData,
)
from forge_runtime.ledger import Ledger
from forge_runtime.submit import Submitter
from forge_runtime.tasks import end_tasks
from forge_runtime.telemetry import log_fields
from forgec import ids
from forgec.plan.model import Dispatch, Plan, ReleaseProject, Task

Ended = Sequence[Sequence[JobRecord]]
"""The records of the waves so far, each in the order of its jobs; every job ended well."""

Data = TypeVar("Data", bound=Struct)

_log = logging.getLogger(__name__)


class BadResult(Exception):
    """A job succeeded, and its result is not what the run goes on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """`next_wave` gives the jobs that come after those that ended, or None when that was all.

    `earlier` is the id of the job that the project's phases before ended with: its worker had better do the first wave.
    Waves before `own_from` are other dispatchers' too: they are brought to their end like ours, so that nobody depends
    on another one's pod, but their failure and their settling are left to those that were started for them.
    """

    next_wave: Callable[[Ended], Sequence[Job] | None]
    own_from: int = 0
    earlier: str | None = None


def discovery_part(envelope: Envelope) -> Part:
    return Part(next_wave=lambda ended: None if ended else [envelope.discovery_job()])


def parts_of(plan: Plan, unit_id: str, envelope: Envelope) -> list[Part] | None:
    """What the dispatcher of this unit carries; None if the plan has no such unit."""
    released = plan.release_unit(unit_id)
    if released is not None:
        return [_release_part(project, envelope) for project in released.projects]
    found = plan.dispatch(unit_id)
    return None if found is None else [_task_part(found, task, envelope) for task in found.tasks]


async def bring_to_end(parts: Iterable[Part], submitter: Submitter) -> JobRecord | None:
    """All parts together; the record of the first job whose end stops the others, None when there was none."""
    return await _first_bad(_follow(part, submitter) for part in parts)


async def begun(parts: Iterable[Part], ledger: Ledger) -> list[Job]:
    """Our own jobs that may have a record: of each part all waves up to the first that has not ended well."""
    found = await asyncio.gather(*(_begun(part, ledger) for part in parts))
    return [job for jobs in found for job in jobs]


def data_of(record: JobRecord, data_type: type[Data]) -> Data:
    """What a job that succeeded came to, where that is small by its nature; BadResult if it is not there."""
    result = record.result
    if result is None or result.data is None:
        raise BadResult(f"{record.job.type} job {record.job.job_id} succeeded without a result")
    try:
        return convert(result.data, data_type)
    except ValueError as error:
        raise BadResult(f"the result of {record.job.type} job {record.job.job_id} is not one: {error}") from None


def _task_part(part: Dispatch, task: Task, envelope: Envelope) -> Part:
    def next_wave(ended: Ended) -> Sequence[Job] | None:
        if len(ended) == len(task.waves):
            return None
        return [envelope.ci_job(part.phase, task, step) for step in task.waves[len(ended)].steps]

    return Part(
        next_wave=next_wave,
        own_from=len(task.waves) - 1 if part.last_wave_only else 0,
        earlier=envelope.job_before(part.phase, task.project),
    )


def _release_part(project: ReleaseProject, envelope: Envelope) -> Part:
    names = sorted(project.artifacts)

    def next_wave(ended: Ended) -> Sequence[Job] | None:
        match ended:
            case []:
                return [envelope.artifact_job(project, name) for name in names]
            case [built]:
                return [envelope.release_job(project, _handed_on(names, built))]
            case [_, [released]]:
                release = data_of(released, ReleaseData)
                environments = {requested.environment for requested in release.deployments}
                if len(environments) < len(release.deployments):
                    raise BadResult(f"release job {released.job.job_id} names an environment more than once")
                return [
                    envelope.deployment_job(project.project, release, requested) for requested in release.deployments
                ]
            case _:
                return None

    return Part(next_wave=next_wave, earlier=envelope.job_before(ids.RELEASE_PHASE, project.project))


def _handed_on(names: Sequence[str], built: Sequence[JobRecord]) -> list[ArtifactResult]:
    """The results as the release job carries them: inline, the small ones first, as long as they fit together.

    What does not fit stays in its record. All together may be as large as one result, so that the release job's own
    record has as much room for its result as any other.
    """
    results = [(name, record.result) for name, record in zip(names, built, strict=True) if record.result is not None]
    sizes = {name: len(msgspec.json.encode(result.data)) for name, result in results}
    smallest_first = sorted(sizes, key=lambda name: sizes[name])
    together = zip(smallest_first, accumulate(sizes[name] for name in smallest_first), strict=True)
    fitting = {name for name, size_bytes in together if size_bytes <= RESULT_INLINE_BYTES_MAX}
    return [
        ArtifactResult(
            artifact_name=name,
            job_id=result.job_id,
            data=result.data if name in fitting else None,
            result_ref=result.result_ref,
        )
        for name, result in results
    ]


async def _follow(part: Part, submitter: Submitter) -> JobRecord | None:
    ended: list[Sequence[JobRecord]] = []
    preferred: Sequence[str] = ()
    while (wave := part.next_wave(ended)) is not None:
        if not ended and part.earlier is not None:
            preferred = await _workers_before(part.earlier, wave, submitter.ledger)
        records: dict[str, JobRecord] = {}
        turns = cycle(preferred or (None,))
        bad = await _first_bad(_step(job, submitter, records, worker) for job, worker in zip(wave, turns, strict=False))
        if bad is not None:
            return bad
        ended.append([records[job.job_id] for job in wave])
        preferred = _workers(ended[-1]) or preferred
    return None


async def _workers_before(job_id: str, wave: Sequence[Job], ledger: Ledger) -> Sequence[str]:
    """Who did the job before this wave; nobody if that is not known any more."""
    record = await ledger.read(wave[0].run_id, job_id) if wave else None
    return () if record is None else _workers([record])


def _workers(records: Sequence[JobRecord]) -> Sequence[str]:
    return [record.worker for record in records if record.worker is not None]


async def _step(
    job: Job, submitter: Submitter, records: dict[str, JobRecord], preferred: str | None
) -> JobRecord | None:
    with log_fields(**log_fields_of(job)):
        record = records[job.job_id] = await submitter.bring_to_end(job, preferred)
        facts = {"state": record.state, "error.code": _error_code(record)}
        if record.state is JobState.SUCCEEDED:
            _log.info("job ended", extra=facts)
            return None
        if record.state is not JobState.CANCELLED and not record.fails_run:
            _log.warning("job failed alone, the run goes on", extra=facts)
            return None
        _log.info("job ended", extra=facts)
        return record


async def _first_bad(work: Iterable[Coroutine[Any, Any, JobRecord | None]]) -> JobRecord | None:
    """Wait for all, or until one found a job that ended badly; then the others stop."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        for ended in asyncio.as_completed(tasks):
            if (bad := await ended) is not None:
                return bad
        return None
    finally:
        await end_tasks(*tasks)


async def _begun(part: Part, ledger: Ledger) -> list[Job]:
    ended: list[Sequence[JobRecord]] = []
    jobs: list[Job] = []
    while (wave := part.next_wave(ended)) is not None:
        if len(ended) >= part.own_from:
            jobs += wave
        records = await asyncio.gather(*(ledger.read(job.run_id, job.job_id) for job in wave))
        well = [record for record in records if record is not None and record.state is JobState.SUCCEEDED]
        if len(well) < len(wave):
            break
        ended.append(well)
    return jobs


def _error_code(record: JobRecord) -> str | None:
    return record.result.error.code if record.result is not None and record.result.error is not None else None
