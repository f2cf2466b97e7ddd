"""The work of an attempt: a handler, its directory, its log and its limits; whatever happens becomes an outcome."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from forge_runtime import subject
from forge_runtime.blob import Blob, BlobUnavailable
from forge_runtime.bus.port import Bus, BusUnavailable
from forge_runtime.envelope import address_of
from forge_runtime.folder import remove_folder
from forge_runtime.job import ERROR_MESSAGE_CHARS_MAX, ErrorRecord, JobRecord, JobState, JobType, utc_text
from forge_runtime.ledger import Ledger
from forge_runtime.log import StepLog, log_key
from forge_runtime.outage import ride_out
from forge_runtime.submit import START_ALLOWANCE_S
from forge_runtime.watch import Watch
from forge_runtime.worker.handler import Handler, JobContext, Outcome

LOG_STORE_S: Final = 60.0
"""For the largest log of 64 MiB over a slow line."""

_log = logging.getLogger(__name__)


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
    drain: asyncio.Event = field(default_factory=asyncio.Event)


async def execute(bench: Bench, record: JobRecord, component: str) -> Outcome:
    """The handler's outcome within the job's limits; what it raises becomes an error of ours."""
    job = record.job
    folder = bench.scratch / f"{job.job_id}-{record.attempt_nonce}"
    limit_s = job.limits.start_to_close_s + START_ALLOWANCE_S
    try:
        async with _kept_log(bench, record, folder) as log, asyncio.timeout(limit_s):
            context = JobContext(
                worker=bench.worker,
                component=component,
                attempt=record.starts,
                scratch=folder / "files",
                documents=_BusDocuments(bench.bus, bench.ledger.patience_s),
                log=log,
                clock=bench.ledger.clock,
            )
            context.scratch.mkdir()
            return await bench.handlers[job.type].handle(job, context)
    except TimeoutError:
        message = f"the attempt did not end within {limit_s:g} s (the job's limit and {START_ALLOWANCE_S:g} s)"
        return failed("STEP_TIMEOUT", "timeout", message, component=component, now=bench.ledger.clock())
    except BusUnavailable as error:
        message = f"the bus was not available: {error}"
        return failed("INTERNAL", "infra", message, component=component, now=bench.ledger.clock())
    except Exception as error:
        _log.exception("handler failed")
        message = f"the worker failed: {type(error).__name__}: {error}"
        return failed("INTERNAL", "internal", message, component=component, now=bench.ledger.clock())
    finally:
        await asyncio.to_thread(remove_folder, folder)


def failed(code: str, error_class: str, message: str, *, component: str, now: float) -> Outcome:
    """An outcome for what the worker itself has to answer for."""
    error = ErrorRecord(
        code=code,
        message=message[:ERROR_MESSAGE_CHARS_MAX],
        component=component,
        error_class=error_class,
        timestamp=utc_text(now),
    )
    return Outcome(status=JobState.FAILED, error=error)


def log_key_of(record: JobRecord) -> str:
    """Where the log of the record's present attempt lies in the object store."""
    address = address_of(record.job)
    return log_key(record.job.run_id, address.phase, address.project, address.step, record.starts)


@asynccontextmanager
async def _kept_log(bench: Bench, record: JobRecord, folder: Path) -> AsyncIterator[StepLog]:
    """The attempt's log; stored before the job ends, so that whoever hears of the end can read it."""
    live_subject = subject.log_subject(record.job.run_id, record.job.job_id)

    async def send(offset: int, data: bytes) -> None:
        with suppress(BusUnavailable):  # looking on is a convenience: the log itself is stored
            await bench.bus.publish_line(live_subject, data, offset)

    folder.mkdir(parents=True)  # noqa: ASYNC240 - a directory of ours, on a local disk
    log = StepLog(folder / "log", send)
    try:
        yield log
    finally:
        try:
            async with asyncio.timeout(LOG_STORE_S):
                await log.finish(bench.blob, log_key_of(record))
        except (BlobUnavailable, TimeoutError) as error:  # what the work came to counts more than its log
            _log.error("log not stored", extra={"why": str(error) or f"no answer within {LOG_STORE_S:g} s"})


@dataclass(frozen=True, slots=True)
class _BusDocuments:
    """Documents in the bus's object bucket."""

    bus: Bus
    patience_s: float

    async def put(self, digest: str, data: bytes) -> None:
        await ride_out(lambda: self.bus.put_object(digest, data), limit_s=self.patience_s)
