"""Who may do what at the NATS server: the duties of each service, as subjects of the one table of names. Pure.

    dispatcher      publishes jobs, keeps their records, reads plans
    worker-<pools>  takes the jobs of its own pools, keeps their records, tells how they went
    api             writes runs, reads events; the sweeper, which it runs, mends queues
    operator        `forge dead-letters`
    provisioner     `forge provision`

Each is alone in an account of the server, which imports what he may publish and nothing else (server_config.py): an
answer that he sends somewhere else than to himself reaches no more than he does.

A user may do what his duties need and nothing else; what NATS can tell apart by subject is told apart. Some things it
cannot tell apart, and there one service has to trust another:

    purge     names its messages in the request's body: whoever may purge a queue may empty it
    records   are named by run and job, not by pool: whoever keeps records may write all of them, and compare-and-set
              orders those who are honest. The sweeper publishes a job whose record says `queued`, whoever wrote it; and
              a job follows from the results of others, which are records too
    inspect   whoever may look at a stream may list the subjects in it, and so the records by name
    consumer  says itself where it delivers: whoever may make one (provisioner, api) has it write anywhere
    inbox     is shared by all processes of one user
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from nats.js.client import KV_PRE_TEMPLATE, KV_STREAM_TEMPLATE
from nats.js.object_store import OBJ_CHUNKS_PRE_TEMPLATE, OBJ_META_PRE_TEMPLATE, OBJ_STREAM_TEMPLATE

from forge_runtime import subject
from forge_runtime.bus.assets import Asset, wanted_assets, worker_assets
from forge_runtime.envelope import event_kind
from forge_runtime.event import EventKind
from forge_runtime.job import JobType
from forge_runtime.subject import QUEUES, Follower, WorkQueue

_ANY: Final = "*"
_OF_JOBS: Final = frozenset(map(event_kind, JobType))


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Something that a service does, and the subjects it needs for it; `*` and `>` as NATS reads them."""

    title: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    name: str
    duties: tuple[Duty, ...]

    @property
    def publish(self) -> tuple[str, ...]:
        """Everything that he may publish; each once, sorted."""
        return tuple(sorted({each for duty in self.duties for each in duty.publish}))

    @property
    def subscribe(self) -> tuple[str, ...]:
        return tuple(sorted({each for duty in self.duties for each in duty.subscribe}))

    @property
    def hears(self) -> tuple[str, ...]:
        """What he may subscribe to, without what is said to himself."""
        return tuple(each for each in self.subscribe if not each.startswith(f"{subject.inbox_prefix(self.name)}."))


def users(workers: Iterable[Sequence[str]]) -> tuple[User, ...]:
    """All of an installation; `workers` are the sets of pools that a worker process may serve there.

    NoSuchPool where one is not of the table.
    """
    duties = {
        subject.API: _api(),
        subject.DISPATCHER: _dispatcher(),
        subject.OPERATOR: _operator(),
        subject.PROVISIONER: (_provision(),),
        **{subject.worker_user(pools): _worker(subject.queues_of(pools)) for pools in workers},
    }
    return tuple(User(name=name, duties=(*duties[name], _hear_replies(name))) for name in duties)


def _dispatcher() -> tuple[Duty, ...]:
    return (
        _publish_jobs(),
        _purge_jobs(),
        _keep_job_records(),
        _list_job_records(),
        _hear_of_jobs(),
        _read_runs(),
        _keep_cancel_flags(),
        _hear_of_cancelled_runs(),
        _read_plans(),
        _publish_events(),
        _announce_ends(),
    )


def _worker(queues: Sequence[WorkQueue]) -> tuple[Duty, ...]:
    return (
        _inspect(asset for queue in queues for asset in worker_assets(queue)),
        _take_jobs(queues),
        _hand_over_jobs(queues),
        _bury_jobs(queues),
        _keep_job_records(),
        _read_runs(),
        _keep_cancel_flags(),
        _hear_of_cancelled_runs(),
        _publish_events({event_kind(job_type) for job_type in JobType if subject.queue_of(job_type) in queues}),
        Duty(title="publish log lines", publish=(subject.log_subject(_ANY, _ANY),)),
        *((_store_plans(),) if subject.queue_of(JobType.DISCOVERY) in queues else ()),
    )


