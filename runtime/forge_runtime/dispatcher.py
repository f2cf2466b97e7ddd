"""The dispatcher: the process behind each leaf of a run's workflow. It submits jobs, waits for them, and exits.

    discover --run forge-<uuid>                            submit the discovery job, write its unit ids as outputs
    run      --run forge-<uuid> --plan DIGEST --unit UNIT  a unit: tasks together, waves in order, steps together;
                                                           or one step of a task, after the waves before it;
                                                           or projects to release (flow.py)
    finish   --run forge-<uuid> --status WORD              settle what has not ended, tell the API that nothing runs

It keeps nothing: killed and started again, or running twice at once, it finds the same jobs by their ids and comes to
the same end. It never calls the API. Exit codes: 0 succeeded; 1 a job failed; 75 infrastructure, try again; 76 the run
was cancelled or failed elsewhere; 78 the plan, the run record or the command line is bad.

Base dependencies only (msgspec, nats-py): its start-up is paid once per pod.
"""

import asyncio
import enum
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from forge_runtime import subject
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.port import BadObject, Bus, BusUnavailable, NotAllowed, TooLarge
from forge_runtime.command_line import USAGE, BadCommand, Command, parse_command
from forge_runtime.envelope import Envelope, PayloadTooLarge, earlier_of, lanes_of
from forge_runtime.event import Event, EventKind
from forge_runtime.flow import BadResult, Part, begun, bring_to_end, data_of, discovery_part, parts_of
from forge_runtime.job import DiscoveryData, JobRecord, JobState, JobType, utc_text
from forge_runtime.lane import RUN_WINDOW, window_of
from forge_runtime.ledger import Ledger, NoRecord
from forge_runtime.outage import ride_out
from forge_runtime.run import CancelFlag, CancelReason, RunRecord
from forge_runtime.settings import BadSettings, BusSettings, read_bus_settings
from forge_runtime.settle import Settlement
from forge_runtime.submit import GaveUp, Submitter
from forge_runtime.tasks import end_tasks
from forge_runtime.telemetry import configure_logging, log_fields
from forge_runtime.trace import trace_id_of
from forge_runtime.watch import Watch, watch_run
from forgec import ids
from forgec.plan.digest import read_plan
from forgec.plan.model import GROUPS_MAX, Plan

COMPONENT: Final = "dispatcher"
PATIENCE_S: Final = 60.0
"""An outage longer than this ends the dispatcher (75); the workflow starts it again, twice at most."""

PLAN_READ_S: Final = 30.0
OUTPUT_DIR_DEFAULT: Final = "/tmp/forge"  # noqa: S108 - the pod's own, and where the workflow reads outputs

_log = logging.getLogger(__name__)


class Exit(enum.IntEnum):
    SUCCEEDED = 0
    FAILED = 1
    INFRASTRUCTURE = 75
    STOPPED = 76
    CONFIGURATION = 78


class BadConfiguration(Exception):
    """The plan or the run record is not what it must be; trying again changes nothing."""


def main(argv: Sequence[str] | None = None) -> int:
    configure_logging(COMPONENT)
    words = sys.argv[1:] if argv is None else argv
    if "--help" in words:
        print(USAGE, end="")
        return Exit.SUCCEEDED
    try:
        return asyncio.run(_main(parse_command(words), os.environ))
    except (BadCommand, BadConfiguration, BadSettings) as error:
        _log.error("cannot start", extra={"why": str(error)})
        return Exit.CONFIGURATION
    except Exception:
        # Python's own exit code is 1, which would say that a job failed.
        _log.exception("the dispatcher failed")
        return Exit.INFRASTRUCTURE


