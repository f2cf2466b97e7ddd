"""The verdict on a trial, from NATS and the object store alone: what should be there, and what is.

    forge-runs x forge-plans  ->  the jobs that must have ended
    forge-jobs, with history  ->  how each ended, and how often
    pipeline-*                ->  nothing may be left
    forge-events              ->  each end was told, and truly
    object store              ->  logs and large results, of the right size and digest

Nothing is asked of the processes, whose memory and log lines prove nothing.
"""

import base64
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec.json import decode
from tests.chaos.schedule import WAVES
from tests.chaos.stream import Stored, read_stream
from tests.runtime.samples import jobs_of

from forge_runtime import subject
from forge_runtime.blob import Blob
from forge_runtime.bus.batches import lines
from forge_runtime.bus.jetstream import JetStreamBus
from forge_runtime.event import EventKind, decode_event
from forge_runtime.job import CiPayload, Job, JobRecord, JobState, decode_record
from forge_runtime.lease import STARTS_MAX, given_up
from forge_runtime.run import RunRecord, decode_run
from forgec.plan.digest import digest_of, read_plan
from forgec.plan.model import Plan

READ_S: Final = 30.0


@dataclass(slots=True)
class Audit:
    """`findings` are promises that were not kept, in words; without any the trial is green."""

    jobs: int = 0
    terminal: int = 0
    records: int = 0
    executions: int = 0
    lost: int = 0
    twice: int = 0
    not_submitted: int = 0
    """Of runs that were stopped before they came to it."""
    given_up: int = 0
    """Failed after three starts, in each of which its worker died or had a full disk: as promised."""
    left: int = 0
    events: int = 0
    large_results: int = 0
    logs_missing: int = 0
    """A log that could not be stored costs the log, not the job."""
    findings: list[str] = field(default_factory=list)


async def audit(bus: JetStreamBus, blob: Blob) -> Audit:
    """Reads everything; run it when no process is left that writes."""
    found = Audit()
    runs = await _runs(bus)
    digest, plan = await _plan(bus)
    jobs = {job.job_id: job for run in runs for job in jobs_of(run, plan, digest)}
    histories = await _histories(bus)
    found.jobs = len(jobs)
    found.records = len(histories)
    for job_id in sorted(histories.keys() - jobs.keys()):
        found.findings.append(f"job {job_id} has a record and is in no plan")
    ended: dict[str, JobRecord] = {}
    stopped = await _stopped_runs(bus)
    for job_id, job in jobs.items():
        if job.run_id in stopped and job_id not in histories:
            found.not_submitted += 1
            continue
        record = _judge(job_id, histories.get(job_id, []), job.run_id in stopped, found)
        if record is not None:
            ended[job_id] = record
    found.terminal = len(ended)
    _judge_order(jobs.values(), histories, found)
    await _judge_queues(bus, found)
    await _judge_events(bus, runs, ended, found)
    for record in ended.values():
        await _judge_objects(blob, record, found)
    return found


def _judge(job_id: str, history: Sequence[tuple[int, JobRecord]], stopped: bool, found: Audit) -> JobRecord | None:
    """The terminal record of a job; None for a job that has not ended. `stopped`: its run has a cancel flag."""
    records = [record for _, record in history]
    if not records or not records[-1].state.terminal:
        found.lost += 1
        found.findings.append(f"job {job_id} is lost: {records[-1].state if records else 'it has no record'}")
        return None
    *before, last = records
    found.executions += last.starts
    if any(record.state.terminal for record in before):
        found.twice += 1
        found.findings.append(f"job {job_id} was completed more than once: {_story(records)}")
    if last.starts > STARTS_MAX:
        found.findings.append(f"job {job_id} was started {last.starts} times, {STARTS_MAX} are allowed")
    if last.state is JobState.SUCCEEDED:
        if not before or (before[-1].state, before[-1].attempt_nonce) != (JobState.LEASED, last.attempt_nonce):
            found.findings.append(f"job {job_id} was completed by somebody who did not hold it: {_story(records)}")
    elif given_up(last) and last.starts == STARTS_MAX:
        found.given_up += 1
    elif not (stopped and last.state is JobState.CANCELLED):
        error = last.result.error if last.result is not None else None
        found.findings.append(f"job {job_id} ended as {last.state}: {error.code if error else 'no error'}")
    return last


def _judge_order(jobs: Iterable[Job], histories: "Histories", found: Audit) -> None:
    """No job of a task's second wave was made before those of the first had ended."""
    tasks: defaultdict[tuple[str, str], dict[str, Job]] = defaultdict(dict)
    for job in jobs:
        payload = decode(job.payload, type=CiPayload)
        tasks[job.run_id, payload.project][payload.step.name] = job
    first_wave, second_wave = WAVES
    for (run_id, project), steps in tasks.items():
        ended = [histories[steps[name].job_id][-1][0] for name in first_wave if steps[name].job_id in histories]
        made = [histories[steps[name].job_id][0][0] for name in second_wave if steps[name].job_id in histories]
        if ended and made and min(made) < max(ended):
            found.findings.append(f"run {run_id}: the second wave of {project} began before the first had ended")


