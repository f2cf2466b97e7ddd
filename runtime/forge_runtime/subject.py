"""Every NATS name of the platform, in one table; nobody else formats a stream, subject, consumer or key.

    pipeline.<pool>.<run>.<job>      work queues, one message a subject     -> <pool>-consumer -> workers
    pipeline.<pool>.<run>.<job>.<lane>   the same, for jobs of another lane than the main one
    forge.events.<run>.<kind>        what happened, for the API             -> api-projector
    forge.dead.<pool>.<run>.<job>    jobs that were given up, the newest letter of each
    forge.logs.<run>.<job>           live log lines, core NATS, lossy
    forge.ended.<run>.<job>          the terminal record of a job, for its dispatcher; core NATS, lossy
    forge.offers.<pool>.<worker>     a job that another worker was given, and this one may have; core NATS
    forge.answers.<pool>.<worker>.<offer>   whether it takes it
    forge-jobs  state.<run>.<job>    job records          forge-runs  run.<run>, cancel.<run>
    forge-plans sha256:<digest>      plans and discovery documents (object bucket)

A work queue has no maximum age (it would delete jobs that wait or run), refuses new messages when full (discarding old
ones loses jobs silently; refusing is backpressure), and holds one message a subject, so publishing a job twice is
publishing it once. Messages carry no `Nats-Msg-Id`: its window would swallow a job published again after a purge.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec import Struct

from forge_runtime.job import Job, JobType
from forge_runtime.lane import Lane

DAY_S: Final = 24 * 3600

JOBS_BUCKET: Final = "forge-jobs"
RUNS_BUCKET: Final = "forge-runs"
PLANS_BUCKET: Final = "forge-plans"
EVENTS_STREAM: Final = "forge-events"
DEAD_LETTERS_STREAM: Final = "forge-dead-letters"
ADVISORIES_STREAM: Final = "forge-advisories"
API: Final = "api"
DISPATCHER: Final = "dispatcher"
OPERATOR: Final = "operator"
PROVISIONER: Final = "provisioner"
"""Users of the server, as `worker_user` are; what each may do there is in bus/permission.py."""

PROJECTOR: Final = "api-projector"
SWEEPER: Final = "sweeper"

ACK_WAIT_S: Final = 30.0
"""A dead worker's job comes back after this; live workers reset it with each 10 s beat."""

MAX_DELIVER: Final = 20
"""A backstop only: starts are counted in the job record, where a hand-back costs none."""


class NoSuchPool(ValueError):
    """A pool that the table of queues does not have."""


class WorkQueue(Struct, frozen=True, kw_only=True):
    """A pool's stream, and a durable pull consumer for each of its lanes; `consumer` is the main lane's."""

    pool: str
    stream: str
    consumer: str
    messages_max: int
    lanes: tuple[Lane, ...] = (Lane.MAIN, Lane.FIRST, Lane.EARLY)
    """The main one comes first: before it is narrowed to its own jobs, a server refuses the others' consumers."""

    @property
    def filter(self) -> str:
        return f"pipeline.{self.pool}.>"

    @property
    def consumers(self) -> tuple[str, ...]:
        return tuple(map(self.lane_consumer, self.lanes))

    def lane_consumer(self, lane: Lane) -> str:
        return self.consumer if lane is Lane.MAIN else f"{self.consumer}-{lane}"

    def lane_filter(self, lane: Lane) -> str:
        """Disjoint between lanes: a work queue gives each message to one consumer."""
        return _lane_subject(f"pipeline.{self.pool}.*.*", lane)


class Bucket(Struct, frozen=True, kw_only=True):
    name: str
    history: int
    ttl_s: int


class LogStream(Struct, frozen=True, kw_only=True):
    """A stream that keeps messages for a time, whoever reads them: of each subject so many, the newest."""

    name: str
    subjects: tuple[str, ...]
    max_age_s: int
    messages_per_subject: int = -1


class Follower(Struct, frozen=True, kw_only=True):
    """A durable pull consumer of a log stream: it remembers how far its one reader has come."""

    consumer: str
    stream: str
    filter: str


QUEUES: Final = (
    WorkQueue(
        pool="discovery",
        stream="pipeline-discovery",
        consumer="discovery-consumer",
        messages_max=1000,
        lanes=(Lane.MAIN,),  # a run has one job here
    ),
    WorkQueue(pool="tasks", stream="pipeline-tasks", consumer="ci-consumer", messages_max=5000),
    WorkQueue(pool="artifacts", stream="pipeline-artifacts", consumer="artifact-consumer", messages_max=1000),
    WorkQueue(pool="releases", stream="pipeline-releases", consumer="release-consumer", messages_max=1000),
)

BUCKETS: Final = (
    Bucket(name=JOBS_BUCKET, history=5, ttl_s=7 * DAY_S),
    Bucket(name=RUNS_BUCKET, history=5, ttl_s=7 * DAY_S),
)

OBJECT_BUCKETS: Final = (Bucket(name=PLANS_BUCKET, history=1, ttl_s=7 * DAY_S),)

DEAD_LETTERS: Final = "forge.dead.>"
_UNDELIVERED: Final = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.>"

