"""The work of an attempt: a handler, its directory, its log and its limits; whatever happens becomes an outcome."""

import asyncio
import dataclasses
import logging
import traceback
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from forge_runtime import subject
from forge_runtime.blob import Blob, BlobUnavailable
from forge_runtime.bus.port import Bus, BusUnavailable
from forge_runtime.envelope import address_of
from forge_runtime.folder import remove_folder
from forge_runtime.job import ErrorRecord, Job, JobRecord, JobType
from forge_runtime.ledger import Ledger
from forge_runtime.log import StepLog
from forge_runtime.log_store import LogStore, log_key
from forge_runtime.mask import Mask
from forge_runtime.meter import Meter, Unmetered
from forge_runtime.outage import ride_out
from forge_runtime.span import Trace, Tracer, Untraced, attempt_context
from forge_runtime.submit import START_ALLOWANCE_S
from forge_runtime.watch import Watch
from forge_runtime.worker.flags import Flags
from forge_runtime.worker.handler import Handler, JobContext, Outcome, failed
from forge_runtime.worker.results import ResultLost, StoredResults

LOG_STORE_S: Final = 60.0
"""For the largest log of 64 MiB over a slow line."""

STOPPED_LOG_STORE_S: Final = 2.0
"""Of work that was stopped: a cancelled run is to end, and a worker that drains to hand its jobs back, in seconds."""

_log = logging.getLogger(__name__)


class Drain:
    """Set when work must be handed back. All attempts wait for one future, which must not be cancelled."""

    def __init__(self) -> None:
        self._told: asyncio.Future[None] | None = None

    @property
    def told(self) -> "asyncio.Future[None]":
        if self._told is None:
            self._told = asyncio.get_running_loop().create_future()
        return self._told

    def set(self) -> None:
        if not self.told.done():
            self.told.set_result(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all attempts of a worker share. `drain` is set when work must be handed back."""

    worker: str
    bus: Bus
    ledger: Ledger
    watch: Watch
    blob: Blob
    handlers: Mapping[JobType, Handler]
    scratch: Path
    meter: Meter = field(default_factory=Unmetered)
    tracer: Tracer = field(default_factory=Untraced)
    drain: Drain = field(default_factory=Drain)
    flags: Flags = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "flags", Flags(self.ledger, self.watch))


@dataclass(slots=True)
class Execution:
    """One attempt's work. `log_key` is where its log is kept, once it has ended; None of one that printed nothing."""

    bench: Bench
    record: JobRecord
    component: str
    log_key: str | None = field(init=False, default=None)

    async def run(self) -> Outcome:
        """The handler's outcome within the job's limits; what it raises becomes an error of ours."""
        bench, record = self.bench, self.record
        folder = bench.scratch / f"{record.job.job_id}-{record.attempt_nonce}"
        async with _removed(folder), self._kept_log(folder / "log") as log:
            context = JobContext(
                worker=bench.worker,
                component=self.component,
                attempt=record.starts,
                folder=folder / "files",
                documents=_BusDocuments(bench.bus, bench.ledger.patience_s),
                results=StoredResults(bench.ledger, bench.blob, record.job.run_id),
                log=log,
                clock=bench.ledger.clock,
                trace=Trace(attempt_context(record), bench.tracer, bench.ledger.clock),
            )
            return _masked(await _handle(bench.handlers[record.job.type], record.job, context), log.mask)

    @asynccontextmanager
    async def _kept_log(self, spool: Path) -> AsyncIterator[StepLog]:
        """The attempt's log; stored before the job ends, so that whoever hears of the end can read it."""
        bench, job = self.bench, self.record.job
        live_subject = subject.log_subject(job.run_id, job.job_id)

        async def send(offset: int, data: bytes) -> None:
            with suppress(BusUnavailable):  # looking on is a convenience: the log itself is stored
                await bench.bus.publish_line(live_subject, data, offset)

        log = StepLog(spool, send, lambda: LogStore(bench.blob, _log_key_of(self.record)))
        try:
            yield log
            await self._store(log, LOG_STORE_S)
        except asyncio.CancelledError:
            await self._store(log, STOPPED_LOG_STORE_S)
            raise
        finally:
            await log.abandon()

    async def _store(self, log: StepLog, limit_s: float) -> None:
        """What the work came to counts more than its log."""
        self.log_key = log.key
        if self.log_key is None:
            return
        try:
            async with asyncio.timeout(limit_s):
                await log.finish()
        except (BlobUnavailable, OSError) as error:
            _log.error("log not stored", extra={"why": str(error) or f"no answer within {limit_s:g} s"})


async def _handle(handler: Handler, job: Job, context: JobContext) -> Outcome:
    limit_s = job.limits.start_to_close_s + START_ALLOWANCE_S
    try:
        async with asyncio.timeout(limit_s) as limit:
            return await handler.handle(job, context)
    except OSError as error:
        if isinstance(error, TimeoutError) and limit.expired():
            message = f"the attempt did not end within {limit_s:g} s (the job's limit and {START_ALLOWANCE_S:g} s)"
            return failed("STEP_TIMEOUT", "timeout", message, context)
        # A full disk, no more processes, a share that is silent: another worker's machine may have what ours lacks.
        why = str(error) or type(error).__name__
        return failed("INTERNAL", "infra", f"the machine of {context.worker} failed: {why}", context)
    except BusUnavailable as error:
        return failed("INTERNAL", "infra", f"the bus was not available: {error}", context)
    except (BlobUnavailable, ResultLost) as error:
        return failed("INTERNAL", "infra", f"what the job needs cannot be had: {error}", context)
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        _log.error("handler failed", extra={"exception": context.log.mask.text(trace)})
        return failed("INTERNAL", "internal", f"the worker failed: {type(error).__name__}: {error}", context)


def _masked(outcome: Outcome, mask: Mask) -> Outcome:
    """An exception's text may hold what the handler worked with."""
    if outcome.error is None:
        return outcome
    return dataclasses.replace(outcome, error=_masked_error(outcome.error, mask))


def _masked_error(error: ErrorRecord, mask: Mask) -> ErrorRecord:
    return msgspec.structs.replace(
        error,
        message=mask.text(error.message),
        context={name: _masked_value(value, mask) for name, value in error.context.items()},
        cause=None if error.cause is None else _masked_error(error.cause, mask),
    )


def _masked_value(value: Any, mask: Mask) -> Any:
    """Of JSON; names in it are ours."""
    match value:
        case str():
            return mask.text(value)
        case dict():
            return {name: _masked_value(each, mask) for name, each in value.items()}
        case list() | tuple():
            return [_masked_value(each, mask) for each in value]
    return value


def _log_key_of(record: JobRecord) -> str:
    """Where the log of the record's present attempt lies in the object store."""
    address = address_of(record.job)
    return log_key(record.job.run_id, address.phase, address.project, address.step, record.starts)


@asynccontextmanager
async def _removed(path: Path) -> AsyncIterator[None]:
    """A directory that work may make, gone afterwards."""
    try:
        yield
    finally:
        if path.exists():  # noqa: ASYNC240 - a look at a local disk
            await asyncio.to_thread(remove_folder, path)


@dataclass(frozen=True, slots=True)
class _BusDocuments:
    """Documents in the bus's object bucket."""

    bus: Bus
    patience_s: float

    async def put(self, digest: str, data: bytes) -> None:
        await ride_out(lambda: self.bus.put_object(digest, data), limit_s=self.patience_s, bus=self.bus)