def _api() -> tuple[Duty, ...]:
    return (
        _inspect(wanted_assets()),
        _publish_jobs(),
        _purge_jobs(),
        _mend_queues(),
        _follow(subject.FOLLOWERS),
        _bury_jobs(QUEUES),
        _keep_job_records(),
        _list_job_records(),
        _hear_of_jobs(),
        _read_runs(),
        _write_runs(),
        _keep_cancel_flags(),
        _hear_of_cancelled_runs(),
        _read_plans(),
        _publish_events(),
    )


def _operator() -> tuple[Duty, ...]:
    """Looks at dead letters, drops them, and puts their jobs back to work."""
    letters = (
        _ask("STREAM.MSG.GET", subject.DEAD_LETTERS_STREAM),
        _ask("STREAM.MSG.DELETE", subject.DEAD_LETTERS_STREAM),
    )
    return (
        Duty(title="read and drop dead letters", publish=letters),
        _keep_job_records(),
        _read_runs(),
        _publish_jobs(),
    )


def _publish_jobs() -> Duty:
    return Duty(title="publish jobs", publish=tuple(queue.filter for queue in QUEUES))


def _purge_jobs() -> Duty:
    return Duty(title="purge jobs", publish=tuple(_ask("STREAM.PURGE", queue.stream) for queue in QUEUES))


def _take_jobs(queues: Sequence[WorkQueue]) -> Duty:
    needed = (each for queue in queues for consumer in queue.consumers for each in _consume(queue.stream, consumer))
    return Duty(title="take jobs of its pools", publish=tuple(needed))


def _hand_over_jobs(queues: Sequence[WorkQueue]) -> Duty:
    """To another worker of the pool, which could as well have pulled them."""
    offers = [subject.offer_subject(queue.pool, _ANY) for queue in queues]
    answers = [subject.answer_subject(queue.pool, _ANY, _ANY) for queue in queues]
    return Duty(title="hand over jobs of its pools", publish=(*offers, *answers), subscribe=(*offers, *answers))


def _mend_queues() -> Duty:
    """Find what a queue hands out no more, and take it out."""
    verbs = ("STREAM.MSG.GET", "STREAM.MSG.DELETE")
    return Duty(
        title="take out stranded jobs", publish=tuple(_ask(verb, queue.stream) for queue in QUEUES for verb in verbs)
    )


def _bury_jobs(queues: Sequence[WorkQueue]) -> Duty:
    return Duty(
        title="bury jobs of its pools",
        publish=tuple(subject.dead_letter_subject(queue.pool, _ANY, _ANY) for queue in queues),
    )


def _follow(followers: Sequence[Follower]) -> Duty:
    """The projector makes its consumer if somebody deleted it."""
    needed = [
        _ask("CONSUMER.DURABLE.CREATE", follower.stream, follower.consumer)
        for follower in followers
        if follower.consumer == subject.PROJECTOR
    ]
    for follower in followers:
        needed += _consume(follower.stream, follower.consumer)
    return Duty(title="read events and advisories", publish=tuple(needed))


def _keep_job_records() -> Duty:
    """Whoever writes a job's end tells it to its dispatcher."""
    told = subject.ended_subject(_ANY, _ANY)
    return Duty(title="read and write job records", publish=(*_read_write(subject.JOBS_BUCKET, _JOB), told))


def _list_job_records() -> Duty:
    return Duty(title="list job records", publish=(_ask("STREAM.INFO", _bucket_stream(subject.JOBS_BUCKET)),))


def _hear_of_jobs() -> Duty:
    return Duty(title="hear of jobs that ended", subscribe=(subject.ended_subjects(_ANY),))


def _read_runs() -> Duty:
    keys = (subject.run_key(_ANY), subject.cancel_key(_ANY))
    return Duty(title="read runs and their flags", publish=tuple(_read(subject.RUNS_BUCKET, key) for key in keys))


