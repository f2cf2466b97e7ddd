"""The plain design as a baseline: a job is a message, its result is a reply to whoever sent it.

    dispatcher  publishes each job to a work queue, with the address of its own inbox, and waits for replies
    worker      fetches a message, works, replies to the inbox, acknowledges; the ack wait is the job's time limit

There is no record of a job, so a dispatcher that starts again knows nothing of what was done and sends everything anew;
no lease, so a dead worker's job lies still for its whole time limit. Every process is as careful as this allows: it
reconnects, goes on after errors, and answers before it acknowledges.

The stream `journal` is the trial's instrument, no part of the design: began, done, reported. A line is written after
the fact, so that a kill in between speaks for the design.

`python -m tests.chaos.naive worker NAME SLOTS | dispatcher NUMBER JOBS`
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nats.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StreamConfig
from tests.chaos.design import Verdict
from tests.chaos.observer import Observer, Sight
from tests.chaos.schedule import Size
from tests.chaos.stream import read_stream
from tests.chaos.work import work_of

from forge_runtime.bus.jetstream import JetStreamBus, connect
from forge_runtime.settings import BusSettings, read_bus_settings

JOB_LIMIT_S: Final = 60.0
"""The ack wait, and how long a dispatcher waits. Half an hour at least in real time, of which a lease's tenth would be
three minutes: less is to this design's favour."""

FETCH_S: Final = 2.0
ERROR_PAUSE_S: Final = 0.5
JOURNAL_TRIES_S: Final = 20.0

JOBS: Final = "naive-jobs"
JOURNAL: Final = "journal"
_WORKERS: Final = "workers"


class Naive:
    """One trial."""

    name = "reply to an inbox"

    def __init__(self, settings: BusSettings, replicas: int = 1) -> None:
        self._settings = settings
        self._replicas = replicas
        self._bus: JetStreamBus

    async def prepare(self, size: Size, folder: Path) -> None:
        self._size = size
        self._bus = await connect(self._settings)
        jetstream = self._bus.connection.jetstream
        await jetstream.add_stream(
            StreamConfig(
                name=JOBS, subjects=["naive.job.>"], retention=RetentionPolicy.WORK_QUEUE, num_replicas=self._replicas
            )
        )
        await jetstream.add_consumer(
            JOBS,
            ConsumerConfig(
                durable_name=_WORKERS,
                filter_subject="naive.job.>",
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=JOB_LIMIT_S,
                max_deliver=3,
            ),
        )
        await jetstream.add_stream(StreamConfig(name=JOURNAL, subjects=["journal.>"], num_replicas=self._replicas))

    @asynccontextmanager
    async def watched(self, observer: Observer) -> AsyncIterator[None]:
        async def see(message: Msg) -> None:
            _tell(observer, message.subject, message.data)

        subscription = await self._bus.connection.subscribe("journal.>", see)
        try:
            yield
        finally:
            await subscription.unsubscribe()

    async def catch_up(self, observer: Observer) -> None:
        for stored in await read_stream(self._bus.connection, JOURNAL):
            _tell(observer, stored.subject, stored.data)

    def worker(self, name: str) -> list[str]:
        return ["-m", "tests.chaos.naive", "worker", name, str(self._size.slots)]

    def services(self) -> dict[str, list[str]]:
        return {}

    def dispatchers(self) -> dict[str, list[str]]:
        number = self._size.runs * self._size.units
        jobs = self._size.jobs // number
        return {
            f"dispatcher-{index}": ["-m", "tests.chaos.naive", "dispatcher", str(index), str(jobs)]
            for index in range(number)
        }

    def last_dispatchers(self) -> dict[str, list[str]]:
        return {}

    async def cancel_run(self) -> None:
        """There is nothing that could be told."""

    def ended_well(self, dispatcher: str, exit_code: int) -> bool:
        return exit_code == 0

    async def settle(self) -> None:
        """The dispatchers have waited for as long as a job may take."""

    async def verdict(self) -> Verdict:
        lines = [stored.subject.split(".") for stored in await read_stream(self._bus.connection, JOURNAL)]
        done = [job_id for _, kind, job_id in lines if kind == "done"]
        reported = {job_id for _, kind, job_id in lines if kind == "reported"}
        left = (await self._bus.connection.jetstream.stream_info(JOBS)).state.messages
        jobs = self._size.jobs
        return Verdict(
            jobs=jobs,
            executions=sum(kind == "began" for _, kind, _ in lines),
            twice=sum(done.count(job_id) > 1 for job_id in set(done)),
            lost=jobs - len(reported),
            stuck=left,
            counts={"completions": len(done), "jobs done": len(set(done)), "jobs reported": len(reported)},
        )

    async def close(self) -> None:
        await self._bus.close()