@dataclass(slots=True, kw_only=True)
class Dispatcher:
    """One leaf of one run over an open bus. `terminated` is set when the process is told to go (SIGTERM)."""

    bus: Bus
    run_id: str
    terminated: asyncio.Event = field(default_factory=asyncio.Event)
    output_dir: Path = Path(OUTPUT_DIR_DEFAULT)
    _ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.bus, PATIENCE_S)

    async def perform(self, command: Command) -> Exit:
        """The leaf's exit code; every expected trouble becomes one, with a log line that says why."""
        try:
            match command.leaf:
                case "discover":
                    return await self._discover()
                case "run":
                    assert command.plan is not None
                    assert command.unit is not None
                    return await self._run(command.plan, command.unit)
                case _:
                    return await self._finish(command.status, command.plan)
        except NotAllowed as error:
            _log.error("not allowed at the bus", extra={"why": str(error)})
            return Exit.CONFIGURATION
        except BusUnavailable as error:
            _log.error("the bus stayed away", extra={"why": str(error), "limit_s": PATIENCE_S})
            return Exit.INFRASTRUCTURE
        except GaveUp as error:
            _log.error("gave up waiting", extra={"why": str(error)})
            return Exit.INFRASTRUCTURE
        except OSError as error:
            _log.error("cannot write outputs", extra={"why": str(error), "directory": str(self.output_dir)})
            return Exit.INFRASTRUCTURE
        except (BadConfiguration, BadResult, NoRecord, PayloadTooLarge, TooLarge, msgspec.DecodeError) as error:
            _log.error("cannot go on", extra={"why": str(error)})
            return Exit.CONFIGURATION

    async def _discover(self) -> Exit:
        run = await self._ledger.run(self.run_id)
        code = await self._carry(run, [discovery_part(Envelope(run, self._ledger.clock()))])
        if code is Exit.SUCCEEDED:
            record = await self._ledger.read(self.run_id, ids.discovery_job_id(self.run_id))
            if record is None:
                raise NoRecord(f"the discovery job of run {self.run_id} succeeded, and has no record any more")
            write_outputs(data_of(record, DiscoveryData), self.output_dir)
        return code

    async def _run(self, digest: str, unit_id: str) -> Exit:
        run = await self._ledger.run(self.run_id)
        plan = await self._plan(digest)
        parts = parts_of(plan, unit_id, Envelope(run, self._ledger.clock(), digest, lanes_of(plan), earlier_of(plan)))
        if parts is None:
            raise BadConfiguration(f'plan {digest} has no unit "{unit_id}"')
        return await self._carry(run, parts, window_of(plan.together(unit_id)))

    async def _finish(self, word: str, plan_digest: str | None) -> Exit:
        records = await self._ledger.records(self.run_id)
        open_jobs = [record.job.job_id for record in records if not record.state.terminal]
        succeeded = word == "succeeded"
        if open_jobs or not succeeded:
            # The flag reaches workers whose dispatcher is gone; where the run ended for a reason, that one stays.
            await self._raise_flag(CancelReason.FAILED, None)
        if open_jobs:
            async with watch_run(self.bus, self.run_id) as watch:
                await self._settle(watch, open_jobs, list(JobType), force=True)
        if plan_digest is None:
            plan_digest = _planned(records)
        await self._ledger.publish(
            Event(
                kind=EventKind.FINISH,
                run_id=self.run_id,
                status="succeeded" if succeeded else "failed",
                at=utc_text(self._ledger.clock()),
                plan_digest=plan_digest,
            )
        )
        facts = {"status": word, "jobs": len(records), "settled": len(open_jobs)}
        trace_id = next((trace_id_of(record.job.traceparent) for record in records), None)
        _log.info("run finished", extra={**facts, "trace_id": trace_id})
        return Exit.SUCCEEDED

    async def _carry(self, run: RunRecord, parts: Sequence[Part], window: int = RUN_WINDOW) -> Exit:
        """Bring the parts to their end, or settle the jobs of them when the run must end before."""
        about = {
            "repository": run.repository,
            "commit_sha": run.commit_sha,
            "trace_id": trace_id_of(run.traceparent),
        }
        with log_fields(**about):
            return await self._carry_on(run, parts, window)

    async def _carry_on(self, run: RunRecord, parts: Sequence[Part], window: int) -> Exit:
        async with watch_run(self.bus, self.run_id) as watch:
            _log.info("work to bring to its end", extra={"parts": len(parts)})
            if await self._ledger.flag(self.run_id) is None:
                code = await self._await_jobs(Submitter(self._ledger, watch, window), run, parts)
                if code is not None:
                    return code
            jobs = await begun(parts, self._ledger)
            records = await self._settle(watch, [job.job_id for job in jobs], {job.type for job in jobs})
        return _stopped(records)

    async def _await_jobs(self, submitter: Submitter, run: RunRecord, parts: Sequence[Part]) -> Exit | None:
        """How it ended; None where what is left must be settled, and the run's flag says why."""
        work = asyncio.create_task(bring_to_end(parts, submitter))
        flagged = asyncio.create_task(self._flagged(submitter.watch, run))
        terminated = asyncio.create_task(self.terminated.wait())
        try:
            await asyncio.wait({work, flagged, terminated}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                bad = work.result()
                if bad is None:
                    _log.info("all jobs ended, none stops the run")
                    return Exit.SUCCEEDED
                if bad.state is not JobState.CANCELLED:
                    await self._raise_flag(CancelReason.FAILED, bad.job.job_id)
            elif flagged.done():
                if flagged.result() is None:
                    await self._raise_flag(CancelReason.DEADLINE, None)
            elif await self._flag_now() is None:
                _log.info("told to go while the run goes on: its jobs go on without us")
                return Exit.INFRASTRUCTURE
            return None
        finally:
            await end_tasks(work, flagged, terminated)

    async def _flagged(self, watch: Watch, run: RunRecord) -> CancelFlag | None:
        """Why the run must end; None once it is beyond its limit, by the bus's clock: ours may be hours ahead."""
        now = await ride_out(self.bus.time, limit_s=PATIENCE_S, bus=self.bus)
        key = subject.cancel_key(self.run_id)
        return await watch.until(key, lambda: self._ledger.flag(self.run_id), run.deadline_at - now)

    async def _settle(
        self, watch: Watch, job_ids: Iterable[str], pools: Iterable[JobType], *, force: bool = False
    ) -> list[JobRecord]:
        flag = await self._ledger.flag(self.run_id)
        if flag is None:  # a job was cancelled by somebody who raised no flag
            flag = await self._raise_flag(CancelReason.CANCELLED, None)
        _log.info("the run ends", extra={"reason": flag.reason, "by": flag.by, "failed_job": flag.job_id})
        settlement = Settlement(self._ledger, watch, self.run_id, flag, COMPONENT, force)
        return await settlement.settle(job_ids, pools)

    async def _flag_now(self) -> CancelFlag | None:
        """Asked once: whoever is told to go has less time than an outage may last, and is started anew."""
        with suppress(BusUnavailable):
            return await Ledger(self.bus, patience_s=0.0).flag(self.run_id)
        return None

    async def _raise_flag(self, reason: CancelReason, job_id: str | None) -> CancelFlag:
        flag = CancelFlag(reason=reason, by=COMPONENT, at=self._ledger.clock(), job_id=job_id)
        await self._ledger.raise_flag(self.run_id, flag)
        return flag

    async def _plan(self, digest: str) -> Plan:
        try:
            data = await ride_out(lambda: self.bus.get_object(digest, PLAN_READ_S), limit_s=PATIENCE_S, bus=self.bus)
        except BadObject as error:
            raise BadConfiguration(str(error)) from None
        if data is None:
            raise BadConfiguration(f"plan {digest} is not in the plan store: it is put there by the discovery job")
        return read_plan(data)


def write_outputs(data: DiscoveryData, directory: Path) -> None:
    """The discovery leaf's output parameters, one file each: `plan`, `group-01` ... `group-16`, `release`.

    Written under another name and renamed, so that the engine never reads half a file.
    """
    if len(data.groups) > GROUPS_MAX:
        raise BadConfiguration(
            f"the plan has {len(data.groups)} groups with work, a workflow has room for {GROUPS_MAX}"
        )
    directory.mkdir(parents=True, exist_ok=True)
    groups = [*data.groups, *[()] * (GROUPS_MAX - len(data.groups))]
    outputs = {f"group-{index:02d}": _json(unit_ids) for index, unit_ids in enumerate(groups, 1)}
    outputs |= {"release": _json(data.release), "plan": data.plan_digest}
    for name, text in outputs.items():
        unfinished = directory / f".{name}.{os.getpid()}"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(directory / name)


async def _main(command: Command, environ: Mapping[str, str]) -> int:
    terminated = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, terminated.set)
    async with AsyncExitStack() as cleanup:
        cleanup.enter_context(log_fields(run_id=command.run_id, leaf=command.leaf, unit=command.unit))
        settings = read_bus_settings(environ, subject.DISPATCHER)
        try:
            bus = await _connected(settings, terminated)
        except BusUnavailable as error:
            _log.error("cannot reach the bus", extra={"why": str(error)})
            return Exit.CONFIGURATION if isinstance(error, NotAllowed) else Exit.INFRASTRUCTURE
        cleanup.push_async_callback(bus.close)
        dispatcher = Dispatcher(
            bus=bus,
            run_id=command.run_id,
            terminated=terminated,
            output_dir=Path(environ.get("FORGE_OUTPUT_DIR", OUTPUT_DIR_DEFAULT)),
        )
        return await dispatcher.perform(command)