LOG_STREAMS: Final = (
    LogStream(name=EVENTS_STREAM, subjects=("forge.events.>", "forge.notices.>"), max_age_s=7 * DAY_S),
    LogStream(name=DEAD_LETTERS_STREAM, subjects=(DEAD_LETTERS,), max_age_s=30 * DAY_S, messages_per_subject=1),
    LogStream(
        name=ADVISORIES_STREAM,
        subjects=(_UNDELIVERED, "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>"),
        max_age_s=7 * DAY_S,
    ),
)

EVENTS_FILTER: Final = "forge.events.>"

FOLLOWERS: Final = (
    Follower(consumer=PROJECTOR, stream=EVENTS_STREAM, filter=EVENTS_FILTER),
    Follower(consumer=SWEEPER, stream=ADVISORIES_STREAM, filter=_UNDELIVERED),
)

_POOL: Final = {
    JobType.DISCOVERY: "discovery",
    JobType.CI: "tasks",
    JobType.ARTIFACT: "artifacts",
    JobType.RELEASE: "releases",
    JobType.DEPLOYMENT: "releases",
}


def queue_of(job_type: JobType) -> WorkQueue:
    pool = _POOL[job_type]
    return next(queue for queue in QUEUES if queue.pool == pool)


def job_subject(job_type: JobType, run_id: str, job_id: str, lane: Lane = Lane.MAIN) -> str:
    queue = queue_of(job_type)
    assert lane in queue.lanes, f"nobody looks into the lane {lane} of {queue.pool}"
    return _lane_subject(f"pipeline.{queue.pool}.{run_id}.{job_id}", lane)


def subject_of(job: Job) -> str:
    """Where the job's message lies; of a job that has a record, the record's job says so."""
    return job_subject(job.type, job.run_id, job.job_id, job.lane)


class JobSubject(NamedTuple):
    pool: str
    run_id: str
    job_id: str
    lane: Lane


def read_job_subject(subject: str) -> JobSubject:
    """The parts of a work queue's subject."""
    _, pool, run_id, job_id, *lane = subject.split(".")
    return JobSubject(pool, run_id, job_id, Lane(*lane) if lane else Lane.MAIN)


def queues_of(pools: Iterable[str]) -> tuple[WorkQueue, ...]:
    """In the order of the table; NoSuchPool for a pool that it does not have, or if none is given."""
    wanted = set(pools)
    known = [queue.pool for queue in QUEUES]
    if not wanted or not wanted <= set(known):
        unknown = ", ".join(sorted(wanted.difference(known))) or "none is given"
        raise NoSuchPool(f"no such pool: {unknown}; pools are {', '.join(known)}")
    return tuple(queue for queue in QUEUES if queue.pool in wanted)


def worker_user(pools: Iterable[str]) -> str:
    """The user that a worker of these pools is, in whatever order they are named; NoSuchPool."""
    return "-".join(("worker", *(queue.pool for queue in queues_of(pools))))


def inbox_prefix(user: str) -> str:
    """Replies to a user arrive below this, where nobody else may listen or write."""
    return f"_INBOX_{user}"


def queue_of_stream(stream: str) -> WorkQueue | None:
    """None if no pool works off this stream."""
    return next((queue for queue in QUEUES if queue.stream == stream), None)


def run_subjects(queue: WorkQueue, run_id: str) -> str:
    """All queued jobs of a run in one pool, for a purge."""
    return f"pipeline.{queue.pool}.{run_id}.>"


def event_subject(run_id: str, kind: str) -> str:
    return f"forge.events.{run_id}.{kind}"


def dead_letter_subject(pool: str, run_id: str, job_id: str) -> str:
    """Where a job's dead letter lies; `*` for a part that may be anything makes a pattern."""
    return f"forge.dead.{pool}.{run_id}.{job_id}"


def log_subject(run_id: str, job_id: str) -> str:
    return f"forge.logs.{run_id}.{job_id}"


def ended_subject(run_id: str, job_id: str) -> str:
    return f"forge.ended.{run_id}.{job_id}"


def ended_subjects(run_id: str) -> str:
    """Pattern over the ends of a run's jobs."""
    return f"forge.ended.{run_id}.>"


def worker_token(worker: str) -> str:
    """A worker's name as a part of a subject.

    Two names may become one. Then both are offered what one is, and if both take it the compare-and-set of its record
    decides; an answer is one's alone, by the name of the offer.
    """
    return re.sub(r"[^-A-Za-z0-9_]", "_", worker)


def offer_subject(pool: str, token: str) -> str:
    return f"forge.offers.{pool}.{token}"


def answer_subject(pool: str, token: str, offer: str) -> str:
    return f"forge.answers.{pool}.{token}.{offer}"


def job_key(run_id: str, job_id: str) -> str:
    return f"state.{run_id}.{job_id}"


def job_keys(run_id: str) -> str:
    """Pattern over the records of a run."""
    return f"state.{run_id}.>"


def run_key(run_id: str) -> str:
    return f"run.{run_id}"


def cancel_key(run_id: str) -> str:
    return f"cancel.{run_id}"


CANCEL_KEYS: Final = "cancel.>"


def _lane_subject(plain: str, lane: Lane) -> str:
    return plain if lane is Lane.MAIN else f"{plain}.{lane}"
