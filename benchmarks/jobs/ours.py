"""This project as a contender: provisioned like the real thing, and audited in its records, queues and events."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.chaos.stream import read_stream
from tests.nats_server import NatsServer

from benchmarks.jobs.contender import Contender
from benchmarks.tool import PYTHON
from forge_runtime import subject
from forge_runtime.bus.batches import lines
from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.bus.provision import provision
from forge_runtime.event import decode_event
from forge_runtime.job import JobState, decode_record


def ours() -> Contender:
    return Contender(
        name="this project",
        promises="durable record before and after, lease and fencing, events, cancel flag, retries, dead letters",
        worker=_worker,
        load=(PYTHON, "-m", "benchmarks.jobs.load", "*"),
        prepare=lambda server: asyncio.run(_prepare(server)),
        audit=lambda server, jobs: asyncio.run(_audit(server, jobs)),
    )


def fair() -> Contender:
    """The same, asked by two runs."""
    return replace(ours(), load=(PYTHON, "-m", "benchmarks.jobs.fairness", "*"))


def bare() -> Contender:
    """What a job costs without a platform: an audit of it finds as many results as jobs, and an empty queue."""
    argv = (PYTHON, "-m", "benchmarks.jobs.bare")
    return Contender(
        name="by hand over nats-py",
        promises="durable message, lease and result; no renewal or fencing, no events, no retries, no cancelling",
        worker=lambda _number, slots, _folder: (*argv, "worker", str(slots)),
        load=(*argv, "*"),
        prepare=lambda server: asyncio.run(_prepare_bare(server)),
        audit=lambda server, jobs: asyncio.run(_audit_bare(server, jobs)),
    )


def floor() -> Contender:
    argv = (PYTHON, "-m", "benchmarks.jobs.floor")
    return Contender(
        name="floor: publish and put, nobody works",
        promises="one stored message and one stored record a job, nothing else",
        load=(*argv, "*"),
        prepare=lambda server: asyncio.run(_prepare_floor(server)),
    )


def _worker(number: int, slots: int, folder: Path) -> tuple[str, ...]:
    return (PYTHON, "-m", "benchmarks.jobs.worker", f"worker-ci-{number}", str(slots), str(folder))


async def _prepare(server: NatsServer) -> None:
    bus = await connect(server.settings("bench"))
    await provision(bus)
    await bus.close()


async def _prepare_bare(server: NatsServer) -> None:
    from benchmarks.jobs.bare import prepare

    bus = await connect(server.settings("bench"))
    await prepare(bus.connection.jetstream)
    await bus.close()


async def _audit_bare(server: NatsServer, jobs: int) -> None:
    from benchmarks.jobs.bare import RESULTS, STREAM

    bus = await connect(server.settings("bench"))
    try:
        await _emptied(bus, STREAM)
        results = await read_stream(bus.connection, f"KV_{RESULTS}")
        assert len(results) == jobs, f"{len(results)} of {jobs} jobs have a result"
    finally:
        await bus.close()


async def _prepare_floor(server: NatsServer) -> None:
    from benchmarks.jobs.floor import prepare

    bus = await connect(server.settings("bench"))
    await prepare(bus)
    await bus.close()


async def _audit(server: NatsServer, jobs: int) -> None:
    """Every job succeeded, once, and was told so; nothing is left in a queue or among the dead letters."""
    bus = await connect(server.settings("bench"))
    try:
        await _emptied(bus, *(queue.stream for queue in subject.QUEUES))
        records = [decode_record(stored.data) for stored in await read_stream(bus.connection, _RECORDS)]
        ends = Counter(record.job.job_id for record in records if record.state.terminal)
        good = Counter(record.job.job_id for record in records if record.state is JobState.SUCCEEDED)
        assert len(ends) == jobs, f"{len(ends)} of {jobs} jobs ended"
        assert ends == good, "a job did not succeed"
        assert set(ends.values()) == {1}, "a job was completed twice"
        events = [
            decode_event(event)
            for stored in await read_stream(bus.connection, subject.EVENTS_STREAM)
            for event in lines(stored.data)
        ]
        told = Counter(event.status for event in events)
        assert told["succeeded"] == jobs, f"{told['succeeded']} of {jobs} ends were told"
        assert not await read_stream(bus.connection, subject.DEAD_LETTERS_STREAM), "there are dead letters"
    finally:
        await bus.close()


async def _emptied(bus: JetStreamBus, *streams: str) -> None:
    """The asker knows a job's end before its message is acknowledged: that takes a moment more."""
    async with asyncio.timeout(10):
        for stream in streams:
            while (await bus.connection.jetstream.stream_info(stream)).state.messages:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


_RECORDS = f"KV_{subject.JOBS_BUCKET}"