async def work(name: str, slots: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    bus = await connect(read_bus_settings(os.environ))
    working = [asyncio.create_task(_slot(bus, name)) for _ in range(slots)]
    await stop.wait()
    for slot in working:
        slot.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    await bus.close()


async def _slot(bus: JetStreamBus, name: str) -> None:
    subscription = await bus.connection.jetstream.pull_subscribe_bind(consumer=_WORKERS, stream=JOBS)
    while True:
        try:
            (message,) = await subscription.fetch(1, timeout=FETCH_S)
            job: dict[str, Any] = json.loads(message.data)
            await _write(bus, "began", job["id"], name)
            program = await asyncio.create_subprocess_exec(*work_of(job["id"]).argv, stdout=asyncio.subprocess.DEVNULL)
            code = await program.wait()
            await bus.connection.client.publish(job["reply_to"], json.dumps({"id": job["id"], "code": code}).encode())
            await message.ack_sync()
            await _write(bus, "done", job["id"], name)
        except (nats.errors.Error, OSError):  # nothing to fetch, or the server is away
            await asyncio.sleep(ERROR_PAUSE_S)


async def dispatch(number: int, jobs: int) -> int:
    """0 when every job was reported, 1 when some were not within their time limit."""
    bus = await connect(read_bus_settings(os.environ))
    client = bus.connection.client
    inbox = client.new_inbox()
    missing = {f"d{number}-{index}" for index in range(jobs)}
    everything = asyncio.Event()

    async def take(message: Msg) -> None:
        job_id = json.loads(message.data)["id"]
        if job_id in missing:
            missing.discard(job_id)
            await _write(bus, "reported", job_id, f"dispatcher-{number}")
        if not missing:
            everything.set()

    await bus.connection.subscribe(inbox, take)
    for job_id in sorted(missing):
        await _until_stored(bus, f"naive.job.{job_id}", json.dumps({"id": job_id, "reply_to": inbox}).encode())
    try:
        async with asyncio.timeout(JOB_LIMIT_S):
            await everything.wait()
    except TimeoutError:
        return 1
    finally:
        await bus.close()
    return 0


async def _write(bus: JetStreamBus, kind: str, job_id: str, who: str) -> None:
    await _until_stored(bus, f"journal.{kind}.{job_id}", who.encode())


async def _until_stored(bus: JetStreamBus, subject: str, data: bytes) -> None:
    end = time.monotonic() + JOURNAL_TRIES_S
    while True:
        try:
            await bus.connection.jetstream.publish(subject, data)
        except (nats.errors.Error, OSError):
            if time.monotonic() > end:
                raise
            await asyncio.sleep(ERROR_PAUSE_S)
        else:
            return


def _tell(observer: Observer, subject: str, data: bytes) -> None:
    _, kind, job_id = subject.split(".")
    if kind != "reported":
        observer.see(job_id, Sight.BEGAN if kind == "began" else Sight.ENDED, data.decode())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker", name, slots]:
            asyncio.run(work(name, int(slots)))
        case ["dispatcher", number, jobs]:
            sys.exit(asyncio.run(dispatch(int(number), int(jobs))))