async def _connected(settings: BusSettings, terminated: asyncio.Event) -> JetStreamBus:
    """BusUnavailable when it stays away for our patience, or when we are told to go before it is there."""
    connecting = asyncio.create_task(ride_out(lambda: connect(settings), limit_s=PATIENCE_S))
    told = asyncio.create_task(terminated.wait())
    try:
        await asyncio.wait({connecting, told}, return_when=asyncio.FIRST_COMPLETED)
        if connecting.done():
            return connecting.result()
        raise BusUnavailable("told to end before there was a connection")
    finally:
        await end_tasks(connecting, told)


def _stopped(records: Iterable[JobRecord]) -> Exit:
    """A unit that holds a failure says so even if it heard of the flag first; so each failure is told once."""
    return Exit.FAILED if any(record.fails_run for record in records) else Exit.STOPPED


def _planned(records: Iterable[JobRecord]) -> str | None:
    """The plan of a run that was discovered."""
    for record in records:
        if record.job.type is JobType.DISCOVERY and record.state is JobState.SUCCEEDED:
            return data_of(record, DiscoveryData).plan_digest
    return None


def _json(unit_ids: Sequence[str]) -> str:
    return msgspec.json.encode(unit_ids).decode()


if __name__ == "__main__":
    sys.exit(main())