async def _judge_queues(bus: JetStreamBus, found: Audit) -> None:
    jetstream = bus.connection.jetstream
    for queue in subject.QUEUES:
        state = (await jetstream.stream_info(queue.stream)).state
        found.left += state.messages
        if state.messages:
            found.findings.append(f"stream {queue.stream} still holds {state.messages} messages")
        for name in queue.consumers:
            consumer = await jetstream.consumer_info(queue.stream, name)
            if consumer.num_ack_pending or consumer.num_pending:
                waiting = f"{consumer.num_pending} wait, {consumer.num_ack_pending} are not acknowledged"
                found.findings.append(f"consumer {name}: {waiting}")
    buried = await read_stream(bus.connection, subject.DEAD_LETTERS_STREAM)
    letters = {stored.subject.split(".")[-1] for stored in buried}
    if len(letters) != found.given_up:
        found.findings.append(f"{len(letters)} jobs among the dead letters, {found.given_up} were given up")


async def _judge_events(
    bus: JetStreamBus, runs: Sequence[RunRecord], ended: dict[str, JobRecord], found: Audit
) -> None:
    events = [
        decode_event(event)
        for stored in await read_stream(bus.connection, subject.EVENTS_STREAM)
        for event in lines(stored.data)
    ]
    found.events = len(events)
    told: defaultdict[str, set[str]] = defaultdict(set)
    for event in events:
        if event.kind is EventKind.STEP and event.job_id is not None and event.status != "running":
            told[event.job_id].add(event.status)
    for job_id, record in ended.items():
        if told[job_id] != {record.state.value}:
            found.findings.append(f"job {job_id} {record.state}, but events say {sorted(told[job_id]) or 'nothing'}")
    finished = Counter(event.run_id for event in events if event.kind is EventKind.FINISH)
    for run in runs:
        if not finished[run.run_id]:
            found.findings.append(f"run {run.run_id}: nobody told that it finished")


async def _judge_objects(blob: Blob, record: JobRecord, found: Audit) -> None:
    result = record.result
    assert result is not None
    if result.log_key is not None and not await blob.exists(result.log_key):
        found.logs_missing += 1
    reference = result.result_ref
    if reference is not None:
        found.large_results += 1
        data = await blob.get(reference.key)
        if data is None or (len(data), digest_of(data)) != (reference.size, reference.sha256):
            found.findings.append(f"job {record.job.job_id}: its large result {reference.key} is missing or damaged")


Histories = dict[str, list[tuple[int, JobRecord]]]
"""The records of each job, (revision, record), oldest first. The bucket keeps the last five, which is enough: nothing
is written after a terminal record, unless by mistake, and then the two are neighbours."""


async def _histories(bus: JetStreamBus) -> Histories:
    histories: Histories = defaultdict(list)
    for stored in await _bucket(bus, subject.JOBS_BUCKET):
        record = decode_record(stored.data)
        histories[record.job.job_id].append((stored.sequence, record))
    return dict(histories)


async def _runs(bus: JetStreamBus) -> list[RunRecord]:
    """The newest record of each run."""
    records = [stored for stored in await _bucket(bus, subject.RUNS_BUCKET) if ".run." in stored.subject]
    return [decode_run(stored.data) for stored in {stored.subject: stored for stored in records}.values()]


async def _stopped_runs(bus: JetStreamBus) -> set[str]:
    """Runs with a cancel flag: somebody failed, or gave a job up."""
    flags = [stored for stored in await _bucket(bus, subject.RUNS_BUCKET) if ".cancel." in stored.subject]
    return {stored.subject.split(".")[-1] for stored in flags}


async def _plan(bus: JetStreamBus) -> tuple[str, Plan]:
    """The one plan of the trial, and its digest."""
    names = {
        stored.subject.split(".")[-1]
        for stored in await read_stream(bus.connection, f"OBJ_{subject.PLANS_BUCKET}")
        if ".M." in stored.subject
    }
    assert len(names) == 1, f"all runs of a trial carry out one plan, there are {len(names)}"
    digest = base64.urlsafe_b64decode(names.pop()).decode()
    data = await bus.get_object(digest, READ_S)
    assert data is not None
    return digest, read_plan(data)


async def _bucket(bus: JetStreamBus, bucket: str) -> list[Stored]:
    return await read_stream(bus.connection, f"KV_{bucket}")


def _story(records: Sequence[JobRecord]) -> str:
    return ", ".join(f"{record.state} by {record.worker}/{record.attempt_nonce}" for record in records)