def _write_runs() -> Duty:
    return Duty(title="write runs", publish=(_record(subject.RUNS_BUCKET, subject.run_key(_ANY)),))


def _keep_cancel_flags() -> Duty:
    return Duty(title="cancel runs", publish=_read_write(subject.RUNS_BUCKET, subject.cancel_key(_ANY)))


def _hear_of_cancelled_runs() -> Duty:
    return Duty(title="hear of cancelled runs", subscribe=(_record(subject.RUNS_BUCKET, subject.CANCEL_KEYS),))


def _read_plans() -> Duty:
    return Duty(title="read plans", publish=(_ask("STREAM.MSG.GET", _PLANS_STREAM),))


def _store_plans() -> Duty:
    """Storing one anew looks for the old one, and takes its parts away."""
    parts = (OBJ_CHUNKS_PRE_TEMPLATE, OBJ_META_PRE_TEMPLATE)
    return Duty(
        title="store plans",
        publish=(
            *(template.format(bucket=subject.PLANS_BUCKET, obj=_ANY) for template in parts),
            _ask("STREAM.MSG.GET", _PLANS_STREAM),
            _ask("STREAM.PURGE", _PLANS_STREAM),
        ),
    )


def _publish_events(kinds: Collection[EventKind] = _OF_JOBS) -> Duty:
    told = (kind for kind in EventKind if kind in kinds)
    return Duty(title="publish events of jobs", publish=tuple(subject.event_subject(_ANY, kind) for kind in told))


def _announce_ends() -> Duty:
    return Duty(title="announce the end of runs", publish=(subject.event_subject(_ANY, EventKind.FINISH),))


def _inspect(assets: Iterable[Asset]) -> Duty:
    """To refuse work on a bus that is not as this version needs it."""
    needed = [
        _ask("STREAM.INFO", asset.stream)
        if asset.consumer is None
        else _ask("CONSUMER.INFO", asset.stream, asset.consumer)
        for asset in assets
    ]
    return Duty(title="inspect streams and consumers", publish=tuple(needed))


def _provision() -> Duty:
    """Every stream and consumer of the table by its name; no message of theirs."""
    needed: list[str] = []
    for asset in wanted_assets():
        if asset.consumer is None:
            needed += [_ask(f"STREAM.{verb}", asset.stream) for verb in ("INFO", "CREATE", "UPDATE", "DELETE")]
        else:
            verbs = ("INFO", "DURABLE.CREATE", "DELETE")
            needed += [_ask(f"CONSUMER.{verb}", asset.stream, asset.consumer) for verb in verbs]
            # Updates take this form; it ends with the subjects that the consumer filters by.
            needed += [_ask("CONSUMER.CREATE", asset.stream, asset.consumer, ">")]
    return Duty(title="make and change streams and consumers", publish=tuple(needed))


def _hear_replies(user: str) -> Duty:
    return Duty(title="hear replies to itself", subscribe=(f"{subject.inbox_prefix(user)}.>",))


def _consume(stream: str, consumer: str) -> tuple[str, ...]:
    """To pull and to acknowledge, also with the longer ack subjects (domain, account) that servers know too."""
    return (
        _ask("CONSUMER.MSG.NEXT", stream, consumer),
        f"$JS.ACK.{stream}.{consumer}.>",
        f"$JS.ACK.*.*.{stream}.{consumer}.>",
    )


def _read_write(bucket: str, key: str) -> tuple[str, str]:
    return _read(bucket, key), _record(bucket, key)


def _read(bucket: str, key: str) -> str:
    return _ask("DIRECT.GET", _bucket_stream(bucket), _record(bucket, key))


def _record(bucket: str, key: str) -> str:
    return KV_PRE_TEMPLATE.format(bucket=bucket) + key


def _bucket_stream(bucket: str) -> str:
    return KV_STREAM_TEMPLATE.format(bucket=bucket)


def _ask(verb: str, *names: str) -> str:
    return ".".join(("$JS.API", verb, *names))


_JOB: Final = subject.job_key(_ANY, _ANY)
_PLANS_STREAM: Final = OBJ_STREAM_TEMPLATE.format(bucket=subject.PLANS_BUCKET)
